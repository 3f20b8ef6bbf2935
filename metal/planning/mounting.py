"""Where a spec's file systems are mounted, and with which options: one list for fstab and for drift."""

from collections.abc import Iterator
from typing import Final

from specs.model import Formatted, Host

VOLUME_MARK: Final = "rackflow.fs."
"""How the tag of a logical volume begins that names the file system which a job made in it, whole."""
HEADER_MARK: Final = "rf."
"""How the label of a LUKS2 header begins that does so: it takes 47 bytes, a UUID 36 of them."""
UNFINISHED: Final = "none"
"""What either mark names until then: nothing was ever put there, so there is nothing to preserve."""
ENCRYPTED: Final = "crypto_LUKS"
"""How blkid calls a partition that is encrypted."""
SUBVOLUME: Final = "subvol=/"
"""What an option of fstab begins with that mounts a subvolume of a btrfs (btrfs(5))."""


def formatted(spec: Host) -> Iterator[Formatted]:
    """Everything that a file system is made in: partitions, then logical volumes."""
    for layout in spec.disks:
        yield from layout.partitions
    for group in spec.volume_groups:
        yield from group.logical_volumes


def mounts_of(part: Formatted) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Place and options of each line of fstab that a file system asks for; swap has the place `none`."""
    if part.filesystem == "swap":
        yield "none", part.options or ("sw",)
    elif part.mount:
        yield part.mount, part.options or ("defaults",)
    for one in part.subvolumes:
        if one.mount:
            yield one.mount, (f"{SUBVOLUME}{one.name}", *one.options)


def key_path(name: str) -> str:
    """Where the installed system has the key of an encrypted file system."""
    return f"/etc/rackflow/keys/{name}.key"


def unlocked_name(name: str) -> str:
    """What its opened device is called below /dev/mapper."""
    return f"luks-{name}"


def marked(text: str | None, mark: str) -> str | None:
    """The file system that a mark names; None where we have set none."""
    return text.removeprefix(mark) if text and text.startswith(mark) and not unfinished(text, mark) else None


def unfinished(text: str | None, mark: str) -> bool:
    """Whether a mark says that what was begun here never became whole."""
    return text == f"{mark}{UNFINISHED}"
