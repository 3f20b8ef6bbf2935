"""The packet plane in a process of its own, inside a namespace: `edge_process.py SITE.json FOLDER`.

SITE.json is what the tests vary: discovery, hosts (MAC -> due), networks. Logs `ready` once it serves.
"""

import asyncio
import json
import logging
import signal
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pxe_edge.policy.views import AddressRange, BootOsView, HostView, NetworkView, SiteView
from pxe_edge.servers.errors import StartError
from pxe_edge.servers.memory import MemoryBoot, MemoryLeases, MemoryView
from pxe_edge.servers.packets import serve_packets


def network(told):
    first, last = (IPv4Address(text) for text in told["pool"].split("-"))
    return NetworkView(
        name=told["name"],
        purpose="provisioning",
        subnet=IPv4Network(told["subnet"]),
        interface=told.get("interface"),
        gateway=IPv4Address(told["gateway"]),
        pool=(AddressRange(first, last),),
        lease_s=told.get("lease_s", 3600),
        reservations={mac: IPv4Address(address) for mac, address in told.get("reservations", {}).items()},
    )


async def main(told, folder):
    networks = tuple(network(each) for each in told["networks"])
    bootos = BootOsView("bootos/vmlinuz", ("bootos/bootos.img",)) if told.get("bootos") else None
    site = SiteView("lab", discovery=told["discovery"], networks=networks, bootos=bootos)
    hosts = [HostView(mac, mac, frozenset({mac}), due=due) for mac, due in told.get("hosts", {}).items()]
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve_packets(
        MemoryView(site, hosts),
        MemoryLeases(),
        MemoryBoot(),
        boot_dir=Path(folder) / "boot",
        images_dir=Path(folder) / "images",
        stop=stop,
        on_ready=lambda: logging.getLogger("edge").info("ready"),
    )


def run():
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(message)s", stream=sys.stderr)
    try:
        asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))
    except StartError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run()
