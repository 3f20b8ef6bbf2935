"""What a driver may ask of a machine: a Shell inside it, a Bmc beside it. No I/O stands here.

Drivers see only these protocols, so that a FakeShell or FakeHost plugs in at one seam. Reading and
changing are different verbs: `Shell.read` may be repeated at any time and never counts as a write;
every change is a value (Command or WriteFile) that the engine sends through `rf-exec` under the
lease's epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

PowerAction = Literal["on", "off", "soft", "cycle", "reset"]
BootTarget = Literal["none", "pxe", "disk", "cdrom", "bios"]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command said. `argv` is kept for messages; it never holds a secret (secrets go by stdin)."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.status == 0


@dataclass(frozen=True, slots=True)
class DiskGuard:
    """The disk that a command may touch: identity (serial, WWN or `md-uuid:…`) and size, checked by rf-exec.

    `hold` keeps the exclusive descriptor open and passes it on; `check` closes it right before the
    command starts, for tools that open the device exclusively themselves (mdadm, sgdisk, mkfs).
    """

    identity: str
    size_bytes: int | None = None
    mode: Literal["hold", "check"] = "check"


@dataclass(frozen=True, slots=True)
class Command:
    """One change of a machine, as argv; `{disk0}`, `{disk1}` … stand for the guarded devices' paths."""

    argv: tuple[str, ...]
    says: str
    stdin: bytes | None = field(default=None, repr=False)
    disks: tuple[DiskGuard, ...] = ()
    timeout_s: int = 120
    ok_statuses: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class WriteFile:
    """One file of the machine, written beside and renamed into place, synced before it counts."""

    path: str
    content: bytes = field(repr=False)
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    says: str = ""


Change = Command | WriteFile


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long command is, as rf-write reports it."""

    done_bytes: int
    total_bytes: int
    mb_per_s: float


class ProgressSink(Protocol):
    """Called with each progress report of a long command."""

    def __call__(self, progress: Progress) -> None:
        """Take one report."""


Gone = Callable[[], str | None]
"""Says why a machine that does not answer need not be waited for; None where nothing is known against it."""


class Shell(Protocol):
    """A shell on one machine, with whatever rights reading needs (root in the boot OS, sudo in the OS)."""

    host: str

    def read(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes | None = None,
        timeout_s: int = 30,
        limit_bytes: int = 4 << 20,
    ) -> Output:
        """Run a command that changes nothing. Raises Unreachable, never for a non-zero exit."""

    def read_file(self, path: str, *, limit_bytes: int = 1 << 20) -> bytes | None:
        """The file's content; None when there is no such file."""

    def change(
        self,
        change: Change,
        *,
        step: str,
        epoch: int,
        progress: ProgressSink | None = None,
        gone: Gone | None = None,
    ) -> Output:
        """Send one change through rf-exec. Raises Unreachable, LeaseLost (epoch), Refused (disk)."""


@dataclass(frozen=True, slots=True)
class BootFlags:
    """The BMC's boot override as read back."""

    target: BootTarget
    persistent: bool
    efi: bool


class Bmc(Protocol):
    """A BMC over the LAN."""

    host: str

    def power(self) -> Literal["on", "off"]:
        """The chassis power state."""

    def set_power(self, action: PowerAction) -> None:
        """Ask for a power action; the caller reads `power` before and after."""

    def boot_flags(self) -> BootFlags:
        """The boot override that is set now."""

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Set the boot override."""

    def guid(self) -> str | None:
        """The system GUID that this BMC reports."""

    def lan_mac(self) -> str | None:
        """The MAC of its LAN channel."""

    def close(self) -> None:
        """End the session; BMCs have few."""
