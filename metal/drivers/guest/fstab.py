"""Mounts by file system UUID, in a block of /etc/fstab that is ours; the rest of the file stays."""

from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.guest.document import Document, GuestFile
from specs.facts import SystemFacts

FSTAB: Final = "/etc/fstab"
BEGIN: Final = "# rackflow begin: written from the host's spec"
END: Final = "# rackflow end"
PATIENCE: Final = "x-systemd.device-timeout=5min"
"""systemd gives a device up after 90 s and does not come back to it: what shows later is never mounted. With
`nofail` no boot waits for it."""

QUEUED: Final = ("systemctl", "list-jobs", "--no-legend", "--full")
"""What systemd has still to do: number, unit, kind and state, a line each (systemctl(1))."""


def mounts_queued(listed: str) -> tuple[str, ...]:
    """Units of what systemd is still to mount, or to swap to, in the answer to QUEUED."""
    rows = (line.split() for line in listed.splitlines())
    units = [row[1] for row in rows if row[2:] and row[2] == "start"]
    return tuple(unit for unit in units if unit.endswith((".mount", ".swap")))


@dataclass(frozen=True, slots=True)
class Mount:
    """One line."""

    fs_uuid: str
    mount: str
    filesystem: str
    options: tuple[str, ...] = ()
    device: str | None = None
    """Named where the file system's own id is not known: one that was preserved in a logical volume."""

    @classmethod
    def of(cls, value: dict[str, Any], fs_uuid: str) -> "Mount":
        """Take a step's mount, and the UUID of its file system."""
        return cls(
            fs_uuid,
            str(value.get("mount") or "none"),
            str(value["filesystem"]),
            tuple(value.get("options") or ()),
            value.get("device"),
        )

    @property
    def line(self) -> str:
        """The line of fstab; `nofail`, because a lost data disk must not keep the machine from booting.

        A device that shows late is waited for longer than usual (PATIENCE), unless the spec says how long.
        """
        uuid = self.fs_uuid
        if self.filesystem == "vfat":
            digits = uuid.replace("-", "")[:8].upper()
            uuid = f"{digits[:4]}-{digits[4:]}"
        what = self.device or f"UUID={uuid}"
        if self.filesystem == "swap":
            return f"{what} none swap {','.join(self.options) or 'sw'} 0 0"
        options = self.options or ("defaults",)
        checked = 2 if self.filesystem in ("ext4", "vfat") else 0
        extra = () if "nofail" in options else ("nofail",)
        own = any(one.startswith("x-systemd.device-timeout=") for one in options)
        extra = extra if own else (*extra, PATIENCE)
        return f"{what} {self.mount} {self.filesystem} {','.join((*options, *extra))} 0 {checked}"


def differences(facts: SystemFacts, mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Say which lines are missing."""
    return tuple(f"fstab lacks {m.line!r}" for m in mounts if m.line not in facts.fstab)


def document(mounts: tuple[Mount, ...], text: str | None) -> Document:
    """Write the block and make the mount points; a running system mounts what is new."""
    return Document(
        says=f"mount {', '.join(m.mount for m in mounts)} by UUID",
        folders=tuple(m.mount for m in mounts if m.mount.startswith("/")),
        files=(GuestFile(FSTAB, fstab_with(text, mounts).encode()),),
        run=(("systemctl", "daemon-reload"), ("mount", "-a")),
    )


def fstab_with(text: str | None, mounts: tuple[Mount, ...]) -> str:
    """Give /etc/fstab with our block; a line of the image for the same place gives way."""
    places = {m.mount for m in mounts if m.mount != "none"}
    kept, ours = [], False
    for line in (text or "").splitlines():
        if line.strip() in (BEGIN, END):
            ours = line.strip() == BEGIN
            continue
        words = line.split()
        taken = len(words) > 1 and not line.startswith("#") and words[1] in places
        if not ours and not taken:
            kept.append(line)
    block = [BEGIN, *(m.line for m in mounts), END] if mounts else []
    return "\n".join([*kept, *block]) + "\n"
