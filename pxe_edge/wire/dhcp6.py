"""The DHCPv6 message, and the relays it came through (RFC 8415 sections 7 to 9 and 21).

Theory of operation. A client's message is a type, 24 bits of transaction and options, each a 16-bit
code, a 16-bit length and a value; codes may repeat. A relay wraps what it forwards as option 9 of a
message of its own, and so does the next relay. Decoding peels these off: a `Message` is always the
client's, and `relays` lists who forwarded it, outermost first. Encoding wraps again. What is kept:
every option with its octets and its place, so that an interface-id goes back as it came.

Bounds: the nesting by RFC 8415 section 7.6, the options of one area, and 64 KiB by UDP. A length that
points past the end drops the whole message: what follows it can't be trusted.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.wire.errors import WireError

SOLICIT: Final = 1
ADVERTISE: Final = 2
REQUEST: Final = 3
CONFIRM: Final = 4
RENEW: Final = 5
REBIND: Final = 6
REPLY: Final = 7
RELEASE: Final = 8
DECLINE: Final = 9
RECONFIGURE: Final = 10
INFORMATION_REQUEST: Final = 11
RELAY_FORWARD: Final = 12
RELAY_REPLY: Final = 13

MESSAGE_NAMES: Final[Mapping[int, str]] = {
    SOLICIT: "SOLICIT",
    ADVERTISE: "ADVERTISE",
    REQUEST: "REQUEST",
    CONFIRM: "CONFIRM",
    RENEW: "RENEW",
    REBIND: "REBIND",
    REPLY: "REPLY",
    RELEASE: "RELEASE",
    DECLINE: "DECLINE",
    RECONFIGURE: "RECONFIGURE",
    INFORMATION_REQUEST: "INFORMATION-REQUEST",
}

CLIENT_ID: Final = 1
SERVER_ID: Final = 2
IA_NA: Final = 3
IA_TA: Final = 4
IA_ADDRESS: Final = 5
OPTION_REQUEST: Final = 6
PREFERENCE: Final = 7
RELAY_MESSAGE: Final = 9
STATUS_CODE: Final = 13
RAPID_COMMIT: Final = 14
USER_CLASS: Final = 15
VENDOR_CLASS: Final = 16
INTERFACE_ID: Final = 18
DNS: Final = 23
IA_PD: Final = 25
SNTP: Final = 31
REFRESH_TIME: Final = 32
REMOTE_ID: Final = 37
NTP: Final = 56
BOOT_FILE_URL: Final = 59
BOOT_FILE_PARAMETERS: Final = 60
CLIENT_ARCH: Final = 61
CLIENT_NII: Final = 62
CLIENT_LINK_ADDRESS: Final = 79
RELAY_PORT: Final = 135

SUCCESS: Final = 0
NO_ADDRESSES: Final = 2
NO_BINDING: Final = 3
NOT_ON_LINK: Final = 4
USE_MULTICAST: Final = 5
NO_PREFIX: Final = 6

HOP_COUNT_LIMIT: Final = 8
"""RFC 8415 section 7.6; a relay at this count forwards no more, so nine relays are the most."""
MAX_RELAYS: Final = HOP_COUNT_LIMIT + 1
MAX_OPTIONS: Final = 256
"""Of one area; a client sends about ten."""
MAX_ASSOCIATION_ADDRESSES: Final = 16

_HEADER: Final = struct.Struct("!I")
_RELAY_HEADER: Final = struct.Struct("!BB16s16s")
_OPTION: Final = struct.Struct("!HH")
_ASSOCIATION: Final = struct.Struct("!III")
_ADDRESS: Final = struct.Struct("!16sII")
_MAX_OPTION_BYTES: Final = 0xFFFF

Options = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Relay:
    """One relay's wrapping, without what it wraps."""

    hop_count: int
    link: IPv6Address
    """An address on the link of the client, or of the relay before it; `::` says nothing."""
    peer: IPv6Address
    """Who the relay had it from."""
    options: Options = ()

    def option(self, code: int) -> bytes | None:
        """The first option of this code."""
        return _first(self.options, code)


@dataclass(frozen=True, slots=True)
class Message:
    """One client or server message, and the relays around it, outermost first."""

    kind: int
    transaction: int
    options: Options = ()
    relays: tuple[Relay, ...] = ()

    def option(self, code: int) -> bytes | None:
        """The first option of this code."""
        return _first(self.options, code)

    def every(self, code: int) -> tuple[bytes, ...]:
        """All options of this code, in order."""
        return tuple(value for found, value in self.options if found == code)


@dataclass(frozen=True, slots=True)
class Status:
    """A status code with its words (RFC 8415 section 21.13)."""

    code: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class LeasedAddress:
    """An address inside an association (section 21.6); lifetimes 0 say that it must not be used."""

    address: IPv6Address
    preferred_s: int = 0
    valid_s: int = 0


@dataclass(frozen=True, slots=True)
class Association:
    """IA_NA (section 21.4); `kind` tells IA_TA and IA_PD apart, of which only the number counts here."""

    iaid: int
    t1_s: int = 0
    t2_s: int = 0
    addresses: tuple[LeasedAddress, ...] = ()
    status: Status | None = None
    kind: int = IA_NA


def _first(options: Options, code: int) -> bytes | None:
    return next((value for found, value in options if found == code), None)


def decode(data: bytes) -> Message:
    """Read a message through all its relays; raise WireError for everything that is none."""
    relays: list[Relay] = []
    while data and data[0] in (RELAY_FORWARD, RELAY_REPLY):
        if len(relays) == MAX_RELAYS:
            raise WireError(f"DHCPv6: more than {MAX_RELAYS} relays inside each other")
        relay, data = _unwrap(data)
        if relay.hop_count > HOP_COUNT_LIMIT:
            raise WireError(f"DHCPv6: hop count {relay.hop_count}, expected at most {HOP_COUNT_LIMIT}")
        relays.append(relay)
    if len(data) < _HEADER.size:
        raise WireError(f"DHCPv6: {len(data)} octets, expected at least {_HEADER.size}")
    head = _HEADER.unpack_from(data)[0]
    if head >> 24 not in MESSAGE_NAMES:
        raise WireError(f"DHCPv6: message type {head >> 24} at octet 0 is not known")
    return Message(head >> 24, head & 0xFFFFFF, read_options(data, _HEADER.size), tuple(relays))


def _unwrap(data: bytes) -> tuple[Relay, bytes]:
    if len(data) < _RELAY_HEADER.size:
        raise WireError(f"DHCPv6: relay message of {len(data)} octets, expected {_RELAY_HEADER.size}")
    _, hops, link, peer = _RELAY_HEADER.unpack_from(data)
    options = read_options(data, _RELAY_HEADER.size)
    inner = _first(options, RELAY_MESSAGE)
    if inner is None:
        raise WireError(f"DHCPv6: relay message without option {RELAY_MESSAGE}")
    kept = tuple(each for each in options if each[0] != RELAY_MESSAGE)
    return Relay(hops, IPv6Address(link), IPv6Address(peer), kept), inner


def read_options(data: bytes, at: int = 0) -> Options:
    """One option area from an octet on; raise WireError when a length runs past the end."""
    found: list[tuple[int, bytes]] = []
    end = len(data)
    while at < end:
        if at + 4 > end:
            raise WireError(f"DHCPv6: {end - at} octets after the last option, at octet {at}")
        code, size = _OPTION.unpack_from(data, at)
        at += 4
        if at + size > end:
            raise WireError(
                f"DHCPv6: option {code} at octet {at - 4} has {size} octets, {end - at} are there"
            )
        if len(found) == MAX_OPTIONS:
            raise WireError(f"DHCPv6: more than {MAX_OPTIONS} options")
        found.append((code, data[at : at + size]))
        at += size
    return tuple(found)


def encode(message: Message) -> bytes:
    """Write a message inside its relays; replies are wrapped as Relay-reply (section 19.3)."""
    data = _HEADER.pack(message.kind << 24 | message.transaction) + write_options(message.options)
    wrapping = RELAY_REPLY if message.kind in (ADVERTISE, REPLY, RECONFIGURE) else RELAY_FORWARD
    for relay in reversed(message.relays):
        head = _RELAY_HEADER.pack(wrapping, relay.hop_count, relay.link.packed, relay.peer.packed)
        data = head + write_options((*relay.options, (RELAY_MESSAGE, data)))
    return data


def write_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Write an option area; raise WireError for a value above 65535 octets."""
    parts: list[bytes] = []
    for code, value in options:
        if len(value) > _MAX_OPTION_BYTES:
            raise WireError(f"DHCPv6: option {code} has {len(value)} octets, at most 65535 fit")
        parts += (_OPTION.pack(code, len(value)), value)
    return b"".join(parts)


def read_association(value: bytes, kind: int = IA_NA) -> Association:
    """Read the value of option 3, 4 or 25; unknown options inside are passed over."""
    head = 4 if kind == IA_TA else _ASSOCIATION.size
    if len(value) < head:
        raise WireError(f"DHCPv6: option {kind} has {len(value)} octets, expected at least {head}")
    iaid = int.from_bytes(value[:4], "big")
    if kind != IA_NA:
        return Association(iaid, kind=kind)
    _, t1, t2 = _ASSOCIATION.unpack_from(value)
    addresses: list[LeasedAddress] = []
    status = None
    for code, part in read_options(value, head):
        if code == IA_ADDRESS:
            addresses.append(_read_address(part))
        elif code == STATUS_CODE and status is None:
            status = read_status(part)
    if len(addresses) > MAX_ASSOCIATION_ADDRESSES:
        raise WireError(f"DHCPv6: {len(addresses)} addresses in association {iaid}")
    return Association(iaid, t1, t2, tuple(addresses), status)


def _read_address(value: bytes) -> LeasedAddress:
    if len(value) < _ADDRESS.size:
        raise WireError(f"DHCPv6: address option of {len(value)} octets, expected {_ADDRESS.size}")
    address, preferred, valid = _ADDRESS.unpack_from(value)
    return LeasedAddress(IPv6Address(address), preferred, valid)


def write_association(given: Association) -> tuple[int, bytes]:
    """An association as an option."""
    options: list[tuple[int, bytes]] = [
        (IA_ADDRESS, _ADDRESS.pack(each.address.packed, each.preferred_s, each.valid_s))
        for each in given.addresses
    ]
    if given.status is not None:
        options.append(write_status(given.status))
    head = given.iaid.to_bytes(4, "big")
    if given.kind != IA_TA:
        head = _ASSOCIATION.pack(given.iaid, given.t1_s, given.t2_s)
    return given.kind, head + write_options(options)


def read_status(value: bytes) -> Status:
    """Read the value of option 13."""
    if len(value) < 2:
        raise WireError(f"DHCPv6: status code of {len(value)} octets, expected at least 2")
    return Status(int.from_bytes(value[:2], "big"), value[2:].decode("utf-8", "replace"))


def write_status(status: Status) -> tuple[int, bytes]:
    """A status as an option."""
    return STATUS_CODE, status.code.to_bytes(2, "big") + status.text.encode()


def classes(value: bytes) -> tuple[bytes, ...]:
    """Class data of options 15, and of 16 behind its enterprise number: 16-bit lengths and octets.

    Data without lengths is one class: some firmware writes option 15 as bare text.
    """
    found: list[bytes] = []
    at = 0
    while at < len(value):
        size = int.from_bytes(value[at : at + 2], "big")
        part = value[at + 2 : at + 2 + size]
        if at + 2 > len(value) or len(part) != size:
            return (value,)
        found.append(part)
        at += 2 + size
    return tuple(found)


def write_vendor_class(enterprise: int, data: bytes) -> tuple[int, bytes]:
    """Option 16 with one class (section 21.16)."""
    return VENDOR_CLASS, struct.pack("!IH", enterprise, len(data)) + data
