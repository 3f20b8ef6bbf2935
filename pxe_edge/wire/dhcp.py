"""The DHCPv4 packet: 236 octets of BOOTP, a cookie, options (RFC 951, 2131, 2132, 3396).

Theory of operation. Decoding walks the option area, then `file` and `sname` where option 52 says
that they hold options too, and joins repeated options in that order (RFC 3396 section 5), so that a
`Packet` has each option once, whole. Encoding is the reverse: values above 255 octets are split,
what does not fit goes into `file` and `sname` when those are free (RFC 2131 section 4.1), and what
still does not fit is named, never cut. Option 82 is not touched by any of it: its octets are kept as
they came, it is written last, and never into an overloaded field (RFC 3046 section 2.2).

Addresses are plain 32-bit integers here: an `IPv4Address` costs as much as a third of the decoding.
`options.dotted` writes one as text. What answers a DISCOVER or REQUEST is not encoded from a `Packet`
but filled into a `wire.forms.Form`, octet for octet the same (a property test compares them).

An option whose length points past the end of its area drops the whole packet: what follows can't be
trusted, and a relay's option 82 is usually what follows.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pxe_edge.wire.errors import WireError

BOOTREQUEST: Final = 1
BOOTREPLY: Final = 2
BROADCAST_FLAG: Final = 0x8000

DISCOVER: Final = 1
OFFER: Final = 2
REQUEST: Final = 3
DECLINE: Final = 4
ACK: Final = 5
NAK: Final = 6
RELEASE: Final = 7
INFORM: Final = 8

MESSAGE_NAMES: Final[Mapping[int, str]] = {
    DISCOVER: "DISCOVER",
    OFFER: "OFFER",
    REQUEST: "REQUEST",
    DECLINE: "DECLINE",
    ACK: "ACK",
    NAK: "NAK",
    RELEASE: "RELEASE",
    INFORM: "INFORM",
}

PAD: Final = 0
OVERLOAD: Final = 52
RELAY_AGENT: Final = 82
END: Final = 255

COOKIE: Final = bytes.fromhex("63825363")
MINIMUM_REPLY_BYTES: Final = 300
"""A BOOTP message has 300 octets; relays may drop what is shorter (RFC 1542 section 2.1)."""
UDP_HEADERS_BYTES: Final = 28
"""IPv4 and UDP header: option 57 and an MTU count them (RFC 2131 section 2)."""

_FIXED: Final = struct.Struct("!BBBBIHHIIII16s")
_SNAME_AT: Final = _FIXED.size
_FILE_AT: Final = _SNAME_AT + 64
_COOKIE_AT: Final = _FILE_AT + 128
OPTIONS_AT: Final = _COOKIE_AT + len(COOKIE)
_MAX_HLEN: Final = 16
_FILE_BYTES: Final = 128
_SNAME_BYTES: Final = 64
_PART_BYTES: Final = 255


@dataclass(slots=True, init=False)
class Packet:
    """One DHCPv4 message; `options` keeps the order of first appearance, each code once and whole.

    Not frozen, because a frozen one takes twice as long to make; nobody changes one all the same. What is
    made once per packet writes its `__init__` out, because a dataclass's own stays slow when compiled.
    """

    op: int
    xid: int
    chaddr: bytes
    """The first `hlen` octets; hlen is its length."""
    htype: int
    hops: int
    secs: int
    flags: int
    ciaddr: int
    yiaddr: int
    siaddr: int
    giaddr: int
    sname: bytes
    file: bytes
    options: Mapping[int, bytes]

    def __init__(  # noqa: PLR0917 - one value for each field
        self,
        op: int,
        xid: int,
        chaddr: bytes,
        htype: int = 1,
        hops: int = 0,
        secs: int = 0,
        flags: int = 0,
        ciaddr: int = 0,
        yiaddr: int = 0,
        siaddr: int = 0,
        giaddr: int = 0,
        sname: bytes = b"",
        file: bytes = b"",
        options: Mapping[int, bytes] | None = None,
    ) -> None:
        self.op = op
        self.xid = xid
        self.chaddr = chaddr
        self.htype = htype
        self.hops = hops
        self.secs = secs
        self.flags = flags
        self.ciaddr = ciaddr
        self.yiaddr = yiaddr
        self.siaddr = siaddr
        self.giaddr = giaddr
        self.sname = sname
        self.file = file
        self.options = {} if options is None else options

    @property
    def message_type(self) -> int | None:
        """Option 53, or None: then it is BOOTP, or damaged."""
        value = self.options.get(53, b"")
        return value[0] if len(value) == 1 else None

    @property
    def broadcast(self) -> bool:
        """The client can't yet take unicast (RFC 2131 section 4.1)."""
        return bool(self.flags & BROADCAST_FLAG)

    def address_option(self, code: int) -> int | None:
        """An option that is exactly one address, such as 50 and 54; None if absent or of another length."""
        value = self.options.get(code)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else None


def decode(data: bytes) -> Packet:
    """Read a message of either direction; raise WireError for everything that is none."""
    if len(data) < OPTIONS_AT:
        raise WireError(f"DHCP: {len(data)} octets, expected at least {OPTIONS_AT}")
    if data[_COOKIE_AT:OPTIONS_AT] != COOKIE:
        raise WireError(f"DHCP: cookie at octet {_COOKIE_AT} is not {COOKIE.hex()}")
    op, htype, hlen, hops, xid, secs, flags, ci, yi, si, gi, chaddr = _FIXED.unpack_from(data)
    if op not in (BOOTREQUEST, BOOTREPLY):
        raise WireError(f"DHCP: op {op} at octet 0, expected 1 or 2")
    if hlen > _MAX_HLEN:
        raise WireError(f"DHCP: hlen {hlen} at octet 2, expected at most {_MAX_HLEN}")
    found: dict[int, bytes] = {}
    _walk(data, OPTIONS_AT, len(data), found)
    fields = _overloaded(data, found) if OVERLOAD in found else 0
    # Most clients leave both fields empty: one look at the first octet tells.
    sname = b"" if fields & 2 or not data[_SNAME_AT] else data[_SNAME_AT:_FILE_AT].partition(b"\0")[0]
    file = b"" if fields & 1 or not data[_FILE_AT] else data[_FILE_AT:_COOKIE_AT].partition(b"\0")[0]
    return Packet(
        op, xid, chaddr[:hlen], htype, hops, secs, flags, ci, yi, si, gi, sname, file, found
    )  # fmt: skip


def _overloaded(data: bytes, found: dict[int, bytes]) -> int:
    # Reads the options in file and sname, in this order (RFC 3396 section 5); which fields held some.
    told = found.pop(OVERLOAD)
    fields = told[0] if len(told) == 1 else 0
    if fields & 1:
        _walk(data[_FILE_AT:_COOKIE_AT], 0, _FILE_BYTES, found)
    if fields & 2:
        _walk(data[_SNAME_AT:_FILE_AT], 0, _SNAME_BYTES, found)
    found.pop(OVERLOAD, None)  # one inside file or sname means nothing
    return fields


def _walk(area: bytes, at: int, end: int, found: dict[int, bytes]) -> None:
    # One option area; a missing END is tolerated, a length past the end is not (see the module's head).
    while at < end:
        code = area[at]
        if code == END:
            return
        if code == PAD:
            at += 1
            continue
        value_at = at + 2
        past = value_at + area[at + 1] if value_at <= end else end + 1
        if past > end:
            raise WireError(f"DHCP: option {code} at octet {at} runs past the end of its area ({end})")
        if code in found:
            found[code] += area[value_at:past]  # RFC 3396 section 7
        else:
            found[code] = area[value_at:past]
        at = past


@dataclass(frozen=True, slots=True)
class Encoded:
    """A message ready to send, and the options that found no room in it."""

    data: bytes
    dropped: tuple[int, ...] = ()


def encode(packet: Packet, max_bytes: int = 1472, keep: Iterable[int] = ()) -> Encoded:
    """Write a message of at most `max_bytes` and at least 300 octets.

    Options are written in their order; those in `keep` get their room first. Raises WireError when a
    field can't be expressed at all (hlen above 16, file above 127 octets).
    """
    _check(packet)
    room = max_bytes - OPTIONS_AT - 1  # the END octet
    relay = tlv(RELAY_AGENT, packet.options[RELAY_AGENT]) if RELAY_AGENT in packet.options else b""
    parts = {code: tlv(code, value) for code, value in packet.options.items() if code != RELAY_AGENT}
    dropped: list[int] = []
    first = set(keep) & parts.keys()
    if sum(len(parts[code]) for code in first) + len(relay) > room:
        dropped += [RELAY_AGENT] if relay else []
        relay = b""
    main, file, sname, overload = _place(packet, parts, first, room - len(relay), dropped)
    if overload:
        main.append(bytes((OVERLOAD, 1, overload)))
    body = b"".join(main) + relay + bytes((END,))
    data = header(packet) + sname.ljust(_SNAME_BYTES, b"\0") + file.ljust(_FILE_BYTES, b"\0") + COOKIE + body
    return Encoded(data.ljust(MINIMUM_REPLY_BYTES, b"\0"), tuple(dropped))


def header(packet: Packet) -> bytes:
    """The 44 octets before sname."""
    return _FIXED.pack(
        packet.op,
        packet.htype,
        len(packet.chaddr),
        packet.hops,
        packet.xid,
        packet.secs,
        packet.flags,
        packet.ciaddr,
        packet.yiaddr,
        packet.siaddr,
        packet.giaddr,
        packet.chaddr,
    )


def reply_header(request: Packet, flags: int, ciaddr: int, yiaddr: int, siaddr: int) -> bytes:
    """The 44 octets of an answer: what RFC 2131 table 3 copies from the request, and the addresses."""
    chaddr = request.chaddr
    return _FIXED.pack(
        BOOTREPLY, request.htype, len(chaddr), 0, request.xid, 0, flags, ciaddr, yiaddr, siaddr,
        request.giaddr, chaddr,
    )  # fmt: skip


def _check(packet: Packet) -> None:
    if len(packet.chaddr) > _MAX_HLEN:
        raise WireError(f"DHCP: chaddr has {len(packet.chaddr)} octets, at most {_MAX_HLEN} fit")
    if len(packet.file) >= _FILE_BYTES or len(packet.sname) >= _SNAME_BYTES:
        raise WireError(
            f"DHCP: file has {len(packet.file)} octets and sname {len(packet.sname)}; "
            f"at most {_FILE_BYTES - 1} and {_SNAME_BYTES - 1} fit"
        )


def _place(
    packet: Packet, parts: Mapping[int, bytes], first: set[int], room: int, dropped: list[int]
) -> tuple[list[bytes], bytes, bytes, int]:
    # Main area, file, sname and the value of option 52. Only what overflows goes into a free field.
    if sum(map(len, parts.values())) <= room:
        return list(parts.values()), packet.file, packet.sname, 0
    room -= 3  # option 52 itself
    reserved = sum(len(parts[code]) for code in first)
    main: list[bytes] = []
    spare = {1: (b"", _FILE_BYTES - 1), 2: (b"", _SNAME_BYTES - 1)}
    if packet.file:
        del spare[1]
    if packet.sname:
        del spare[2]
    used = 0
    for code, part in parts.items():
        if code in first:
            reserved -= len(part)
        if used + reserved + len(part) <= room:
            main.append(part)
            used += len(part)
            continue
        for bit, (area, size) in spare.items():
            if len(area) + len(part) <= size:
                spare[bit] = (area + part, size)
                break
        else:
            dropped.append(code)
    filled = {bit: area + bytes((END,)) for bit, (area, _) in spare.items() if area}
    return main, filled.get(1, packet.file), filled.get(2, packet.sname), sum(filled)


def tlv(code: int, value: bytes) -> bytes:
    """Write one option; above 255 octets as several of one code, one after the other (RFC 3396 section 7)."""
    if not 0 < code < END:
        raise WireError(f"DHCP: {code} is no option code that carries a value")
    if len(value) <= _PART_BYTES:
        return bytes((code, len(value))) + value
    parts = (value[at : at + _PART_BYTES] for at in range(0, len(value), _PART_BYTES))
    return b"".join(bytes((code, len(part))) + part for part in parts)
