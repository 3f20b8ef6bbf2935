"""Cuts the edge's HTTP in mid-file: a TCP reset in the machine's name, once a connection delivered enough.

It listens on the machine's taps, so it sees what the machine sends: acknowledgements that tell how far a
transfer is, and the sequence number at which the edge takes a reset as genuine (RFC 9293 section 3.5.2). The
edge's kernel ends the connection at once, and answers what the machine sends next with a reset of its own.
Both ends see what they see when a dying server cuts them off. No firewall of the host is needed.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lab import enter
from lab.definition import MachineDefinition
from lab.network import EDGE_ADDRESS, EDGE_MAC, EDGE_PORT_OF_SWITCH, SWITCH, tap

ETH_P_ALL = 3
"""Any other protocol is heard after the bridge has taken the frame: never."""
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
TCP = 6
RST = 0x04
SYN = 0x02
ACK = 0x10
HEADER_BYTES = 14 + 60 + 60
EDGE_IP: bytes = socket.inet_aton(EDGE_ADDRESS)
EDGE_HARDWARE = bytes.fromhex(EDGE_MAC.replace(":", ""))


@dataclass(frozen=True)
class Segment:
    """One TCP segment from the machine to the edge."""

    source_mac: bytes
    source: bytes
    port: int
    edge_port: int
    sequence: int
    """Of the byte after this segment: where the edge expects the next one."""
    acknowledged: int
    opening: bool


def parse(frame: bytes) -> Segment | None:
    """The segment in an Ethernet frame; None for anything else, whole or damaged."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != TCP:
        return None
    ip = frame[14:]
    header = (ip[0] & 15) * 4
    total = int.from_bytes(ip[2:4], "big")
    if ip[0] >> 4 != 4 or header < 20 or len(ip) < header + 20:
        return None
    source_port, edge_port, sequence, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", ip, header)
    payload = max(0, total - header - (offset >> 4) * 4)
    after = (sequence + payload + bool(flags & SYN)) & 0xFFFFFFFF
    if ip[16:20] != EDGE_IP:
        return None
    return Segment(frame[6:12], ip[12:16], source_port, edge_port, after, acknowledged, bool(flags & SYN))


def reset(segment: Segment) -> bytes:
    """The frame, in the machine's name, that makes the edge give the segment's connection up."""
    tcp = _tcp(segment.port, segment.edge_port, segment.sequence, 0, RST)
    return EDGE_HARDWARE + segment.source_mac + _ip(segment.source, EDGE_IP, tcp)


def probe(segment: Segment) -> bytes:
    """The frame, in the edge's name, that makes the machine say where it is: a keep-alive.

    A machine that only receives would never learn that the edge is gone. Its answer meets no connection
    there, and the edge's kernel resets it.
    """
    before = (segment.acknowledged - 1) & 0xFFFFFFFF
    tcp = _tcp(segment.edge_port, segment.port, before, segment.sequence, ACK)
    return segment.source_mac + EDGE_HARDWARE + _ip(EDGE_IP, segment.source, tcp)


def _tcp(source: int, target: int, sequence: int, acknowledged: int, flags: int) -> bytes:
    return struct.pack(">HHIIBBHHH", source, target, sequence, acknowledged, 5 << 4, flags, 1024, 0, 0)


def _ip(source: bytes, target: bytes, tcp: bytes) -> bytes:
    """An IPv4 packet with its type field before it, and both checksums in it."""
    pseudo = source + target + struct.pack(">BBH", 0, TCP, len(tcp))
    tcp = tcp[:16] + checksum(pseudo + tcp) + tcp[18:]
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, TCP, 0) + source + target
    return b"\x08\x00" + ip[:10] + checksum(ip) + ip[12:] + tcp


def checksum(data: bytes) -> bytes:
    """RFC 1071."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


class Progress:
    """How far each connection is, and which is due to be cut."""

    def __init__(self, port: int, after_bytes: int) -> None:
        self._port = port
        self._after = after_bytes
        self._first: dict[tuple[bytes, int], int] = {}
        self._cut: set[tuple[bytes, int]] = set()

    def due(self, segment: Segment) -> bool:
        """Note a segment; whether its connection has delivered enough and was not cut before."""
        key = (segment.source, segment.port)
        if segment.edge_port != self._port:
            return False
        if segment.opening:
            self._first.pop(key, None)
            self._cut.discard(key)
            return False
        first = self._first.setdefault(key, segment.acknowledged)
        if key in self._cut or (segment.acknowledged - first) & 0xFFFFFFFF < self._after:
            return False
        self._cut.add(key)
        return True


class Cutter:
    """Watches a machine's network cards until it has cut the connections it is to cut."""

    def __init__(
        self,
        definition: MachineDefinition,
        *,
        port: int,
        after_bytes: int,
        times: int,
        on_done: Callable[[], None],
        log: Callable[[str], None],
    ) -> None:
        self._taps = [tap(definition.name, index) for index in range(len(definition.nics))]
        self._progress = Progress(port, after_bytes)
        self._left = times
        self._on_done = on_done
        self._log = log
        self._ears: list[socket.socket] = []
        self._mouth: socket.socket | None = None

    def start(self) -> None:
        """Listen from now on."""
        *self._ears, self._mouth = _packet_sockets([*self._taps, EDGE_PORT_OF_SWITCH])
        for ear in self._ears:
            asyncio.get_running_loop().add_reader(ear, self._heard, ear)

    def close(self) -> None:
        """Stop; nothing when it has stopped."""
        for ear in self._ears:
            asyncio.get_running_loop().remove_reader(ear)
            ear.close()
        if self._mouth is not None:
            self._mouth.close()
        self._ears, self._mouth = [], None

    def _heard(self, ear: socket.socket) -> None:
        segment = parse(ear.recv(HEADER_BYTES))
        if segment is None or self._mouth is None or not self._progress.due(segment):
            return
        self._mouth.send(reset(segment))
        ear.send(probe(segment))
        self._left -= 1
        self._log(f"cut the HTTP connection from port {segment.port}")
        if self._left <= 0:
            self.close()
            self._on_done()


def _packet_sockets(interfaces: list[str]) -> list[socket.socket]:
    """Packet sockets in the switch's network namespace; made in a thread, which alone joins it."""
    made: list[socket.socket] = []
    failures: list[OSError] = []

    def make() -> None:
        try:
            enter.join_netns(SWITCH)
            for interface in interfaces:
                made.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                made[-1].setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
                made[-1].bind((interface, ETH_P_ALL))
                made[-1].setblocking(False)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if failures:
        for each in made:
            each.close()
        raise failures[0]
    return made
