"""DHCPv6 messages as the tests read them off the wire: a second codec, so that ours is not its own witness.

RFC 8415 sections 8 and 9; router advertisements by RFC 4861 section 4.2.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

NAMES = {
    1: "SOLICIT", 2: "ADVERTISE", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 7: "REPLY",
    8: "RELEASE", 9: "DECLINE", 11: "INFORMATION-REQUEST", 12: "RELAY-FORW", 13: "RELAY-REPL",
}  # fmt: skip
_IPV6 = b"\x86\xdd"
_UDP, _ICMPV6 = 17, 58
_ADVERTISEMENT = 134


@dataclass(frozen=True)
class Message6:
    """One message as it passed; `options` is (code, value) in order, `inner` what a relay wrapped."""

    at: float
    kind: str
    source: str
    target: str
    ports: tuple[int, int]
    options: tuple
    inner: "Message6 | None" = None

    def option(self, code):
        """The first option of a code."""
        return next((value for found, value in self.options if found == code), None)

    @property
    def address(self):
        """The first address of its first IA_NA."""
        value = self.option(3)
        inside = dict(_options(value[12:])) if value else {}
        return str(IPv6Address(inside[5][:16])) if 5 in inside else None


def messages(watch):
    """All DHCPv6 messages that a watch has seen."""
    found = []
    for at, data in list(watch.frames):
        parts = _payload(data, _UDP)
        if parts is None:
            continue
        source, target, udp = parts
        ports = struct.unpack_from("!HH", udp)
        if {546, 547} & set(ports):
            found.append(_message(udp[8:], at=at, source=source, target=target, ports=ports))
    return found


def advertisements(watch):
    """(time, flags, prefixes on the link) of all router advertisements."""
    found = []
    for at, data in list(watch.frames):
        parts = _payload(data, _ICMPV6)
        if parts is None or parts[2][0] != _ADVERTISEMENT:
            continue
        body = parts[2]
        prefixes, rest = [], body[16:]
        while len(rest) >= 8 and rest[1]:
            if rest[0] == 3 and rest[3] & 0x80:
                prefixes.append(f"{IPv6Address(rest[16:32])}/{rest[2]}")
            rest = rest[8 * rest[1] :]
        found.append((at, body[5], prefixes))
    return found


def decode(data):
    """One message that a test received itself."""
    return _message(data, at=0.0, source="", target="", ports=(547, 547))


def option(code, value):
    """One option as octets."""
    return struct.pack("!HH", code, len(value)) + value


def wrapped(message, *options, hops=0, link="::", peer="fe80::2"):
    """A relay-forward around a message, with options of the relay's."""
    head = struct.pack("!BB", 12, hops) + IPv6Address(link).packed + IPv6Address(peer).packed
    return head + b"".join(options) + option(9, message)


def _payload(data, protocol):
    if data[12:14] != _IPV6 or len(data) < 62 or data[20] != protocol:
        return None
    return str(IPv6Address(data[22:38])), str(IPv6Address(data[38:54])), data[54:]


def _message(data, **seen):
    kind = NAMES.get(data[0], str(data[0]))
    if data[0] in (12, 13):
        options = _options(data[34:])
        return Message6(kind=kind, options=options, inner=_message(dict(options)[9], **seen), **seen)
    return Message6(kind=kind, options=_options(data[4:]), **seen)


def _options(data):
    found, at = [], 0
    while at < len(data):
        code, size = struct.unpack_from("!HH", data, at)
        found.append((code, data[at + 4 : at + 4 + size]))
        at += 4 + size
    return tuple(found)
