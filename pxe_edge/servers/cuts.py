"""Files cut into DATA packets: each block behind its header, so that a whole window is one piece of memory.

A rack asks for the same loader at once, in blocks of one size. When it was cut once, a window of sixteen
leaves as one piece instead of thirty-two: the call costs half, and that of a single block a sixth less.

The kernel lays the file out (preadv), so Python copies nothing, and a file that is cut short meanwhile is a
short read. What is cut counts as memory: small files only, all of them bounded, and what is left over goes
out of the mapped file.
"""

import os
import struct
from dataclasses import dataclass
from typing import Final

from pxe_edge.servers.mapped import Mapped
from pxe_edge.wire import tftp

MAX_FILE_BYTES: Final = 4 << 20
"""A loader has at most two; kernels are fetched by HTTP."""
MAX_BYTES: Final = 32 << 20
MIN_BLOCK_BYTES: Final = 512
"""Smaller blocks are nobody's wish but that of who wants to give us work."""
HEADER: Final = struct.Struct("!HH")
_MOST_BUFFERS: Final = 1024
"""What preadv takes in one call (IOV_MAX)."""


@dataclass(slots=True, eq=False)
class Cut:
    """One version of one file in blocks of one size."""

    packets: memoryview
    users: int = 0


class Cuts:
    """What was cut; who takes one gives it back, and it is kept while there is room."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int], Cut] = {}
        self._bytes = 0

    def take(self, mapped: Mapped, block_bytes: int) -> Cut | None:
        """The packets of a file; None: send it from its mapping."""
        if mapped.file is None or mapped.size_bytes > MAX_FILE_BYTES or block_bytes < MIN_BLOCK_BYTES:
            return None
        key = (*mapped.key, block_bytes)
        cut = self._kept.pop(key, None)
        if cut is None:
            size = mapped.size_bytes + HEADER.size * (mapped.size_bytes // block_bytes + 1)
            packets = _lay_out(mapped.file.fileno(), size, block_bytes) if self._room_for(size) else None
            if packets is None:
                return None
            cut = Cut(packets)
            self._bytes += size
        self._kept[key] = cut  # at the end: what was wanted longest ago goes first
        cut.users += 1
        return cut

    def give_back(self, cut: Cut) -> None:
        """It may go, if there is need."""
        cut.users -= 1

    def _room_for(self, size: int) -> bool:
        for key, cut in list(self._kept.items()):
            if self._bytes + size <= MAX_BYTES:
                break
            if not cut.users:
                del self._kept[key]
                self._bytes -= len(cut.packets)
        return self._bytes + size <= MAX_BYTES


def _lay_out(descriptor: int, size: int, block_bytes: int) -> memoryview | None:
    packets, step = memoryview(bytearray(size)), HEADER.size + block_bytes
    blocks: list[memoryview] = []
    for at in range(0, size, step):
        HEADER.pack_into(packets, at, tftp.DATA, at // step + 1)
        blocks.append(packets[at + HEADER.size : at + step])
    offset = 0
    for first in range(0, len(blocks), _MOST_BUFFERS):
        some = blocks[first : first + _MOST_BUFFERS]
        wanted = sum(len(block) for block in some)
        if os.preadv(descriptor, some, offset) != wanted:
            return None
        offset += wanted
    return packets
