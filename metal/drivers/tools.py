"""Every tool whose output we read, by the name that `rackflow parse` takes.

A parser takes the whole text and gives a `Parsed` value, or raises Unparsable; nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.bmc.ipmitool import chassis, fru, lan, mc, sel, sensors, users
from metal.drivers.identity import boot_entries, cpuinfo, dmi, lshw, pci
from metal.drivers.network import ethtool, lldp
from metal.drivers.parsed import Parsed
from metal.drivers.raid import arcconf, ircu, md_text, megacli, mvcli, ssacli, storcli
from metal.drivers.storage import lsblk, nvme, smart
from metal.errors import SpecError


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: its name, the parser, and the names of relatives that speak the same."""

    name: str
    parse: Callable[[str], Parsed[Any]]
    also: tuple[str, ...] = ()
    reads: str = ""
    """Which outputs, in a few words, for the help and the docs."""


TOOLS: Final[tuple[Tool, ...]] = (
    Tool("lsblk", lsblk.parse, reads="-J, -P, -r, tree and list tables"),
    Tool("smartctl", smart.parse, reads="-a, -i, -x, -H and --scan, as text and as JSON"),
    Tool("nvme", nvme.parse, reads="list, list -v, id-ctrl, as text and as JSON of 1.x and 2.x"),
    Tool("lshw", lshw.parse, reads="-json and -xml, of the whole machine or of some classes"),
    Tool(
        "storcli",
        storcli.parse,
        ("storcli64", "storcli2", "perccli", "perccli64", "perccli2"),
        reads="show, show all, results, progress and foreign tables, as J and as text, sessions",
    ),
    Tool("mdadm", md_text.parse, reads="--detail, --examine, --export, --scan, /proc/mdstat"),
    Tool("dmidecode", dmi.parse, reads="all structures or some (-t), with -q too"),
    Tool("ipmitool-mc", mc.parse, reads="mc info, mc guid"),
    Tool("ipmitool-lan", lan.parse, reads="lan print"),
    Tool("ipmitool-user", users.parse, reads="user list, user summary, channel getaccess"),
    Tool("ipmitool-fru", fru.parse, reads="fru print"),
    Tool("ipmitool-sdr", sensors.parse, reads="sdr, sdr elist, sensor, as CSV and with -v too"),
    Tool("ipmitool-sel", sel.parse, reads="sel list, elist, info, as CSV and with -v too"),
    Tool("ipmitool-chassis", chassis.parse, reads="chassis status, chassis power status"),
    Tool("cpuinfo", cpuinfo.parse, ("lscpu",), reads="/proc/cpuinfo, lscpu, lscpu -J, lscpu -p"),
    Tool("lspci", pci.parse, reads="the plain form, -n, -nn, -v, -k, -mm, -vmm"),
    Tool("efibootmgr", boot_entries.parse, reads="with and without -v"),
    Tool("ethtool", ethtool.parse, reads="IFACE, -i, -P, -k, -m; other forms as settings"),
    Tool(
        "lldp",
        lldp.parse,
        ("lldpctl", "lldptool"),
        reads="lldpctl json, json0, keyvalue, plain; lldptool -t -n",
    ),
    Tool(
        "ssacli",
        ssacli.parse,
        also=("hpssacli", "hpacucli"),
        reads="show, show config, ld and pd show, errors",
    ),
    Tool("sas2ircu", ircu.parse_sas2ircu, reads="LIST, DISPLAY, STATUS, outcomes"),
    Tool("sas3ircu", ircu.parse_sas3ircu, reads="LIST, DISPLAY, STATUS, outcomes"),
    Tool("mvcli", mvcli.parse, also=("mnv_cli",), reads="info -o hba, pd, vd, blk"),
    Tool("arcconf", arcconf.parse, reads="LIST, GETCONFIG, GETSTATUS, GETVERSION, results of commands"),
    Tool("megacli", megacli.parse, also=("megacli64",), reads="lists, progress and results of MegaCli"),
)

BY_NAME: Final[Mapping[str, Tool]] = {name: tool for tool in TOOLS for name in (tool.name, *tool.also)}


def find_tool(name: str) -> Tool:
    """Give the tool of a name. Raises SpecError with those there are."""
    tool = BY_NAME.get(name.lower())
    if tool is None:
        known = ", ".join(sorted(tool.name for tool in TOOLS))
        raise SpecError(f"no parser for {name!r}", hint=f"known: {known}")
    return tool
