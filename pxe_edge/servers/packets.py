"""The packet plane as one coroutine: DHCP, TFTP and router advertisements on one loop, boot HTTP beside it.

It is run in a thread with a loop of its own, so that a slow API request never delays an OFFER:
firmware asks 3 to 4 times and gives up. Boot HTTP has another thread, because image streams would.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pxe_edge.policy.networks import Link
from pxe_edge.policy.views import SiteView
from pxe_edge.servers.background import Background
from pxe_edge.servers.boot_plane import BootPlane
from pxe_edge.servers.dhcp import DhcpServer
from pxe_edge.servers.errors import StartError
from pxe_edge.servers.http import HttpServer
from pxe_edge.servers.loaders import publish_loaders
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.ports import Boot, LeaseStore, View
from pxe_edge.servers.ra import RouterAdvertiser
from pxe_edge.servers.tftp import TftpServer

SYNC_S: Final = 2.0
"""How often interfaces and site are looked at for a socket to open or close."""
log = logging.getLogger(__name__)


async def serve_packets(
    view: View,
    leases: LeaseStore,
    boot: Boot,
    *,
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

    `http_proxy`: boot HTTP listens there, for an nginx that listens on `http_port` and sends the files.
    """
    publish_loaders(boot_dir)
    dhcp = DhcpServer(view, leases, notes=notes)
    tftp = TftpServer(boot_dir, port=tftp_port)
    plane = BootPlane(
        view, boot, boot_dir=boot_dir, images_dir=images_dir, accelerated=http_proxy is not None
    )
    http = Background(HttpServer(plane, port=http_port, proxy=http_proxy), "boot-http")
    advertiser = RouterAdvertiser()
    try:
        await dhcp.start()
        tftp.start()
        await http.start()
        _follow(view, dhcp, tftp, advertiser)
        if on_ready is not None:
            on_ready()
        while not stop.is_set():
            try:
                async with asyncio.timeout(SYNC_S):
                    await stop.wait()
            except TimeoutError:
                http.check()
                _follow(view, dhcp, tftp, advertiser)
    finally:
        advertiser.close()
        tftp.close()
        await http.close()
        await dhcp.close()
        log.info("packets=stopped")


def _follow(view: View, dhcp: DhcpServer, tftp: TftpServer, advertiser: RouterAdvertiser) -> None:
    try:
        dhcp.sync()
    except StartError as error:
        log.error("dhcp=partly reason=%r", str(error))  # noqa: TRY400 - it says all, a traceback adds nothing
    tftp.follow(dhcp.links, view.site().networks)
    advertiser.sync(advertised(view.site(), dhcp.links))


def advertised(site: SiteView, links: dict[int, Link]) -> dict[str, Link]:
    """The links that get router advertisements: provisioning networks that ask for them."""
    wanted = {
        network.interface
        for network in site.networks
        if network.purpose == "provisioning" and network.router_advertisements and network.mode != "off"
    }
    return {link.interface: link for link in links.values() if link.interface in wanted}
