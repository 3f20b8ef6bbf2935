"""A raw disk image to chunk manifest and blob: what nodes fetch and verify (CONTRACTS 3).

4 MiB chunks, each a zstd frame of its own with the sha256 of its content; all-zero chunks are left
out, because the node zeroes its disk first. Holes of a sparse file are skipped without reading.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

CHUNK_BYTES: Final = 4 << 20
LEVEL: Final = 3
THREADS: Final = 2
"""Compressing runs without the GIL; more threads than that would take the machine from DHCP."""
_AHEAD: Final = 4


@dataclass(frozen=True, slots=True)
class Packed:
    """Manifest and blob as written."""

    manifest_sha256: str
    blob_bytes: int
    chunks: int


def _chunk_offsets(image: BinaryIO, size_bytes: int) -> Iterator[int]:
    # SEEK_DATA finds the next byte that is no hole; ENXIO means that only a hole is left.
    at = 0
    while at < size_bytes:
        try:
            data = os.lseek(image.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        at = data // CHUNK_BYTES * CHUNK_BYTES
        yield at
        at += CHUNK_BYTES


def _pack(data: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(data).hexdigest(), zstandard.ZstdCompressor(level=LEVEL).compress(data)


def pack(
    raw: Path, folder: Path, *, image_digest: str, progress: Callable[[int], None] = lambda _done: None
) -> Packed:
    """Write `manifest.json` and `blob` into a folder; both are synced before this returns."""
    size_bytes = raw.stat().st_size
    chunks: list[tuple[int, int, int, int, str]] = []
    blob_bytes = 0
    with raw.open("rb") as image, (folder / "blob").open("wb") as blob, ThreadPoolExecutor(THREADS) as pool:
        for offset, length, (digest, packed) in _packed_chunks(image, size_bytes, pool):
            blob.write(packed)
            chunks.append((offset, length, blob_bytes, len(packed), digest))
            blob_bytes += len(packed)
            progress(offset + length)
        blob.flush()
        os.fsync(blob.fileno())
    manifest = {
        "version": 1,
        "image_digest": image_digest,
        "size_bytes": size_bytes,
        "chunk_bytes": CHUNK_BYTES,
        "blob": "blob",
        "chunks": chunks,
    }
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    with (folder / "manifest.json").open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Packed(hashlib.sha256(text).hexdigest(), blob_bytes, len(chunks))


def _packed_chunks(
    image: BinaryIO, size_bytes: int, pool: ThreadPoolExecutor
) -> Iterator[tuple[int, int, tuple[str, bytes]]]:
    waiting: list[tuple[int, int, Future[tuple[str, bytes]]]] = []
    for offset in _chunk_offsets(image, size_bytes):
        image.seek(offset)
        data = image.read(CHUNK_BYTES)
        if data.count(0) != len(data):
            waiting.append((offset, len(data), pool.submit(_pack, data)))
        if len(waiting) >= _AHEAD:
            first, length, future = waiting.pop(0)
            yield first, length, future.result()
    for first, length, future in waiting:
        yield first, length, future.result()
