"""Writing an image: rf-write under rf-exec, which holds the verified disk open for it (DESIGN 6)."""

from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.partitions import Target
from metal.protocols import Command, DiskGuard

RF_WRITE: Final = "/usr/lib/rackflow/rf-write"
EXIT_REFUSED: Final = 65
EXIT_UNREACHABLE: Final = 69
EXIT_DISK: Final = 77
SLOWEST_BYTES_PER_S: Final = 2_000_000
"""Below that something is wrong; it sets the deadline, not a wish."""


@dataclass(frozen=True, slots=True)
class ImageWish:
    """The image of a step; only the manifest with this sha256 is accepted."""

    digest: str
    manifest_url: str
    manifest_sha256: str
    size_bytes: int

    @classmethod
    def of(cls, args: dict[str, Any]) -> "ImageWish":
        """Take a step's arguments."""
        return cls(
            digest=str(args["image_digest"]),
            manifest_url=str(args["manifest_url"]),
            manifest_sha256=str(args["manifest_sha256"]),
            size_bytes=int(args["size_bytes"]),
        )


def write(target: Target, image: ImageWish, disk_bytes: int, *, name: str) -> Command:
    """Give the command; a new start under the same name keeps what it finds written and whole.

    The name is the job's own: what another job left on the disk is not read but erased.
    """
    guard = target.guard
    return Command(
        argv=(
            *(RF_WRITE, "--manifest", image.manifest_url, "--manifest-sha256", image.manifest_sha256),
            *("--disk", guard.identity, "--size-bytes", str(disk_bytes)),
            *("--resume", name),
        ),
        says=f"write image {image.digest[:19]} to {target}",
        disks=(DiskGuard(guard.identity, disk_bytes, mode="hold"),),
        timeout_s=300 + image.size_bytes // SLOWEST_BYTES_PER_S,
    )


def reread_table(target: Target) -> Command:
    """Have the kernel read the table that the image brought."""
    return Command(
        argv=("blockdev", "--rereadpt", "{disk0}"),
        says=f"read the partition table of {target} again",
        disks=(target.guard,),
    )
