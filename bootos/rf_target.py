"""rf-write's disk: zeroed by the kernel, written and read past the page cache, and marked with what began.

Not a program: a part of the one file that is installed as rf-write (`bootos.one_file`).

The mark stands on the disk itself, at the start of its last MiB, because a machine that lost power has
nothing else left. It says under which name the disk was erased for an image, and which chunks stand on it
since.
"""

import fcntl
import hashlib
import mmap
import os
import struct

TAIL_BYTES = 1024 * 1024
BLOCK_BYTES = 4096
MARK_MAGIC = b"rackflow rf-write "
MARK_BYTES_MAX = TAIL_BYTES - 64 * 1024  # the backup GPT has the last 33 sectors
SUMS_PER_BLOCK = BLOCK_BYTES // 4
SUMS = f"<{SUMS_PER_BLOCK}I"
# linux/fs.h
BLKGETSIZE64, BLKZEROOUT, BLKFLSBUF, BLKDISCARD = 0x80081272, 0x127F, 0x1261, 0x1277


class WriteError(Exception):
    """The disk was not written, or not wholly; carries the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


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

    def discard(self, start: int, length: int) -> None:
        """Tell the device that a range is not needed any more; what it reads afterwards is its own affair."""
        if self._block_device:
            fcntl.ioctl(self._fd, BLKDISCARD, struct.pack("QQ", start, length))
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

    def starts(self) -> bool:
        """Whether a machine may have started from it: its first block is no longer the zeros of the erasing.

        Where that block cannot be read it may have been written, and torn.
        """
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            try:
                self.read(block, BLOCK_BYTES, 0)
            except OSError:
                return True
            return block[:] != bytes(BLOCK_BYTES)

    def flush(self) -> None:
        """Make it durable, and let later reads come from the disk."""
        os.fsync(self._fd)
        if self._block_device:
            os.fsync(self._direct)
            fcntl.ioctl(self._fd, BLKFLSBUF, 0)


class Mark:
    """What stands on a target about the write that was begun on it: whose it is, and a sum per written chunk.

    The sums are there because a disk's cache may lose what it said it had written.
    """

    def __init__(self, target: Target, key: str, image_bytes: int, chunks: int) -> None:
        self._target = target
        self.offset = (target.size_bytes - TAIL_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        blocks = -(-4 * chunks // BLOCK_BYTES)
        self._fits = bool(key) and self.offset >= image_bytes and (blocks + 1) * BLOCK_BYTES <= MARK_BYTES_MAX
        self._text = MARK_MAGIC + hashlib.sha256(key.encode()).hexdigest().encode() + b"\n"
        self._sums = [0] * (blocks * SUMS_PER_BLOCK)

    def read(self) -> dict[int, int] | None:
        """Sums of the chunks that this very write brought to the disk; None when it was not begun here.

        A block of it that cannot be read says nothing: a power cut may have torn it, and what is written over
        it reads again. Else no image would ever come onto this disk any more.
        """
        if not self._fits:
            return None
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            if not self._reads(block, self.offset) or block[: len(self._text)] != self._text:
                return None
            for first in range(0, len(self._sums), SUMS_PER_BLOCK):
                if self._reads(block, self._place(first)):
                    self._sums[first : first + SUMS_PER_BLOCK] = struct.unpack(SUMS, block)
        return {index: one for index, one in enumerate(self._sums) if one}

    def put(self) -> None:
        """Say that the target is erased; durable, and only after the zeros are."""
        if not self._fits:
            return
        self._target.flush()
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            block[: len(self._text)] = self._text
            self._target.write(block, BLOCK_BYTES, self.offset)
        self._target.flush()

    def note(self, written: dict[int, int]) -> None:
        """Say that chunks are on the disk: they are flushed first, and never said before."""
        if not self._fits or not written:
            return
        self._target.flush()
        for index, one in written.items():
            self._sums[index] = one
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            for first in sorted({index // SUMS_PER_BLOCK * SUMS_PER_BLOCK for index in written}):
                block[:] = struct.pack(SUMS, *self._sums[first : first + SUMS_PER_BLOCK])
                self._target.write(block, BLOCK_BYTES, self._place(first))

    def _reads(self, block: mmap.mmap, offset: int) -> bool:
        try:
            self._target.read(block, BLOCK_BYTES, offset)
        except OSError:
            return False
        return True

    def _place(self, first: int) -> int:
        return self.offset + BLOCK_BYTES + first // SUMS_PER_BLOCK * BLOCK_BYTES


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
