"""What the end of a serial log says: the last line that is a sign of trouble or of success. Pure.

The log is read from its end, because a machine that hung says why in its last lines; a line that shows a
new start ends the search, since what stands before it belongs to an earlier attempt. The bytes come from
a machine and may be anything: a sign is only ever a line of printable text, cut to a length.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

TAIL_BYTES: Final = 16 << 10
LINE_CHARS: Final = 160
_ESCAPES: Final = re.compile(
    rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()][A-Z0-9]|[=>cNOM78])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)


@dataclass(frozen=True, slots=True)
class Console:
    """The end of a host's newest serial log."""

    boot_no: int
    kind: Literal["boot-os", "os"]
    lines: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last line that says anything."""
        return self.lines[-1] if self.lines else ""


@dataclass(frozen=True, slots=True)
class Sign:
    """What a line is a sign of."""

    code: str
    pattern: re.Pattern[str]
    means: str


def _sign(code: str, pattern: str, means: str) -> Sign:
    return Sign(code, re.compile(pattern, re.IGNORECASE), means)


SIGNS: Final = (
    _sign("kernel-panic", r"Kernel panic - not syncing", "the kernel panicked"),
    _sign(
        "no-bootable-device",
        r"No bootable (device|option|media)|Operating System not found|Missing operating system"
        r"|No boot device|Reboot and Select proper Boot device|Boot Failed\b.*\b(HARDDISK|Hard ?disk|Disk)"
        r"|not a bootable disk|could not read the boot disk",
        "the firmware finds nothing to boot",
    ),
    _sign(
        "boot-loader-stuck",
        r"^grub rescue>|^grub>|error: no such (partition|device|disk)|error: unknown filesystem",
        "GRUB does not find its system",
    ),
    _sign(
        "network-boot-failed",
        r"PXE-[ETM]\d\d|Could not boot|No more network devices|Configuring \(.*\)\.* *(No|Error|Conn|Fail)"
        r"|ipxe\.org/[0-9a-f]{6,8}|TFTP (error|open timeout)|No configuration methods succeeded"
        r"|Boot Failed\b.*(PXE|HTTP)",
        "the network boot failed",
    ),
    _sign(
        "emergency-shell",
        r"^\(initramfs\)|You are in emergency mode|Give root password for maintenance|^dracut:/#"
        r"|ALERT! .* does not exist|Dropping to a shell|Entering emergency mode",
        "the system stopped in an emergency shell",
    ),
    _sign("report-in-refused", r"bootos: .*report-in refused", "the edge refused the boot OS's report-in"),
    _sign(
        "boot-os-no-network",
        r"bootos: .*(still no NIC|no DHCP answer|report-in failed)",
        "the boot OS does not reach the edge",
    ),
    _sign(
        "boot-os-stopped",
        r"bootos: (stopped:|.*no boot seed|.*boot seed refused|.*bring-up failed)",
        "the boot OS could not start its work",
    ),
    _sign("out-of-memory", r"Out of memory: Killed|Initramfs unpacking failed", "it ran out of memory"),
    _sign("login-prompt", r"\blogin: *$", "a system is up and asks for a login"),
    _sign(
        "disk-errors",
        r"I/O error, dev |Buffer I/O error|blk_update_request: .*error|critical (medium|target) error",
        "a disk gives I/O errors",
    ),
)
"""In one line the first that fits counts; of several lines the last one, but for errors of disks."""

_NEW_START: Final = re.compile(
    r"^\[ +0\.0+\] Linux version|^SeaBIOS \(version|^iPXE \(http|^BdsDxe: starting Boot"
    r"|bootos: .*reported in to"
)
_WEAK: Final = frozenset({"disk-errors"})
"""Signs that explain another only when nothing else does: a system may log them and live on."""


def clean(data: bytes) -> tuple[str, ...]:
    """The lines of a log's end, without terminal escapes, blank lines and bytes that are no text."""
    text = _ESCAPES.sub(b"", data).decode(errors="replace")
    lines = (line.strip() for line in re.split(r"[\r\n]+", text))
    return tuple("".join(c for c in line if c.isprintable())[:LINE_CHARS] for line in lines if line)


def read(lines: Iterable[str]) -> tuple[Sign, str] | None:
    """The last telling line, and what it is a sign of."""
    weak = None
    for line in reversed(tuple(lines)):
        found = next((sign for sign in SIGNS if sign.pattern.search(line)), None)
        if found is not None and found.code not in _WEAK:
            return found, line
        weak = weak or ((found, line) if found else None)
        if _NEW_START.search(line):
            break
    return weak
