"""What a simulated system answers to one SSH command line: readings at once, changes through its fence."""

import json
import shlex
from collections.abc import Callable, Iterator

from lab.sim import facts, ipmitool
from lab.sim.bmc import InBand
from lab.sim.fence import Answer, Fence
from lab.sim.programs import root_under
from lab.sim.system import MOUNT_POINT, System

BUNDLE = "# rackflow bundle\n"
NO_SUCH_FILE = 44
NOT_FOUND = 127
STEPS = "/run/rackflow/steps/"


class Shell:
    """The command interpreter of one boot."""

    def __init__(
        self, system: System, bmc: InBand, fence: Fence, *, rf_exec: str, unknown: Callable[[str], None]
    ) -> None:
        self._system, self._bmc, self._fence = system, bmc, fence
        self._rf_exec, self._unknown = rf_exec, unknown

    def run(self, line: str, read_stdin: Callable[[], bytes]) -> Answer:
        """Answer one command line."""
        argv = _plain(shlex.split(line))
        if argv and argv[0].endswith("/rf-exec"):
            root = self._system.root
            if root is not None and argv[0] not in root.files:
                return 127, "", f"bash: {argv[0]}: No such file or directory\n"
            return self._fence.call(argv[1:], read_stdin)
        return self._read(argv, read_stdin)

    def _read(self, argv: list[str], read_stdin: Callable[[], bytes]) -> Answer:
        answer: Answer = (0, "", "")
        match argv:
            case ["true"] | ["systemctl", "list-jobs", *_] | ["udevadm", "settle" | "trigger", *_]:
                pass
            case ["sh", "-c", script] if script.startswith(BUNDLE):
                answer = self._bundle(script)
            case ["sh", "-c", _, "rf-read", path, _] | ["cat", path]:
                answer = self._file(path)
            case ["python3", *_]:
                answer = self._reader(json.loads(read_stdin()))
            case ["sh", "-c", "cat | ipmitool exec /proc/self/fd/0"]:
                answer = ipmitool.write(self._bmc, ["ipmitool", "exec"], read_stdin())
            case ["btrfs", "inspect-internal", "dump-tree", "-t", "root", device]:
                made = self._system.subvolumes_of(device)
                rows = (
                    f"\troot ref key dirid 256 sequence {n} name {one}\n" for n, one in enumerate(made, 2)
                )
                answer = (0, "".join(rows), "")
            case ["e2fsck" | "xfs_repair" | "fsck.vfat" | "btrfs", *_, device]:
                answer = (0 if self._system.fs_uuid_of(device) else 8, "", "")
            case ["ipmitool", *_]:
                answer = facts.answer(self._system, self._bmc, "ipmitool", argv)
            case _:
                self._unknown(shlex.join(argv)[:200])
                answer = (127, "", f"not simulated: {shlex.join(argv)[:80]}\n")
        return answer

    def _bundle(self, script: str) -> Answer:
        out = err = ""
        for name, argv in _queries(script):
            status, said, complained = facts.answer(self._system, self._bmc, name, argv)
            if status == NOT_FOUND and self._system.kind == "boot-os":
                self._unknown(shlex.join(argv)[:200])
            begin, end = f"\n\x1eb {name}\n", f"\n\x1ee {name} {status}\n"
            out += begin + said + end
            err += begin + complained + end
        return 0, out, err

    def _reader(self, question: dict[str, object]) -> Answer:
        system = self._system
        with system.lock:
            place = str(question["root"])
            root = root_under(system, place)
            if root is None:
                return 1, "", f"no root under {place}\n"
            live = facts.live(system, system.root_uuid) if place == "/" else None
            return 0, json.dumps(root.answer(question, live)) + "\n", ""

    def _file(self, path: str) -> Answer:
        found = self._content(path)
        return (NO_SUCH_FILE, "", f"{path}: No such file\n") if found is None else (0, found, "")

    def _content(self, path: str) -> str | None:
        system = self._system
        if path.startswith(STEPS) and path.endswith("/progress.json"):
            told = self._fence.progress(path.removeprefix(STEPS).partition("/")[0])
            return told.decode() if told else None
        if path == "/proc/cmdline":
            mac = system.machine.nics[0].mac.replace(":", "-")
            return f"console=ttyS0 BOOTIF=01-{mac} rackflow=1\n" if system.kind == "boot-os" else "quiet\n"
        if path == "/proc/sys/kernel/random/boot_id":
            return f"{system.boot_id}\n"
        if path == "/proc/mounts":
            return "".join(f"/dev/x {place} ext4 rw 0 0\n" for place in system.mounts)
        root = system.root
        if path.startswith(f"{MOUNT_POINT}/"):
            root, path = system.mounted_root(), path.removeprefix(MOUNT_POINT)
        return root.text(path) if root is not None else None


def _plain(words: list[str]) -> list[str]:
    """The command without sudo, env and its variables."""
    while words and (words[0] in ("sudo", "-n", "env") or words[0].startswith("LC_ALL=")):
        words = words[1:]
    return words


def _queries(script: str) -> Iterator[tuple[str, list[str]]]:
    """Name and argv of each `q NAME TIMEOUT WORDS ARGV…` behind the bundle's prologue."""
    words = shlex.split(script.partition("}\n")[2])
    while words:
        count = int(words[3])
        yield words[1], words[4 : 4 + count]
        words = words[4 + count :]
