"""The TFTP server: read-only, one state machine per transfer, a few data sockets per address of ours.

Requests come to port 69, over IPv4 and IPv6, and are answered from one of two ports of the address
that they were sent to: each transfer has a port pair of its own (RFC 1350 section 4). A datagram on a
data port from anybody without a transfer there gets ERROR 5 and disturbs nobody. Every request gets at
least an ERROR, but for one to a broadcast address, which nobody is to answer (RFC 1123 section 4.2.3.5).

It runs in a thread and a loop of its own (`turns`): in lock-step each block costs a turn, and what asyncio
does in one is more than all the rest. Only `start`, `follow`, `close` and the counts are for other threads.

Transfers are bounded per address and in all. A full table drops the oldest one whose client has never
acknowledged anything, because anybody can ask in another's name.
"""

import logging
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, ip_address
from itertools import islice
from pathlib import Path
from typing import Final

from pxe_edge.policy.limits import RateLimit
from pxe_edge.policy.networks import Link
from pxe_edge.policy.transfer import HEADERS_BYTES, HEADERS_V6_BYTES, Transfer, negotiate
from pxe_edge.policy.views import NetworkView
from pxe_edge.servers import datagrams, mapped, peers
from pxe_edge.servers.datagrams import Address, Arrived
from pxe_edge.servers.errors import StartError
from pxe_edge.servers.files import FileTable
from pxe_edge.servers.http_answer import Response
from pxe_edge.servers.mapped import Mapped, Mappings
from pxe_edge.servers.tftp_data import DataSocket, DataSockets, FileChangedError, Session
from pxe_edge.servers.tftp_made import Made, Making, asked
from pxe_edge.servers.turns import Turns
from pxe_edge.wire import tftp
from pxe_edge.wire.errors import WireError

PORT: Final = 69
MAX_PER_ADDRESS: Final = 16
MAX_TRANSFERS: Final = 4096
_DRAIN: Final = 64
_FULL_TURNS: Final = 8
_DATAGRAM_BYTES: Final = 128
"""Of a datagram to a data port: an ACK has four octets, and of an ERROR only the code counts."""
_DEFAULT_MTU: Final = 1500
_TICK_S: Final = 0.25
_FORGET_EVERY: Final = 20
"""Ticks."""
_NO_ROOM_S: Final = 0.01
_UNPROVEN_S: Final = 2.0
"""How long a full table lets a transfer stand that its client has not acknowledged."""
_LINES_PER_S: Final = 20.0
log = logging.getLogger(__name__)


class TftpServer:
    """Serves one folder, and what `made` makes on the event loop that the server is made on."""

    def __init__(
        self, root: Path, *, port: int = PORT, made: Made = lambda _request: None, offload: bool = True
    ) -> None:
        self._mappings = Mappings(FileTable(root))
        self._root = root
        self._made = made
        self._links: dict[int, Link] = {}
        self._networks: tuple[NetworkView, ...] = ()
        self._port = port
        self._listening: list[socket.socket] = []
        self._turns = Turns("tftp", self._tick)
        self._data = DataSockets(self._data_opened, self._data_closing, offload=offload)
        self._sessions: dict[Address, Session] = {}
        self._making = Making(self._turns.hand)
        self._per_address: Counter[str] = Counter()
        self._unsent: list[Session] = []
        """The kernel had no room for them."""
        self._looks_at = math.inf
        """When clocks are looked at next."""
        self._looks = 0
        self._lines = RateLimit(_LINES_PER_S)
        self.refused: Counter[str] = Counter()
        """How often which reason kept a datagram from being served."""

    @property
    def port(self) -> int:
        """The port that requests go to."""
        return int(self._listening[0].getsockname()[1]) if self._listening else self._port

    @property
    def transfers(self) -> int:
        """How many transfers are under way."""
        return len(self._sessions)

    def start(self) -> None:
        """Open the request sockets; raises StartError."""
        self._listening.append(datagrams.open_requests(socket.AF_INET, "UDP (TFTP)", self._port))
        try:
            self._listening.append(datagrams.open_requests(socket.AF_INET6, "UDP (TFTP, IPv6)", self.port))
        except StartError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in peers.NO_IPV6:
                raise
            log.warning("tftp=ipv4-only reason=%r", str(error))
        for sock in self._listening:
            self._turns.watch(sock.fileno(), partial(self._requests_readable, sock))
        self._turns.start()
        log.info("tftp=listening port=%d root=%s", self.port, self._root)

    def follow(self, links: dict[int, Link], networks: Sequence[NetworkView] = ()) -> None:
        """Know interfaces and networks: a block is never larger than a packet on the client's link."""
        self._links, self._networks = links, tuple(networks)

    def close(self) -> None:
        """End all transfers and close the sockets."""
        self._turns.stop()
        self._making.close()
        for session in list(self._sessions.values()):
            self._end(session, "server-stopped")
        self._data.close()
        for sock in self._listening:
            sock.close()
        self._listening.clear()

    # Requests

    def _requests_readable(self, sock: socket.socket, _now: float) -> None:
        for _ in range(_DRAIN):
            arrived = datagrams.receive(sock)
            if arrived is None:
                return
            try:
                self._request(sock, arrived)
            except Exception:
                log.exception("tftp=failed from=%s data=%s", arrived.peer, arrived.data[:600].hex())

    def _request(self, sock: socket.socket, arrived: Arrived) -> None:
        if not arrived.unicast:
            self._note("sent-to-broadcast", arrived.peer)
            return
        try:
            packet = tftp.decode(arrived.data)
        except WireError as error:
            # Only what looks like a request is answered: an ERROR for every stray datagram is a reflector.
            if arrived.data[:2] in (b"\0\x01", b"\0\x02"):
                refusal = tftp.Error(tftp.ILLEGAL_OPERATION, "malformed request")
                self._refuse(arrived, refusal, "malformed-request", str(error))
            else:
                self._note("not-a-request", arrived.peer)
            return
        match packet:
            case tftp.WriteRequest():
                refusal = tftp.Error(tftp.ACCESS_VIOLATION, "this server is read-only")
                self._refuse(arrived, refusal, "write-request")
            case tftp.ReadRequest():
                self._read_request(sock, arrived, packet)
            case _:
                self._note("not-a-request", arrived.peer)

    def _read_request(self, sock: socket.socket, arrived: Arrived, request: tftp.ReadRequest) -> None:
        session = self._sessions.get(arrived.peer)
        if session is not None:
            if (session.name, session.options) == (request.name, tuple(request.options.items())):
                self._note("repeated-request", arrived.peer)
                if session.transfer.again():  # the first answer once more, from the same port
                    self._send(session, time.monotonic())
                return
            self._end(session, "new-request")
        if arrived.peer in self._making:
            self._note("repeated-request", arrived.peer)
            return
        if request.mode != "octet":
            refusal = tftp.Error(tftp.ILLEGAL_OPERATION, "only octet mode is served")
            self._refuse(arrived, refusal, "mode", ascii(request.mode[:16]))
            return
        counted_as = peers.counted_as(arrived.peer)
        if self._per_address[counted_as] >= MAX_PER_ADDRESS or not self._room():
            refusal = tftp.Error(tftp.NOT_DEFINED, "too many transfers, try again")
            self._refuse(arrived, refusal, "too-many-transfers")
            return
        self._begin(sock, arrived, request, counted_as)

    def _begin(
        self, sock: socket.socket, arrived: Arrived, request: tftp.ReadRequest, counted_as: str
    ) -> None:
        name = _file_name(request.name)
        content = self._mappings.take(name)
        if content == "no-such-file" and (made := self._made(asked(name, arrived))) is not None:
            # Counted while it is made; the transfer that follows is counted for itself.
            self._per_address[counted_as] += 1
            self._making.add(arrived.peer, made, partial(self._made_for, sock, arrived, request))
            return
        if not isinstance(content, Mapped):
            code = tftp.ACCESS_VIOLATION if content in ("not-inside", "not-readable") else tftp.FILE_NOT_FOUND
            refusal = tftp.Error(code, content.replace("-", " "))
            self._refuse(arrived, refusal, content, f"file={request.name[:200]!a}")
            return
        self._transfer(sock, arrived, request, content)

    def _made_for(
        self, sock: socket.socket, arrived: Arrived, request: tftp.ReadRequest, response: Response | None
    ) -> None:
        self._count_down(peers.counted_as(arrived.peer))
        if response is None:
            refusal = tftp.Error(tftp.FILE_NOT_FOUND, "no such file")
            self._refuse(arrived, refusal, "no-such-file")  # its name may be a secret
            return
        content = mapped.of_bytes(response.body)
        self._transfer(sock, arrived, request, content, response.shown_path, response.after)

    def _transfer(
        self,
        sock: socket.socket,
        arrived: Arrived,
        request: tftp.ReadRequest,
        content: Mapped,
        shown_name: str | None = None,
        taken: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        counted_as = peers.counted_as(arrived.peer)
        data = self._data.choose(sock.family, arrived.local, arrived.peer)
        if data is None:
            self._give_back(content)
            self._refuse(arrived, tftp.Error(tftp.NOT_DEFINED, "no port is free"), "no-data-socket")
            return
        now = time.monotonic()
        terms = negotiate(request.options, content.size_bytes, self._max_block_bytes(arrived))
        session = Session(
            peer=arrived.peer,
            name=request.name,
            options=tuple(request.options.items()),
            mapped=content,
            transfer=Transfer(content.size_bytes, terms),
            data=data,
            counted_as=counted_as,
            began_at=now,
            shown_name=shown_name or request.name,
            taken=taken,
        )
        self._sessions[arrived.peer] = data.sessions[arrived.peer] = session
        self._per_address[counted_as] += 1
        session.transfer.begin()
        self._send(session, now)
        if self._looks_at == math.inf:
            self._looks_at = now + _TICK_S
            self._turns.tick_by(self._looks_at)

    def _room(self) -> bool:
        if len(self._sessions) < MAX_TRANSFERS:
            return True
        before = time.monotonic() - _UNPROVEN_S
        for session in islice(self._sessions.values(), MAX_PER_ADDRESS):
            if session.transfer.acked <= 0 and session.began_at < before:
                self._end(session, "gave-way")
                return True
        return False

    def _max_block_bytes(self, arrived: Arrived) -> int:
        # On our link its MTU counts, behind a router Ethernet's; a network of the Site may say less.
        link, client = self._links.get(arrived.index), ip_address(arrived.peer[0])
        mtu = link.mtu if link is not None else _DEFAULT_MTU
        if not isinstance(client, IPv4Address):
            return min(mtu, _DEFAULT_MTU) - HEADERS_V6_BYTES
        if link is not None and not any(client in own.network for own in link.addresses):
            mtu = min(mtu, _DEFAULT_MTU)
        told = [n.mtu for n in self._networks if n.mtu is not None and client in n.subnet]
        return min([mtu, *told]) - HEADERS_BYTES

    def _data_opened(self, data: DataSocket) -> None:
        self._turns.watch(data.sock.fileno(), partial(self._data_readable, data))

    def _data_closing(self, data: DataSocket) -> None:
        self._turns.leave(data.sock.fileno())

    # Transfers

    def _data_readable(self, data: DataSocket, now: float) -> None:
        # The hot path: per packet one call to receive, one to send, and as little as can be between.
        sessions, receive = data.sessions, data.sock.recvfrom
        for found in range(data.expected):
            try:
                packet, peer = receive(_DATAGRAM_BYTES)
            except OSError:
                data.expected, data.full = max(1, found), 0
                return
            session = sessions.get(peer)
            if session is None:
                self._stranger(data, packet, peer)
                continue
            transfer = session.transfer
            if transfer.receive(packet):
                self._send(session, now)
            elif transfer.outcome:
                self._end(session, transfer.outcome)
        data.full += 1
        if data.full == _FULL_TURNS:
            data.expected, data.full = min(2 * data.expected, _DRAIN), 0

    def _send(self, session: Session, now: float) -> None:
        try:
            room = session.data.send(session)
        except FileChangedError:
            self._error(session.data.sock, session.peer, tftp.Error(tftp.NOT_DEFINED, "the file changed"))
            self._end(session, "file-changed")
            return
        except OSError as error:
            self._note("unsent", session.peer, error.strerror or "")
            room = True  # as if it were lost on the way
        if room:
            session.deadline = now + session.transfer.wait_s
            return
        session.deadline = now + _NO_ROOM_S
        self._unsent.append(session)
        self._turns.tick_by(session.deadline)

    def _tick(self, now: float) -> None:
        unsent, self._unsent = self._unsent, []
        for session in unsent:
            if self._sessions.get(session.peer) is session and session.deadline <= now:
                self._send(session, now)
        if now >= self._looks_at:
            self._look_at_clocks(now)
        if self._looks_at != math.inf:
            self._turns.tick_by(self._looks_at)

    def _look_at_clocks(self, now: float) -> None:
        self._looks += 1
        if self._looks % _FORGET_EVERY == 0:
            self._data.forget()
        for session in [each for each in self._sessions.values() if each.deadline <= now]:
            if session.transfer.expire():
                self._send(session, now)
            else:
                self._end(session, session.transfer.outcome)
        again = self._sessions or self._looks % _FORGET_EVERY
        self._looks_at = now + _TICK_S if again else math.inf

    def _end(self, session: Session, outcome: str) -> None:
        session.data.end(session)
        if self._sessions.get(session.peer) is session:
            del self._sessions[session.peer]
        self._give_back(session.mapped)
        self._count_down(session.counted_as)
        if outcome == "complete" and session.taken is not None:
            self._making.tell(session.taken)
        log.info(
            "tftp=end client=%s:%d file=%s outcome=%s bytes=%d ms=%d",
            *session.peer[:2],
            ascii(session.shown_name[:200]),
            outcome,
            session.mapped.size_bytes if outcome == "complete" else session.transfer.sent_bytes,
            (time.monotonic() - session.began_at) * 1000,
        )

    def _give_back(self, content: Mapped) -> None:
        if content.key[0]:
            self._mappings.give_back(content)

    def _count_down(self, counted_as: str) -> None:
        self._per_address[counted_as] -= 1
        if not self._per_address[counted_as]:
            del self._per_address[counted_as]

    def _stranger(self, data: DataSocket, packet: bytes, peer: Address) -> None:
        if data.knew(peer):
            self._note("late", peer)
            return
        self._note("unknown-transfer", peer)
        if len(packet) >= 4 and packet[:2] != b"\0\x05":  # an ERROR is never answered by an ERROR
            self._error(data.sock, peer, tftp.Error(tftp.UNKNOWN_TID, "unknown transfer"))

    # Refusals

    def _refuse(self, arrived: Arrived, refusal: tftp.Error, reason: str, more: str = "") -> None:
        self._note(reason, arrived.peer, more)
        family = socket.AF_INET if len(arrived.peer) == 2 else socket.AF_INET6
        data = self._data.choose(family, arrived.local, arrived.peer)
        sock = data.sock if data is not None else self._listening[family == socket.AF_INET6]
        self._error(sock, arrived.peer, refusal)

    def _error(self, sock: socket.socket, peer: Address, refusal: tftp.Error) -> None:
        try:
            sock.sendto(tftp.encode(refusal), peer)
        except OSError as error:
            self._note("unsent", peer, error.strerror or "")

    def _note(self, reason: str, peer: Address, more: str = "") -> None:
        # Counted always, said as often as a person can read: a flood costs no disk.
        self.refused[reason] += 1
        if self._lines.allows(reason, time.monotonic()):
            log.info(
                "tftp=refused client=%s:%d reason=%s count=%d %s",
                *peer[:2],
                reason,
                self.refused[reason],
                more,
            )


def _file_name(name: str) -> str:
    # Windows loaders ask with backslashes; other octets reach the table as they came.
    return os.fsdecode(name.replace("\\", "/").encode("latin-1"))
