"""Files in memory by mmap, shared by all transfers of one version: a rack asks for the same loader at once.

Python never touches the mapped octets, the kernel copies them: a file that became shorter under a
transfer is then an error of one call (EFAULT) and not a signal that ends the process (SIGBUS).
"""

import contextlib
import mmap
from dataclasses import dataclass
from typing import BinaryIO

from pxe_edge.servers.files import FileTable, Missing, ServedFile


@dataclass(slots=True)
class Mapped:
    """One version of one file; `size_bytes` is what it had when it was opened."""

    key: tuple[str, str]
    view: memoryview
    size_bytes: int
    memory: mmap.mmap | None = None
    file: BinaryIO | None = None
    users: int = 0


class Mappings:
    """The files that are being sent, each mapped once."""

    def __init__(self, table: FileTable) -> None:
        self._table = table
        self._open: dict[tuple[str, str], Mapped] = {}

    def take(self, name: str) -> Mapped | Missing:
        """The current version of a file; whoever takes it gives it back."""
        served = self._table.open(name)
        if not isinstance(served, ServedFile):
            return served
        key = (name, served.etag)
        mapped = self._open.get(key)
        if mapped is not None:
            served.file.close()
        else:
            try:
                mapped = self._open[key] = _map(key, served)
            except OSError:
                served.file.close()
                return "not-readable"
        mapped.users += 1
        return mapped

    def give_back(self, mapped: Mapped) -> None:
        """Unmap it when nobody sends it any more."""
        mapped.users -= 1
        if mapped.users <= 0 and self._open.pop(mapped.key, None) is not None:
            mapped.view.release()
            if mapped.file is not None:
                mapped.file.close()
            if mapped.memory is not None:
                # The error that is being handled may hold a block of it, and the mapping goes with that.
                with contextlib.suppress(BufferError):
                    mapped.memory.close()


def of_bytes(data: bytes) -> Mapped:
    """Content that is no file; nobody needs to give it back."""
    return Mapped(("", ""), memoryview(data), len(data))


def _map(key: tuple[str, str], served: ServedFile) -> Mapped:
    if not served.size_bytes:  # an empty file can't be mapped
        served.file.close()
        return Mapped(key, memoryview(b""), 0)
    memory = mmap.mmap(served.file.fileno(), served.size_bytes, mmap.MAP_SHARED, mmap.PROT_READ)
    memory.madvise(mmap.MADV_WILLNEED)  # read ahead, so that sending does not wait for a disk
    return Mapped(key, memoryview(memory), served.size_bytes, memory, served.file)
