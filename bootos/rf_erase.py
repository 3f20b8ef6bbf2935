"""rf-wipe's places: where signatures lie, the samples that prove an erasing, the note of how far it came.

Not a program: a part of the one file that is installed as rf-wipe (`bootos.one_file`).
"""
# ruff: noqa: PTH112, PTH118, PTH208 - no pathlib: its import costs more than the rest

import hashlib
import mmap
import os
import random
import zlib
from typing import NamedTuple

from bootos.rf_target import BLOCK_BYTES, TAIL_BYTES, Target

MIB, GIB = 1 << 20, 1 << 30
SECTOR_BYTES = 512
HEAD_BYTES = 16 * MIB
PART_HEAD_BYTES = 4 * MIB
ODD_BYTES = 64 * 1024
PIECE_BYTES = 4 * MIB
SAMPLE_BYTES = 64 * 1024
SAMPLES = 62
TRIES = 2
NOTE_MAGIC = b"rackflow rf-wipe "


class Place(NamedTuple):
    """Where one kind of signature lies, counted from the start of a disk or partition, or from its end."""

    what: str
    first: int
    length: int
    from_end: bool = False


PLACES = (
    Place("MBR, GPT, LVM2 label, md 1.1 and 1.2, LUKS1, FAT, NTFS, exFAT, Ceph BlueStore", 0, 128 * 1024),
    Place("LUKS2, both headers: the second lies at 16 KiB to 4 MiB", 0, 4 * MIB),
    Place("ZFS labels L0 and L1", 0, 512 * 1024),
    Place("ZFS labels L2 and L3: the last two whole 256 KiB", 768 * 1024, 768 * 1024, from_end=True),
    Place("md 0.90: 64 KiB, at a multiple of it", 128 * 1024, 128 * 1024, from_end=True),
    Place("md 1.0: 8 KiB before the end, and its bitmap", 128 * 1024, 128 * 1024, from_end=True),
    Place(
        "GPT backup, Intel and DDF RAID, the second NTFS, HFS+ and NILFS2 super block",
        MIB,
        MIB,
        from_end=True,
    ),
    Place("btrfs super block", 64 * 1024, 4096),
    Place("btrfs, first mirror", 64 * MIB, 4096),
    Place("btrfs, second mirror", 256 * GIB, 4096),
    *(Place(f"Ceph BlueStore, label at {n} GiB", n * GIB, 4096) for n in (1, 10, 100, 1000)),
)
"""What is looked for by blkid and by the tools that assemble things; all of it lies in `ranges`.

Sources: linux/raid/md_p.h, LUKS2 on-disk format 2.1, ZFS on-disk specification 1.2.1, btrfs on-disk format
(super block copies), Ceph BlueStore bdev labels (Squid: several copies), UEFI 5.3.2.
"""


class Range(NamedTuple):
    """Bytes of the disk."""

    first: int
    length: int


def ranges(size_bytes: int, partitions: list[Range]) -> list[Range]:
    """What an erasing of signatures zeroes, in the order in which it must go.

    Partitions first and the disk's own head last: after a kill the table still says where they lie.
    """
    found = []
    for part in partitions:
        if part.first >= 0 and part.length > 0 and part.first + part.length <= size_bytes:
            found += [
                Range(part.first + one.first, one.length) for one in _region(part.length, PART_HEAD_BYTES)
            ]
    *others, head = reversed(_region(size_bytes, HEAD_BYTES))
    return [*found, *others, head]


def _region(size_bytes: int, head_bytes: int) -> list[Range]:
    """The places of one disk or partition, its head first."""
    found = [Range(0, min(head_bytes, size_bytes))]
    tail = min(MIB if head_bytes == PART_HEAD_BYTES else HEAD_BYTES, size_bytes)
    for place in PLACES:
        first = place.first // ODD_BYTES * ODD_BYTES
        if not place.from_end and first >= head_bytes and first < size_bytes:
            found.append(Range(first, min(ODD_BYTES, size_bytes - first)))
    return [*found, Range(size_bytes - tail, tail)]


def partitions_of(sysfs: str, number: str) -> list[Range]:
    """The partitions that the kernel knows of a device, by its number."""
    base = os.path.join(sysfs, "dev/block", number)
    found = []
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        values = [_number(os.path.join(base, name, key)) for key in ("partition", "start", "size")]
        if None not in values:
            found.append(Range((values[1] or 0) * SECTOR_BYTES, (values[2] or 0) * SECTOR_BYTES))
    return found


def _number(path: str) -> "int | None":
    try:
        with open(path, encoding="ascii") as stream:  # noqa: PTH123
            return int(stream.read(32))
    except (OSError, ValueError):
        return None


class Sample(NamedTuple):
    """One place of the disk as it was read: zeros, or the sum of what is there; unreadable is None."""

    first: int
    length: int
    digest: "str | None"
    zero: bool


def spots(size_bytes: int) -> list[Range]:
    """Both ends, and one random place of each of 62 equal parts in between."""
    ends = min(MIB, size_bytes)
    found = [Range(0, ends), Range(size_bytes - ends, ends)]
    step = (size_bytes - 2 * ends) // SAMPLES
    if step >= SAMPLE_BYTES:
        drawn = random.SystemRandom()
        for number in range(SAMPLES):
            first = ends + number * step + drawn.randrange(step - SAMPLE_BYTES + 1)
            found.append(Range(first // BLOCK_BYTES * BLOCK_BYTES, SAMPLE_BYTES))
    return sorted(found)


def read_samples(target: Target, places: list[Range], note: "Range | None" = None) -> list[Sample]:
    """Read places from the disk itself; the own note counts as zeros."""
    found = []
    with mmap.mmap(-1, PIECE_BYTES) as buffer:
        for place in places:
            sum_, zero, at = hashlib.sha256(), True, place.first
            try:
                while at < place.first + place.length:
                    length = min(PIECE_BYTES, place.first + place.length - at)
                    target.read(buffer, length, at)
                    data = _without(buffer[:length], at, note)
                    sum_.update(data)
                    zero = zero and not any(data.strip(b"\0"))
                    at += length
            except OSError:
                found.append(Sample(place.first, place.length, None, zero=False))
                continue
            found.append(Sample(place.first, place.length, sum_.hexdigest(), zero))
    return found


def _without(data: bytes, at: int, note: "Range | None") -> bytes:
    if note is None or note.first + note.length <= at or at + len(data) <= note.first:
        return data
    begin, end = max(0, note.first - at), min(len(data), note.first + note.length - at)
    return data[:begin] + bytes(end - begin) + data[end:]


class Note:
    """What stands on a disk about its erasing: whose it is and up to where it came, durable, in two copies.

    The machine may lose its power, and nothing else remembers. It lies where rf-write's mark lies, and goes
    when an image is written. Once the erasing is done it stays: a new start then finds that it was.
    """

    def __init__(self, target: Target, key: str) -> None:
        self._target = target
        first = (target.size_bytes - TAIL_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        self._fits = bool(key) and first >= HEAD_BYTES
        self.place = Range(first, 2 * BLOCK_BYTES) if self._fits else Range(target.size_bytes, 0)
        self._text = NOTE_MAGIC + hashlib.sha256(key.encode()).hexdigest().encode()
        self._turn = 0

    def read(self) -> "int | None":
        """Up to where this very erasing came; None when it was not begun here, or both copies are torn."""
        found = []
        if self._fits:
            with mmap.mmap(-1, BLOCK_BYTES) as block:
                for turn in (0, 1):
                    try:
                        self._target.read(block, BLOCK_BYTES, self.place.first + turn * BLOCK_BYTES)
                    except OSError:
                        continue
                    line, _, rest = block[:256].partition(b"\n")
                    text, _, sum_ = line.rpartition(b" ")
                    if rest and text.startswith(self._text) and sum_ == b"%08x" % zlib.crc32(text):
                        found.append(int(text[len(self._text) :]))
        return max(found, default=None)

    def put(self, position: int) -> None:
        """Say that all before a position is erased: flushed first, and never said before."""
        if not self._fits:
            return
        self._target.flush()
        text = self._text + b" %d" % position
        with mmap.mmap(-1, BLOCK_BYTES) as block:
            line = text + b" %08x\n" % zlib.crc32(text)
            block[: len(line)] = line
            self._target.write(block, BLOCK_BYTES, self.place.first + self._turn * BLOCK_BYTES)
        self._turn ^= 1
        self._target.flush()
