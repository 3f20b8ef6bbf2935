"""What a handler answers, and how it goes out: exact lengths, conditions, single ranges, no chunks.

UEFI asks HEAD and then GET and wants an exact Content-Length; iPXE keeps the connection; `rf-write` asks
for ranges and resumes by ETag.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from pxe_edge.servers.files import ServedFile
from pxe_edge.servers.http_stream import Stream
from pxe_edge.servers.http_wire import Head, byte_range, unchanged
from pxe_edge.servers.ports import Problem


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer: bytes or a file. `after` runs once everything was handed to the kernel."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    file: ServedFile | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], Awaitable[None]] | None = None
    shown_path: str | None = None
    """The path as it may stand in the log, when the real one holds a secret."""


def problem(status: int, told: Problem) -> Response:
    """An error as problem+json (RFC 9457)."""
    body = {"type": "about:blank", "status": status, "code": told.code, "detail": told.detail}
    body |= {"hint": told.hint, **({"host": told.host} if told.host else {})}
    return Response(status, json.dumps(body).encode() + b"\n", "application/problem+json")


@dataclass(slots=True)
class Exchange:
    """One response on its way out."""

    status: int = 0
    sent_bytes: int = 0
    whole: bool = False
    """The whole representation was handed over: not a HEAD, not a part, not cut off."""

    async def send(self, stream: Stream, head: Head | None, response: Response, *, keep: bool) -> None:
        """Write head and body."""
        size = response.file.size_bytes if response.file is not None else len(response.body)
        headers = {"Date": _date(), "Content-Type": response.content_type, **response.headers}
        self.status, first, count = response.status, 0, size
        if response.file is not None and response.status == HTTPStatus.OK and head is not None:
            first, count = self._part(head, response.file, headers)
        if self.status not in (204, 304):
            headers.setdefault("Content-Length", str(count))
        headers["Connection"] = "keep-alive" if keep else "close"
        if head is not None and head.method == "HEAD":
            count = 0
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        raw = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if response.file is None:
            await stream.send(raw + response.body[:count])
            self.sent_bytes = count
        else:
            await stream.send(raw, more=count > 0)
            self.sent_bytes = await stream.send_file(response.file.file, first, count) if count else 0
            if self.sent_bytes < count:
                raise ConnectionError("the client went away, or the file became shorter")
        asked = head is None or head.method != "HEAD"
        self.whole = asked and self.status == HTTPStatus.OK and self.sent_bytes == size

    def _part(self, head: Head, file: ServedFile, headers: dict[str, str]) -> tuple[int, int]:
        headers |= {"ETag": file.etag, "Accept-Ranges": "bytes"}
        if unchanged(head, file.etag):
            self.status = HTTPStatus.NOT_MODIFIED
            return 0, 0
        # RFC 9110 section 14.2: Range means something to GET only.
        part = byte_range(head, file.size_bytes, file.etag) if head.method == "GET" else None
        if part is None:
            return 0, file.size_bytes
        self.status = part.status
        headers["Content-Range"] = part.content_range
        return part.first, part.count


_dated: tuple[int, str] = (0, "")


def _date() -> str:
    global _dated  # noqa: PLW0603 - the text of one second, written once and not for each response
    now = int(time.time())
    if _dated[0] != now:
        _dated = (now, formatdate(now, usegmt=True))
    return _dated[1]
