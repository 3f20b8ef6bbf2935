"""rf-write's image: the chunk manifest, checked whole, and the chunks, fetched by range and verified.

Not a program: a part of the one file that is installed as rf-write (`bootos.one_file`).
"""

import hashlib
import http.client
import json
import mmap
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

import zstandard

from bootos.rf_target import WriteError

EXIT_REFUSED, EXIT_UNREACHABLE = 65, 69
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES_MAX = 64 * 1024 * 1024
PACKED_SLACK_BYTES = 65536  # a zstd frame of incompressible bytes is a little longer than they are
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 15.0)
SOCKET_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Chunk:
    """One piece of the image: its place on the disk and in the blob, and the digest when unpacked."""

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
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if version != 1 or not isinstance(blob, str) or not whole:
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
        if not (fits and sized and re.fullmatch("[0-9a-f]{64}", str(chunk.sha256))):
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
        """A whole small document, or exactly `limit` bytes from `first`; tried again while it is down."""
        parts = urlsplit(url)
        headers = {} if first is None else {"Range": f"bytes={first}-{first + limit - 1}"}
        problem = ""
        for delay_s in (0.0, *BACKOFF_S):
            self._sleep(delay_s)
            try:
                return self._once(parts, headers, limit=limit, exact=first is not None)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                problem = f"{type(error).__name__}: {error}"
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


def unpack(packed: bytes, chunk: Chunk, buffer: mmap.mmap) -> str | None:
    """Unpack a chunk into the buffer, never more than was declared; what is wrong with it, if anything."""
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
