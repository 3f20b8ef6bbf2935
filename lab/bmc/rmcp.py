"""Codec of RMCP, IPMI 1.5 and RMCP+ datagrams and of the IPMI message inside.

IPMI 2.0 sections 13.1.3, 13.6, 13.8. Any bytes become a value or a WireError.
"""

import hmac
import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lab.bmc.kcs import checksum

RMCP_HEADER = b"\x06\x00\xff"
CLASS_ASF = 0x06
CLASS_IPMI = 0x07
FORMAT_RMCP_PLUS = 0x06
ASF_IANA = b"\x00\x00\x11\xbe"
ASF_PING = 0x80
ASF_PONG = 0x40

PAYLOAD_IPMI = 0x00
PAYLOAD_SOL = 0x01
PAYLOAD_OPEN_REQUEST = 0x10
PAYLOAD_OPEN_RESPONSE = 0x11
PAYLOAD_RAKP1 = 0x12
PAYLOAD_RAKP2 = 0x13
PAYLOAD_RAKP3 = 0x14
PAYLOAD_RAKP4 = 0x15
SECURED = 0xC0
"""Bits 7 and 6 of the payload type: encrypted, authenticated."""

BLOCK = 16


class WireError(Exception):
    """These bytes are not what they should be: which rule broke, and where."""


@dataclass(frozen=True)
class Suite:
    """A cipher suite: its id and how its hashes are used; confidentiality is AES-CBC-128 in both."""

    number: int
    authentication: int
    integrity: int
    digest: str
    code_bytes: int

    @property
    def algorithms(self) -> tuple[int, int, int]:
        """Authentication, integrity and confidentiality algorithm numbers (tables 13-17 to 13-19)."""
        return (self.authentication, self.integrity, 1)

    def mac(self, key: bytes, data: bytes) -> bytes:
        """The full HMAC."""
        return hmac.digest(key, data, self.digest)


SUITES = (Suite(3, 1, 1, "sha1", 12), Suite(17, 3, 4, "sha256", 16))


@dataclass(frozen=True)
class Ping:
    """ASF presence ping."""

    tag: int


@dataclass(frozen=True)
class Legacy:
    """An IPMI 1.5 packet; clients ask for the authentication capabilities this way."""

    session_id: int
    message: bytes


@dataclass(frozen=True)
class Packet:
    """An RMCP+ packet; `raw` is the datagram, for the integrity check."""

    payload_type: int
    secured: int
    session_id: int
    sequence: int
    payload: bytes
    raw: bytes


@dataclass(frozen=True)
class Message:
    """An IPMI request (section 13.8)."""

    responder: int
    netfn: int
    responder_lun: int
    requester: int
    sequence: int
    requester_lun: int
    command: int
    data: bytes


def decode(datagram: bytes) -> Ping | Legacy | Packet:
    """What a datagram to port 623 is."""
    if len(datagram) < 4 or datagram[0] != 6:
        raise WireError(f"not RMCP version 6: {datagram[:4].hex()}")
    kind = datagram[3] & 0x1F
    if kind == CLASS_ASF:
        if len(datagram) < 12 or datagram[4:8] != ASF_IANA or datagram[8] != ASF_PING:
            raise WireError("an ASF message that is no presence ping")
        return Ping(datagram[9])
    if kind != CLASS_IPMI or len(datagram) < 14:
        raise WireError(f"class {kind}, {len(datagram)} bytes: no IPMI packet")
    if datagram[4] == 0:
        length = datagram[13]
        if len(datagram) < 14 + length:
            raise WireError(f"message length {length}, {len(datagram) - 14} bytes there")
        return Legacy(struct.unpack_from("<I", datagram, 9)[0], datagram[14 : 14 + length])
    if datagram[4] != FORMAT_RMCP_PLUS or len(datagram) < 16:
        raise WireError(f"authentication type {datagram[4]} is not supported")
    session_id, sequence, length = struct.unpack_from("<IIH", datagram, 6)
    if len(datagram) < 16 + length:
        raise WireError(f"payload length {length}, {len(datagram) - 16} bytes there")
    kind = datagram[5]
    return Packet(kind & 0x3F, kind & SECURED, session_id, sequence, datagram[16 : 16 + length], datagram)


def pong(tag: int) -> bytes:
    """ASF presence pong that says "IPMI"."""
    body = ASF_IANA + b"\x00\x00\x00\x00\x81\x00" + bytes(6)
    return RMCP_HEADER + bytes((CLASS_ASF,)) + ASF_IANA + bytes((ASF_PONG, tag, 0, len(body))) + body


def legacy(message: bytes) -> bytes:
    """An IPMI 1.5 packet outside of any session."""
    return RMCP_HEADER + bytes((CLASS_IPMI, 0)) + bytes(8) + bytes((len(message),)) + message


def plain(payload_type: int, payload: bytes) -> bytes:
    """An RMCP+ packet outside of any session."""
    head = bytes((CLASS_IPMI, FORMAT_RMCP_PLUS, payload_type)) + struct.pack("<IIH", 0, 0, len(payload))
    return RMCP_HEADER + head + payload


def decode_message(data: bytes) -> Message:
    """An IPMI request, both checksums looked at."""
    if len(data) < 7:
        raise WireError(f"an IPMI message has at least 7 bytes, got {len(data)}")
    if sum(data[:3]) & 0xFF or sum(data[3:]) & 0xFF:
        raise WireError("an IPMI message with a wrong checksum")
    return Message(
        responder=data[0],
        netfn=data[1] >> 2,
        responder_lun=data[1] & 3,
        requester=data[3],
        sequence=data[4] >> 2,
        requester_lun=data[4] & 3,
        command=data[5],
        data=data[6:-1],
    )


def encode_answer(message: Message, completion: int, data: bytes) -> bytes:
    """The IPMI message that answers `message`."""
    head = bytes((message.requester, (message.netfn | 1) << 2 | message.requester_lun))
    body = (
        bytes((message.responder, message.sequence << 2 | message.responder_lun, message.command, completion))
        + data
    )
    return head + bytes((checksum(head),)) + body + bytes((checksum(body),))


@dataclass(frozen=True)
class SessionKeys:
    """Keys of an open session (section 13.31, 13.32)."""

    suite: Suite
    integrity: bytes
    confidentiality: bytes

    @classmethod
    def derive(cls, suite: Suite, session_integrity_key: bytes) -> "SessionKeys":
        """K1 and K2 from the SIK."""
        return cls(
            suite,
            suite.mac(session_integrity_key, b"\x01" * 20),
            suite.mac(session_integrity_key, b"\x02" * 20)[:BLOCK],
        )

    def seal(self, payload_type: int, session_id: int, sequence: int, payload: bytes) -> bytes:
        """A whole datagram: encrypted, then authenticated."""
        sealed = self._encrypt(payload)
        head = bytes((FORMAT_RMCP_PLUS, payload_type | SECURED)) + struct.pack(
            "<IIH", session_id, sequence, len(sealed)
        )
        covered = head + sealed
        pad = -(len(covered) + 2) % 4
        covered += b"\xff" * pad + bytes((pad, CLASS_IPMI))
        code = self.suite.mac(self.integrity, covered)[: self.suite.code_bytes]
        return RMCP_HEADER + bytes((CLASS_IPMI,)) + covered + code

    def open(self, packet: Packet) -> bytes:
        """The payload of a packet that was really made with these keys."""
        size = self.suite.code_bytes
        if packet.secured != SECURED:
            raise WireError("a packet of a session that is not encrypted and authenticated")
        if len(packet.raw) < 16 + len(packet.payload) + 2 + size:
            raise WireError("no room for the integrity code")
        covered, code = packet.raw[4:-size], packet.raw[-size:]
        if not hmac.compare_digest(self.suite.mac(self.integrity, covered)[:size], code):
            raise WireError("wrong integrity code")
        return self._decrypt(packet.payload)

    def _encrypt(self, payload: bytes) -> bytes:
        pad = -(len(payload) + 1) % BLOCK
        padded = payload + bytes(range(1, pad + 1)) + bytes((pad,))
        vector = os.urandom(BLOCK)
        encryptor = Cipher(algorithms.AES(self.confidentiality), modes.CBC(vector)).encryptor()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def _decrypt(self, sealed: bytes) -> bytes:
        if len(sealed) < 2 * BLOCK or len(sealed) % BLOCK:
            raise WireError(f"an encrypted payload of {len(sealed)} bytes")
        decryptor = Cipher(algorithms.AES(self.confidentiality), modes.CBC(sealed[:BLOCK])).decryptor()
        padded = decryptor.update(sealed[BLOCK:]) + decryptor.finalize()
        if padded[-1] >= BLOCK:
            raise WireError(f"confidentiality pad of {padded[-1]} bytes")
        return padded[: len(padded) - 1 - padded[-1]]
