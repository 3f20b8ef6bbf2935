#!/usr/bin/python3 -I
"""rf-write: write an image, a chunk manifest + blob, onto a disk (DESIGN 6; CONTRACTS "Image artefact").

    rf-exec --epoch N --step ID --disk SERIAL:SIZE -- /usr/lib/rackflow/rf-write --manifest URL
        --manifest-sha256 HEX --disk SERIAL --size-bytes SIZE [--threads 3] [--resume NAME]

SERIAL and SIZE are those of the disk. It is the one that rf-exec verified: the exclusive descriptor
comes in RF_DISK_FD_0, the identity in RF_DISK_IDENTITY_0, so what is written is what was checked,
whatever happens to names meanwhile. Without rf-exec it refuses to run.

Order: fetch the manifest, compare its sha256, check every number in it against image and disk size; only
then erase (BLKZEROOUT of the image's range and of the last MiB, where a stale backup GPT would lie);
then, in a few threads, fetch a chunk's range, unpack with bounded output, compare its sha256, write it
with O_DIRECT. A chunk that is not what the manifest says is fetched once more and then stops everything.

After erasing, a mark on the disk says for which NAME, manifest and disk that was, and then which chunks are
written. A new start that finds its own mark, after a kill or a power cut, erases nothing: it keeps the chunks
that are there with their sums, and writes the rest. The chunk with the partition table comes last, so that
nothing starts from a half-written disk and changes it; was it written, gaps are read too.

Progress goes as JSON lines to RF_PROGRESS_FD and to stderr, once a second; the summary as JSON to stdout.

Exit codes: 0 written and flushed; 64 usage; 65 manifest or chunk refused; 69 the server could not be reached;
74 the disk returned an error; 77 not the disk that rf-exec verified, or the image does not fit.
"""

import argparse
import contextlib
import json
import mmap
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bootos.rf_held import EXIT_DISK, EXIT_IO, Parser, failed, progress_to, verified_disk
from bootos.rf_image import (
    EXIT_REFUSED,
    MANIFEST_BYTES_MAX,
    Manifest,
    Web,
    parse_manifest,
    unpack,
)
from bootos.rf_target import TAIL_BYTES, Mark, Target, WriteError

ZERO_STEP_BYTES = 256 * 1024 * 1024
ZERO_PIECE_BYTES = 4 * 1024 * 1024
COMMIT_CHUNKS = 8
"""After how many chunks, at the next turn of a second, the disk is flushed and they are noted."""

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """A part of the image: a chunk, or zeros between chunks (index None)."""

    offset: int
    length: int
    index: int | None


def pieces(manifest: Manifest) -> Iterator[Piece]:
    """The whole image in order, in parts no longer than its longest chunk."""
    longest = max((chunk.length for chunk in manifest.chunks), default=ZERO_PIECE_BYTES)
    at = 0
    ends = [(chunk.disk_offset, index) for index, chunk in enumerate(manifest.chunks)]
    for offset, index in [*ends, (manifest.size_bytes, None)]:
        while at < offset:
            length = min(longest, offset - at)
            yield Piece(at, length, None)
            at += length
        if index is not None:
            yield Piece(offset, manifest.chunks[index].length, index)
            at = offset + manifest.chunks[index].length


class Writer:
    """Writes one manifest onto one target with a few threads."""

    def __init__(
        self,
        manifest: Manifest,
        target: Target,
        mark: Mark,
        *,
        note: Callable[[dict[str, object]], None],
        threads: int,
    ) -> None:
        self._manifest = manifest
        self._target = target
        self._mark = mark
        self._sums: dict[int, int] = {}
        self._new: dict[int, int] = {}
        self._note = note
        self._threads = threads
        self._lock = threading.Lock()
        self._failure: WriteError | None = None
        self._done: set[int] = set()
        self._bytes = 0
        self.kept = 0
        self.zeroed_again = 0

    def erase(self) -> None:
        """Zeros where the image goes, and at the end of the disk, where an old backup GPT would be found."""
        size, end = self._manifest.size_bytes, self._target.size_bytes
        for start in range(0, size, ZERO_STEP_BYTES):
            self._target.zero(start, min(ZERO_STEP_BYTES, size - start))
            self._note({"stage": "zero", "done_bytes": start, "total_bytes": size})
        tail = max(size, end - TAIL_BYTES)
        self._target.zero(tail, end - tail)

    def keep_what_is_whole(self, sums: dict[int, int]) -> None:
        """Read the chunks that are said to be there, and keep those that are.

        Once the partition table was written a machine may have started from the disk: then gaps are read too.
        The disk itself says whether it was: a power cut may come between the table and its note.
        """
        self._sums = sums
        bootable = self._target.starts()
        todo = [
            one for one in pieces(self._manifest) if (bootable if one.index is None else one.index in sums)
        ]
        self._run(iter(todo), self._look_at, "verify", sum(piece.length for piece in todo))
        self.kept = len(self._done)

    def write(self) -> None:
        """All chunks that are not on the disk yet; the one that makes it bootable after all others."""
        chunks = self._manifest.chunks
        todo = [index for index in range(len(chunks)) if index not in self._done]
        self._bytes = sum(chunks[index].length for index in self._done)
        for part in (
            [index for index in todo if chunks[index].disk_offset],
            [index for index in todo if not chunks[index].disk_offset],
        ):
            self._run(iter(part), self._write_one, "write", self._manifest.data_bytes)
        missing = [index for index in range(len(chunks)) if index not in self._done]
        if missing:
            raise WriteError(EXIT_IO, f"{len(missing)} chunks were not written, the first is {missing[0]}")
        self._target.flush()

    def _commit(self) -> None:
        """Note on the disk what was written since the last time."""
        with self._lock:
            written, self._new = self._new, {}
        try:
            self._mark.note(written)
        except OSError as error:
            raise WriteError(EXIT_IO, f"the disk does not take the image: {error}") from error

    def _run(
        self, todo: Iterator[T], one: Callable[[Web, mmap.mmap, T], None], stage: str, total: int
    ) -> None:
        """Do all of it in threads; the first failure stops them."""
        begun = time.monotonic()
        before = self._bytes
        workers = [
            threading.Thread(target=self._work, args=(todo, one), daemon=True) for _ in range(self._threads)
        ]
        for worker in workers:
            worker.start()
        running = True
        while running:
            workers[0].join(1.0)
            for worker in workers[1:]:
                worker.join(0.01)
            running = any(worker.is_alive() for worker in workers)  # before the bytes: the last note has all
            seconds = max(time.monotonic() - begun, 0.001)
            progress = {"stage": stage, "done_bytes": self._bytes, "total_bytes": total}
            if len(self._new) >= COMMIT_CHUNKS:
                self._commit()
            rate = round((self._bytes - before) / seconds / 1e6, 1) if stage == "write" else 0.0
            self._note({**progress, "mb_per_s": rate})
        self._commit()
        if self._failure is not None:
            raise self._failure

    def _work(self, todo: Iterator[T], one: Callable[[Web, mmap.mmap, T], None]) -> None:
        web = Web()
        longest = max((chunk.length for chunk in self._manifest.chunks), default=ZERO_PIECE_BYTES)
        buffer = mmap.mmap(-1, longest)
        try:
            while self._failure is None:
                with self._lock:
                    item = next(todo, None)
                if item is None:
                    return
                one(web, buffer, item)
        except WriteError as error:
            self._failure = error
        except OSError as error:
            self._failure = WriteError(EXIT_IO, f"the disk does not take the image: {error}")
        except BaseException as error:  # noqa: BLE001 - what this thread had taken is not done
            self._failure = WriteError(EXIT_IO, f"writing stopped: {type(error).__name__}: {error}")
        finally:
            web.close()

    def _look_at(self, _web: Web, buffer: mmap.mmap, piece: Piece) -> None:
        try:
            self._target.read(buffer, piece.length, piece.offset)
        except OSError:
            whole = False  # a sector that a power cut left half written reads again once it is written
        else:
            whole = self._is_whole(buffer, piece)
        if piece.index is None and not whole:
            self._target.zero(piece.offset, piece.length)
        with self._lock:
            self._bytes += piece.length
            if piece.index is None:
                self.zeroed_again += not whole
            elif whole:
                self._done.add(piece.index)

    def _is_whole(self, buffer: mmap.mmap, piece: Piece) -> bool:
        with memoryview(buffer) as view, view[: piece.length] as read:
            if piece.index is not None:
                return zlib.crc32(read) == self._sums[piece.index]
            return read == bytes(piece.length)

    def _write_one(self, web: Web, buffer: mmap.mmap, index: int) -> None:
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
        with memoryview(buffer) as view, view[: chunk.length] as written:
            one = zlib.crc32(written)
        with self._lock:
            self._new[index] = one
            self._done.add(index)
            self._bytes += chunk.length


def write_image(
    manifest: Manifest,
    target: Target,
    *,
    disk: str = "",
    name: str = "",
    threads: int = 3,
    note: Callable[[dict[str, object]], None] = lambda _progress: None,
) -> dict[str, object]:
    """Erase and write, or go on; the summary. That the image fits is checked before anything is erased."""
    if manifest.size_bytes > target.size_bytes:
        message = (
            f"the image has {manifest.size_bytes} bytes, the disk {target.size_bytes}; nothing was erased"
        )
        raise WriteError(EXIT_DISK, message)
    begun = time.monotonic()
    key = f"{name} {manifest.digest} {disk} {target.size_bytes}" if name else ""
    mark = Mark(target, key, manifest.size_bytes, len(manifest.chunks))
    writer = Writer(manifest, target, mark, note=note, threads=threads)
    sums = mark.read()
    if sums is not None:
        writer.keep_what_is_whole(sums)
    else:
        writer.erase()
        mark.put()
    prepared_s = time.monotonic() - begun
    writer.write()
    seconds = time.monotonic() - begun
    return {
        "image_digest": manifest.image_digest,
        "size_bytes": manifest.size_bytes,
        "written_bytes": manifest.data_bytes,
        "chunks": len(manifest.chunks),
        "went_on": sums is not None,
        "chunks_resumed": writer.kept,
        "gaps_zeroed_again": writer.zeroed_again,
        "prepare_seconds": round(prepared_s, 2),
        "seconds": round(seconds, 2),
        "mb_per_s": round(manifest.data_bytes / max(seconds, 0.001) / 1e6, 1),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = Parser(prog="rf-write", description="Write an image onto the disk that rf-exec verified.")
    parser.add_argument("--manifest", required=True, metavar="URL")
    parser.add_argument("--manifest-sha256", required=True, metavar="HEX")
    parser.add_argument("--disk", required=True, metavar="SERIAL", help="as given to rf-exec --disk")
    parser.add_argument("--size-bytes", required=True, type=int, help="size of the disk")
    parser.add_argument("--threads", type=int, default=3, choices=range(1, 17), metavar="1..16")
    parser.add_argument("--resume", default="", metavar="NAME", help="go on with the write of this name")
    return parser.parse_args(arguments)


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
            manifest, target, disk=given.disk, name=given.resume, threads=given.threads, note=note
        )
    except WriteError as error:
        return failed(error)
    except OSError as error:
        return failed(WriteError(EXIT_IO, f"the disk does not take the image: {error}"))
    os.write(1, (json.dumps(summary) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
