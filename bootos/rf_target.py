"""rf-write's disk: zeroed by the kernel, written and read past the page cache, and marked with what began.

Not a program: a part of the one file that is installed as rf-write (`bootos.one_file`).

The mark stands on the disk itself, at the start of its last MiB, because a machine that lost power has
nothing else left. It says under which name the disk was erased for an image, and nothing more: what is there
and whole is read again and compared with the manifest.
"""

import fcntl
import hashlib
import mmap
import os
import struct

TAIL_BYTES = 1024 * 1024
BLOCK_BYTES = 4096
MARK_MAGIC = b"rackflow rf-write "
# linux/fs.h
BLKGETSIZE64, BLKZEROOUT, BLKFLSBUF = 0x80081272, 0x127F, 0x1261


class Target:
    """The disk. A regular file only in tests."""

    def __init__(self, fd: int, size_bytes: int, *, block_device: bool = True) -> None:
        self.size_bytes = size_bytes
        self._block_device = block_device
        self._fd = fd
        self._direct = fd
        if block_device:
            # a second open file of the same device, by the descriptor, so that no name is looked up again
            self._direct = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)

    def zero(self, start: int, length: int) -> None:
        """Make a range read as zeros; the device may do it without writing."""
        if length <= 0:
            return
        if self._block_device:
            fcntl.ioctl(self._fd, BLKZEROOUT, struct.pack("QQ", start, length))
        else:
            os.pwrite(self._fd, bytes(length), start)

    def write(self, buffer: mmap.mmap, length: int, offset: int) -> None:
        """Write from a page-aligned buffer; what is no multiple of the block goes through the cache."""
        whole = _whole_blocks(length, offset)
        with memoryview(buffer) as view:
            _pwrite(self._direct, view[:whole], offset)
            _pwrite(self._fd, view[whole:length], offset + whole)

    def read(self, buffer: mmap.mmap, length: int, offset: int) -> None:
        """Read into a page-aligned buffer, from the disk and not from what the kernel remembers of it."""
        whole = _whole_blocks(length, offset)
        with memoryview(buffer) as view:
            _pread(self._direct, view[:whole], offset)
            _pread(self._fd, view[whole:length], offset + whole)

    def flush(self) -> None:
        """Make it durable, and let later reads come from the disk."""
        os.fsync(self._fd)
        if self._block_device:
            os.fsync(self._direct)
            fcntl.ioctl(self._fd, BLKFLSBUF, 0)


class Mark:
    """What stands on a target about the write that was begun on it."""

    def __init__(self, target: Target, key: str, image_bytes: int) -> None:
        self._target = target
        self.offset = (target.size_bytes - TAIL_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        self._fits = bool(key) and self.offset >= image_bytes
        self._text = MARK_MAGIC + hashlib.sha256(key.encode()).hexdigest().encode() + b"\n"

    def stands(self) -> bool:
        """Whether this very write was begun here, and its target erased."""
        if not self._fits:
            return False
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            self._target.read(block, BLOCK_BYTES, self.offset)
            return block[: len(self._text)] == self._text

    def put(self) -> None:
        """Say that the target is erased; durable, and only after the zeros are."""
        if not self._fits:
            return
        self._target.flush()
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            block[: len(self._text)] = self._text
            self._target.write(block, BLOCK_BYTES, self.offset)
        self._target.flush()


def _whole_blocks(length: int, offset: int) -> int:
    return length - length % BLOCK_BYTES if offset % BLOCK_BYTES == 0 else 0


def _pwrite(fd: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _pread(fd: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.preadv(fd, [view], offset)
        if not done:
            raise OSError(f"the disk ends at {offset}")
        view, offset = view[done:], offset + done
