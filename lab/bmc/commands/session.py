"""Sessions and their payloads: privilege, close, serial over LAN (IPMI 2.0 sections 22.18 to 22.20, 24)."""

import struct

from lab.bmc.commands.privilege import ADMIN, CALLBACK, OPERATOR, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command
from lab.bmc.lan import MAX_SESSIONS
from lab.bmc.session import Session

PAYLOAD_SOL = 1
RMCP_PORT = 623
MAX_PAYLOAD_BYTES = 255
NO_VLAN = 0xFFFF


def _own(call: Call) -> Session:
    if call.session is None:
        raise Refused(Completion.INVALID_COMMAND)
    return call.session


def set_privilege(call: Call) -> bytes:
    """A session starts as USER and asks for more, up to what it logged in for; 0 only asks."""
    own, wanted = _own(call), call.data[0] & 15
    if wanted > own.max_privilege:
        raise Refused(Completion.PRIVILEGE_ABOVE_LIMIT)
    if wanted == CALLBACK:
        raise Refused(Completion.INVALID_FIELD)
    own.privilege = wanted or own.privilege
    return bytes((own.privilege,))


def close(call: Call) -> bytes:
    """The session itself is ended by the LAN side once the answer is out; others need an administrator."""
    own, number = _own(call), int.from_bytes(call.data[:4], "little")
    if number not in (0, own.session_id):
        raise Refused(Completion.INVALID_FIELD)
    return b""


def get_info(call: Call) -> bytes:
    """About the session that asks."""
    if call.session is None:
        return bytes((0, MAX_SESSIONS, len(call.bmc.sessions)))
    own = call.session
    return bytes((1, MAX_SESSIONS, len(call.bmc.sessions), own.user_slot, own.privilege, 0x11))


def activate_payload(call: Call) -> bytes:
    """Serial over LAN, for one session at a time."""
    own = _own(call)
    if call.data[0] & 0x3F != PAYLOAD_SOL:
        raise Refused(Completion.INVALID_FIELD)
    if not call.state.sol_enabled:
        raise Refused(Completion.PAYLOAD_DISABLED)
    holder = call.bmc.sol.holder
    if holder is not None and holder is not own:
        raise Refused(Completion.SOL_ALREADY_ACTIVE)
    call.bmc.sol.activate(own)
    return bytes(4) + struct.pack("<HHHH", MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES, RMCP_PORT, NO_VLAN)


def deactivate_payload(call: Call) -> bytes:
    """Anybody with the privilege ends it, whoever holds it; 0x80 when nobody does."""
    if call.bmc.sol.holder is None:
        raise Refused(Completion.SOL_ALREADY_ACTIVE)
    call.bmc.sol.deactivate()
    return b""


def get_activation(call: Call) -> bytes:
    """One instance at most."""
    return bytes((1, 1 if call.bmc.sol.holder else 0, 0))


def get_instance_info(call: Call) -> bytes:
    """Which session holds the console."""
    holder = call.bmc.sol.holder
    return struct.pack("<I", holder.session_id if holder else 0) + b"\x01" + bytes(7)


def set_payload_access(_call: Call) -> bytes:
    """Every user that may log in may have the console here."""
    return b""


def get_payload_access(_call: Call) -> bytes:
    """SOL."""
    return b"\x02\x00\x00\x00"


def get_payload_support(_call: Call) -> bytes:
    """IPMI messages and SOL; the session set-up payloads."""
    return b"\x03\x00\x1b\x00" + bytes(4)


def get_payload_version(_call: Call) -> bytes:
    """1.0."""
    return b"\x10"


COMMANDS = {
    (0x06, 0x3B): Command(set_privilege, CALLBACK, 1),
    (0x06, 0x3C): Command(close, CALLBACK, 4),
    (0x06, 0x3D): Command(get_info, USER),
    (0x06, 0x48): Command(activate_payload, USER, 6),
    (0x06, 0x49): Command(deactivate_payload, USER, 6),
    (0x06, 0x4A): Command(get_activation, USER, 1),
    (0x06, 0x4B): Command(get_instance_info, USER, 2),
    (0x06, 0x4C): Command(set_payload_access, ADMIN),
    (0x06, 0x4D): Command(get_payload_access, OPERATOR),
    (0x06, 0x4E): Command(get_payload_support, USER),
    (0x06, 0x4F): Command(get_payload_version, USER),
}
