"""Reading HTTP/1.1 request heads, conditions and ranges (RFC 9110, 9112). Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from posixpath import normpath
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RANGE: Final = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")
_SLASHES: Final = re.compile(r"/{2,}")
_MAX_HEADERS: Final = 64
_TARGETS: Final = 128
"""An image is fetched in thousands of parts by one name, which is taken apart once."""


class BadRequest(Exception):
    """A request that can't be served as it stands."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and headers; header names in lower case, path decoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    keep_alive: bool = True
    content_length: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The answer to a Range: 206 with its octets, or 416 with none."""

    status: int
    first: int
    count: int
    content_range: str


def parse_head(raw: bytes) -> Head:
    """Read a head that ends with an empty line; raises BadRequest."""
    lines = raw.decode("latin-1").split("\r\n")[:-2]
    words = lines[0].split(" ") if lines else []
    if len(words) != 3 or not _TOKEN.fullmatch(words[0]):
        raise BadRequest(400, "bad-request-line", "Expected METHOD TARGET HTTP/1.1.")
    method, target, version = words
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(505, "http-version", f"HTTP/1.0 and 1.1 are spoken here, not {version[:16]!r}.")
    headers = _headers(lines[1:])
    if version == "HTTP/1.1" and "host" not in headers:
        raise BadRequest(400, "no-host", "HTTP/1.1 asks for a Host header.")
    path, query = _target(target)
    wish = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    keep = "close" not in wish if version == "HTTP/1.1" else "keep-alive" in wish
    length = headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit() and len(length) < 16):
        raise BadRequest(400, "content-length", f"Content-Length is not a number: {length[:32]!r}.")
    return Head(method, path, query, headers, keep, int(length) if length is not None else None)


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    if len(lines) > _MAX_HEADERS:
        raise BadRequest(431, "too-many-headers", f"At most {_MAX_HEADERS} headers are read.")
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.fullmatch(name):
            raise BadRequest(400, "bad-header", f"Not a header: {line[:64]!r}.")
        key, value = name.lower(), value.strip(" \t")
        if key in headers and key in ("content-length", "host", "transfer-encoding"):
            raise BadRequest(400, "repeated-header", f"{name} stands twice.")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


@lru_cache(_TARGETS)
def _target(target: str) -> tuple[str, Mapping[str, str]]:
    try:
        # `//x/y` is a path here, not host x: firmware joins URLs carelessly, and dies of a redirect.
        parts = urlsplit(f"/{target.lstrip('/')}" if target.startswith("/") else target)
        path = unquote_to_bytes(parts.path).decode()
        query = dict(parse_qsl(parts.query, max_num_fields=32))
    except ValueError as error:
        raise BadRequest(400, "bad-target", f"The target can't be read: {target[:128]!r}.") from error
    if not path.startswith("/") or "\0" in path:
        raise BadRequest(400, "bad-target", f"Expected a path, got {target[:128]!r}.")
    return normpath(_SLASHES.sub("/", path)), MappingProxyType(query)


def unchanged(head: Head, etag: str) -> bool:
    """Whether If-None-Match says that the client has it already (weak comparison, RFC 9110 13.1.2)."""
    wanted = head.headers.get("if-none-match")
    if wanted is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    return "*" in tags or etag in tags


def byte_range(head: Head, size: int, etag: str) -> Part | None:
    """The one range asked for; None: send the whole (no range, several, If-Range of another version)."""
    wanted = head.headers.get("range")
    if wanted is None or head.headers.get("if-range", etag) != etag:
        return None
    found = _RANGE.fullmatch(wanted)
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        first = int(found[1])
        last = min(int(found[2]), size - 1) if found[2] else size - 1
        if found[2] and int(found[2]) < first:
            return None  # not a valid range, so it is ignored (RFC 9110 section 14.1.1)
    else:
        first, last = max(0, size - int(found[2])), size - 1
    if first >= size or first > last:
        return Part(416, 0, 0, f"bytes */{size}")
    return Part(206, first, last - first + 1, f"bytes {first}-{last}/{size}")
