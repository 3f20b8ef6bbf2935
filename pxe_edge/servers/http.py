"""A small HTTP/1.1 server for firmware and images: exact lengths, single ranges, sendfile, limits.

UEFI wants HEAD then GET with an exact Content-Length and no chunks; iPXE keeps the connection alive;
`rf-write` asks for ranges. Files go out by sendfile (a core feeds some 18 Gbit/s; the API framework
is 4-6 times slower). Nothing here knows what is served: a handler turns `Request` into `Response`.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import IPv4Address
from typing import Final

from pxe_edge.servers.errors import explain
from pxe_edge.servers.files import ServedFile
from pxe_edge.servers.http_wire import BadRequest, Head, byte_range, parse_head, unchanged
from pxe_edge.servers.ports import Problem

MAX_HEAD_BYTES: Final = 16384
MAX_BODY_BYTES: Final = 65536
MAX_PER_ADDRESS: Final = 64
MAX_CONNECTIONS: Final = 4096
HEAD_TIMEOUT_S: Final = 30.0
BODY_TIMEOUT_S: Final = 15.0
SEND_TIMEOUT_S: Final = 120.0
_PIECE_BYTES: Final = 32 * 1024 * 1024
"""A file goes out in pieces, each with its own deadline: slow is allowed, stalled is not."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its whole body."""

    head: Head
    peer: IPv4Address
    local: str
    """The address and port that the client reached us at: the host of URLs that it is given."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What to answer: bytes or a file. `after` runs once everything was handed to the kernel."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    file: ServedFile | None = None
    ranges: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], Awaitable[None]] | None = None
    shown_path: str | None = None
    """The path as it may stand in the log, when the real one holds a secret."""


def problem(status: int, told: Problem) -> Response:
    """An error as problem+json (RFC 9457)."""
    body = {"type": "about:blank", "status": status, "code": told.code, "detail": told.detail}
    body |= {"hint": told.hint, **({"host": told.host} if told.host else {})}
    return Response(status, json.dumps(body).encode() + b"\n", "application/problem+json")


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Accepts connections and keeps their limits."""

    def __init__(self, handler: Handler, *, port: int) -> None:
        self._handler = handler
        self._port = port
        self._server: asyncio.Server | None = None
        self._per_address: Counter[str] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None else self._port

    async def start(self) -> None:
        """Listen on all addresses; raises StartError."""
        try:
            self._server = await asyncio.start_server(
                self._connection, "0.0.0.0", self._port, limit=MAX_HEAD_BYTES, backlog=1024
            )
        except OSError as error:
            raise explain(error, "TCP (boot HTTP)", self._port) from error
        log.info("http=listening port=%d", self.port)

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername", ("0.0.0.0",))[0])
        self._per_address[address] += 1
        self._open.add(writer)
        try:
            full = self._per_address[address] > MAX_PER_ADDRESS or len(self._open) > MAX_CONNECTIONS
            await (self._turn_away(writer, address) if full else self._serve(reader, writer))
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away or fell silent
        except Exception:
            log.exception("http=failed client=%s", address)
        finally:
            self._open.discard(writer)
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]
            writer.close()

    async def _turn_away(self, writer: asyncio.StreamWriter, address: str) -> None:
        log.warning("http=refused client=%s reason=too-many-connections", address)
        told = Problem("too-many-connections", f"{MAX_PER_ADDRESS} connections are open.", "Close some.")
        async with asyncio.timeout(BODY_TIMEOUT_S):
            await _Exchange(writer, None).send(problem(503, told), keep=False)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = IPv4Address(writer.get_extra_info("peername")[0])
        local = "{}:{}".format(*writer.get_extra_info("sockname")[:2])
        keep = True
        while keep:
            head: Head | None = None
            began_at = time.monotonic()
            try:
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    raw = await reader.readuntil(b"\r\n\r\n")
                began_at = time.monotonic()
                head = parse_head(raw)
                body = await self._body(reader, writer, head)
            except asyncio.LimitOverrunError:
                error = BadRequest(431, "header-too-large", f"The header exceeds {MAX_HEAD_BYTES} octets.")
                response, keep = problem(error.status, Problem(error.code, error.detail)), False
            except BadRequest as error:
                response, keep = problem(error.status, Problem(error.code, error.detail)), False
            else:
                response = await self._handler(Request(head, peer, local, body))
                keep = head.keep_alive
            exchange = _Exchange(writer, head)
            try:
                await exchange.send(response, keep=keep)
            finally:
                if response.file is not None:
                    response.file.file.close()
                _log(peer, head, response, exchange, time.monotonic() - began_at)
            if response.after is not None and exchange.whole:
                await response.after()

    async def _body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head) -> bytes:
        if "transfer-encoding" in head.headers:
            raise BadRequest(411, "length-required", "Send a body with Content-Length, not in chunks.")
        size = head.content_length
        if size is None:
            if head.method == "POST":
                raise BadRequest(411, "length-required", "Send Content-Length.")
            return b""
        if size > MAX_BODY_BYTES:
            raise BadRequest(413, "body-too-large", f"{size} octets, at most {MAX_BODY_BYTES} are taken.")
        if head.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await reader.readexactly(size)


class _Exchange:
    """One response on its way out."""

    def __init__(self, writer: asyncio.StreamWriter, head: Head | None) -> None:
        self._writer = writer
        self._head = head
        self.status = 0
        self.sent_bytes = 0
        self.whole = False
        """The whole representation was handed over: not a HEAD, not a part, not cut off."""

    async def send(self, response: Response, *, keep: bool) -> None:
        """Write head and body."""
        size = response.file.size_bytes if response.file is not None else len(response.body)
        headers = {"Content-Type": response.content_type, **response.headers}
        status, first, count = response.status, 0, size
        if response.file is not None and status == 200 and self._head is not None:
            headers["ETag"] = response.file.etag
            if response.ranges:
                headers["Accept-Ranges"] = "bytes"
            if unchanged(self._head, response.file.etag):
                status, count = 304, 0
            elif (  # RFC 9110 section 14.2: Range means something to GET only
                response.ranges
                and self._head.method == "GET"
                and (part := byte_range(self._head, size, response.file.etag)) is not None
            ):
                status, first, count = part.status, part.first, part.count
                headers["Content-Range"] = part.content_range
        self.status = status
        if status not in (204, 304):
            headers.setdefault("Content-Length", str(count))
        headers["Connection"] = "keep-alive" if keep else "close"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if (self._head is None or self._head.method != "HEAD") and count:
            await self._send_body(response, first, count)
            self.whole = status == 200
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()

    async def _send_body(self, response: Response, first: int, count: int) -> None:
        if response.file is None:
            self._writer.write(response.body[first : first + count])
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._writer.drain()
            self.sent_bytes = count
            return
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._writer.drain()
        while self.sent_bytes < count:
            piece = min(_PIECE_BYTES, count - self.sent_bytes)
            async with asyncio.timeout(SEND_TIMEOUT_S):
                sent = await loop.sendfile(
                    self._writer.transport, response.file.file, first + self.sent_bytes, piece
                )
            if not sent:
                raise ConnectionError("the file became shorter while it was sent")
            self.sent_bytes += sent


def _log(
    peer: IPv4Address, head: Head | None, response: Response, exchange: _Exchange, seconds: float
) -> None:
    log.info(
        "http=%s path=%s client=%s status=%d bytes=%d ms=%d",
        head.method if head is not None else "-",
        response.shown_path or _printable(head.path if head is not None else "-"),
        peer,
        exchange.status,
        exchange.sent_bytes,
        seconds * 1000,
    )


def _printable(path: str) -> str:
    # A path must not write lines of its own into the log.
    return path[:200] if path.isprintable() else ascii(path[:200])
