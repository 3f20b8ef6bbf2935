"""DHCP messages as the tests write and read them: a second codec, so that ours is not its own witness.

It keeps what a server's codec may forget: the order of options, whether one came twice, the octets
behind END, the port and hardware addresses of the frame. RFC 2131 section 2, RFC 3396.
"""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
NAMES = dict(enumerate(["DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"], 1))
COOKIE = bytes.fromhex("63825363")
BROADCAST_MAC = b"\xff" * 6
NOBODY, EVERYBODY = "0.0.0.0", "255.255.255.255"
_KEPT = 1600
_BUFFER_BYTES = 16 << 20
"""Of a machine that loads its files thousands of frames pass while this process is not given a processor."""
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_TIMESPEC = struct.Struct("@qq")
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")


@dataclass(frozen=True)
class Message:
    """One DHCP message, and how it was seen on the wire; `order` has a code as often as it came."""

    op: int = 1
    xid: int = 0
    mac: bytes = b""
    flags: int = 0
    ciaddr: str = NOBODY
    yiaddr: str = NOBODY
    siaddr: str = NOBODY
    giaddr: str = NOBODY
    hops: int = 0
    secs: int = 0
    htype: int = 1
    hlen: int = 6
    sname: bytes = b""
    file: bytes = b""
    options: dict[int, bytes] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    size: int = 0
    at: float = 0.0
    source: str = NOBODY
    source_port: int = 0
    target: str = EVERYBODY
    target_port: int = 0
    target_mac: bytes = BROADCAST_MAC

    @property
    def kind(self):
        """The name of the message type."""
        return NAMES.get(self.options.get(53, b"\0")[0], "none")

    def address(self, code):
        """An option as one address."""
        return str(IPv4Address(self.options[code])) if len(self.options.get(code, b"")) == 4 else None


def encode(message):
    """Write a message: options in their order, split by RFC 3396, END, and no padding."""
    addresses = (message.ciaddr, message.yiaddr, message.siaddr, message.giaddr)
    head = _HEADER.pack(
        message.op,
        message.htype,
        message.hlen,
        message.hops,
        message.xid,
        message.secs,
        message.flags,
        *(IPv4Address(a).packed for a in addresses),
        message.mac,
        message.sname,
        message.file,
        COOKIE,
    )
    body = b""
    for code, value in message.options.items():
        for at in range(0, max(1, len(value)), 255):
            part = value[at : at + 255]
            body += bytes((code, len(part))) + part
    return head + body + b"\xff"


def decode(data, **seen):
    """Read a message; what breaks the rules of the wire raises ValueError."""
    op, htype, hlen, hops, xid, secs, flags, *rest = _HEADER.unpack_from(data)
    ciaddr, yiaddr, siaddr, giaddr = (str(IPv4Address(a)) for a in rest[:4])
    mac, sname, file, cookie = rest[4:]
    if cookie != COOKIE:
        raise ValueError(f"cookie {cookie.hex()}")
    options, order = {}, []
    _read(data[_HEADER.size :], options, order)
    overload = options.get(52, b"\0")[0]
    for bit, area in ((1, file), (2, sname)):
        if overload & bit:
            _read(area, options, order)
    return Message(
        op=op,
        xid=xid,
        mac=mac[:hlen],
        flags=flags,
        ciaddr=ciaddr,
        yiaddr=yiaddr,
        siaddr=siaddr,
        giaddr=giaddr,
        hops=hops,
        secs=secs,
        htype=htype,
        hlen=hlen,
        sname=b"" if overload & 2 else sname.split(b"\0")[0],
        file=b"" if overload & 1 else file.split(b"\0")[0],
        options=options,
        order=tuple(order),
        size=len(data),
        **seen,
    )


def _read(area, options, order):
    at = 0
    while at < len(area) and area[at] != 255:
        if area[at] == 0:
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            raise ValueError(f"option {area[at]} runs past the end")
        value = area[at + 2 : at + 2 + area[at + 1]]
        options[area[at]] = options.get(area[at], b"") + value
        order.append(area[at])
        at += 2 + len(value)


def frame(payload, *, source, target, ports, source_mac, target_mac=BROADCAST_MAC):
    """An Ethernet frame with UDP over IPv4; the UDP checksum is left out, as RFC 768 allows."""
    source, target = IPv4Address(source).packed, IPv4Address(target).packed
    udp = struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, target)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return target_mac + source_mac + b"\x08\x00" + head[:10] + struct.pack("!H", checksum) + head[12:] + udp


def datagram(data):
    """The UDP datagram of a frame: (target MAC, source, target, ports, payload), or None."""
    if data[12:14] != b"\x08\x00" or len(data) < 42 or data[23] != 17:
        return None
    size = 4 * (data[14] & 15)
    source, target = str(IPv4Address(data[26:30])), str(IPv4Address(data[30:34]))
    source_port, target_port, length = struct.unpack_from("!HHH", data, 14 + size)
    return data[:6], source, target, (source_port, target_port), data[14 + size + 8 : 14 + size + length]


class Watch:
    """Everything that passes an interface, kept with its time; `wait` is how tests wait for a packet.

    Times are the kernel's, of when a frame passed: this process may be given a processor much later.
    """

    def __init__(self, sock):
        """Listen on a packet socket that is bound to its interface."""
        self.frames = []
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        with contextlib.suppress(PermissionError):  # under a user namespace of an old kernel
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._sock = sock
        self._more = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self):
        """End."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._sock.close()

    def dhcp(self):
        """All DHCP messages so far, in order."""
        found = []
        for at, data in list(self.frames):
            parts = datagram(data)
            if parts is None or not {67, 68, 4011} & set(parts[3]):
                continue
            mac, source, target, ports, payload = parts
            with contextlib.suppress(ValueError, struct.error):
                seen = {"at": at, "source": source, "target": target, "target_mac": mac}
                found.append(decode(payload, source_port=ports[0], target_port=ports[1], **seen))
        return found

    def times(self, *octets):
        """When a frame with all of these octets passed, each time."""
        return [at for at, data in list(self.frames) if all(part in data for part in octets)]

    def wait(self, wanted, timeout=10.0, what="a message"):
        """The first DHCP message that `wanted` says yes to; fails after the time."""
        return self.wait_all(lambda seen: next((m for m in seen if wanted(m)), None), timeout, what)

    def wait_all(self, found, timeout=10.0, what="messages"):
        """What `found` makes of all messages, once that is something."""
        deadline = time.monotonic() + timeout
        while True:
            count = len(self.frames)
            if (result := found(self.dhcp())) is not None:
                return result
            with self._more:
                left = deadline - time.monotonic()
                if left <= 0:
                    seen = [f"{m.kind} {m.source}->{m.target} {m.mac.hex(':')}" for m in self.dhcp()]
                    raise AssertionError(f"{what} did not come within {timeout} s; seen: {seen}")
                self._more.wait_for(lambda seen=count: len(self.frames) > seen, left)

    def _listen(self):
        self._sock.settimeout(0.2)
        while not self._ended:
            try:
                data, told, _, _ = self._sock.recvmsg(65536, socket.CMSG_SPACE(_TIMESPEC.size))
            except TimeoutError:
                continue
            except OSError:
                return
            with self._more:
                self.frames.append((_passed_at(told), data[:_KEPT]))
                self._more.notify_all()


def _passed_at(told):
    """When a frame passed, by what came with it."""
    ((_, _, stamp),) = told
    seconds, nanoseconds = _TIMESPEC.unpack(stamp)
    return seconds + nanoseconds / 1e9
