"""Chassis commands: power, boot options (IPMI 2.0 section 28)."""

import struct

from lab.bmc.commands.privilege import OPERATOR, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command

POWER_DOWN, POWER_UP, POWER_CYCLE, HARD_RESET, DIAGNOSTIC_INTERRUPT, SOFT_SHUTDOWN = range(6)
BOOT_FLAGS = 5
NO_POLICY_CHANGE = 3
PARAMETER_VERSION = 1
SILENT_PARAMETERS = {0: b"\0", 1: b"\0", 2: b"\0", 3: b"\0", 4: b"\0\0", 6: bytes(7), 7: bytes(1)}
"""Parameters that are accepted and read as zero: set in progress, partition, valid bit clearing,
acknowledge..."""


def get_capabilities(_call: Call) -> bytes:
    """Everything is at the BMC's address."""
    return bytes((0, 0x20, 0x20, 0x20, 0x20, 0x20))


def get_status(call: Call) -> bytes:
    """Power and restore policy."""
    return bytes((int(call.bmc.chassis.is_on) | call.state.power_policy << 5, 0, 0x40))


def control(call: Call) -> bytes:
    """Power; what makes no sense while off is refused with 0xD5."""
    chassis, operation = call.bmc.chassis, call.data[0] & 15
    if operation in (POWER_CYCLE, HARD_RESET, SOFT_SHUTDOWN, DIAGNOSTIC_INTERRUPT) and not chassis.is_on:
        raise Refused(Completion.NOT_IN_THIS_STATE)
    if operation in (POWER_DOWN, POWER_UP):
        chassis.power(on=operation == POWER_UP)
    elif operation == POWER_CYCLE:
        chassis.cycle()
    elif operation == HARD_RESET:
        chassis.reset()
    elif operation == SOFT_SHUTDOWN:
        chassis.press_power_button()
    elif operation == DIAGNOSTIC_INTERRUPT:
        chassis.interrupt()
    else:
        raise Refused(Completion.INVALID_FIELD)
    return b""


def identify(_call: Call) -> bytes:
    """There is no lamp."""
    return b""


def set_policy(call: Call) -> bytes:
    """What to do when power comes back; answers with the policies supported."""
    policy = call.data[0] & 7
    if policy > NO_POLICY_CHANGE:
        raise Refused(Completion.INVALID_FIELD)
    if policy != NO_POLICY_CHANGE:
        call.state.power_policy = policy
        call.bmc.save()
    return b"\x07"


def get_restart_cause(_call: Call) -> bytes:
    """Chassis control command."""
    return b"\x01\x00"


def get_hours(_call: Call) -> bytes:
    """60 minutes per count, brand new."""
    return struct.pack("<BI", 60, 0)


def set_boot_option(call: Call) -> bytes:
    """Parameter 5 counts; the others are taken and forgotten."""
    parameter = call.data[0] & 0x7F
    if parameter == BOOT_FLAGS:
        if len(call.data) < 6:
            raise Refused(Completion.LENGTH_INVALID)
        call.bmc.set_boot_flags(call.data[1:6])
    elif parameter not in SILENT_PARAMETERS:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    return b""


def get_boot_option(call: Call) -> bytes:
    """As it was set: valid, persistent and EFI bits too."""
    parameter = call.data[0] & 0x7F
    value = call.bmc.boot.flags if parameter == BOOT_FLAGS else SILENT_PARAMETERS.get(parameter)
    if value is None:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    return bytes((PARAMETER_VERSION, parameter)) + value


COMMANDS = {
    (0x00, 0x00): Command(get_capabilities, USER),
    (0x00, 0x01): Command(get_status, USER),
    (0x00, 0x02): Command(control, OPERATOR, 1),
    (0x00, 0x04): Command(identify, OPERATOR),
    (0x00, 0x06): Command(set_policy, OPERATOR, 1),
    (0x00, 0x07): Command(get_restart_cause, USER),
    (0x00, 0x08): Command(set_boot_option, OPERATOR, 1),
    (0x00, 0x09): Command(get_boot_option, OPERATOR, 3),
    (0x00, 0x0F): Command(get_hours, USER),
}
