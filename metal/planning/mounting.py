"""Where a spec's file systems are mounted, and with which options: one list for fstab and for drift."""

from collections.abc import Iterator

from specs.model import Partition


def mounts_of(part: Partition) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Place and options of each line of fstab that a partition asks for; swap has the place `none`."""
    if part.filesystem == "swap":
        yield "none", part.options or ("sw",)
    elif part.mount:
        yield part.mount, part.options or ("defaults",)
    for one in part.subvolumes:
        if one.mount:
            yield one.mount, (f"subvol=/{one.name}", *one.options)
