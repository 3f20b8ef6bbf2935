"""rf-write against a small web server and a regular file: what is refused, and what is written."""

import hashlib
import json
import mmap
import os
import random
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard

from bootos import rf_image, rf_target, rf_write
from bootos.rf_image import Chunk, Manifest, Web, WriteError, parse_manifest
from bootos.rf_target import Target
from bootos.rf_write import write_image

CHUNK_BYTES = 64 * 1024
DISK_BYTES = 4 * 1024 * 1024
STALE = b"\xee"


class Store(ThreadingHTTPServer):
    """Files by path with ranges; `hang_up` requests are cut off, ranges from `gone_from` on are 404."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges: list[int] = []
        self.hang_up = 0
        self.gone_from: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Serves the store it belongs to."""

    protocol_version = "HTTP/1.1"
    server: Store

    def do_GET(self) -> None:
        data, status = self.server.files.get(self.path), 200
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found and data is not None:
            first, last = int(found.group(1)), int(found.group(2))
            self.server.ranges.append(first)
            gone = self.server.gone_from is not None and first >= self.server.gone_from
            data, status = (None if gone else data[first : last + 1]), 206
        if self.server.hang_up:
            self.server.hang_up -= 1
            self.close_connection = True
            return
        self.send_response(404 if data is None else status)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Target]]:
    """A used disk: every byte is stale."""
    path = tmp_path / "disk"
    path.write_bytes(STALE * DISK_BYTES)
    fd = os.open(path, os.O_RDWR)
    yield path, Target(fd, DISK_BYTES, block_device=False)
    os.close(fd)


def make_image() -> bytes:
    """Data, holes, and a last chunk that is no multiple of the block."""
    source = random.Random(7)
    parts = [
        source.randbytes(CHUNK_BYTES),
        bytes(CHUNK_BYTES),
        b"text " * 13106 + b"end",
        bytes(3 * CHUNK_BYTES),
    ]
    image = b"".join(part.ljust(CHUNK_BYTES, b"\0") for part in parts) + source.randbytes(1000)
    return image + bytes(-len(image) % 512)


def publish(store: Store, image: bytes) -> tuple[str, str]:
    """Put manifest and blob on the server; the manifest's URL and digest."""
    blob, chunks = b"", []
    for offset in range(0, len(image), CHUNK_BYTES):
        data = image[offset : offset + CHUNK_BYTES]
        if data.count(0) == len(data):
            continue
        packed = zstandard.compress(data)
        chunks.append([offset, len(data), len(blob), len(packed), hashlib.sha256(data).hexdigest()])
        blob += packed
    manifest = {
        "version": 1,
        "image_digest": "sha256:" + hashlib.sha256(image).hexdigest(),
        "size_bytes": len(image),
        "chunk_bytes": CHUNK_BYTES,
        "blob": "blob",
        "chunks": chunks,
    }
    data = json.dumps(manifest).encode()
    store.files = {"/images/x/manifest.json": data, "/images/x/blob": blob}
    return f"{store.url}/images/x/manifest.json", hashlib.sha256(data).hexdigest()


def fetch(url: str, sha256: str) -> Manifest:
    with closing(Web()) as web:
        return parse_manifest(web.get(url, limit=1 << 20), sha256=sha256, url=url)


def test_the_image_is_on_the_disk_holes_are_zero_and_the_stale_backup_table_is_gone(
    store: Store, disk: tuple[Path, Target]
) -> None:
    path, target = disk
    image = make_image()
    notes: list[dict[str, object]] = []
    summary = write_image(fetch(*publish(store, image)), target, note=notes.append)
    on_disk = path.read_bytes()
    assert on_disk[: len(image)] == image
    assert on_disk[-1024 * 1024 :] == bytes(1024 * 1024)  # without a name nothing is marked
    assert on_disk[len(image) : -1024 * 1024].strip(STALE) == b""
    assert (summary["size_bytes"], summary["chunks"]) == (len(image), 3)
    assert notes[-1]["done_bytes"] == notes[-1]["total_bytes"] == summary["written_bytes"]


def test_lost_connections_are_tried_again(store: Store, disk: tuple[Path, Target]) -> None:
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    store.hang_up = 2
    write_image(manifest, target, threads=1)
    assert path.read_bytes()[: len(image)] == image


def test_a_chunk_that_is_not_what_the_manifest_says_stops_and_is_not_written(
    store: Store, disk: tuple[Path, Target]
) -> None:
    path, target = disk
    manifest = fetch(*publish(store, make_image()))
    other = zstandard.compress(b"x" * CHUNK_BYTES)
    first = manifest.chunks[0]
    store.files["/images/x/blob"] = (
        other.ljust(first.blob_length, b"\0") + store.files["/images/x/blob"][first.blob_length :]
    )
    with pytest.raises(WriteError, match=r"chunk 0 .* expected sha256") as caught:
        write_image(manifest, target, threads=1)
    assert caught.value.code == 65
    assert path.read_bytes()[:CHUNK_BYTES] == bytes(CHUNK_BYTES)


def test_a_frame_that_unpacks_to_more_than_declared_is_refused(
    store: Store, disk: tuple[Path, Target]
) -> None:
    _path, target = disk
    bomb = zstandard.compress(bytes(256 * 1024 * 1024))
    store.files = {"/blob": bomb}
    chunk = Chunk(0, 4096, 0, len(bomb), hashlib.sha256(bytes(4096)).hexdigest())
    manifest = Manifest("d", "i", 4096, f"{store.url}/blob", (chunk,))
    with pytest.raises(WriteError, match="expected 4096 bytes unpacked"):
        write_image(manifest, target, threads=1)


def stop_at(store: Store, manifest: Manifest, target: Target, chunk: int, name: str = "job-7") -> None:
    """A write that its server left at one chunk: what was begun stands on the disk and nowhere else."""
    store.gone_from = manifest.chunks[chunk].blob_offset
    with pytest.raises(WriteError, match="404"):
        write_image(manifest, target, disk="SER0", name=name, threads=1)
    store.gone_from, store.ranges = None, []


def test_a_new_start_keeps_what_it_finds_whole(
    store: Store, disk: tuple[Path, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    stop_at(store, manifest, target, 2)
    assert path.read_bytes()[:CHUNK_BYTES] == bytes(CHUNK_BYTES)  # no table yet: nothing starts from it
    zeroed: list[int] = []
    monkeypatch.setattr(target, "zero", lambda start, _length: zeroed.append(start))
    summary = write_image(manifest, target, disk="SER0", name="job-7", threads=1)
    assert store.ranges == [manifest.chunks[2].blob_offset, manifest.chunks[0].blob_offset]
    assert (summary["went_on"], summary["chunks_resumed"]) == (True, 1)
    assert path.read_bytes()[: len(image)] == image
    store.ranges = []
    assert write_image(manifest, target, disk="SER0", name="job-7")["chunks_resumed"] == 3
    assert (store.ranges, zeroed) == ([], [])


def test_a_chunk_that_a_power_cut_tore_and_a_gap_that_a_boot_wrote_are_made_good(
    store: Store, disk: tuple[Path, Target]
) -> None:
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    write_image(manifest, target, disk="SER0", name="job-7")
    store.ranges = []
    with path.open("r+b") as torn:
        torn.seek(manifest.chunks[1].disk_offset + 512)
        torn.write(b"torn")
        torn.seek(CHUNK_BYTES + 4096)
        torn.write(b"a journal")
    summary = write_image(manifest, target, disk="SER0", name="job-7")
    assert (summary["chunks_resumed"], summary["gaps_zeroed_again"]) == (2, 1)
    assert store.ranges == [manifest.chunks[1].blob_offset]
    assert path.read_bytes()[: len(image)] == image


def test_gaps_are_read_also_where_the_table_was_written_and_not_noted_any_more(
    store: Store, disk: tuple[Path, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes between the table and its note; when it is back, the machine starts from that disk."""
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    noted = rf_target.Mark.note

    def all_but_the_table(mark: rf_target.Mark, written: dict[int, int]) -> None:
        noted(mark, {index: one for index, one in written.items() if index})

    with monkeypatch.context() as patch:
        patch.setattr(rf_target.Mark, "note", all_but_the_table)
        write_image(manifest, target, disk="SER0", name="job-7")
    with path.open("r+b") as booted:
        booted.seek(CHUNK_BYTES + 4096)
        booted.write(b"a journal")
    summary = write_image(manifest, target, disk="SER0", name="job-7")
    assert (summary["went_on"], summary["chunks_resumed"], summary["gaps_zeroed_again"]) == (True, 2, 1)
    assert path.read_bytes()[: len(image)] == image


@pytest.mark.parametrize(("torn_block", "went_on"), [(0, False), (1, True)])
def test_a_mark_that_a_power_cut_tore_costs_what_it_said_and_not_the_disk(
    store: Store,
    disk: tuple[Path, Target],
    monkeypatch: pytest.MonkeyPatch,
    torn_block: int,
    went_on: bool,  # noqa: FBT001 - a column of the table
) -> None:
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    stop_at(store, manifest, target, 2)
    torn_at = DISK_BYTES - rf_target.TAIL_BYTES + torn_block * rf_target.BLOCK_BYTES
    real = target.read

    def read(buffer: mmap.mmap, length: int, offset: int) -> None:
        if offset == torn_at:
            raise OSError(5, "Input/output error")
        real(buffer, length, offset)

    monkeypatch.setattr(target, "read", read)
    assert write_image(manifest, target, disk="SER0", name="job-7")["went_on"] is went_on
    assert len(store.ranges) == 3
    assert path.read_bytes()[: len(image)] == image


def test_a_disk_that_does_not_take_the_erasing_ends_with_the_code_for_it(
    store: Store,
    disk: tuple[Path, Target],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, sha256 = publish(store, make_image())

    def broken(_start: int, _length: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk[1], "zero", broken)
    monkeypatch.setattr(rf_write, "verified_disk", lambda *_asked: disk[1])
    asked = ["--manifest", url, "--manifest-sha256", sha256, "--disk", "S", "--size-bytes", str(DISK_BYTES)]
    assert rf_write.main(asked, {}) == 74
    assert "Input/output error" in capfd.readouterr().err


def test_a_chunk_is_said_to_be_there_only_after_a_flush(
    store: Store, disk: tuple[Path, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk's cache loses what was not flushed; a mark that outlived it would lie."""
    _path, target = disk
    manifest = fetch(*publish(store, make_image()))
    mark = rf_target.Mark(target, "key", manifest.size_bytes, 3)
    done: list[str] = []
    monkeypatch.setattr(target, "flush", lambda: done.append("flush"))
    monkeypatch.setattr(
        target, "write", lambda _buffer, _length, at: done.append(f"write {at - mark.offset}")
    )
    mark.put()
    mark.note({2: 5})
    assert done == ["flush", "write 0", "flush", "flush", "write 4096"]


@pytest.mark.parametrize("other", [{"name": "job-8"}, {"disk": "SER1"}, {"name": ""}])
def test_what_another_write_left_is_erased(
    store: Store, disk: tuple[Path, Target], other: dict[str, str]
) -> None:
    path, target = disk
    image = make_image()
    manifest = fetch(*publish(store, image))
    stop_at(store, manifest, target, 2)
    summary = write_image(manifest, target, **({"disk": "SER0", "name": "job-7"} | other))  # type: ignore[arg-type]
    assert (summary["went_on"], len(store.ranges)) == (False, 3)
    assert path.read_bytes()[: len(image)] == image


def test_a_disk_without_room_for_the_mark_is_written_anew(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "tight"
    image = make_image()
    size_bytes = len(image) + 512 * 1024
    path.write_bytes(STALE * size_bytes)
    manifest = fetch(*publish(store, image))
    with path.open("r+b") as stream:
        target = Target(stream.fileno(), size_bytes, block_device=False)
        stop_at(store, manifest, target, 2)
        assert write_image(manifest, target, disk="SER0", name="job-7")["went_on"] is False
    assert path.read_bytes() == image + bytes(512 * 1024)


def test_a_wrong_manifest_digest_or_a_disk_too_small_is_refused_before_erasing(
    store: Store, disk: tuple[Path, Target]
) -> None:
    path, target = disk
    url, _sha256 = publish(store, make_image())
    with pytest.raises(WriteError, match="nothing was erased") as caught:
        fetch(url, "0" * 64)
    assert caught.value.code == 65
    with pytest.raises(WriteError, match="nothing was erased") as caught:
        write_image(fetch(*publish(store, bytes(DISK_BYTES) + b"x")), target)
    assert caught.value.code == 77
    assert path.read_bytes() == STALE * DISK_BYTES


SHA = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"size_bytes": -1},
        {"size_bytes": 1.5},
        {"chunk_bytes": 0},
        {"chunk_bytes": 1 << 40},
        {"blob": 5},
        {"blob": "file:///etc/shadow"},
        {"blob": "https://elsewhere.test/blob"},
        {"chunks": [[0, 4096, 0, 10, SHA], [0, 4096, 10, 10, SHA]]},
        {"chunks": [[4096, 4096, 0, 10, SHA], [0, 4096, 10, 10, SHA]]},
        {"chunks": [[8192, 4096, 0, 10, SHA]]},
        {"chunks": [[0, 8192, 0, 10, SHA]]},
        {"chunks": [[0, 4096, 0, 1 << 30, SHA]]},
        {"chunks": [[0, 0, 0, 10, SHA]]},
        {"chunks": [[0, 4096, 0, 10, "zz"]]},
        {"chunks": [[0, 4096, 0, 10]]},
        {"chunks": [["0", 4096, 0, 10, SHA]]},
        {"chunks": None},
    ],
)
def test_a_manifest_whose_numbers_do_not_agree_is_refused(change: dict[str, object]) -> None:
    good = {
        "version": 1,
        "image_digest": "sha256:0",
        "size_bytes": 8192,
        "chunk_bytes": 4096,
        "blob": "blob",
        "chunks": [[4096, 4096, 0, 10, SHA]],
    }
    data = json.dumps(good).encode()
    assert (
        parse_manifest(data, sha256=hashlib.sha256(data).hexdigest(), url="http://e/m").blob_url
        == "http://e/blob"
    )
    data = json.dumps({**good, **change}).encode()
    with pytest.raises(WriteError) as caught:
        parse_manifest(data, sha256=hashlib.sha256(data).hexdigest(), url="http://e/m")
    assert caught.value.code == 65


def test_the_command_writes_only_the_block_device_that_rf_exec_verified(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(STALE * 8192)
    asked = [
        "--manifest",
        "http://127.0.0.1:1/m",
        "--manifest-sha256",
        SHA,
        "--disk",
        "S",
        "--size-bytes",
        "8192",
    ]
    with path.open("r+b") as stream:
        held = {"RF_DISK_FD_0": str(stream.fileno())}
        for environment, says in (
            ({}, "run under rf-exec"),
            ({**held, "RF_DISK_IDENTITY_0": "T"}, "verified disk 'T'"),
            ({**held, "RF_DISK_IDENTITY_0": "S"}, "no block device"),
        ):
            assert rf_write.main(asked, environment) == 77
            assert says in capfd.readouterr().err
    assert rf_write.main(["--disk", "S"], {}) == 64
    assert path.read_bytes() == STALE * 8192


def test_a_thread_that_dies_is_no_success(
    store: Store, disk: tuple[Path, Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with little memory the chunk of one thread would be missing, and nobody told."""
    manifest = fetch(*publish(store, make_image()))
    real = rf_image.unpack

    def short_of_memory(packed: bytes, chunk: Chunk, buffer: mmap.mmap) -> str | None:
        if chunk == manifest.chunks[0]:
            raise MemoryError
        return real(packed, chunk, buffer)

    monkeypatch.setattr(rf_write, "unpack", short_of_memory)
    with pytest.raises(WriteError, match="MemoryError"):
        write_image(manifest, disk[1])
