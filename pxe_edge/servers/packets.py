"""The packet plane: DHCP, DHCPv6 and router advertisements on one loop, TFTP and boot HTTP beside it.

It is run in a thread with a loop of its own, so that a slow API request never delays an OFFER:
firmware asks 3 to 4 times and gives up. TFTP and boot HTTP have others, because blocks and images would.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pxe_edge.policy.dhcp6_views import Network6View
from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import NetworkView, SiteView
from pxe_edge.servers.background import Background
from pxe_edge.servers.boot_plane import BootPlane
from pxe_edge.servers.dhcp import DhcpServer
from pxe_edge.servers.dhcp6 import Dhcp6Server
from pxe_edge.servers.errors import StartError
from pxe_edge.servers.foreign import ForeignServers
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.ports import Boot, Lease6Store, LeaseStore, View
from pxe_edge.servers.ra import Advertised, RouterAdvertiser
from pxe_edge.servers.tftp import TftpServer

SYNC_S: Final = 2.0
"""How often interfaces and site are looked at for a socket to open or close."""
log = logging.getLogger(__name__)


async def serve_packets(
    view: View,
    leases: LeaseStore,
    leases6: Lease6Store,
    boot: Boot,
    *,
    duid: bytes,
    boot_dir: Path,
    images_dir: Path,
    http_port: int = 8080,
    http_proxy: tuple[str, int] | None = None,
    tftp_port: int = 69,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    notes: Notes | None = None,
) -> None:
    """Serve until `stop` is set; raises StartError (port in use, missing rights) before `on_ready`.

    `duid` is the DHCPv6 server's identifier. `http_proxy`: boot HTTP listens there, for an nginx that
    listens on `http_port` and sends the files.
    """
    notes = notes if notes is not None else Notes()
    dhcp = DhcpServer(view, leases, notes=notes)
    foreign = ForeignServers(notes)
    dhcp6 = Dhcp6Server(view, leases6, duid, notes=notes)
    plane = BootPlane(
        view, boot, boot_dir=boot_dir, images_dir=images_dir, accelerated=http_proxy is not None
    )
    tftp = TftpServer(boot_dir, port=tftp_port, made=plane.by_tftp)
    http = Background(HttpServer(plane, port=http_port, proxy=http_proxy), "boot-http")
    advertiser = RouterAdvertiser()
    try:
        await dhcp.start()
        await dhcp6.start(dhcp.links)
        tftp.start()
        await http.start()
        _follow(view, dhcp, dhcp6, tftp, advertiser)
        foreign.sync(view.site(), dhcp.links)
        if on_ready is not None:
            on_ready()
        while not stop.is_set():
            try:
                async with asyncio.timeout(SYNC_S):
                    await stop.wait()
            except TimeoutError:
                http.check()
                _follow(view, dhcp, dhcp6, tftp, advertiser)
                foreign.sync(view.site(), dhcp.links)
    finally:
        foreign.close()
        advertiser.close()
        tftp.close()
        await http.close()
        await dhcp6.close()
        await dhcp.close()
        log.info("packets=stopped")


def _follow(
    view: View, dhcp: DhcpServer, dhcp6: Dhcp6Server, tftp: TftpServer, advertiser: RouterAdvertiser
) -> None:
    try:
        dhcp.sync()
    except StartError as error:
        log.error("dhcp=partly reason=%r", str(error))  # noqa: TRY400 - it says all, a traceback adds nothing
    tftp.follow(dhcp.links, view.site().networks)
    try:
        dhcp6.sync(dhcp.links)
    except StartError as error:
        log.error("dhcp6=partly reason=%r", str(error))  # noqa: TRY400 - as above
    advertiser.sync(advertised(view.site(), dhcp.links))


def advertised(site: SiteView, links: dict[int, Link]) -> dict[str, Advertised]:
    """The interfaces that get router advertisements: provisioning networks that ask for them.

    Where a link has an IPv6 network, that one says whether: its own routers may advertise already.
    """
    networks: list[NetworkView | Network6View] = [*site.networks, *site.networks6]
    served = [n for n in networks if n.purpose == "provisioning" and n.interface and n.mode != "off"]
    wanted = {network.interface: network.router_advertisements for network in served}
    six = {network.interface: network for network in served if isinstance(network, Network6View)}
    return {
        link.interface: Advertised(link, managed=True, prefixes=(network.subnet,), mtu=network.mtu)
        if (network := six.get(link.interface))
        else Advertised(link)
        for link in links.values()
        if wanted.get(link.interface)
    }
