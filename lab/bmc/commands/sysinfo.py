"""System info parameters (IPMI 2.0 section 22.14a): short texts one side writes and the other reads.

A random value written in band and read over the LAN proves that both ends are the same BMC.
"""

from lab.bmc.commands.privilege import ADMIN, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command

REVISION = b"\x11"
SET_IN_PROGRESS = 0
TEXTS = range(1, 8)
"""Firmware version, system name, OS names, OS version, BMC URL, manager URL: blocks of 16 bytes behind a
selector."""
OEM = range(0xC0, 0x100)
MAX_BLOCKS = 16
MAX_BYTES = 64


def _key(parameter: int, block: int) -> str:
    return f"{parameter}.{block}"


def set_parameter(call: Call) -> bytes:
    """Keep the bytes; texts come in blocks, an OEM parameter is one block."""
    parameter, value = call.data[0], call.data[1:]
    if parameter == SET_IN_PROGRESS:
        return b""
    if parameter in TEXTS:
        block, value = value[0], value[1:]
        if block >= MAX_BLOCKS:
            raise Refused(Completion.PARAMETER_OUT_OF_RANGE)
    elif parameter in OEM:
        block = 0
    else:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    if len(value) > MAX_BYTES:
        raise Refused(Completion.TOO_MANY_BYTES)
    call.state.system_info[_key(parameter, block)] = value.hex()
    call.bmc.save()
    return b""


def get_parameter(call: Call) -> bytes:
    """Revision, then the block as it was written."""
    if call.data[0] & 0x80:
        return REVISION
    parameter, block = call.data[1], call.data[2]
    if parameter == SET_IN_PROGRESS:
        return REVISION + b"\0"
    if parameter not in TEXTS and parameter not in OEM:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    number = block if parameter in TEXTS else 0
    value = bytes.fromhex(call.state.system_info.get(_key(parameter, number), ""))
    if parameter in OEM:
        return REVISION + value
    return REVISION + bytes((number,)) + value.ljust(16, b"\0")


COMMANDS = {
    (0x06, 0x58): Command(set_parameter, ADMIN, 2),
    (0x06, 0x59): Command(get_parameter, USER, 4),
}
