"""A machine: power, boots, one disk, a fence that works like rf-exec, and a witness that believes nobody.

The witness writes down every command that changed the disk, by itself: it does not ask the fence. What it
sees that may never happen is raised as a Violation at once.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from metal.drivers.guest.document import PYTHON
from metal.drivers.guest.fstab import QUEUED
from metal.drivers.guest.phone_home import TOKEN
from metal.drivers.hardware import QUERIES
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.detection import first_questions
from metal.drivers.raid.md import MD_DETAIL
from metal.drivers.storage.disks import LSBLK, PROBE_AGAIN, SETTLE
from metal.drivers.storage.identity import DISK_SYSFS
from metal.engine.enter import BOOT_ID
from metal.errors import Refused, Unreachable
from metal.protocols import BootFlags, Output
from metal.testing.fake_shell import FakeShell
from metal.testing.wipe_report import wipe_report
from tests.model.clock import Clock
from tests.model.processes import TransportLost, Violation

GIB = 1 << 30
DISK = "RF-D1"
ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
IMAGE_KEY = "ssh-ed25519 AAAAimage"
NO_FLAGS = BootFlags("none", persistent=False, efi=False)
DESTRUCTIVE = ("/usr/lib/rackflow/rf-wipe", "/usr/lib/rackflow/rf-write", "mkfs.ext4")
POST_S, BOOT_S = 10.0, 20.0
"""From power-on to the choice what to boot, and from there to a system that speaks."""
SECONDS = {"/usr/lib/rackflow/rf-wipe": 4.0, "/usr/lib/rackflow/rf-write": 40.0, "mkfs.ext4": 4.0}
BUSY = "busy"
EMPTY_GUEST: dict[str, Any] = {
    "hostname": "debian\n", "os_release": None, "install": None, "users": {}, "files": {}, "network": {},
    "fstab": "", "host_key": IMAGE_KEY, "texts": {}, "present": {}, "live": None,
}  # fmt: skip


@dataclass
class Command:
    """A command under rf-exec, as its folder in /run/rackflow/steps shows it."""

    name: str
    epoch: int
    argv: tuple[str, ...]
    ends: float
    stdin: bytes | None = None
    output: Output | None = None
    fenced: bool = False

    @property
    def destructive(self) -> bool:
        return self.argv[0] in DESTRUCTIVE


@dataclass
class Disk:
    """What lies on the disk."""

    signature: str | None = None
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)
    guest: dict[str, Any] | None = None
    mounted: bool = False

    @property
    def whole(self) -> bool:
        """Whether the data partition holds a file system that was made to its end."""
        return bool(self.parts.get(2, {}).get("fstype"))

    @property
    def bootable(self) -> bool:
        return self.guest is not None and 1 in self.parts


System = Literal["off", "post", "boot-os", "os", "nothing"]


class Machine:
    """One machine. `answers` is the edge's boot plane: what a boot request, a report-in, a phone-home get."""

    def __init__(self, clock: Clock, plane: "Plane", leave: Callable[[int, str], str | None]) -> None:
        self.clock, self.plane, self.leave = clock, plane, leave
        self.system: System = "off"
        self.boots = 0
        self.next_at = 0.0
        self.flags = NO_FLAGS
        self.disk = Disk(signature="ntfs")
        self.fence, self.remembers = True, True
        self.started: set[tuple[int, str]] = set()
        self.epoch = 0
        self.highest = 0
        """The highest epoch that came to this machine ever; the witness's own, no reboot makes it less."""
        self.steps: dict[str, Command] = {}
        self.running: list[Command] = []
        self.history: list[Command] = []
        self.boot_token: tuple[int, str] | None = None
        self.reported = False
        self.hung = False
        """Started and does not come up, until its power is cycled."""

    # --- power and boots ---

    @property
    def power(self) -> Literal["on", "off"]:
        return "off" if self.system == "off" else "on"

    def power_on(self) -> None:
        if self.system == "off":
            self._begin("post", POST_S)

    def power_off(self) -> None:
        """The power goes away: commands end where they are, RAM is gone."""
        for command in list(self.running):
            self._torn(command)
        self.running, self.steps, self.epoch = [], {}, 0
        self.disk.mounted, self.reported, self.hung, self.boot_token = False, False, False, None
        self.system = "off"

    def cycle(self) -> None:
        self.power_off()
        self.power_on()

    def _begin(self, system: System, seconds: float) -> None:
        self.system, self.next_at = system, self.clock.seconds() + seconds

    def tick(self) -> None:
        """Do what time brings."""
        now = self.clock.seconds()
        for command in [c for c in self.running if c.ends <= now]:
            self._done(command)
        if self.hung or now < self.next_at:
            return
        if self.system == "post":
            self._choose()
        elif self.system == "boot-os" and not self.reported and self.boot_token:
            status = self.plane.report_in(self.boot_token[1], self.boot_token[0], self.host_key)
            self.reported = status == 204
            if status in (401, 409, 410):
                self.cycle()  # an init that is refused for good boots again
            self.next_at = now + 3
        elif self.system == "os" and not self.reported:
            token = self.disk.guest.get("token") if self.disk.guest else None
            self.reported = token is None or self.plane.phone_home(token, self.boots, IMAGE_KEY) != 0
            self.next_at = now + 3
        elif self.system == "nothing":
            self._choose()  # firmware without a bootable device tries again

    def _choose(self) -> None:
        """Boot what flags, disk and edge say."""
        by_network = self.flags.target == "pxe" or not self.disk.bootable
        if self.flags.target == "pxe" and not self.flags.persistent:
            self.flags = NO_FLAGS
        self.boots += 1
        given = self.plane.boot() if by_network else None
        self.reported = False
        if given is not None:
            self.boot_token = given[:2]
            self.epoch = given[2]
            self._begin("boot-os", BOOT_S)
        elif self.disk.bootable:
            self._begin("os", BOOT_S)
        else:
            self._begin("nothing", 30.0)

    @property
    def host_key(self) -> str:
        return IMAGE_KEY if self.system == "os" else f"ssh-ed25519 AAAAboot{self.boots}"

    def reach(self, host_key: str) -> None:
        """Raise what an SSH client sees when the system that it means is not there."""
        if self.system not in ("boot-os", "os") or self.hung or self.clock.seconds() < self.next_at - 10:
            raise Unreachable("no SSH connection", host="m", reason="unreachable")
        if host_key.split()[:2] != self.host_key.split()[:2]:
            raise Refused("shows another host key", host="m", reason="refused")

    # --- reading ---

    def read(self, argv: tuple[str, ...], stdin: bytes | None) -> Output:
        shell = FakeShell(self._script())
        return shell.read(argv, stdin=stdin)

    def _script(self) -> dict[tuple[str, ...], Output | str]:
        missing = {
            query.argv: Output(query.argv, 127, "", "not found")
            for query in (*QUERIES, *first_questions(FAMILIES))
        }
        guest = json.dumps({k: v for k, v in (self.disk.guest or EMPTY_GUEST).items() if k != "token"})
        return missing | {
            SETTLE.argv: "",
            PROBE_AGAIN: "",
            LSBLK.argv: json.dumps({"blockdevices": [self._lsblk()]}),
            DISK_SYSFS.argv: f"disk sda\nserial {DISK}\n",
            MD_DETAIL.argv: "",
            ("cat", "/proc/mounts"): "/dev/sda1 /mnt/rackflow ext4 rw 0 0\n" if self.disk.mounted else "",
            ("true",): "",
            QUEUED: "",
            ("e2fsck", "-f", "-n", "/dev/sda2"): Output(("e2fsck",), 0 if self.disk.whole else 8, "", ""),
            PYTHON: guest if self.system == "os" or self.disk.mounted else Output(PYTHON, 1, "", "no root"),
        }

    def _lsblk(self) -> dict[str, Any]:
        parts = [
            part | {"name": f"sda{n}", "kname": f"sda{n}", "type": "part"}
            for n, part in sorted(self.disk.parts.items())
        ]
        node = {"name": "sda", "kname": "sda", "type": "disk", "size": 8 * GIB, "fstype": self.disk.signature}
        return node | ({"children": parts, "pttype": "gpt"} if parts else {})

    def read_file(self, path: str) -> bytes | None:
        return f"boot-{self.boots}\n".encode() if path == BOOT_ID else None

    # --- changing ---

    def rf_exec(
        self, name: str, epoch: int, argv: tuple[str, ...], stdin: bytes | None
    ) -> Command | Literal["busy", "epoch"]:
        """Start a step, or give the one that bears this ID; what rf-exec does (DESIGN 5.3)."""
        self.tick()
        late = epoch < self.highest
        self.highest = max(self.highest, epoch)
        if self.fence:
            if epoch < self.epoch:
                return "epoch"
            if epoch > self.epoch:
                self.epoch = epoch
                for command in [c for c in self.running if c.epoch < epoch]:
                    self._torn(command)
        if name in self.steps and self.remembers:
            return self.steps[name]
        if self.running and self.fence:
            return "busy"
        command = Command(name, epoch, argv, self.clock.seconds() + SECONDS.get(argv[0], 0.0), stdin)
        self._witness(command, late=late)
        self.steps[name] = command
        self.running.append(command)
        if command.ends <= self.clock.seconds():
            self._done(command)
        return command

    def _witness(self, command: Command, *, late: bool) -> None:
        """See a command start, whatever let it."""
        if command.argv == ("true",):
            return
        told = f"{command.name} at epoch {command.epoch}: {' '.join(command.argv[:1])}"
        if self.running:
            raise Violation(f"two writers: {told}, while {self.running[0].name} runs")
        if (self.boots, command.name) in self.started:
            raise Violation(f"one ID is carried out twice: {told}")
        self.started.add((self.boots, command.name))
        if late:
            raise Violation(f"a fenced process writes: {told}, after epoch {self.highest} came")
        if command.destructive:
            job, step = int(command.name.split("-")[0]), command.name.partition("-")[2].rpartition("-")[0]
            why_not = self.leave(job, step.rpartition("-")[0])
            if why_not:
                raise Violation(f"{why_not}: {told}")
        self.history.append(command)

    def _torn(self, command: Command) -> None:
        """End a command in the middle."""
        self.running.remove(command)
        command.fenced = True
        command.output = Output(command.argv, 137, "", json.dumps({"step": command.name, "fenced": True}))
        if command.argv[0].endswith("rf-write"):
            self.disk.signature, self.disk.parts, self.disk.guest = "half an image", {}, None
        elif command.argv[0].startswith("mkfs") and 2 in self.disk.parts:
            self.disk.parts[2] |= {"fstype": None, "uuid": None}

    def _done(self, command: Command) -> None:
        self.running.remove(command)
        status = self._effect(command.argv, command.stdin)
        said = wipe_report(command.argv) if command.argv[0].endswith("rf-wipe") else ""
        command.output = Output(command.argv, status, said, "" if status == 0 else "it failed")

    def _effect(self, argv: tuple[str, ...], stdin: bytes | None) -> int:
        disk = self.disk
        if argv[0].endswith("rf-wipe"):
            disk.signature, disk.parts, disk.guest = None, {}, None
        elif argv[0].endswith("rf-write"):
            disk.signature = None
            disk.parts = {
                1: {"size": GIB, "start": 2048, "fstype": "ext4", "uuid": ROOT_UUID},
                2: {"size": GIB, "start": 2 * GIB // 512, "fstype": None, "uuid": None},
            }
            disk.guest = json.loads(json.dumps(EMPTY_GUEST))
        elif argv[0].startswith("mkfs"):
            if 2 not in disk.parts:
                return 1
            disk.parts[2] |= {"fstype": argv[0][5:], "uuid": argv[argv.index("-U") + 1]}
        elif argv[0] == "mount":
            disk.mounted = True
        elif argv[0] == "umount" or (argv[0] == "sh" and "umount" in argv[2]):
            disk.mounted = False
        elif argv == PYTHON:
            self._write_guest(json.loads(stdin or b"{}"))
        elif argv[0] not in ("blockdev", "true"):
            raise AssertionError(f"the machine does not know {argv}")
        return 0

    def _write_guest(self, document: dict[str, Any]) -> None:
        guest = self.disk.guest
        if guest is None:
            raise AssertionError("a document for a root that is not there")
        for file in document["files"]:
            data = base64.b64decode(file["data"]).decode()
            if file["path"] == TOKEN:
                guest["token"] = data.strip()
            elif file["path"] == "/etc/rackflow/install.json":
                guest["install"] = data

    def follow(self, name: str) -> Command:
        """The step of this ID now; a machine that booted anew knows it no more."""
        self.tick()
        if name not in self.steps:
            raise TransportLost("the step's folder is gone")
        return self.steps[name]


class Plane:
    """The boot plane that a machine speaks to."""

    def boot(self) -> tuple[int, str, int] | None:
        """A boot's number, token and epoch floor; None for the local disk."""
        raise AssertionError

    def report_in(self, token: str, boot_no: int, host_key: str) -> int:
        """The status; 0 without an edge."""
        raise AssertionError

    def phone_home(self, token: str, boots: int, host_key: str) -> int:
        """The status; 0 without an edge."""
        raise AssertionError
