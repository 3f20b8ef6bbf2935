"""How a change is put to rf-exec, the fence on the machine, and what its answers mean. No I/O here.

rf-exec runs the command detached from the SSH session, under an epoch and a step ID, and answers the
same ID with the running or finished step. Its own refusals are told from the command's exit status by
the JSON line that it writes last on stderr (`{"error": …, "exit": …}`, or the status of the step).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from metal.errors import LeaseLost, RackflowError, Refused
from metal.protocols import Change, Command, DiskGuard, Output, Progress, WriteFile

STEPS: Final = "/run/rackflow/steps"
"""Where rf-exec keeps a step's output, progress and status."""

EXIT_LOST: Final = 70
EXIT_EPOCH: Final = 75
EXIT_DISK: Final = 77
EXIT_BUSY: Final = 79
OWN_EXITS: Final = frozenset({64, EXIT_LOST, EXIT_EPOCH, EXIT_DISK, 78, EXIT_BUSY, 124, 137})
"""With which rf-exec itself ends; rf-write words its errors alike and has others beside 64 and 77."""

WRITE_FILE: Final = r"""set -eu; umask 022
d=${1%/*}; d=${d:-/}; mkdir -p "$d"; umask 077; t=$1.rackflow-new; trap 'rm -f "$t"' EXIT; rm -f "$t"
cat >"$t"
[ "$(wc -c <"$t")" -eq "$5" ] || { echo "rf-file: $1: $(wc -c <"$t") of $5 bytes arrived" >&2; exit 1; }
[ ! -d "$1" ] || { echo "rf-file: $1 is a directory" >&2; exit 1; }
chown "$3:$4" "$t"; chmod "$2" "$t"; sync "$t"; mv -f "$t" "$1"; trap - EXIT; sync "$d"
"""
"""Write beside, own, sync, rename, sync the folder: a power cut leaves the old file or the new one.

The size is checked first: a connection that drops while stdin is sent looks like its end."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_STEP_LENGTH: Final = 128


def as_command(change: Change) -> Command:
    """The change as a command; a file becomes the constant program above with the content on stdin."""
    if isinstance(change, Command):
        return change
    return Command(
        argv=_write_file_argv(change), says=change.says or f"write {change.path}", stdin=change.content
    )


def step_id(step: str, nonce: str, number: int) -> str:
    """A file name that no other change bears, so that no earlier run's answer is taken for this one's."""
    tail = f"-{nonce}-{number}"
    name = _UNSAFE.sub("-", step).lstrip("-._") or "step"
    return name[: _STEP_LENGTH - len(tail)] + tail


def rf_exec_argv(rf_exec: str, command: Command, *, step: str, epoch: int, wait_s: int) -> tuple[str, ...]:
    """The command line that puts a command through rf-exec."""
    modes = {disk.mode for disk in command.disks}
    if len(modes) > 1:
        raise ValueError(f"{command.says}: the disks of one command are all held or all checked, not both")
    argv = [rf_exec, "--epoch", str(epoch), "--step", step]
    for disk in command.disks:
        argv += ["--disk", _disk_word(disk)]
    if modes:
        argv += ["--disk-open", modes.pop()]
    argv += ["--timeout", str(command.timeout_s), "--wait", str(wait_s)]
    if command.stdin is not None:
        argv.append("--stdin")
    return (*argv, "--", *command.argv)


def failure(host: str, output: Output, rf_exec: str) -> RackflowError | None:
    """What rf-exec itself refused; None when the status is the command's own."""
    told = last_json(output.stderr)
    if told.get("fenced"):
        return LeaseLost(
            f"step {told.get('step')} was ended on the machine by a run with a higher epoch",
            host=host,
            reason="lease-lost",
        )
    if "error" in told and told.get("exit") == output.status and output.status in OWN_EXITS:
        return _refusal(host, output.status, told)
    if output.status == 127 and rf_exec in output.stderr:
        return Refused(
            f"{rf_exec} is not on this machine",
            host=host,
            reason="refused",
            hint="in-place repair needs it; reinstall, or boot the boot OS",
        )
    if output.status == 1 and output.stderr.startswith("sudo:"):
        return Refused(
            output.stderr.strip(), host=host, reason="refused", hint="check the sudo rule of the user"
        )
    return None


def parse_progress(text: bytes | None) -> Progress | None:
    """`progress.json`; None where there is none yet or it is not one of ours."""
    try:
        told = json.loads(text or b"{}")
        return Progress(int(told["done_bytes"]), int(told["total_bytes"]), float(told.get("mb_per_s") or 0.0))
    except (ValueError, KeyError, TypeError):
        return None


def last_json(text: str) -> Mapping[str, Any]:
    """The JSON object on the last line; empty when there is none."""
    line = text.rstrip().rpartition("\n")[2].strip()
    try:
        value = json.loads(line) if line.startswith("{") else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(host: str, status: int, told: Mapping[str, Any]) -> RackflowError:
    details = {key: value for key, value in told.items() if key not in ("error", "exit", "hint")}
    message = f"rf-exec: {told['error']}" + (f" {json.dumps(details, sort_keys=True)}" if details else "")
    hint = str(told["hint"]) if "hint" in told else None
    if status == EXIT_EPOCH:
        return LeaseLost(message, host=host, reason="lease-lost", hint=hint)
    return Refused(message, host=host, reason="refused", hint=hint)


def _disk_word(disk: DiskGuard) -> str:
    return disk.identity if disk.size_bytes is None else f"{disk.identity}:{disk.size_bytes}"


def _write_file_argv(change: WriteFile) -> tuple[str, ...]:
    if not change.path.startswith("/") or "\0" in change.path or change.path.endswith("/"):
        raise ValueError(f"a file of the machine is named by an absolute path, got {change.path!r}")
    size = str(len(change.content))
    return ("sh", "-c", WRITE_FILE, "rf-file", change.path, change.mode, change.owner, change.group, size)
