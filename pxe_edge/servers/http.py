"""A small HTTP/1.1 server for firmware and images, on IPv4 and IPv6: sendfile, and limits everywhere.

A core feeds some 18 Gbit/s by sendfile; the API framework is 4 to 6 times slower. Nothing here knows
what is served: a handler turns `Request` into `Response`.

Connections are bounded per address (an IPv6 /64 is one) and in all; when all are taken, the one that has
been idle longest gives way. A head has a size and a deadline, a body too, and a reader that takes
less than 64 KiB in five minutes is dropped.
"""

import asyncio
import errno
import logging
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from pxe_edge.servers.errors import explain
from pxe_edge.servers.http_answer import Exchange, Response, problem
from pxe_edge.servers.http_stream import HeadTooLargeError, Stream
from pxe_edge.servers.http_wire import BadRequest, Head, parse_head
from pxe_edge.servers.peers import NO_IPV6, counted_as
from pxe_edge.servers.ports import Problem

MAX_HEAD_BYTES: Final = 16384
MAX_BODY_BYTES: Final = 65536
MAX_PER_ADDRESS: Final = 64
MAX_CONNECTIONS: Final = 4096
HEAD_TIMEOUT_S: Final = 30.0
_LOOKS: Final = 8
"""How often within that time it is looked whose time is over."""
BODY_TIMEOUT_S: Final = 15.0
_BACKLOG: Final = 1024
_ACCEPTS: Final = 64
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S: Final = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its whole body."""

    head: Head
    peer: IPv4Address | IPv6Address
    local: str
    """The address and port that the client reached us at: the host of URLs that it is given."""
    body: bytes = b""


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class _Parts:
    """Parts of one file that were taken one after the other."""

    path: str
    peer: IPv4Address | IPv6Address
    began_at: float
    count: int = 0
    sent_bytes: int = 0

    def tell(self) -> None:
        """One line for all of them: an image is thousands."""
        log.info(
            "http=GET path=%s client=%s status=206 parts=%d bytes=%d ms=%d",
            _printable(self.path),
            self.peer,
            self.count,
            self.sent_bytes,
            (time.monotonic() - self.began_at) * 1000,
        )


@dataclass(slots=True, eq=False)
class _Connection:
    sock: socket.socket
    counted_as: str
    task: "asyncio.Task[None] | None" = None
    idle_since: float | None = None
    """Since when it waits for a head, or for the rest of one."""
    parts: _Parts | None = None

    def tell_parts(self) -> None:
        """Tell of the parts that have gone out, if any."""
        parts, self.parts = self.parts, None
        if parts is not None:
            parts.tell()


class HttpServer:
    """Accepts connections and keeps their limits.

    `proxy`: it listens at this address only, for a reverse proxy that says in X-Real-IP, X-Server-Addr
    and X-Server-Port who asks and where; then the limit per address is the proxy's to keep.
    """

    def __init__(self, handler: Handler, *, port: int, proxy: tuple[str, int] | None = None) -> None:
        self._handler = handler
        self._port = port
        self._proxy = proxy
        self._listening: list[socket.socket] = []
        self._per_address: Counter[str] = Counter()
        self._open: set[_Connection] = set()
        self._look: asyncio.TimerHandle | None = None
        """The next look at who says nothing, as long as a connection is open."""

    @property
    def port(self) -> int:
        """The port that is bound."""
        return int(self._listening[0].getsockname()[1]) if self._listening else self._port

    async def start(self) -> None:
        """Listen on all addresses, or for the proxy; raises StartError."""
        if self._proxy is not None:
            host, self._port = self._proxy
            self._listening.append(_listen(host, self._port))
        else:
            self._listening.append(_listen("0.0.0.0", self._port))
            try:
                self._listening.append(_listen("::", self.port))
            except OSError as error:
                if error.errno not in NO_IPV6:
                    raise explain(error, "TCP (boot HTTP, IPv6)", self.port) from error
                log.warning("http=ipv4-only reason=%r", error.strerror)
        for sock in self._listening:
            asyncio.get_running_loop().add_reader(sock, self._acceptable, sock)
        log.info("http=listening port=%d proxy=%s", self.port, self._proxy is not None)

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        loop = asyncio.get_running_loop()
        for sock in self._listening:
            loop.remove_reader(sock)
            sock.close()
        self._listening.clear()
        if self._look is not None:
            self._look.cancel()
        tasks = [connection.task for connection in self._open if connection.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._open:  # those that were accepted and had not begun
            connection.sock.close()

    def _acceptable(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTS):
            try:
                sock, peer = listening.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    log.warning("http=paused reason=%r", error.strerror)
                    loop.remove_reader(listening)
                    loop.call_later(_PAUSE_S, self._resume, listening)
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(sock, counted_as(peer))
            self._open.add(connection)
            self._per_address[connection.counted_as] += 1
            connection.task = loop.create_task(self._run(connection, peer[0]))
            if self._look is None:
                self._look = loop.call_later(HEAD_TIMEOUT_S / _LOOKS, self._end_the_silent)

    def _end_the_silent(self) -> None:
        # One timer for all: a timeout for each head costs a keep-alive connection more than the head itself.
        since = time.monotonic() - HEAD_TIMEOUT_S
        for each in self._open:
            if each.idle_since is not None and each.idle_since < since and each.task is not None:
                each.task.cancel()
        again = asyncio.get_running_loop().call_later
        self._look = again(HEAD_TIMEOUT_S / _LOOKS, self._end_the_silent) if self._open else None

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._listening:
            asyncio.get_running_loop().add_reader(listening, self._acceptable, listening)

    async def _run(self, connection: _Connection, address: str) -> None:
        stream = Stream(connection.sock)
        try:
            reason = self._too_many(connection)
            if reason is not None:
                await _turn_away(stream, address, reason)
            else:
                await self._serve(connection, stream, ip_address(address))
        except (ConnectionError, TimeoutError):
            pass  # the client went away or fell silent
        except Exception:
            log.exception("http=failed client=%s", address)
        finally:
            connection.tell_parts()
            self._open.discard(connection)
            self._per_address[connection.counted_as] -= 1
            if not self._per_address[connection.counted_as]:
                del self._per_address[connection.counted_as]
            connection.sock.close()

    def _too_many(self, connection: _Connection) -> str | None:
        if self._proxy is None and self._per_address[connection.counted_as] > MAX_PER_ADDRESS:
            return f"{MAX_PER_ADDRESS} connections of your address are open."
        if len(self._open) > MAX_CONNECTIONS:
            idle = [each for each in self._open if each.idle_since is not None and each.task is not None]
            if not idle:
                return f"{MAX_CONNECTIONS} connections are open."
            longest = min(idle, key=lambda each: each.idle_since or 0.0)
            longest.idle_since = None
            if longest.task is not None:
                longest.task.cancel()
        return None

    async def _serve(self, connection: _Connection, stream: Stream, peer: IPv4Address | IPv6Address) -> None:
        local = _host(*connection.sock.getsockname()[:2])
        keep, lost = True, False
        while keep:
            began_at = connection.idle_since = time.monotonic()
            head: Head | None = None
            try:
                raw = await stream.read_head(MAX_HEAD_BYTES)
                if raw is None:
                    return
                began_at, connection.idle_since = time.monotonic(), None
                head = parse_head(raw)
                if self._proxy is not None:
                    peer, local = _told_by_proxy(head)
                body = await _body(stream, head)
            except HeadTooLargeError:
                error = BadRequest(431, "header-too-large", f"The header exceeds {MAX_HEAD_BYTES} octets.")
                response, keep, lost = problem(error.status, Problem(error.code, error.detail)), False, True
            except BadRequest as error:
                response, keep, lost = problem(error.status, Problem(error.code, error.detail)), False, True
            else:
                response, keep = await self._handler(Request(head, peer, local, body)), head.keep_alive
            await _answer(connection, stream, peer, head, response, keep=keep, began_at=began_at)
        if lost:
            await stream.linger()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        # Without it a restart would wait a minute for the connections of the last run to be forgotten.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if family == socket.AF_INET6:
            raise
        raise explain(error, "TCP (boot HTTP)", port) from error
    return sock


async def _turn_away(stream: Stream, address: str, reason: str) -> None:
    log.warning("http=refused client=%s reason=too-many-connections", address)
    told = Problem("too-many-connections", reason, "Close some.")
    await Exchange().send(stream, None, problem(503, told), keep=False)
    await stream.linger()


async def _body(stream: Stream, head: Head) -> bytes:
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
        await stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    async with asyncio.timeout(BODY_TIMEOUT_S):
        return await stream.read_exactly(size)


async def _answer(
    connection: _Connection,
    stream: Stream,
    peer: IPv4Address | IPv6Address,
    head: Head | None,
    response: Response,
    *,
    keep: bool,
    began_at: float,
) -> None:
    exchange = Exchange()
    try:
        await exchange.send(stream, head, response, keep=keep)
    finally:
        if response.file is not None:
            response.file.file.close()
        _note(connection, peer, head, response, exchange, began_at)
    if response.after is not None and exchange.whole:
        await response.after()


def _note(
    connection: _Connection,
    peer: IPv4Address | IPv6Address,
    head: Head | None,
    response: Response,
    exchange: Exchange,
    began_at: float,
) -> None:
    if head is not None and exchange.status == HTTPStatus.PARTIAL_CONTENT and response.shown_path is None:
        parts = connection.parts
        if parts is None or parts.path != head.path:
            connection.tell_parts()
            parts = connection.parts = _Parts(head.path, peer, began_at)
        parts.count += 1
        parts.sent_bytes += exchange.sent_bytes
        return
    connection.tell_parts()
    log.info(
        "http=%s path=%s client=%s status=%d bytes=%d ms=%d",
        head.method if head is not None else "-",
        response.shown_path or _printable(head.path if head is not None else "-"),
        peer,
        exchange.status,
        exchange.sent_bytes,
        (time.monotonic() - began_at) * 1000,
    )


def _told_by_proxy(head: Head) -> tuple[IPv4Address | IPv6Address, str]:
    told = head.headers
    try:
        peer = ip_address(told["x-real-ip"])
        return peer, _host(str(ip_address(told["x-server-addr"])), int(told["x-server-port"]))
    except (KeyError, ValueError) as error:
        detail = "The proxy does not say X-Real-IP, X-Server-Addr and X-Server-Port."
        raise BadRequest(502, "proxy-misconfigured", detail) from error


def _host(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _printable(path: str) -> str:
    # A path must not write lines of its own into the log.
    return path[:200] if path.isprintable() else ascii(path[:200])
