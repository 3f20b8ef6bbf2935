#!/usr/bin/python3 -I
"""rf-write: write an image, given as chunk manifest + blob, onto a disk (DESIGN 6; CONTRACTS "Image artefact").

    rf-exec --epoch N --step ID --disk SERIAL[:SIZE] -- /usr/lib/rackflow/rf-write
        --manifest URL --manifest-sha256 HEX --size-bytes N [--threads 3] [--resume FILE] [--no-zero]

The disk is the one that rf-exec verified: its exclusive descriptor comes in RF_DISK_FD_0, so the disk that is
written is the one that was checked, whatever happens to names meanwhile. Without rf-exec it refuses to run.

Order: fetch the manifest, compare its sha256, check every number in it against image and disk size; only then
erase (BLKZEROOUT of the image's range and of the last MiB, where a stale backup GPT would lie); then, in a few
threads, fetch a chunk's range, unpack with bounded output, compare its sha256, write it with O_DIRECT. A chunk
that is not what the manifest says is fetched once more and then stops everything. Written chunks are recorded in
--resume FILE under the manifest's digest, so that a new start goes on; zeroing is then not repeated.

Progress goes as JSON lines to RF_PROGRESS_FD and, once a second, to stderr; the summary as JSON to stdout.

Exit codes: 0 written and flushed; 64 usage; 65 manifest or chunk refused; 69 the server could not be reached;
74 the disk returned an error; 77 no verified disk, or the image does not fit.
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import json
import mmap
import os
import re
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import zstandard

EXIT_USAGE, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_IO, EXIT_DISK = 64, 65, 69, 74, 77
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES_MAX = 64 * 1024 * 1024
PACKED_SLACK_BYTES = 4096
TAIL_BYTES = 1024 * 1024
ZERO_STEP_BYTES = 256 * 1024 * 1024
BLOCK_BYTES = 4096
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 15.0)
SOCKET_TIMEOUT_S = 20.0
# linux/fs.h
BLKGETSIZE64, BLKZEROOUT, BLKFLSBUF = 0x80081272, 0x127F, 0x1261


class WriteError(Exception):
    """The image was not written, or not wholly; carries the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Chunk:
    """One piece of the image: where it goes on the disk, where it lies in the blob, and the digest unpacked."""

    disk_offset: int
    length: int
    blob_offset: int
    blob_length: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A checked chunk manifest."""

    digest: str
    image_digest: str
    size_bytes: int
    blob_url: str
    chunks: tuple[Chunk, ...]

    @property
    def data_bytes(self) -> int:
        """What is written; the rest of the image is zero."""
        return sum(chunk.length for chunk in self.chunks)


def parse_manifest(data: bytes, *, sha256: str, url: str) -> Manifest:
    """A manifest whose digest is the one asked for and whose numbers agree with each other."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256.lower():
        raise WriteError(
            EXIT_REFUSED, f"{url}: manifest has sha256 {digest}, expected {sha256}; nothing was erased"
        )
    try:
        raw = json.loads(data)
        size_bytes, chunk_bytes, blob = raw["size_bytes"], raw["chunk_bytes"], raw["blob"]
        chunks = tuple(Chunk(*entry) for entry in raw["chunks"])
        image_digest, version = raw["image_digest"], raw["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise WriteError(EXIT_REFUSED, f"{url}: not a chunk manifest: {error!r}") from error
    numbers = [size_bytes, chunk_bytes]
    for chunk in chunks:
        numbers += [chunk.disk_offset, chunk.length, chunk.blob_offset, chunk.blob_length]
    if (
        version != 1
        or not isinstance(blob, str)
        or not all(type(number) is int and number >= 0 for number in numbers)
    ):
        raise WriteError(
            EXIT_REFUSED, f"{url}: expected version 1 and whole numbers, got version {version!r}"
        )
    blob_url = urljoin(url, blob)
    if urlsplit(blob_url).scheme != "http":
        raise WriteError(EXIT_REFUSED, f"{url}: blob must be reached by http, got {blob_url!r}")
    _check_chunks(chunks, size_bytes, chunk_bytes, url)
    return Manifest(digest, str(image_digest), size_bytes, blob_url, chunks)


def _check_chunks(chunks: tuple[Chunk, ...], size_bytes: int, chunk_bytes: int, url: str) -> None:
    """In order, not overlapping, inside the image, of bounded size."""
    if not 0 < chunk_bytes <= CHUNK_BYTES_MAX:
        raise WriteError(EXIT_REFUSED, f"{url}: chunk_bytes must be 1..{CHUNK_BYTES_MAX}, got {chunk_bytes}")
    end = 0
    for index, chunk in enumerate(chunks):
        fits = end <= chunk.disk_offset and chunk.disk_offset + chunk.length <= size_bytes
        sized = 0 < chunk.length <= chunk_bytes and 0 < chunk.blob_length <= chunk_bytes + PACKED_SLACK_BYTES
        if not (
            fits and sized and isinstance(chunk.sha256, str) and re.fullmatch("[0-9a-f]{64}", chunk.sha256)
        ):
            raise WriteError(
                EXIT_REFUSED, f"{url}: chunk {index} is out of order, out of bounds or without digest"
            )
        end = chunk.disk_offset + chunk.length


class Web:
    """Ranges of one server over one kept-alive connection; not shared between threads."""

    def __init__(self, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._connection: http.client.HTTPConnection | None = None
        self._server = ""

    def get(self, url: str, *, limit: int, first: int | None = None) -> bytes:
        """A whole small document, or exactly `limit` bytes from offset `first`; retried while the way is down."""
        parts = urlsplit(url)
        headers = {} if first is None else {"Range": f"bytes={first}-{first + limit - 1}"}
        problem = ""
        for delay_s in (*BACKOFF_S, None):
            try:
                return self._once(parts, headers, limit=limit, exact=first is not None)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = f"{type(error).__name__}: {error}"
            if delay_s is not None:
                self._sleep(delay_s)
        raise WriteError(EXIT_UNREACHABLE, f"{url}: {problem}, {len(BACKOFF_S) + 1} times")

    def _once(self, parts: SplitResult, headers: dict[str, str], *, limit: int, exact: bool) -> bytes:
        if self._connection is None or self._server != parts.netloc:
            self.close()
            self._connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=SOCKET_TIMEOUT_S
            )
            self._server = parts.netloc
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._connection.request("GET", target, headers=headers)
        answer = self._connection.getresponse()
        if answer.status >= 500 or answer.status in {408, 429}:
            raise http.client.HTTPException(f"status {answer.status}")
        expected = 206 if exact else 200
        if answer.status != expected:
            raise WriteError(
                EXIT_REFUSED,
                f"{parts.geturl()}: expected status {expected}, got {answer.status} {answer.reason}",
            )
        data = answer.read(limit + 1)
        if len(data) > limit:
            raise WriteError(EXIT_REFUSED, f"{parts.geturl()}: answer is longer than {limit} bytes")
        if exact and len(data) < limit:
            raise http.client.IncompleteRead(data, limit - len(data))
        return data

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class Target:
    """The disk: zeroed by the kernel, written past the page cache. A regular file only in tests."""

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
        if self._block_device:
            fcntl.ioctl(self._fd, BLKZEROOUT, struct.pack("QQ", start, length))
        else:
            os.pwrite(self._fd, bytes(length), start)

    def write(self, buffer: mmap.mmap, length: int, offset: int) -> None:
        """Write from a page-aligned buffer; a length that is no multiple of the block goes through the cache."""
        whole = length - length % BLOCK_BYTES if offset % BLOCK_BYTES == 0 else 0
        with memoryview(buffer) as view:
            _pwrite(self._direct, view[:whole], offset)
            _pwrite(self._fd, view[whole:length], offset + whole)

    def flush(self) -> None:
        """Make it durable, and let later reads come from the disk."""
        os.fsync(self._fd)
        if self._block_device:
            os.fsync(self._direct)
            fcntl.ioctl(self._fd, BLKFLSBUF, 0)


def _pwrite(fd: int, view: memoryview, offset: int) -> None:
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


@dataclass
class Journal:
    """Which chunks are on the disk, by index; kept in a file under the manifest's digest and the disk's size."""

    path: Path | None
    key: str
    done: set[int] = field(default_factory=set)
    erased: bool = False

    def read(self) -> None:
        """Take over what an earlier start of the same write has done."""
        if self.path is None or not self.path.exists():
            return
        lines = self.path.read_text().splitlines()
        if lines[:1] == [self.key]:
            self.erased = "erased" in lines
            self.done = {int(line) for line in lines[1:] if line.isdigit()}

    def add(self, line: str) -> None:
        """Record one thing done; called by one thread at a time."""
        if self.path is None:
            return
        new = not self.path.exists() or not (self.done or self.erased)
        with self.path.open("w" if new else "a") as stream:
            stream.write(f"{self.key}\n{line}\n" if new else f"{line}\n")


class Writer:
    """Writes one manifest onto one target with a few threads."""

    def __init__(
        self,
        manifest: Manifest,
        target: Target,
        journal: Journal,
        *,
        note: Callable[[dict[str, object]], None],
    ) -> None:
        self._manifest = manifest
        self._target = target
        self._journal = journal
        self._note = note
        self._lock = threading.Lock()
        self._failure: WriteError | None = None
        self._written = 0
        self._begun = time.monotonic()

    def erase(self) -> None:
        """Zeros where the image goes, and at the end of the disk, where an old backup GPT would be found."""
        if self._journal.erased:
            return
        size, end = self._manifest.size_bytes, self._target.size_bytes
        for start in range(0, size, ZERO_STEP_BYTES):
            self._target.zero(start, min(ZERO_STEP_BYTES, size - start))
            self._note({"stage": "zero", "done_bytes": start, "total_bytes": size})
        tail = max(size, end - TAIL_BYTES)
        if tail < end:
            self._target.zero(tail, end - tail)
        self._journal.add("erased")
        self._journal.erased = True

    def write(self, threads: int) -> None:
        """All chunks that are not on the disk yet."""
        todo = iter([index for index in range(len(self._manifest.chunks)) if index not in self._journal.done])
        self._written = sum(self._manifest.chunks[index].length for index in self._journal.done)
        workers = [threading.Thread(target=self._work, args=(todo,), daemon=True) for _ in range(threads)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            workers[0].join(1.0)
            for worker in workers[1:]:
                worker.join(0.01)
            self._report()
        if self._failure is not None:
            raise self._failure
        self._target.flush()

    def _report(self) -> None:
        seconds = max(time.monotonic() - self._begun, 0.001)
        self._note(
            {
                "stage": "write",
                "done_bytes": self._written,
                "total_bytes": self._manifest.data_bytes,
                "mb_per_s": round(self._written / seconds / 1e6, 1),
            }
        )

    def _work(self, todo: Iterator[int]) -> None:
        web = Web()
        buffer = mmap.mmap(-1, max((chunk.length for chunk in self._manifest.chunks), default=1))
        try:
            while self._failure is None:
                with self._lock:
                    index = next(todo, None)
                if index is None:
                    return
                self._one(web, buffer, index)
        except WriteError as error:
            self._failure = error
        except OSError as error:
            self._failure = WriteError(EXIT_IO, f"the disk does not take the image: {error}")
        finally:
            web.close()

    def _one(self, web: Web, buffer: mmap.mmap, index: int) -> None:
        chunk = self._manifest.chunks[index]
        for last_try in (False, True):
            packed = web.get(self._manifest.blob_url, limit=chunk.blob_length, first=chunk.blob_offset)
            problem = unpack(packed, chunk, buffer)
            if problem is None:
                break
            if last_try:
                raise WriteError(
                    EXIT_REFUSED,
                    f"{self._manifest.blob_url}: chunk {index} at {chunk.blob_offset} is not what the manifest "
                    f"says: {problem}; the disk now holds part of the image",
                )
        self._target.write(buffer, chunk.length, chunk.disk_offset)
        with self._lock:
            self._journal.add(str(index))
            self._journal.done.add(index)
            self._written += chunk.length


def unpack(packed: bytes, chunk: Chunk, buffer: mmap.mmap) -> str | None:
    """Unpack a chunk into the buffer; what is wrong with it, if anything. Never makes more than was declared."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=CHUNK_BYTES_MAX).stream_reader(packed) as reader:
            data = reader.read(chunk.length + 1)
    except zstandard.ZstdError as error:
        return f"not a zstd frame: {error}"
    if len(data) != chunk.length:
        return f"expected {chunk.length} bytes unpacked, got {len(data)} or more"
    digest = hashlib.sha256(data).hexdigest()
    if digest != chunk.sha256:
        return f"expected sha256 {chunk.sha256}, got {digest}"
    buffer[: chunk.length] = data
    return None


def write_image(
    manifest: Manifest,
    target: Target,
    *,
    resume: Path | None = None,
    threads: int = 3,
    note: Callable[[dict[str, object]], None] = lambda _progress: None,
) -> dict[str, object]:
    """Erase and write; the summary. The image must fit, which is checked before anything is erased."""
    if manifest.size_bytes > target.size_bytes:
        message = (
            f"the image has {manifest.size_bytes} bytes, the disk {target.size_bytes}; nothing was erased"
        )
        raise WriteError(EXIT_DISK, message)
    begun = time.monotonic()
    journal = Journal(resume, f"{manifest.digest} {target.size_bytes}")
    journal.read()
    resumed = len(journal.done)
    writer = Writer(manifest, target, journal, note=note)
    writer.erase()
    zero_s = time.monotonic() - begun
    writer.write(threads)
    seconds = time.monotonic() - begun
    return {
        "image_digest": manifest.image_digest,
        "size_bytes": manifest.size_bytes,
        "written_bytes": manifest.data_bytes,
        "chunks": len(manifest.chunks),
        "chunks_resumed": resumed,
        "zero_seconds": round(zero_s, 2),
        "seconds": round(seconds, 2),
        "mb_per_s": round(manifest.data_bytes / max(seconds, 0.001) / 1e6, 1),
    }
