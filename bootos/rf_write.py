#!/usr/bin/python3 -I
"""rf-write: write an image, a chunk manifest + blob, onto a disk (DESIGN 6; CONTRACTS "Image artefact").

    rf-exec --epoch N --step ID --disk SERIAL:SIZE -- /usr/lib/rackflow/rf-write --manifest URL
        --manifest-sha256 HEX --disk SERIAL --size-bytes SIZE [--threads 3] [--resume FILE]

SERIAL and SIZE are those of the disk. It is the one that rf-exec verified: the exclusive descriptor
comes in RF_DISK_FD_0, the identity in RF_DISK_IDENTITY_0, so what is written is what was checked,
whatever happens to names meanwhile. Without rf-exec it refuses to run.

Order: fetch the manifest, compare its sha256, check every number in it against image and disk size; only
then erase (BLKZEROOUT of the image's range and of the last MiB, where a stale backup GPT would lie);
then, in a few threads, fetch a chunk's range, unpack with bounded output, compare its sha256, write it
with O_DIRECT. A chunk that is not what the manifest says is fetched once more and then stops everything.
Written chunks are recorded in --resume FILE under digest and disk, so that a new start goes on; zeroing
is then not repeated.

Progress goes as JSON lines to RF_PROGRESS_FD and to stderr, once a second; the summary as JSON to stdout.

Exit codes: 0 written and flushed; 64 usage; 65 manifest or chunk refused; 69 the server could not be reached;
74 the disk returned an error; 77 not the disk that rf-exec verified, or the image does not fit.
"""

import argparse
import contextlib
import fcntl
import json
import mmap
import os
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from bootos.rf_image import (
    EXIT_REFUSED,
    MANIFEST_BYTES_MAX,
    Manifest,
    Web,
    WriteError,
    parse_manifest,
    unpack,
)

EXIT_USAGE, EXIT_IO, EXIT_DISK = 64, 74, 77
TAIL_BYTES = 1024 * 1024
ZERO_STEP_BYTES = 256 * 1024 * 1024
BLOCK_BYTES = 4096
# linux/fs.h
BLKGETSIZE64, BLKZEROOUT, BLKFLSBUF = 0x80081272, 0x127F, 0x1261


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
        """Write from a page-aligned buffer; what is no multiple of the block goes through the cache."""
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
    """Which chunks are on the disk, by index; kept in a file under the manifest's digest and the disk."""

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
        count = len(self._manifest.chunks)
        todo = iter([index for index in range(count) if index not in self._journal.done])
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
        missing = [index for index in range(count) if index not in self._journal.done]
        if missing:
            raise WriteError(EXIT_IO, f"{len(missing)} chunks were not written, the first is {missing[0]}")
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
        except BaseException as error:  # noqa: BLE001 - the chunk that this thread had taken is not written
            self._failure = WriteError(EXIT_IO, f"writing stopped: {type(error).__name__}: {error}")
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
                    f"{self._manifest.blob_url}: chunk {index} at {chunk.blob_offset} is not what the "
                    f"manifest says: {problem}; the disk now holds part of the image",
                )
        self._target.write(buffer, chunk.length, chunk.disk_offset)
        with self._lock:
            self._journal.add(str(index))
            self._journal.done.add(index)
            self._written += chunk.length


def write_image(
    manifest: Manifest,
    target: Target,
    *,
    disk: str = "",
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
    journal = Journal(resume, f"{manifest.digest} {disk} {target.size_bytes}")
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


class Parser(argparse.ArgumentParser):
    """Argument parser that ends with 64 on wrong usage."""

    def error(self, message: str) -> NoReturn:
        """Usage is a failure like the others."""
        raise WriteError(EXIT_USAGE, message)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="rf-write", description="Write an image onto the disk that rf-exec verified.")
    parser.add_argument("--manifest", required=True, metavar="URL")
    parser.add_argument("--manifest-sha256", required=True, metavar="HEX")
    parser.add_argument("--disk", required=True, metavar="SERIAL", help="as given to rf-exec --disk")
    parser.add_argument("--size-bytes", required=True, type=int, help="size of the disk")
    parser.add_argument("--threads", type=int, default=3, choices=range(1, 17), metavar="1..16")
    parser.add_argument("--resume", type=Path, metavar="FILE")
    return parser.parse_args(arguments)


def verified_disk(environment: dict[str, str], disk: str, size_bytes: int) -> Target:
    """The disk that rf-exec opened and checked, if it is the one asked for."""
    identity, number = environment.get("RF_DISK_IDENTITY_0"), environment.get("RF_DISK_FD_0", "")
    if not number.isdigit():
        raise WriteError(EXIT_DISK, "no RF_DISK_FD_0: run under rf-exec with --disk and --disk-open hold")
    if identity != disk:
        raise WriteError(
            EXIT_DISK, f"rf-exec verified disk {identity!r}, --disk says {disk!r}; nothing was erased"
        )
    fd = int(number)
    if not stat.S_ISBLK(os.fstat(fd).st_mode):
        raise WriteError(EXIT_DISK, f"descriptor {fd} is no block device")
    (got_bytes,) = struct.unpack("Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))
    if got_bytes != size_bytes:
        message = f"disk {disk}: expected {size_bytes} bytes, got {got_bytes}; nothing was erased"
        raise WriteError(EXIT_DISK, message)
    return Target(fd, got_bytes)


def progress_to(environment: dict[str, str]) -> Callable[[dict[str, object]], None]:
    """Progress lines for rf-exec and for whoever follows."""
    number = environment.get("RF_PROGRESS_FD", "")

    def note(progress: dict[str, object]) -> None:
        line = (json.dumps(progress) + "\n").encode()
        for fd in (2, int(number)) if number.isdigit() else (2,):
            os.write(fd, line)

    return note


def main(arguments: list[str], environment: dict[str, str]) -> int:
    """Write the image; the summary goes to stdout."""
    try:
        given = parse(arguments)
        target = verified_disk(environment, given.disk, given.size_bytes)
        with contextlib.closing(Web()) as web:
            data = web.get(given.manifest, limit=MANIFEST_BYTES_MAX)
        manifest = parse_manifest(data, sha256=given.manifest_sha256, url=given.manifest)
        note = progress_to(environment)
        summary = write_image(
            manifest, target, disk=given.disk, resume=given.resume, threads=given.threads, note=note
        )
    except WriteError as error:
        os.write(2, (json.dumps({"error": str(error), "exit": error.code}) + "\n").encode())
        return error.code
    os.write(1, (json.dumps(summary) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
