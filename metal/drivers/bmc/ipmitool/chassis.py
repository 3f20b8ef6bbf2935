"""`chassis status`, `chassis power status` and their like: power, restore policy, faults, identify light."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from metal.drivers.bmc.ipmitool.table import read_table
from metal.drivers.parsed import Parsed
from metal.drivers.tool_text import shorten

TOOL: Final = "ipmitool-chassis"

Power = Literal["on", "off"]

_KEYS: Final = frozenset(
    {
        "system power",
        "power overload",
        "power interlock",
        "main power fault",
        "power control fault",
        "power restore policy",
        "last power event",
        "chassis intrusion",
        "front-panel lockout",
        "drive fault",
        "cooling/fan fault",
        "chassis identify state",
        "chassis identify interval",
        "sleep button disable",
        "diag button disable",
        "reset button disable",
        "power button disable",
        "sleep button disabled",
        "diag button disabled",
        "reset button disabled",
        "power button disabled",
        "front panel control",
        "system restart cause",
        "chassis power control",
    }
)
_POWER: Final[dict[str, Power]] = {"on": "on", "off": "off"}
_POWER_LINE = re.compile(r"^Chassis Power is (on|off) *$", re.MULTILINE)
_POLICY_LINE = re.compile(r"^Set chassis power restore policy to (\S+) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ChassisStatus:
    """The chassis as its BMC sees it; `fault` holds if any fault line is true."""

    power: Power | None
    restore_policy: str | None
    fault: bool | None
    identify: str | None


def parse(text: str) -> Parsed[ChassisStatus]:
    """The status table, or the sentence of `chassis power status`. Errors alone are refused."""
    # The sentences are told as lines of the table, so that the last of a session holds.
    told = _POWER_LINE.sub(r"System Power : \1", text.replace("\r\n", "\n"))
    told = _POLICY_LINE.sub(r"Power Restore Policy : \1", told)
    table = read_table(TOOL, told, _KEYS, "a line 'System Power' or 'Chassis Power is …'")
    faults = [value.lower() == "true" for key, value in table.values.items() if key.endswith("fault")]
    policy = table.get("Power Restore Policy")
    identify = table.get("Chassis Identify State")
    value = ChassisStatus(
        power=_POWER.get((table.get("System Power") or "").lower()),
        restore_policy=policy.lower() if policy and policy.lower() != "unknown" else None,
        fault=any(faults) if faults else None,
        identify=identify.lower() if identify else None,
    )
    return Parsed(value, shorten(table.ignored))
