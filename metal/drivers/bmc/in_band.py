"""The BMC as its own machine sees it through /dev/ipmi0: facts in one reading, its users in a second.

The LAN channel is not always 1 (HP: 2, Intel: 3), so channels 1 to 8 are asked in turn until one has
a MAC. Each ipmitool call costs up to 0.7 s on an emulated machine, hence the loop inside one query.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from metal.drivers.bmc.ipmitool import lan, mc, users
from metal.drivers.bmc.ipmitool.lan import LanInfo
from metal.drivers.bmc.ipmitool.users import BmcUser
from metal.drivers.bundle import Query, read_bundle
from metal.errors import Unparsable
from metal.protocols import Output, Shell
from specs.facts import BmcFacts

MC_INFO: Final = Query("bmc-mc-info", ("ipmitool", "mc", "info"), timeout_s=20)
GUID: Final = Query("bmc-guid", ("ipmitool", "raw", "0x06", "0x37"), timeout_s=20)
LAN: Final = Query(
    "bmc-lan",
    (
        "sh",
        "-c",
        r"""for c in 1 2 3 4 5 6 7 8; do o=$(ipmitool lan print $c 2>&1); echo "channel $c"; echo "$o"
case $o in *"MAC Address"*) break ;; *"Could not open device"*|*"not found"*) break ;; esac; done; :""",
    ),
    timeout_s=40,
)
QUERIES: Final = (MC_INFO, GUID, LAN)


@dataclass(frozen=True, slots=True)
class BmcSetup:
    """What the set-up may have to change: LAN settings, users, access mode, serial over LAN."""

    channel: int
    lan: LanInfo
    users: tuple[BmcUser, ...]
    access_mode: str | None
    sol: bool | None


def parse_bmc(answers: Mapping[str, Output]) -> BmcFacts:
    """The facts from the answers to QUERIES. Raises Unparsable where no BMC answers."""
    info = mc.parse(_text(answers[MC_INFO.name])).value
    channel, found = _lan(answers[LAN.name].stdout)
    return BmcFacts(
        manufacturer=info.manufacturer,
        product=info.product,
        firmware=info.firmware,
        guid=_guid(answers[GUID.name]),
        mac=found.mac if found else None,
        address=found.address if found else None,
        netmask=found.netmask if found else None,
        gateway=found.gateway if found else None,
        channel=channel,
    )


def read_bmc(shell: Shell) -> BmcFacts:
    """Read the BMC's facts in one round trip. Raises Unparsable where there is no BMC."""
    return parse_bmc(read_bundle(shell, QUERIES))


def read_setup(shell: Shell, channel: int) -> BmcSetup:
    """Read users and settings of a LAN channel in one round trip."""
    number = str(channel)
    asked = {
        "lan": Query("bmc-lan-print", ("ipmitool", "lan", "print", number), timeout_s=20),
        "access": Query("bmc-access", ("ipmitool", "channel", "getaccess", number), timeout_s=60),
        "channel": Query("bmc-channel", ("ipmitool", "channel", "info", number), timeout_s=20),
        "sol": Query("bmc-sol", ("ipmitool", "sol", "info", number), timeout_s=20),
    }
    answers = read_bundle(shell, asked.values())
    texts = {key: _text(answers[query.name]) for key, query in asked.items()}
    return BmcSetup(
        channel=channel,
        lan=lan.parse(texts["lan"]).value,
        users=users.parse(texts["access"]).value.users,
        access_mode=lan.parse_channel(texts["channel"]),
        sol=lan.parse_sol(texts["sol"]),
    )


def _lan(text: str) -> tuple[int | None, LanInfo | None]:
    for part in re.split(r"^channel (?=\d+$)", text, flags=re.MULTILINE)[1:]:
        number, _, body = part.partition("\n")
        try:
            found = lan.parse(body).value
        except Unparsable:
            continue
        if found.mac:
            return int(number), found
    return None, None


def _guid(output: Output) -> str | None:
    # Get System GUID is optional in IPMI 1.5; a BMC without it has none.
    try:
        return mc.parse_guid(output.stdout) if output.ok else None
    except Unparsable:
        return None


def _text(output: Output) -> str:
    return output.stdout if output.stdout.strip() else output.stderr
