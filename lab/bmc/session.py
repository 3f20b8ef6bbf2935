"""One LAN session and its handshake: Open Session and RAKP 1 to 4 (IPMI 2.0 sections 13.17 to 13.24).

Sequence numbers of incoming packets are not checked against replay: the rack is a closed network.
"""

import hmac
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.bmc.rmcp import SUITES, SessionKeys, Suite, WireError
from lab.bmc.state import ADMINISTRATOR, User

ACCEPTED = 0x00
OUT_OF_RESOURCES = 0x01
INVALID_ROLE = 0x09
UNAUTHORIZED_NAME = 0x0D
INVALID_INTEGRITY_VALUE = 0x0F
NO_MATCHING_SUITE = 0x11
USER_PRIVILEGE = 2
ADDRESS = tuple[str, int]


@dataclass
class Session:
    """A session from Open Session on; `keys` is set when it is open."""

    session_id: int
    console_id: int
    suite: Suite
    last_seen_s: float
    address: ADDRESS = ("", 0)
    user_slot: int = 0
    privilege: int = USER_PRIVILEGE
    max_privilege: int = ADMINISTRATOR
    keys: SessionKeys | None = None
    sequence: int = 0
    handshake: "Handshake | None" = None
    last_request: bytes = b""
    last_answer: bytes = b""
    last_answer_s: float = field(default=float("-inf"))

    def next_sequence(self) -> int:
        """The sequence number of the next packet out; 0 is left out."""
        self.sequence = self.sequence % 0xFFFFFFFF + 1
        return self.sequence


@dataclass(frozen=True)
class Handshake:
    """What RAKP 1 and 2 settled."""

    key: bytes
    console_random: bytes
    bmc_random: bytes
    tail: bytes
    """Role, user name length, user name: the end of each hashed text."""


@dataclass(frozen=True)
class OpenRequest:
    """RMCP+ Open Session Request."""

    tag: int
    privilege: int
    console_id: int
    algorithms: tuple[int, int, int]
    raw_algorithms: bytes


@dataclass(frozen=True)
class Rakp1:
    """Who the console claims to be."""

    tag: int
    session_id: int
    console_random: bytes
    role: int
    user: bytes


@dataclass(frozen=True)
class Rakp3:
    """The console's proof."""

    tag: int
    status: int
    session_id: int
    code: bytes


def decode_open(payload: bytes) -> OpenRequest:
    """Section 13.17."""
    if len(payload) < 32:
        raise WireError(f"an Open Session Request has 32 bytes, got {len(payload)}")
    algorithms = (payload[12], payload[20], payload[28])
    return OpenRequest(
        payload[0], payload[1] & 15, int.from_bytes(payload[4:8], "little"), algorithms, payload[8:32]
    )


def decode_rakp1(payload: bytes) -> Rakp1:
    """Section 13.20."""
    if len(payload) < 28 or len(payload) < 28 + payload[27] or payload[27] > 16:
        raise WireError(f"RAKP 1 of {len(payload)} bytes")
    user = payload[28 : 28 + payload[27]]
    return Rakp1(payload[0], int.from_bytes(payload[4:8], "little"), payload[8:24], payload[24], user)


def decode_rakp3(payload: bytes) -> Rakp3:
    """Section 13.22."""
    if len(payload) < 8:
        raise WireError(f"RAKP 3 of {len(payload)} bytes")
    return Rakp3(payload[0], payload[1], int.from_bytes(payload[4:8], "little"), payload[8:])


def choose_suite(algorithms: tuple[int, int, int]) -> Suite | None:
    """The suite with these algorithms, if it is one of ours."""
    return next((suite for suite in SUITES if suite.algorithms == algorithms), None)


def open_response(request: OpenRequest, status: int, session_id: int = 0) -> bytes:
    """Section 13.18."""
    head = bytes((request.tag, status, request.privilege or ADMINISTRATOR, 0)) + struct.pack(
        "<I", request.console_id
    )
    return head if status else head + struct.pack("<I", session_id) + request.raw_algorithms


def find_user(users: Mapping[int, User], name: bytes) -> tuple[int, User] | None:
    """The slot of a name that may log in; the nameless user never may."""
    for slot, user in sorted(users.items()):
        if name and user.name.encode() == name and user.may_log_in:
            return slot, user
    return None


def answer_rakp1(
    session: Session,
    request: Rakp1,
    users: Mapping[int, User],
    channel_privilege: int,
    guid: bytes,
    random: Callable[[int], bytes],
) -> tuple[int, bytes]:
    """Status and RAKP 2; on status 0 the session has its handshake."""
    head = struct.pack("<I", session.console_id)
    found = find_user(users, request.user)
    if found is None:
        return UNAUTHORIZED_NAME, bytes((request.tag, UNAUTHORIZED_NAME, 0, 0)) + head
    slot, user = found
    limit = min(user.privilege, channel_privilege)
    if request.role & 15 > limit:
        return INVALID_ROLE, bytes((request.tag, INVALID_ROLE, 0, 0)) + head
    session.user_slot = slot
    session.max_privilege = request.role & 15 or limit
    tail = bytes((request.role, len(request.user))) + request.user
    key = user.password.encode("latin-1").ljust(20, b"\0")
    shake = Handshake(key, request.console_random, random(16), tail)
    session.handshake = shake
    ids = struct.pack("<II", session.console_id, session.session_id)
    code = session.suite.mac(key, ids + shake.console_random + shake.bmc_random + guid + tail)
    return ACCEPTED, bytes((request.tag, 0, 0, 0)) + head + shake.bmc_random + guid + code


def answer_rakp3(session: Session, request: Rakp3, guid: bytes) -> tuple[int, bytes]:
    """Status and RAKP 4; on status 0 the session is open."""
    shake, suite = session.handshake, session.suite
    head = struct.pack("<I", session.console_id)
    if shake is None:
        raise WireError("RAKP 3 before RAKP 1")
    expected = suite.mac(shake.key, shake.bmc_random + head + shake.tail)
    if not hmac.compare_digest(expected, request.code):
        return INVALID_INTEGRITY_VALUE, bytes((request.tag, INVALID_INTEGRITY_VALUE, 0, 0)) + head
    sik = suite.mac(shake.key, shake.console_random + shake.bmc_random + shake.tail)
    session.keys = SessionKeys.derive(suite, sik)
    session.handshake = None
    code = suite.mac(sik, shake.console_random + struct.pack("<I", session.session_id) + guid)[
        : suite.code_bytes
    ]
    return ACCEPTED, bytes((request.tag, 0, 0, 0)) + head + code
