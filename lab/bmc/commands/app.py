"""App commands about the controller and its channels (IPMI 2.0 sections 20 to 24, 27)."""

import struct

from lab.bmc.commands.privilege import ADMIN, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import LAN_CHANNEL, SYSTEM_CHANNEL, Call, Command
from lab.bmc.rmcp import SUITES

MANUFACTURER_ID = 0
PRODUCT_ID = 1
IPMI_IANA = b"\xf2\x1b\x00"
WATCHDOG_BYTES = 8


def get_device_id(_call: Call) -> bytes:
    """Device 0x20, firmware 2.10, IPMI 2.0; sensor, SDR, SEL, FRU and chassis device."""
    head = bytes((0x20, 0x81, 0x02, 0x10, 0x02, 0xBF))
    return head + MANUFACTURER_ID.to_bytes(3, "little") + struct.pack("<H", PRODUCT_ID) + bytes(4)


def reset_controller(call: Call) -> bytes:
    """Cold and warm reset: sessions end and the BMC is deaf for a while; the machine does not notice."""
    call.bmc.restart()
    return b""


def get_self_test(_call: Call) -> bytes:
    """No error."""
    return b"\x55\x00"


def get_acpi_state(call: Call) -> bytes:
    """S0 while on, S5 while off."""
    return bytes((0 if call.bmc.chassis.is_on else 5, 0))


def get_guid(call: Call) -> bytes:
    """Device and system GUID are one."""
    return call.bmc.guid


def nothing(_call: Call) -> bytes:
    """Accepted; there is nothing behind it here."""
    return b""


def get_watchdog(_call: Call) -> bytes:
    """A watchdog that is not running."""
    return bytes(WATCHDOG_BYTES)


def get_global_enables(_call: Call) -> bytes:
    """System event logging on."""
    return b"\x08"


def get_message_flags(_call: Call) -> bytes:
    """No message waits for the operating system."""
    return b"\x00"


def get_message(_call: Call) -> bytes:
    """The queue is always empty (0x80 of section 22.6)."""
    raise Refused(Completion.PARAMETER_UNSUPPORTED)


def get_channel_auth(_call: Call) -> bytes:
    """IPMI 2.0 only, users with names only."""
    return bytes((LAN_CHANNEL, 0x80, 0x04, 0x02)) + bytes(4)


def get_cipher_suites(call: Call) -> bytes:
    """Suite records, 16 bytes per list index (section 22.15.1)."""
    records = b"".join(
        bytes((0xC0, suite.number, suite.authentication, 0x40 | suite.integrity, 0x81)) for suite in SUITES
    )
    start = (call.data[2] & 0x3F) * 16
    return bytes((LAN_CHANNEL,)) + records[start : start + 16]


def set_channel_access(call: Call) -> bytes:
    """Access mode and privilege limit; bits 7:6 of each byte say whether it is meant to be set."""
    call.channel(call.data[0])
    mode, limit = call.data[1], call.data[2]
    if mode >> 6 in (1, 2):
        call.state.channel_access = mode & 7
    if limit >> 6 in (1, 2):
        if not 1 <= limit & 15 <= ADMIN:
            raise Refused(Completion.INVALID_FIELD)
        call.state.channel_privilege = limit & 15
    call.bmc.save()
    return b""


def get_channel_access(call: Call) -> bytes:
    """Alerting off, per-message authentication on, user level authentication on."""
    call.channel(call.data[0])
    return bytes((0x20 | call.state.channel_access, call.state.channel_privilege))


def get_channel_info(call: Call) -> bytes:
    """LAN (802.3) with sessions, or the system interface (KCS) without."""
    if call.channel(call.data[0]) == LAN_CHANNEL:
        active = sum(each.keys is not None for each in call.bmc.sessions.values())
        return bytes((LAN_CHANNEL, 0x04, 0x01, 0x80 | min(active, 63))) + IPMI_IANA + bytes(2)
    return bytes((SYSTEM_CHANNEL, 0x0C, 0x05, 0x00)) + IPMI_IANA + b"\xff\xff"


COMMANDS = {
    (0x06, 0x01): Command(get_device_id, USER),
    (0x06, 0x02): Command(reset_controller, ADMIN),
    (0x06, 0x03): Command(reset_controller, ADMIN),
    (0x06, 0x04): Command(get_self_test, USER),
    (0x06, 0x06): Command(nothing, ADMIN),
    (0x06, 0x07): Command(get_acpi_state, USER),
    (0x06, 0x08): Command(get_guid, USER),
    (0x06, 0x22): Command(nothing, ADMIN),
    (0x06, 0x24): Command(nothing, ADMIN),
    (0x06, 0x25): Command(get_watchdog, USER),
    (0x06, 0x2E): Command(nothing, ADMIN),
    (0x06, 0x2F): Command(get_global_enables, USER),
    (0x06, 0x30): Command(nothing, ADMIN),
    (0x06, 0x31): Command(get_message_flags, USER),
    (0x06, 0x33): Command(get_message, USER),
    (0x06, 0x35): Command(get_message, USER),
    (0x06, 0x37): Command(get_guid, USER),
    (0x06, 0x38): Command(get_channel_auth, USER),
    (0x06, 0x40): Command(set_channel_access, ADMIN, 3),
    (0x06, 0x41): Command(get_channel_access, USER, 2),
    (0x06, 0x42): Command(get_channel_info, USER, 1),
    (0x06, 0x54): Command(get_cipher_suites, USER, 3),
}
