"""Thin pools of LVM: how a pool and its volumes are made, and how a pool is told from what is half of one.

Chunk and metadata sizes are the plan's, so that LVM's own choice (lvmthin(7)) never differs from what the
plan has reckoned with. Both are made inactive; LVM opens and closes the pool itself to write into it.
"""

from dataclasses import dataclass
from typing import Any

from metal.drivers.storage.opened import NO_UDEV
from specs.facts import LogicalVolumeFact


@dataclass(frozen=True, slots=True)
class PoolWish:
    """A pool that is to stand; `extents` are those of its data."""

    name: str
    extents: int
    metadata_bytes: int
    chunk_bytes: int
    pool: None = None
    """A pool lies in no pool."""

    @classmethod
    def of(cls, value: dict[str, Any], extent_bytes: int) -> "PoolWish":
        """Take a step's pool."""
        metadata_bytes = int(value["metadata_extents"]) * extent_bytes
        return cls(str(value["name"]), int(value["extents"]), metadata_bytes, int(value["chunk_bytes"]))

    @property
    def verb(self) -> tuple[str, ...]:
        """The command, but for its group. The spare is what a repair of the metadata needs (lvmthin(7))."""
        return (
            *("lvcreate", *NO_UDEV, "--type", "thin-pool", "--activate", "n", "--poolmetadataspare", "y"),
            *("--chunksize", f"{self.chunk_bytes}b", "--poolmetadatasize", f"{self.metadata_bytes}b"),
            *("--extents", str(self.extents), "--name", self.name),
        )


def thin_verb(name: str, pool: str, size_bytes: int) -> tuple[str, ...]:
    """The command that makes a volume in a pool, but for its group."""
    made = ("lvcreate", *NO_UDEV, "--type", "thin", "--activate", "n", "--wipesignatures", "n")
    return (*made, "--virtualsize", f"{size_bytes}b", "--thinpool", pool, "--name", name)


def is_pool(volume: LogicalVolumeFact) -> bool:
    """Whether a volume is a thin pool (lv_layout, lvmreport(7): `thin,pool`)."""
    return {"thin", "pool"} <= set(volume.layout.split(","))
