"""TFTP packets (RFC 1350, 2347, 2348, 2349): read requests, data, acknowledgements, errors, OACK."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pxe_edge.wire.errors import WireError

RRQ: Final = 1
WRQ: Final = 2
DATA: Final = 3
ACK: Final = 4
ERROR: Final = 5
OACK: Final = 6

NOT_DEFINED: Final = 0
FILE_NOT_FOUND: Final = 1
ACCESS_VIOLATION: Final = 2
ILLEGAL_OPERATION: Final = 4
UNKNOWN_TID: Final = 5
OPTION_REFUSED: Final = 8

_MAX_REQUEST_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """RRQ; option names are lower case, each once (RFC 2347), values as sent."""

    name: str
    mode: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """WRQ; refused whatever it says."""


@dataclass(frozen=True, slots=True)
class Data:
    """DATA."""

    block: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """ACK."""

    block: int


@dataclass(frozen=True, slots=True)
class Error:
    """ERROR."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class OptionAck:
    """OACK."""

    options: Mapping[str, str]


TftpPacket = ReadRequest | WriteRequest | Data | Ack | Error | OptionAck


def decode(data: bytes) -> TftpPacket:
    """Read a packet; raise WireError for everything that is none."""
    if len(data) < 4:
        raise WireError(f"TFTP: {len(data)} octets, expected at least 4")
    opcode, number = struct.unpack_from("!HH", data)
    match opcode:
        case 1:
            return _read_request(data)
        case 2:
            return WriteRequest()
        case 3:
            return Data(number, data[4:])
        case 4:
            return Ack(number)
        case 5:
            return Error(number, data[4:].partition(b"\0")[0].decode("latin-1"))
        case 6:
            return OptionAck(_pairs(_strings(data)))
        case _:
            raise WireError(f"TFTP: opcode {opcode} at octet 0, expected 1 to 6")


def _read_request(data: bytes) -> ReadRequest:
    if len(data) > _MAX_REQUEST_BYTES:
        raise WireError(f"TFTP: request of {len(data)} octets, expected at most {_MAX_REQUEST_BYTES}")
    strings = _strings(data)
    if len(strings) < 2 or not strings[0]:
        raise WireError("TFTP: request without file name or mode")
    return ReadRequest(strings[0], strings[1].lower(), _pairs(strings[2:]))


def _strings(data: bytes) -> list[str]:
    # Names may hold any octet but NUL; latin-1 keeps them apart without ever failing.
    if data[-1] != 0:
        raise WireError(f"TFTP: text at octet {data.rfind(0, 2) + 1} is not ended by NUL")
    return [part.decode("latin-1") for part in data[2:-1].split(b"\0")]


def _pairs(strings: list[str]) -> dict[str, str]:
    if len(strings) % 2:
        raise WireError(f"TFTP: option {strings[-1]!r} has no value")
    found: dict[str, str] = {}
    for name, value in zip(strings[::2], strings[1::2], strict=True):
        found.setdefault(name.lower(), value)
    return found


def encode(packet: TftpPacket) -> bytes:
    """Write a packet."""
    match packet:
        case ReadRequest(name, mode, options):
            return _texts(RRQ, (name, mode, *_flat(options)))
        case WriteRequest():
            return _texts(WRQ, ("", "octet"))
        case Data(block, payload):
            return struct.pack("!HH", DATA, block) + payload
        case Ack(block):
            return struct.pack("!HH", ACK, block)
        case Error(code, message):
            return struct.pack("!HH", ERROR, code) + message.encode("latin-1", "replace") + b"\0"
        case OptionAck(options):
            return _texts(OACK, _flat(options))


def _flat(options: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(text for pair in options.items() for text in pair)


def _texts(opcode: int, texts: tuple[str, ...]) -> bytes:
    return struct.pack("!H", opcode) + b"".join(text.encode("latin-1", "replace") + b"\0" for text in texts)
