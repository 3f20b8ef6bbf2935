"""ProxyDHCP: boot information beside a foreign DHCP server (PXE 2.1 section 2.2, mode `proxy`).

The offer carries no address. BIOS firmware takes its file from the offer when 43 says "just take the
boot file"; UEFI firmware asks again on UDP 4011 and takes the file from that ACK (pixiecore's
finding, and what OVMF does with dnsmasq). iPXE must not hear `no-pxedhcp` here: we are the proxy.
"""

from ipaddress import IPv4Address
from typing import Final

from pxe_edge.policy import replies
from pxe_edge.policy.boot import Script, Silence, decide, held
from pxe_edge.policy.dhcp import Outcome, Quiet, Reply
from pxe_edge.policy.loaders import Loader
from pxe_edge.policy.networks import Arrival, Place, ServedSite, find_place
from pxe_edge.policy.replies import Target
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteView
from pxe_edge.wire import dhcp, pxe
from pxe_edge.wire import options as opt
from pxe_edge.wire.dhcp import Packet

PROXY_PORT: Final = 4011
_JUST_BOOT: Final = opt.encapsulate(
    {pxe.PXE_DISCOVERY_CONTROL: bytes((pxe.PXE_JUST_TAKE_THE_FILE,))}, end=True
)


def answer_proxy(
    packet: Packet,
    arrival: Arrival,
    request: BootRequest,
    host: HostView | None,
    site: ServedSite,
    *,
    on_proxy_port: bool,
) -> Outcome:
    """Decide one message on a network in mode `proxy`: DISCOVER on port 67, REQUEST on port 4011."""
    wanted = dhcp.REQUEST if on_proxy_port else dhcp.DISCOVER
    if packet.op != dhcp.BOOTREQUEST or packet.message_type != wanted or not request.boots:
        return Quiet("not-for-a-proxy")
    place = find_place(packet, arrival, site)
    if isinstance(place, Silence):
        return Quiet(place.reason)
    request.network = place.network.name
    if place.network.view.mode != "proxy":
        return Quiet("not-a-proxy-network")
    if (silence := held(request, host, site.view)) is not None:
        return Quiet(silence.reason)
    answer = decide(request, host, site.view)
    if not isinstance(answer, Loader | Script):
        return Quiet(answer.reason)
    kind = dhcp.ACK if on_proxy_port else dhcp.OFFER
    reply = _build(packet, request, place, site.view, kind, answer)
    encoded = dhcp.encode(reply, replies.max_reply_bytes(packet, arrival.link.mtu), replies.MANDATORY)
    if on_proxy_port:
        target = Target(int(IPv4Address(arrival.source)), arrival.source_port, "unicast")
    else:
        source_port = arrival.source_port if place.relay.source_port else None
        target = replies.target_of(packet, kind, 0, place.network, source_port)
    return Reply(kind, encoded.data, target, place, answer, dropped=encoded.dropped)


def _build(
    packet: Packet, request: BootRequest, place: Place, site: SiteView, kind: int, answer: Loader | Script
) -> Packet:
    file = replies.boot_file(answer, request, place, site)
    name = file.file.encode()
    http = isinstance(answer, Loader) and answer.http
    values = {opt.VENDOR_CLASS: pxe.HTTP_CLIENT if http else pxe.PXE_CLIENT}
    if request.arch == 0 or request.client == "ipxe":
        values[opt.VENDOR_SPECIFIC] = _JUST_BOOT
    if http or len(name) > replies.FILE_FIELD_BYTES:
        values[opt.BOOT_FILE] = name + b"\0"
    options = replies.options_of(packet, place, kind, values, None)
    if opt.RELAY_AGENT in packet.options:
        options[opt.RELAY_AGENT] = packet.options[opt.RELAY_AGENT]
    return Packet(
        op=dhcp.BOOTREPLY,
        xid=packet.xid,
        chaddr=packet.chaddr,
        htype=packet.htype,
        flags=packet.flags,
        ciaddr=packet.ciaddr if kind == dhcp.ACK else 0,
        siaddr=place.server,
        giaddr=packet.giaddr,
        file=name if len(name) <= replies.FILE_FIELD_BYTES else b"",
        options=options,
    )
