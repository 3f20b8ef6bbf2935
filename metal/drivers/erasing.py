"""Erasing disks: what each can do, the rf-wipe call, and its report as a value.

rf-wipe (`bootos/rf_wipe.py`) runs under rf-exec, which holds the verified disk open for it. What a machine
says of its disks and of an erasing is input like any other: bounded, and decoded to a value or refused.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from metal.drivers.bundle import Query
from metal.drivers.partitions import Target
from metal.errors import Unparsable
from metal.protocols import Command, DiskGuard, Output
from specs.facts import WipeReport

RF_WIPE: Final = "/usr/lib/rackflow/rf-wipe"
METHODS: Final = ("metadata", "discard", "sanitize", "overwrite")
EXIT_REFUSED: Final = 65
EXIT_UNPROVEN: Final = 66
SLOWEST_BYTES_PER_S: Final = 20_000_000
"""Below that something is wrong with a disk that is overwritten; it sets the deadline, not a wish."""
LONGEST_S: Final[Mapping[str, int]] = {"metadata": 900, "discard": 4 * 3600, "sanitize": 25 * 3600}

ERASERS: Final = Query("erasers", ("sh", "-c", f"[ -x {RF_WIPE} ] || exit 0; {RF_WIPE} --ask"), timeout_s=60)
"""Asked in the boot OS only: a deployed system has no rf-wipe, and there nothing is known."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """How a disk can be erased, best first, and what is in the way."""

    can: tuple[str, ...]
    problem: str | None


def parse_erasers(text: str) -> dict[str, Abilities]:
    """Kernel name -> abilities; what is not of that shape is left out, and so unknown."""
    try:
        told = json.loads(text or "{}")
    except ValueError:
        return {}
    found = {}
    for kname, one in told.items() if isinstance(told, dict) else ():
        if not isinstance(one, dict) or not isinstance(one.get("can"), list):
            continue
        problem = one.get("problem")
        can = tuple(str(word)[:40] for word in one["can"][:16])
        found[str(kname)] = Abilities(can, str(problem)[:300] if problem else None)
    return found


def wipe_command(target: Target, size_bytes: int, method: str, *, name: str) -> Command:
    """Erase; a new start under the same name goes on, and finds what was done."""
    identity = target.guard.identity
    longest_s = LONGEST_S.get(method, 3600 + size_bytes // SLOWEST_BYTES_PER_S)
    return Command(
        argv=(
            *(RF_WIPE, "--method", method, "--disk", identity),
            *("--size-bytes", str(size_bytes), "--name", name),
        ),
        says=f"erase {target} ({method})",
        disks=(DiskGuard(identity, size_bytes, mode="hold"),),
        timeout_s=longest_s,
    )


def release_command(target: Target, among: Iterable[str]) -> Command:
    """Take down what is above a target: arrays, volumes, mounts that lie on disks of the plan and no other.

    It names no guarded disk, because rf-exec gives none that is held; rf-wipe looks for the identity itself.
    """
    identity = target.guard.identity
    return Command(
        argv=(RF_WIPE, "--release", identity, "--among", ",".join(sorted({identity, *among}))),
        says=f"take down what holds {target}",
        timeout_s=300,
    )


def parse_report(host: str, said: Output | None, target: Target, method: str) -> WipeReport:
    """The last line that rf-wipe printed, about this target and method.

    Raises Unparsable: an erasing that can't be attested was none.
    """
    line = (said.stdout if said else "").rstrip().rpartition("\n")[2][:4096]
    try:
        told: Any = json.loads(line)
        report = WipeReport.model_validate(told)
    except (ValueError, ValidationError) as error:
        told = f"rf-wipe's report could not be read: {line[:120]!r}"
        raise Unparsable(told, host=host, reason="unparsable") from error
    asked = (target.guard.identity, method)
    if (report.identity, report.method) != asked:
        told = f"rf-wipe was asked for {asked[0]} ({method}), and reports {report.identity} ({report.method})"
        raise Unparsable(told, host=host, reason="unparsable")
    return report
