"""Physical NICs, from `ip -d -j link` and sysfs.

The MAC that counts is the permanent one: a member of a bond bears the bond's address, and iproute2
prints `permaddr` only where it differs. A NIC that is administratively down has no readable carrier;
its link is unknown, not absent.
"""

import json
import re
from typing import Any, Final

from metal.drivers.bundle import Query
from metal.errors import Unparsable
from specs.facts import Nic
from specs.identity import mac_identity, normalise_mac

IP: Final = "/usr/sbin/ip"
"""By its path: busybox's shell takes its own `ip`, which knows no JSON, before any on PATH."""
IP_LINK: Final = Query("ip-link", (IP, "-d", "-j", "link", "show"))

NIC_SYSFS: Final = Query(
    "nic-sysfs",
    (
        "sh",
        "-c",
        # name, ARP type, driver, device path, virtual function or not, carrier, speed; "-" is unreadable.
        r"""for d in /sys/class/net/*; do
[ -e "$d/device" ] || continue
n=${d##*/}; t=-; c=-; s=-; v=pf; r=-
read -r t <"$d/type"; read -r c <"$d/carrier"; read -r s <"$d/speed"
[ -e "$d/device/physfn" ] && v=vf
[ -e "$d/device/driver" ] && r=$(readlink "$d/device/driver") && r=${r##*/}
echo "$n $t ${r:--} $v ${c:--} ${s:--} $(readlink -f "$d/device")"
done 2>/dev/null; :""",
    ),
)

_ETHERNET: Final = "1"  # ARPHRD_ETHER
_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def parse_links(text: str) -> dict[str, str]:
    """Interface -> permanent MAC, of every interface that has one."""
    macs: dict[str, str] = {}
    for row in _rows(text, "ip -d -j link"):
        mac = mac_identity(str(row.get("permaddr") or row.get("address") or ""))
        if mac and isinstance(row.get("ifname"), str):
            macs[row["ifname"]] = mac
    return macs


def parse_nics(links: str, sysfs: str, booted_mac: str | None) -> tuple[Nic, ...]:
    """The machine's own NICs in the order of their PCI addresses; virtual functions are left out."""
    macs = parse_links(links)
    booted = normalise_mac(booted_mac) if booted_mac else None
    nics = []
    for line in sysfs.splitlines():
        words = line.split(maxsplit=6)
        if len(words) != 7:
            raise Unparsable(f"nic-sysfs: expected 7 words a line, found {line[:120]!r}", reason="unparsable")
        name, kind, driver, function, carrier, speed, device = words
        if kind != _ETHERNET or function == "vf" or name not in macs:
            continue
        addresses = _PCI.findall(device)
        nics.append(
            Nic(
                name=name,
                mac=macs[name],
                link={"1": True, "0": False}.get(carrier),
                speed_mbps=int(speed) if speed.isascii() and speed.isdigit() and int(speed) else None,
                driver=driver if driver != "-" else None,
                pci_address=addresses[-1] if addresses else None,
                booted=macs[name] == booted,
            )
        )
    return tuple(sorted(nics, key=lambda nic: (nic.pci_address or "~", nic.name)))


def _rows(text: str, tool: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise Unparsable(f"{tool}: expected JSON, {error}", reason="unparsable") from error
    if not isinstance(rows, list):
        raise Unparsable(f"{tool}: expected a list, found {type(rows).__name__}", reason="unparsable")
    return [row for row in rows if isinstance(row, dict)]
