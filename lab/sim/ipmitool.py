"""ipmitool in band: its texts and commands over the state of the simulated BMC.

Writes go through the same commands table as the LAN side (`lab.bmc`), as raw requests of IPMI 2.0; only the
tables for people are printed from the state.
"""

import ipaddress
import shlex
from collections.abc import Callable

from lab.bmc.completion import Completion
from lab.bmc.state import MAX_USERS, NO_PRIVILEGE, SOURCE_DHCP, User
from lab.sim.bmc import InBand

Answer = tuple[int, str, str]
Request = tuple[int, int, bytes]
"""Network function, command, data."""
PRIVILEGES = {1: "CALLBACK", 2: "USER", 3: "OPERATOR", 4: "ADMINISTRATOR", NO_PRIVILEGE: "NO ACCESS"}


def read(bmc: InBand, name: str, argv: list[str]) -> Answer:
    """The answer to a reading."""
    if name == "bmc-lan":
        return 0, f"channel 1\n{_lan_print(bmc)}", ""
    if argv[:2] == ["ipmitool", "raw"]:
        return _raw(bmc, argv[2:])
    show = _READINGS.get(tuple(argv[1:3])) if argv[:1] == ["ipmitool"] else None
    return (0, show(bmc), "") if show else (1, "", f"Invalid command: {shlex.join(argv)}")


def write(bmc: InBand, argv: list[str], stdin: bytes) -> Answer:
    """`ipmitool exec` runs its lines up to the first that fails; anything else is one command."""
    if argv[1:2] != ["exec"]:
        return _run(bmc, argv[1:])
    out = ""
    for line in stdin.decode().splitlines():
        status, said, err = _run(bmc, shlex.split(line))
        out += said
        if status:
            return status, out, err
    return 0, out, ""


def lines(argv: list[str], stdin: bytes) -> int:
    """How many commands a call holds; each takes its time."""
    return len(stdin.splitlines()) if argv[1:2] == ["exec"] else 1


def _run(bmc: InBand, words: list[str]) -> Answer:
    if words[:1] == ["raw"]:
        return _raw(bmc, words[1:])
    request = _lan_request(words) or _user_request(words)
    return _send(bmc, *request) if request else (1, "", f"Invalid command: {' '.join(words)}")


def _lan_request(words: list[str]) -> Request | None:
    """The raw request of a `lan set` or `sol set` (IPMI 2.0 tables 23-4 and 26-5)."""
    match words:
        case ["lan", "set", _, "ipsrc", source]:
            return 0x0C, 0x01, bytes((1, 4, 2 if source == "dhcp" else 1))
        case ["lan", "set", _, "ipaddr", address]:
            return 0x0C, 0x01, bytes((1, 3)) + ipaddress.IPv4Address(address).packed
        case ["lan", "set", _, "netmask", mask]:
            return 0x0C, 0x01, bytes((1, 6)) + ipaddress.IPv4Address(mask).packed
        case ["lan", "set", _, "defgw", "ipaddr", address]:
            return 0x0C, 0x01, bytes((1, 12)) + ipaddress.IPv4Address(address).packed
        case ["sol", "set", "enabled", on, *_]:
            return 0x0C, 0x21, bytes((1, 1, int(on == "true")))
    return None


def _user_request(words: list[str]) -> Request | None:
    """The raw request of a command about users and channel access (IPMI 2.0 sections 22.22 to 22.29)."""
    match words:
        case ["lan", "set", _, "access", "on"]:
            return 0x06, 0x40, bytes((1, 0x40 | 2, 0x40 | 4))
        case ["user", "set", "name", slot, name]:
            return 0x06, 0x45, bytes((int(slot),)) + name.encode().ljust(16, b"\0")
        case ["user", "enable" | "disable" as verb, slot]:
            return 0x06, 0x47, bytes((int(slot), int(verb == "enable")))
        case ["channel", "setaccess", _, slot, *_]:
            return 0x06, 0x43, bytes((0x80 | 0x30 | 1, int(slot), 4))
        case ["sol", "payload", "enable", _, slot]:
            return 0x06, 0x4C, bytes((1, int(slot), 2, 0, 0, 0))
    return None


def _raw(bmc: InBand, words: list[str]) -> Answer:
    netfn, command, *data = (int(word, 0) for word in words)
    return _send(bmc, netfn, command, bytes(data))


def _send(bmc: InBand, netfn: int, command: int, data: bytes) -> Answer:
    code, answer = bmc.request(netfn, command, data)
    if code != Completion.OK:
        return 1, "", f"Unable to send command: (rsp=0x{int(code):x})"
    return 0, (" " + " ".join(f"{byte:02x}" for byte in answer) + "\n") if answer else "", ""


def _lan_print(bmc: InBand) -> str:
    lan = bmc.state.lan
    source = "DHCP Address" if lan.source == SOURCE_DHCP else "Static Address"
    return (
        "Set in Progress         : Set Complete\n"
        f"IP Address Source       : {source}\nIP Address              : {lan.address}\n"
        f"Subnet Mask             : {lan.netmask}\nMAC Address             : {bmc.mac}\n"
        f"Default Gateway IP      : {lan.gateway}\n802.1q VLAN ID          : Disabled\n"
        "RMCP+ Cipher Suites     : 3,17\n"
    )


def _get_access(bmc: InBand) -> str:
    return "\n".join(_slot(slot, bmc.state.users.get(slot, User())) for slot in range(1, MAX_USERS + 1))


def _slot(slot: int, user: User) -> str:
    return (
        f"Maximum User IDs     : {MAX_USERS}\nEnabled User IDs     : 1\n\n"
        f"User ID              : {slot}\nUser Name            : {user.name}\nFixed Name           : No\n"
        f"Access Available     : call-in / callback\n"
        f"Link Authentication  : {_enabled(user.access & 0x20)}\n"
        f"IPMI Messaging       : {_enabled(user.access & 0x10)}\n"
        f"Privilege Level      : {PRIVILEGES.get(user.privilege, 'Unknown')}\n"
        f"Enable Status        : {_enabled(user.enabled)}\n"
    )


def _enabled(value: object) -> str:
    return "enabled" if value else "disabled"


def _channel_info(bmc: InBand) -> str:
    mode = "always available" if bmc.state.channel_access == 2 else "disabled"
    return f"Channel 0x1 info:\n  Channel Medium Type   : 802.3 LAN\n    Access Mode         : {mode}\n"


_MC_INFO = (
    "Device ID                 : 32\nDevice Revision           : 1\nFirmware Revision         : 2.10\n"
    "IPMI Version              : 2.0\nManufacturer ID           : 0\n"
    "Manufacturer Name         : Unknown (0x0)\n"
    "Product ID                : 1 (0x0001)\nProduct Name              : Unknown (0x1)\n"
)

_SOL_INFO = "Set in progress                 : set-complete\nEnabled                         : "
_READINGS: dict[tuple[str, ...], Callable[[InBand], str]] = {
    ("mc", "info"): lambda _bmc: _MC_INFO,
    ("lan", "print"): _lan_print,
    ("channel", "getaccess"): _get_access,
    ("channel", "info"): _channel_info,
    ("sol", "info"): lambda bmc: f"{_SOL_INFO}{str(bmc.state.sol_enabled).lower()}\n",
}
