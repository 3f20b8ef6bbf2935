"""Thin pools: what a pool takes of its group, how much of that is data, and what was promised of it.

The size in a spec is all that a pool takes of its group: data, metadata, and once more the metadata's size,
which LVM keeps free for a repair. Metadata has 64 bytes for each chunk of data (lvmthin(7), "Metadata size").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from specs.facts import LogicalVolumeFact
from specs.model import ThinPool, VolumeGroup
from specs.sizes import human_size

LEAST_CHUNK_BYTES: Final = 64 << 10
BYTES_PER_CHUNK: Final = 64
MOST_METADATA_BYTES: Final = 128 << 20
"""Beyond it chunks are doubled, as LVM does itself: larger metadata makes each start slower."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool with the sizes that were decided; `extents` are those of its data."""

    name: str
    extents: int
    metadata_extents: int
    chunk_bytes: int
    promised_bytes: int

    @property
    def args(self) -> dict[str, Any]:
        """The pool as steps carry it."""
        sizes = {"extents": self.extents, "metadata_extents": self.metadata_extents}
        return {"name": self.name, **sizes, "chunk_bytes": self.chunk_bytes}

    def told(self, extent_bytes: int) -> str:
        """Name, sizes and what is promised: more than there is may be asked for, and must be seen."""
        data_bytes = self.extents * extent_bytes
        metadata = human_size(self.metadata_extents * extent_bytes)
        words = f"thin pool {self.name} {human_size(data_bytes)} with {metadata} of metadata"
        if self.promised_bytes <= data_bytes:
            return words
        promised = f"{human_size(self.promised_bytes)} promised"
        return f"{words}, overcommitted: {promised}, {self.promised_bytes / data_bytes:.1f} times its data"


def pool_of(spec: ThinPool, taken: int, group: VolumeGroup, extent_bytes: int) -> Pool:
    """Cut what a pool takes of its group into data and metadata."""
    chunk_bytes = LEAST_CHUNK_BYTES
    while taken * extent_bytes // chunk_bytes * BYTES_PER_CHUNK > MOST_METADATA_BYTES:
        chunk_bytes *= 2
    metadata = max(1, -(-(taken * extent_bytes // chunk_bytes * BYTES_PER_CHUNK) // extent_bytes))
    own = [one for one in group.logical_volumes if one.thin_pool == spec.name]
    promised = sum(one.size for one in own if isinstance(one.size, int))
    return Pool(spec.name, taken - 2 * metadata, metadata, chunk_bytes, promised)


def unlike_pools(group: VolumeGroup, seen: Mapping[str, LogicalVolumeFact]) -> str | None:
    """Why the volumes that stand are not in the pools of the spec; None where they are."""
    for pool in group.thin_pools:
        held = seen.get(pool.name)
        if held is None or not {"thin", "pool"} <= set(held.layout.split(",")):
            return f"{pool.name} is {held.layout if held else 'missing'}, wished a thin pool"
    for one in group.logical_volumes:
        held = seen.get(one.name)
        if held is not None and held.pool != one.thin_pool:
            inside = f"in thin pool {held.pool}" if held.pool else "in no thin pool"
            return f"{one.name} is {inside}, wished {one.thin_pool or 'none'}"
    return None
