"""The TFTP server: read-only, one state machine per transfer, a few shared data sockets.

Requests come to port 69 and are answered from one of eight other ports, so that each transfer has a
port pair of its own (RFC 1350 section 4). A datagram on a data port from anybody without a transfer
there gets ERROR 5 and disturbs nobody. Every request gets at least an ERROR.
"""

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from pxe_edge.policy.networks import Link
from pxe_edge.policy.transfer import Transfer, negotiate
from pxe_edge.servers import udp
from pxe_edge.servers.files import ServedFile, open_inside
from pxe_edge.wire import tftp
from pxe_edge.wire.errors import WireError

PORT: Final = 69
DATA_SOCKETS: Final = 8
MAX_PER_ADDRESS: Final = 16
MAX_TRANSFERS: Final = 2048
_DRAIN: Final = 64
_DEFAULT_MTU: Final = 1500
log = logging.getLogger(__name__)

Peer = tuple[IPv4Address, int]


@dataclass(slots=True)
class _Session:
    peer: Peer
    name: str
    served: ServedFile
    transfer: Transfer
    sock: socket.socket
    source: IPv4Address
    began_at: float
    deadline: float = 0.0
    timer: asyncio.TimerHandle | None = field(default=None)


class TftpServer:
    """Serves one folder."""

    def __init__(self, root: Path, links: dict[int, Link] | None = None, *, port: int = PORT) -> None:
        self._root = root
        self._links = links or {}
        self._port = port
        self._main: socket.socket | None = None
        self._data: list[socket.socket] = []
        self._sessions: dict[Peer, _Session] = {}
        self._per_address: Counter[IPv4Address] = Counter()
        self._count = 0

    @property
    def port(self) -> int:
        """The port that requests go to."""
        return int(self._main.getsockname()[1]) if self._main is not None else self._port

    def start(self) -> None:
        """Open the sockets; raises StartError."""
        loop = asyncio.get_running_loop()
        self._main = udp.open_udp("UDP (TFTP)", self._port)
        loop.add_reader(self._main, self._requests_readable, self._main)
        for _ in range(DATA_SOCKETS):
            sock = udp.open_udp("UDP (TFTP data)", 0)
            self._data.append(sock)
            loop.add_reader(sock, self._data_readable, sock)
        log.info("tftp=listening port=%d root=%s", self.port, self._root)

    def use_links(self, links: dict[int, Link]) -> None:
        """Know the MTU of each interface."""
        self._links = links

    def close(self) -> None:
        """End all transfers and close the sockets."""
        loop = asyncio.get_running_loop()
        for session in list(self._sessions.values()):
            self._end(session, "server-stopped")
        for sock in (*self._data, *([self._main] if self._main is not None else [])):
            loop.remove_reader(sock)
            sock.close()
        self._data.clear()

    def _requests_readable(self, sock: socket.socket) -> None:
        for _ in range(_DRAIN):
            datagram = udp.receive(sock)
            if datagram is None:
                return
            try:
                self._request(datagram)
            except Exception:
                log.exception("tftp=failed from=%s data=%s", datagram.source, datagram.data[:600].hex())

    def _request(self, datagram: udp.Datagram) -> None:
        peer = (datagram.source, datagram.source_port)
        try:
            packet = tftp.decode(datagram.data)
        except WireError as error:
            # Only what looks like a request is answered: an ERROR for every stray datagram is a reflector.
            if datagram.data[:2] in (b"\0\x01", b"\0\x02"):
                self._refuse(datagram, tftp.ILLEGAL_OPERATION, "malformed request", str(error))
            return
        if isinstance(packet, tftp.WriteRequest):
            self._refuse(datagram, tftp.ACCESS_VIOLATION, "this server is read-only", "write-request")
        elif isinstance(packet, tftp.ReadRequest):
            session = self._sessions.get(peer)
            if session is not None and session.name == packet.name:
                self._send(session, session.transfer.again())  # it asked twice: same answer, same port
            else:
                if session is not None:
                    self._end(session, "new-request")
                self._begin(datagram, packet, peer)

    def _begin(self, datagram: udp.Datagram, request: tftp.ReadRequest, peer: Peer) -> None:
        if request.mode != "octet":
            text = "only octet mode is served"
            self._refuse(datagram, tftp.ILLEGAL_OPERATION, text, f"mode-{request.mode[:16]!r}")
            return
        if self._per_address[peer[0]] >= MAX_PER_ADDRESS or len(self._sessions) >= MAX_TRANSFERS:
            self._refuse(datagram, tftp.NOT_DEFINED, "too many transfers, try again", "too-many-transfers")
            return
        served = open_inside(self._root, _file_name(request.name))
        if not isinstance(served, ServedFile):
            known = served in ("no-such-file", "not-a-file")
            code = tftp.FILE_NOT_FOUND if known else tftp.ACCESS_VIOLATION
            self._refuse(datagram, code, served.replace("-", " "), f"{served} file={request.name!r}")
            return
        link = self._links.get(datagram.index)
        terms = negotiate(request.options, served.size_bytes, link.mtu if link else _DEFAULT_MTU)
        handle = served.file.fileno()
        transfer = Transfer(lambda offset, size: os.pread(handle, size, offset), served.size_bytes, terms)
        self._count += 1
        session = _Session(
            peer=peer,
            name=request.name,
            served=served,
            transfer=transfer,
            sock=self._data[self._count % len(self._data)],
            source=datagram.target,
            began_at=time.monotonic(),
        )
        self._sessions[peer] = session
        self._per_address[peer[0]] += 1
        log.info("tftp=begin client=%s:%d file=%r bytes=%d", *peer, request.name, served.size_bytes)
        self._send(session, transfer.begin())

    def _data_readable(self, sock: socket.socket) -> None:
        for _ in range(_DRAIN):
            datagram = udp.receive(sock)
            if datagram is None:
                return
            session = self._sessions.get((datagram.source, datagram.source_port))
            if session is not None and session.sock is sock:
                self._send(session, session.transfer.receive(datagram.data))
            elif datagram.data[:2] != b"\0\x05":  # an ERROR is never answered by an ERROR
                self._refuse(datagram, tftp.UNKNOWN_TID, "unknown transfer", "unknown-transfer", sock)

    def _send(self, session: _Session, data: bytes) -> None:
        if session.transfer.done:
            self._end(session, session.transfer.outcome)
            return
        if not data:
            return
        try:
            udp.send(session.sock, data, *session.peer, session.source)
        except OSError as error:
            log.info("tftp=unsent client=%s:%d reason=%r", *session.peer, error.strerror)
        session.deadline = time.monotonic() + session.transfer.wait_s
        if session.timer is None:
            self._arm(session)

    def _arm(self, session: _Session) -> None:
        wait_s = max(0.0, session.deadline - time.monotonic())
        session.timer = asyncio.get_running_loop().call_later(wait_s, self._due, session)

    def _due(self, session: _Session) -> None:
        # The timer is not moved for every block: it looks at the deadline when it rings.
        session.timer = None
        if session.deadline > time.monotonic():
            self._arm(session)
        else:
            self._send(session, session.transfer.expire())

    def _end(self, session: _Session, outcome: str) -> None:
        if session.timer is not None:
            session.timer.cancel()
        session.served.file.close()
        if self._sessions.get(session.peer) is session:
            del self._sessions[session.peer]
            self._per_address[session.peer[0]] -= 1
            if not self._per_address[session.peer[0]]:
                del self._per_address[session.peer[0]]
        log.info(
            "tftp=end client=%s:%d file=%r outcome=%s bytes=%d ms=%d",
            *session.peer,
            session.name,
            outcome,
            session.served.size_bytes if outcome == "complete" else session.transfer.sent_bytes,
            (time.monotonic() - session.began_at) * 1000,
        )

    def _refuse(
        self, datagram: udp.Datagram, code: int, text: str, reason: str, sock: socket.socket | None = None
    ) -> None:
        log.info("tftp=refused client=%s:%d reason=%s", datagram.source, datagram.source_port, reason)
        data = tftp.encode(tftp.Error(code, text))
        try:
            udp.send(sock or self._data[0], data, datagram.source, datagram.source_port, datagram.target)
        except OSError as error:
            log.info("tftp=unsent client=%s reason=%r", datagram.source, error.strerror)


def _file_name(name: str) -> str:
    # Windows loaders ask with backslashes; other octets reach the file system as they came.
    return os.fsdecode(name.replace("\\", "/").encode("latin-1"))
