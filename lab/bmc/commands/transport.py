"""Transport commands: LAN and SOL configuration (IPMI 2.0 sections 23, 26)."""

import ipaddress
import struct

from lab.bmc.commands.privilege import ADMIN, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command
from lab.bmc.rmcp import SUITES
from lab.bmc.state import SOURCE_DHCP, SOURCE_STATIC, UNSET_ADDRESS

REVISION = b"\x11"
SET_IN_PROGRESS = 0
ADDRESS, SOURCE, MAC, NETMASK, GATEWAY, VLAN = 3, 4, 5, 6, 12, 20
TAKEN_AND_FORGOTTEN = frozenset({SET_IN_PROGRESS, 2, 7, 10, 11, 13, 14, 16, 17, 24})
SOL_ENABLE = 1
SOL_VALUES = {
    0: b"\0",
    2: b"\x02",
    3: b"\x05\x32",
    4: b"\x07\x0a",
    5: b"\x0a",
    6: b"\x0a",
    7: b"\x01",
    8: b"\x6f\x02",
}


def _address(data: bytes) -> str:
    if len(data) != 4:
        raise Refused(Completion.LENGTH_INVALID)
    return str(ipaddress.IPv4Address(data))


def set_lan(call: Call) -> bytes:
    """The address counts at once; it is read-only while it comes from DHCP, as on many BMCs."""
    call.channel(call.data[0])
    parameter, value, lan = call.data[1], call.data[2:], call.state.lan
    if parameter in TAKEN_AND_FORGOTTEN:
        return b""
    if parameter == SOURCE:
        if not value or value[0] & 15 not in (SOURCE_STATIC, SOURCE_DHCP):
            raise Refused(Completion.INVALID_FIELD)
        lan.source = value[0] & 15
    elif parameter in (ADDRESS, NETMASK, GATEWAY):
        if parameter == ADDRESS and lan.source == SOURCE_DHCP:
            raise Refused(Completion.PARAMETER_READ_ONLY)
        setattr(lan, {ADDRESS: "address", NETMASK: "netmask", GATEWAY: "gateway"}[parameter], _address(value))
    elif parameter == VLAN:
        if len(value) != 2:
            raise Refused(Completion.LENGTH_INVALID)
        lan.vlan = int.from_bytes(value, "little")
    elif parameter == MAC:
        raise Refused(Completion.PARAMETER_READ_ONLY)
    else:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    call.bmc.save()
    call.bmc.lan.settings_changed()
    return b""


def _addresses(call: Call) -> tuple[bytes, bytes, bytes]:
    """Address, mask and gateway: the settings, or with DHCP what the interface has."""
    lan = call.state.lan
    address, netmask, gateway = lan.address, lan.netmask, lan.gateway
    if lan.source == SOURCE_DHCP:
        interface, router = call.bmc.lan.current()
        address = str(interface.ip) if interface else UNSET_ADDRESS
        netmask = str(interface.netmask) if interface else UNSET_ADDRESS
        gateway = str(router) if router else UNSET_ADDRESS
    return tuple(ipaddress.IPv4Address(each).packed for each in (address, netmask, gateway))  # type: ignore[return-value]


def get_lan(call: Call) -> bytes:
    """One parameter; bit 7 of the channel asks for the revision alone."""
    call.channel(call.data[0])
    if call.data[0] & 0x80:
        return REVISION
    address, netmask, gateway = _addresses(call)
    lan = call.state.lan
    values = {
        SET_IN_PROGRESS: b"\0",
        1: b"\x04",
        2: b"\x04\x04\x04\x04\x00",
        ADDRESS: address,
        SOURCE: bytes((lan.source,)),
        MAC: call.bmc.lan.mac,
        NETMASK: netmask,
        7: b"\x40\x40\x00\x10",
        8: b"\x6f\x02",
        10: b"\x02",
        11: b"\x02",
        GATEWAY: gateway,
        13: bytes(6),
        14: bytes(4),
        15: bytes(6),
        16: b"public".ljust(18, b"\0"),
        VLAN: struct.pack("<H", lan.vlan),
        21: b"\0",
        # The count itself: one less, as some read the text, hides the last suite from ipmitool.
        22: bytes((len(SUITES),)),
        23: b"\0" + bytes(suite.number for suite in SUITES).ljust(16, b"\0"),
        24: b"\0" + b"\x44" * 8,
    }
    if call.data[1] not in values:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    return REVISION + values[call.data[1]]


def set_sol(call: Call) -> bytes:
    """On or off; bit rates and the rest are taken and forgotten."""
    call.channel(call.data[0])
    if call.data[1] == SOL_ENABLE:
        call.state.sol_enabled = bool(call.data[2] & 1)
        call.bmc.save()
    elif call.data[1] not in SOL_VALUES:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    return b""


def get_sol(call: Call) -> bytes:
    """One parameter."""
    call.channel(call.data[0])
    if call.data[0] & 0x80:
        return REVISION
    enabled = {SOL_ENABLE: bytes((int(call.state.sol_enabled),))}
    value = (SOL_VALUES | enabled).get(call.data[1])
    if value is None:
        raise Refused(Completion.PARAMETER_UNSUPPORTED)
    return REVISION + value


COMMANDS = {
    (0x0C, 0x01): Command(set_lan, ADMIN, 3),
    (0x0C, 0x02): Command(get_lan, USER, 4),
    (0x0C, 0x21): Command(set_sol, ADMIN, 3),
    (0x0C, 0x22): Command(get_sol, USER, 4),
}
