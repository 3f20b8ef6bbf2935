"""What the site's networks answer to a DISCOVER: ours, and any server that nobody meant to be there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from metal.doctor import discover, kernel
from metal.doctor.discover import PROBE_MAC, Offer
from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.kernel import Link
from metal.doctor.surroundings import Surroundings
from metal.edge_client import EdgeClient
from metal.errors import RackflowError
from specs.shapes import IpAddress
from specs.site_model import SiteNetwork

_ROOT = "run rackflow doctor as root (CAP_NET_RAW, CAP_NET_ADMIN)"


@dataclass(frozen=True, slots=True)
class Heard:
    """Offers on one link, and whether our own server could be among them."""

    interface: str
    offers: tuple[Offer, ...]
    hears_us: bool


def check_network(around: Surroundings, network: SiteNetwork, listen_s: float) -> Iterator[Finding]:
    """One network: on its link where this machine is on it, else by the way that relays take."""
    name = f"network {network.name}"
    if not isinstance(network.subnet, IPv4Network):
        yield skipped(name, "DHCPv6 is not asked: pyroute2's client speaks IPv4 only")
        return
    link = _link_here(around, network)
    rights = kernel.capabilities()
    if link is not None and "CAP_NET_RAW" in rights:
        heard = _listen(around, network, link, listen_s, may_add="CAP_NET_ADMIN" in rights)
        yield judge_others(network, heard, around.servers)
        if heard.hears_us:
            yield _ours(around, network, heard)
            return
    elif link is not None:
        yield skipped(f"{name}, other servers", "hearing them needs a raw socket", _ROOT)
    if network.mode in ("full", "reservations"):
        yield _by_relay(around, network, listen_s)
    elif link is None:
        yield skipped(name, f"mode {network.mode}, and this machine is not on its link")


def _link_here(around: Surroundings, network: SiteNetwork) -> Link | None:
    if around.on_edge_host:
        return around.links.get(network.interface or "")
    return kernel.link_in(around.links.values(), network.subnet)


def client_mac(network: SiteNetwork) -> str | None:
    """Who to ask as: in mode `reservations` only those who have one are answered."""
    if network.mode != "reservations":
        return PROBE_MAC
    return network.reservations[0].mac if network.reservations else None


def _listen(
    around: Surroundings, network: SiteNetwork, link: Link, listen_s: float, *, may_add: bool
) -> Heard:
    mac = client_mac(network) or PROBE_MAC
    asked = [(discover.discover(mac), False), (discover.discover(mac, boot_client=True), True)]
    if around.on_edge_host and link.kind == "bridge" and may_add:
        with discover.bridge_port(link) as end:
            return Heard(link.name, tuple(discover.on_link(end, asked, listen_s)), hears_us=True)
    offers = discover.on_link(link.name, asked, listen_s)
    return Heard(link.name, tuple(offers), hears_us=not around.on_edge_host)


def judge_others(network: SiteNetwork, heard: Heard, servers: Sequence[IpAddress]) -> Finding:
    """The verdict on DHCP servers other than the edge."""
    name = f"network {network.name}, other DHCP servers"
    others: dict[tuple[IPv4Address, str], Offer] = {}
    for offer in heard.offers:
        if offer.server not in servers:
            before = others.get((offer.server, offer.mac))
            others[offer.server, offer.mac] = offer if before is None or offer.file else before
    told = "; ".join(f"{o.server} ({o.mac}) offers {o}" for o in others.values())
    if network.mode in ("proxy", "off"):
        giving = [o for o in others.values() if int(o.address)]
        if giving:
            return ok(name, f"mode {network.mode} wants one: {told}")
        said = (
            f"mode {network.mode} leaves addresses to another server, and none answers on {heard.interface}"
        )
        return failed(name, said, "start it, or set the network's mode to full")
    if others:
        stop = "find its port by that MAC, and switch it off; or set mode: proxy if it is meant to be there"
        return failed(name, f"on {heard.interface}, {told}", stop)
    return ok(name, f"none answers on {heard.interface}")


def _ours(around: Surroundings, network: SiteNetwork, heard: Heard) -> Finding:
    mine = [offer for offer in heard.offers if offer.server in around.servers]
    name = f"network {network.name}, our answer"
    if network.mode == "off":
        if mine:
            return failed(name, "we answer, though mode is off", "report this, it is a fault of the edge's")
        return ok(name, "none, as mode off says")
    if network.mode == "reservations" and client_mac(network) is None:
        return skipped(name, "mode reservations, and there is none")
    if network.mode == "proxy":
        return _judge_proxy(around, name, mine)
    plain = next((offer for offer in mine if not offer.boot_client), None)
    if plain is None:
        return _silent(around, network, f"no answer to a DISCOVER on {heard.interface}")
    return judge_answer(network, plain)


def _judge_proxy(around: Surroundings, name: str, mine: Sequence[Offer]) -> Finding:
    offer = next((o for o in mine if o.boot_client), None)
    if offer is not None:
        return ok(name, f"boot clients are told {offer}")
    policy = around.site.discovery if around.site else "hold"
    if policy in ("off", "hold"):
        return skipped(name, f"mode proxy answers boot clients only, and discovery is {policy}")
    return failed(name, "no answer to a boot client's DISCOVER", "see the edge's log")


def _by_relay(around: Surroundings, network: SiteNetwork, listen_s: float) -> Finding:
    name = f"network {network.name}, our answer"
    mac = client_mac(network)
    if mac is None:
        return skipped(name, "mode reservations, and there is none")
    server = around.server_of(network)
    if not isinstance(server, IPv4Address):
        return failed(name, "the edge has no address for it", "see the networks above")
    own = _relay_address(around, server)
    if own is None:
        return skipped(name, "this machine has no address in a network of the site to ask from")
    offer = discover.as_relay(server, own, network.subnet.network_address.packed, mac, listen_s)
    if offer is not None:
        return judge_answer(network, offer)
    if around.on_edge_host and all(n.interface for n in around.networks if n.mode != "off"):
        said = f"{network.interface} is no bridge: what this machine sends there does not come back to it"
        return skipped(name, said, "run rackflow doctor on another machine of that network")
    return _silent(around, network, f"no answer to a relayed DISCOVER at {server}")


def _relay_address(around: Surroundings, server: IPv4Address) -> IPv4Address | None:
    if server in around.own_addresses:
        return server
    own = sorted(a for a in around.own_addresses if isinstance(a, IPv4Address))
    subnets = [network.subnet for network in around.networks]
    return next((address for address in own if any(address in subnet for subnet in subnets)), None)


def _silent(around: Surroundings, network: SiteNetwork, said: str) -> Finding:
    name = f"network {network.name}, our answer"
    mac = client_mac(network) or PROBE_MAC
    fix = f"see rackflow why {mac} and the edge's log for that MAC"
    if around.edge is not None:
        try:
            with EdgeClient(around.address, sleep=lambda _: None) as client:
                why = client.why(mac)
        except RackflowError:
            why = {}
        if sentence := why.get("sentence"):
            return failed(name, f"{said}: {sentence}", str(why.get("next") or fix))
    return failed(name, said, fix)


def judge_answer(network: SiteNetwork, offer: Offer) -> Finding:
    """The verdict on what we offer."""
    name = f"network {network.name}, our answer"
    if offer.address not in network.subnet:
        said = f"{offer.server} offers {offer.address}, which is outside of {network.subnet}"
        return failed(name, said, "correct pool and reservations of the network")
    gateway = str(network.gateway) if network.gateway is not None else ""
    if offer.router != gateway and not any(option.code == 3 for option in network.options):
        said = f"{offer.server} offers {offer}; the Site says gateway {gateway or 'none'}"
        return warning(name, said, "has the current set been published? rackflow spec publish")
    return ok(name, f"{offer.server} offers {offer}")
