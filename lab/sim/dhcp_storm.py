"""DHCP clients by the thousand behind one relay: DISCOVER to ACK, INIT-REBOOT, retransmission.

One socket, one thread. The relay's port is its own (RFC 8357), so that generator and edge may share a
network namespace. Messages are put together here and not by the edge's codec: it would forgive itself.
"""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Literal

from lab.sim.lease_witness import LeaseWitness

State = Literal["discovering", "requesting", "rebooting", "bound", "gave-up"]
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
WINDOW: Final = 200
"""Clients at once."""
RETRY_S: Final = (1.0, 2.0, 4.0)
"""Back-off as clients have it; the last one goes on."""
TRIES: Final = 12
"""Some forty seconds: a busy computer is no broken promise."""
_HEAD: Final = struct.Struct("!BBBBIHHIIII16s192s4s")
_COOKIE: Final = b"\x63\x82\x53\x63"
_RELAY: Final = bytes((82, 4 + 10, 19, 2, 0, 0)) + b"\x01\x08eth0/042"
_WANTED: Final = bytes((55, 5, 1, 3, 6, 51, 54))
_NUMBER_BITS: Final = 20
_AT_ONCE: Final = 16
_TURN_S: Final = 0.005
_LAST_WORDS_S: Final = 0.1
_RECEIVE_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client reads of a reply."""

    kind: int
    xid: int
    address: int
    server: bytes
    lease_s: int


@dataclass(slots=True)
class Client:
    """One machine's DHCP client."""

    number: int
    life: int = 0
    """How often it was started: part of its transaction ids, so that no answer counts for a later life."""
    state: State = "discovering"
    wish: int = 0
    """The address asked for: offered, or its own since an earlier ACK."""
    server: bytes = b""
    tries: int = 0
    due: float = 0.0

    @property
    def mac(self) -> str:
        """Its hardware address, made from its number."""
        return (0x02AA_0000_0000 + self.number).to_bytes(6, "big").hex(":")

    @property
    def xid(self) -> int:
        """The transaction id of this life."""
        return (self.life & 0xFFF) << _NUMBER_BITS | self.number

    def reboot(self, address: int) -> None:
        """Start anew and ask for the address that it had (INIT-REBOOT, RFC 2131 section 4.3.2)."""
        self.life += 1
        self.state, self.tries, self.server, self.wish = "rebooting", 0, b"", address

    def restart(self) -> None:
        """Start anew as firmware does, without memory of an address."""
        self.life += 1
        self.state, self.tries, self.server, self.wish = "discovering", 0, b"", 0

    def go_on(self) -> None:
        """Ask for what was offered, as if nothing had happened to the server."""
        self.tries = 0

    def message(self, relay: int) -> bytes:
        """What it sends in its state."""
        options = bytes((53, 1, DISCOVER if self.state == "discovering" else REQUEST))
        if self.state != "discovering":
            options += bytes((50, 4)) + self.wish.to_bytes(4, "big")
        if self.state == "requesting":
            options += bytes((54, 4)) + self.server
        chaddr = (0x02AA_0000_0000 + self.number).to_bytes(6, "big").ljust(16, b"\0")
        head = _HEAD.pack(1, 1, 6, 1, self.xid, 0, 0, 0, 0, 0, relay, chaddr, b"", _COOKIE)
        return head + options + _WANTED + _RELAY + b"\xff"


def read(data: bytes) -> Answer | None:
    """A server's answer; None for anything else."""
    if len(data) <= _HEAD.size or data[0] != 2 or data[_HEAD.size - 4 : _HEAD.size] != _COOKIE:
        return None
    kind, server, lease_s, at = 0, b"", 0, _HEAD.size
    while at + 1 < len(data) and data[at] != 0xFF:
        if data[at] == 0:
            at += 1
            continue
        code, value = data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
        match code:
            case 53:
                kind = value[0]
            case 54:
                server = value
            case 51:
                lease_s = int.from_bytes(value, "big")
    return Answer(kind, int.from_bytes(data[4:8], "big"), int.from_bytes(data[16:20], "big"), server, lease_s)


class Storm:
    """Runs clients against a server, and tells a witness what they were told."""

    def __init__(
        self,
        relay: IPv4Address,
        server: IPv4Address,
        witness: LeaseWitness,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._relay = int(relay)
        self._server = (str(server), 67)
        self._witness = witness
        self._clock = clock
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._sock.bind((str(relay), 0))
        self._sock.setblocking(False)
        self._flying: dict[int, Client] = {}

    def run(
        self,
        clients: Iterable[Client],
        *,
        struck: Callable[[int], bool] = lambda _acked: False,
        patience_s: float = 180.0,
    ) -> int:
        """Bring clients to an answer, WINDOW at once; how many were ACKed.

        `struck` is asked all the time with the ACKs so far: once it is true, the server is dead. What it
        sent before is taken in, since it is promised, and clients in flight stay as they are.
        """
        waiting = deque(clients)
        acked_before = self._witness.acks
        deadline = time.monotonic() + patience_s
        while (waiting or self._flying) and time.monotonic() < deadline:
            while waiting and len(self._flying) < WINDOW:
                self._start(waiting.popleft())
            self._receive(_TURN_S, _AT_ONCE)
            self._retransmit()
            if struck(self._witness.acks - acked_before):
                while self._receive(_LAST_WORDS_S, _AT_ONCE):
                    pass
                self._flying.clear()
                break
        for client in list(self._flying.values()):
            self._give_up(client)
        return self._witness.acks - acked_before

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def _start(self, client: Client) -> None:
        self._flying[client.number] = client
        self._send(client)

    def _send(self, client: Client) -> None:
        client.due = time.monotonic() + RETRY_S[min(client.tries, len(RETRY_S) - 1)]
        client.tries += 1
        try:
            self._sock.sendto(client.message(self._relay), self._server)
        except OSError:  # the buffer is full, or nobody listens: it asks again
            return

    def _receive(self, wait_s: float, most: int) -> int:
        if not select.select([self._sock], [], [], wait_s)[0]:
            return 0
        for count in range(most):
            try:
                data = self._sock.recv(2048)
            except BlockingIOError:
                return count
            answer = read(data)
            client = self._flying.get(answer.xid & ((1 << _NUMBER_BITS) - 1)) if answer is not None else None
            if answer is not None and client is not None and client.xid == answer.xid:
                self._take(client, answer)
        return most

    def _take(self, client: Client, answer: Answer) -> None:
        now, address = self._clock(), str(IPv4Address(answer.address))
        if answer.kind == OFFER and client.state == "discovering":
            self._witness.offered(client.mac, address, now)
            client.state, client.wish, client.server, client.tries = (
                "requesting",
                answer.address,
                answer.server,
                0,
            )
            self._send(client)
        elif answer.kind == ACK and client.state in ("requesting", "rebooting"):
            self._witness.acked(client.mac, address, answer.lease_s, now)
            client.state, client.wish = "bound", answer.address
            del self._flying[client.number]
        elif answer.kind == NAK and client.state in ("requesting", "rebooting"):
            # A NAK of an offer that died with the edge is in order; one of a promise is not.
            self._witness.refused(client.mac, now)
            client.restart()
            self._send(client)

    def _retransmit(self) -> None:
        now = time.monotonic()
        for client in [c for c in self._flying.values() if c.due <= now]:
            if client.tries >= TRIES:
                self._give_up(client)
            else:
                self._send(client)

    def _give_up(self, client: Client) -> None:
        self._witness.silent(client.mac, self._clock())
        client.state = "gave-up"
        del self._flying[client.number]
