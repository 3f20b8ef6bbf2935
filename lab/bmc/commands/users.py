"""User slots: access, names, passwords (IPMI 2.0 sections 22.26 to 22.30)."""

from lab.bmc.commands.privilege import ADMIN, OPERATOR
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command
from lab.bmc.state import MAX_USERS, NO_PRIVILEGE, User

DISABLE, ENABLE, SET_PASSWORD, TEST_PASSWORD = range(4)
NAME_BYTES = 16


def _slot(value: int) -> int:
    slot = value & 0x3F
    if not 1 <= slot <= MAX_USERS:
        raise Refused(Completion.PARAMETER_OUT_OF_RANGE if slot else Completion.INVALID_FIELD)
    return slot


def _look(call: Call, value: int) -> User:
    return call.state.users.get(_slot(value), User())


def set_user_access(call: Call) -> bytes:
    """Privilege limit, and with bit 7 the access flags; names and passwords stay."""
    call.channel(call.data[0])
    privilege = call.data[2] & 15
    if not 1 <= privilege <= ADMIN and privilege != NO_PRIVILEGE:
        raise Refused(Completion.INVALID_FIELD)
    user = call.state.user(_slot(call.data[1]))
    user.privilege = privilege
    if call.data[0] & 0x80:
        user.access = call.data[0] & 0x70
    call.bmc.save()
    return b""


def get_user_access(call: Call) -> bytes:
    """Slots, enabled slots, fixed names, and this one's flags and privilege."""
    call.channel(call.data[0])
    user = _look(call, call.data[1])
    enabled = sum(each.enabled for each in call.state.users.values())
    status = 0x40 if user.enabled else 0x80
    return bytes((MAX_USERS, status | enabled, 0, user.access | user.privilege))


def set_user_name(call: Call) -> bytes:
    """A name belongs to one slot only."""
    slot = _slot(call.data[0])
    try:
        name = call.data[1 : 1 + NAME_BYTES].split(b"\0")[0].decode("ascii")
    except UnicodeDecodeError as error:
        raise Refused(Completion.INVALID_FIELD) from error
    if name and any(user.name == name for other, user in call.state.users.items() if other != slot):
        raise Refused(Completion.INVALID_FIELD)
    call.state.user(slot).name = name
    call.bmc.save()
    return b""


def get_user_name(call: Call) -> bytes:
    """16 bytes, padded with zeros."""
    return _look(call, call.data[0]).name.encode().ljust(NAME_BYTES, b"\0")


def set_user_password(call: Call) -> bytes:
    """Enable, disable, set or test; bit 7 of the slot says 20 bytes instead of 16."""
    slot, operation = _slot(call.data[0]), call.data[1] & 3
    size = 20 if call.data[0] & 0x80 else 16
    user = call.state.user(slot)
    if operation in (DISABLE, ENABLE):
        user.enabled = operation == ENABLE
    else:
        if len(call.data) != 2 + size:
            raise Refused(Completion.LENGTH_INVALID)
        password = call.data[2:].rstrip(b"\0").decode("latin-1")
        if operation == TEST_PASSWORD:
            if password != user.password:
                raise Refused(Completion.PASSWORD_WRONG)
            return b""
        user.password = password
    call.bmc.save()
    return b""


COMMANDS = {
    (0x06, 0x43): Command(set_user_access, ADMIN, 3),
    (0x06, 0x44): Command(get_user_access, OPERATOR, 2),
    (0x06, 0x45): Command(set_user_name, ADMIN, 2),
    (0x06, 0x46): Command(get_user_name, OPERATOR, 1),
    (0x06, 0x47): Command(set_user_password, ADMIN, 2),
}
