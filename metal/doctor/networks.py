"""Interfaces of the site's networks, and the way to relays and what stands behind them."""

from collections.abc import Iterable, Iterator, Mapping

from metal.doctor import icmp, kernel
from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.kernel import Link
from metal.doctor.surroundings import ON_THE_EDGE, Surroundings
from specs.shapes import IpAddress
from specs.site_model import SiteNetwork


def check_interfaces(around: Surroundings) -> Iterator[Finding]:
    """Each network that has an interface: it is there, up, and has an address of ours in the subnet."""
    direct = [network for network in around.networks if network.interface and network.mode != "off"]
    if not direct:
        yield skipped("interfaces", "no network of the site names an interface")
        return
    if not around.on_edge_host:
        yield skipped("interfaces", ON_THE_EDGE)
        return
    for network in direct:
        yield judge_interface(network, around.links)


def judge_interface(network: SiteNetwork, links: Mapping[str, Link]) -> Finding:
    """The verdict on one network's interface."""
    name, wanted = f"network {network.name}", network.interface or ""
    link = links.get(wanted)
    elsewhere = kernel.link_in(links.values(), network.subnet)
    if link is None:
        there = ", ".join(sorted(set(links) - {"lo"})) or "none"
        said = f"interface {wanted} is not there; this machine has: {there}"
        return failed(name, said, _rename(network, elsewhere) or f"correct it in the Site, or make {wanted}")
    inside = [str(a) for a in link.addresses if a.ip in network.subnet]
    has = ", ".join(str(a) for a in link.addresses) or "no address"
    if not link.up:
        said, fix = f"interface {wanted} is down", f"ip link set {wanted} up"
    elif not inside:
        said = f"interface {wanted} has {has}, none of it in {network.subnet}"
        fix = _rename(network, elsewhere) or f"give {wanted} an address of it, or correct the Site"
    elif not link.carrier:
        said, fix = f"interface {wanted} has no carrier", "look at cable, switch port or bridge ports"
    elif network.mtu is not None and network.mtu > link.mtu:
        said = f"the Site says mtu {network.mtu}, interface {wanted} carries {link.mtu}"
        fix = f"ip link set {wanted} mtu {network.mtu}, or correct the Site"
    else:
        return ok(name, f"{wanted} is up with {', '.join(inside)}")
    return failed(name, said, fix)


def _rename(network: SiteNetwork, link: Link | None) -> str:
    if link is None:
        return ""
    return f"an address of {network.subnet} is on {link.name}: write interface: {link.name} in the Site"


def behind_relays(networks: Iterable[SiteNetwork]) -> list[SiteNetwork]:
    """Networks that the edge reaches by routing only."""
    return [network for network in networks if not network.interface and network.purpose == "provisioning"]


def far_ends(network: SiteNetwork) -> tuple[IpAddress, ...]:
    """Addresses to reach of a network behind relays: the relays, else the gateway."""
    return network.relays or ((network.gateway,) if network.gateway is not None else ())


def check_routes(around: Surroundings) -> Iterator[Finding]:
    """The way back to each relay, and to each subnet behind one."""
    relayed = behind_relays(n for n in around.networks if n.mode != "off")
    if not relayed:
        yield skipped("routes", "no network of the site is behind a relay")
        return
    if not around.on_edge_host:
        yield skipped("routes", ON_THE_EDGE)
        return
    for network in relayed:
        yield from _routes_of(network)


def _routes_of(network: SiteNetwork) -> Iterator[Finding]:
    inside = next(network.subnet.hosts(), network.subnet.network_address)
    ends = far_ends(network)
    for address in dict.fromkeys((*ends, inside)):
        relay = address in ends
        what = f"relay {address}" if relay else f"machines in {network.subnet}"
        name = f"network {network.name}, {what}"
        route = kernel.route_to(address)
        if route is None:
            add = f"ip route add {network.subnet} via ROUTER, and make it permanent"
            yield failed(name, "there is no route: answers to it never leave this machine", add)
            continue
        way = f"via {route.via} on {route.interface}" if route.via else f"on {route.interface}"
        if not relay:
            yield ok(name, f"routed {way}")
        elif (answered := icmp.echo(address)) is None:
            yield skipped(f"{name}, ping", f"routed {way}; ping needs root or net.ipv4.ping_group_range")
        elif answered:
            yield ok(name, f"routed {way}, and answers")
        else:
            look = f"is {route.via or route.interface} the way to it? A filter may also drop ping"
            yield warning(name, f"routed {way}, but does not answer ping", look)


def check_path(around: Surroundings) -> Iterator[Finding]:
    """Whether full-size packets arrive: a path that drops them silently lets DHCP pass and stops TFTP."""
    targets = [
        (network, end)
        for network in around.networks
        if network.mode != "off" and network.purpose == "provisioning"
        for end in (far_ends(network) if not network.interface else _gateways(network, around))
    ]
    if not targets:
        yield skipped("path MTU", "no relay or gateway to send to")
        return
    if not around.on_edge_host:
        yield skipped("path MTU", ON_THE_EDGE)
        return
    for network, address in targets:
        yield _path_to(network, address, around)


def _gateways(network: SiteNetwork, around: Surroundings) -> tuple[IpAddress, ...]:
    gateway = network.gateway
    return (gateway,) if gateway is not None and gateway not in around.own_addresses else ()


def _path_to(network: SiteNetwork, address: IpAddress, around: Surroundings) -> Finding:
    name = f"network {network.name}, path to {address}"
    route = kernel.route_to(address)
    if route is None:
        return skipped(name, "there is no route to it")
    link = around.links.get(route.interface)
    wanted = network.mtu or (link.mtu if link else 1500)
    answered = icmp.echo(address)
    if answered is None:
        return skipped(name, "probing needs root or net.ipv4.ping_group_range")
    if not answered:
        return skipped(name, "it does not answer ping")
    largest = icmp.largest(address, wanted)
    if largest >= wanted:
        return ok(name, f"packets of {wanted} octets arrive whole")
    said = f"packets of {wanted} octets are lost, the largest that arrives has {largest}"
    fix = f"mend the MTU on the way, or write mtu: {largest} for network {network.name} in the Site"
    return failed(name, said, fix)
