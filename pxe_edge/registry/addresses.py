"""IPAM: which address of a site network is kept for which host, until it retires.

Pools hand out the lowest free address. What the spec names is a reservation: it is kept as named or
refused, never replaced by another one.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from ipaddress import IPv4Interface, IPv6Interface, ip_address

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pxe_edge.registry import hosts, timeline
from pxe_edge.registry.errors import ConflictError, InvalidError
from pxe_edge.registry.site_tables import Dhcp6LeaseRow, DhcpLeaseRow
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import AddressRow, HostRow
from specs.model import Host, PoolAddress
from specs.records import Finding
from specs.shapes import IpAddress
from specs.site_model import Site, SiteNetwork
from specs.tree import Mark

BMC = "bmc"
PXE = "pxe"
"""What a host gets by DHCP on its provisioning network, given with `host add --address`."""


def kept(session: Session, host_id: str) -> dict[str, AddressRow]:
    """The addresses kept for a host, by key."""
    return {row.key: row for row in session.scalars(select(AddressRow).where(AddressRow.host_id == host_id))}


def fixed(session: Session, host_ids: Collection[str]) -> dict[str, str]:
    """What hosts get by DHCP, by host id."""
    query = select(AddressRow).where(AddressRow.host_id.in_(host_ids), AddressRow.key == PXE)
    return {row.host_id: row.address for row in session.scalars(query)}


def pool_addresses(network: SiteNetwork) -> Iterable[IpAddress]:
    """The addresses of a network's pool that may be given to anybody, in order."""
    barred = {network.subnet.network_address, network.gateway}
    if network.subnet.version == 4:
        barred.add(network.subnet.broadcast_address)
    barred.update(reservation.address for reservation in network.reservations)
    make = type(network.subnet.network_address)
    excluded = [(int(low), int(high)) for low, high in map(address_range, network.exclude)]
    for text in network.pool:
        first, last = address_range(text)
        number = int(first)
        while number <= int(last):
            # A gap is stepped over as a whole: one of IPv6 may be larger than all of IPv4.
            shut_until = max((high for low, high in excluded if low <= number <= high), default=None)
            if shut_until is not None:
                number = shut_until + 1
                continue
            address = make(number)
            if address in network.subnet and address not in barred:
                yield address
            number += 1


def address_range(text: str) -> tuple[IpAddress, IpAddress]:
    """Turn `A-B` or `A` into first and last."""
    first, _, last = text.partition("-")
    return ip_address(first.strip()), ip_address((last or first).strip())


def keep_named(
    session: Session, now: datetime, host: HostRow, key: str, address: IpAddress, network: str
) -> AddressRow:
    """Keep exactly this address for a host; 409 when another host has it."""
    mine = kept(session, host.id).get(key)
    if mine is not None and mine.address == str(address):
        return mine
    taken = session.get(AddressRow, str(address))
    if taken is not None and taken.host_id == host.id:
        if mine is not None:
            session.delete(mine)
            session.flush()
        return taken  # its own already, say by DHCP and then in the deployed system
    if taken is not None:
        owner = session.get(HostRow, taken.host_id)
        raise ConflictError(
            f"{address} is kept for {owner.name if owner else taken.host_id} ({taken.key})",
            code="address",
            hint="choose another address, or retire that host",
            host=host.name,
        )
    leased = _leased(session, now, [str(address)])
    holder = leased.get(str(address))
    if holder is not None and holder not in hosts.macs_of(session, host.id):
        raise ConflictError(
            f"{address} is leased by DHCP to {holder}",
            code="address",
            hint="choose another address, or wait for the end of that lease: rackflow leases",
            host=host.name,
        )
    if mine is not None:
        session.delete(mine)
        session.flush()
    return _insert(session, now, host, key, str(address), network)


def keep_fixed(
    session: Session,
    now: datetime,
    host: HostRow,
    address: IpAddress,
    current: Current,
    *,
    own: Collection[IpAddress] = (),
) -> AddressRow:
    """Keep an address that a host gets by DHCP; 422 where no network gives it, 409 when it is somebody's.

    `own` are the edge's addresses.
    """
    network = _giving(current.site, address, host)
    special: dict[IpAddress | None, str] = {
        network.gateway: "the gateway",
        network.subnet.network_address: "the network's own",
        **({network.subnet.broadcast_address: "the broadcast address"} if address.version == 4 else {}),
        **dict.fromkeys(own, "the edge's own"),
    }
    macs = hosts.macs_of(session, host.id)
    reserved = next((one.mac for one in network.reservations if one.address == address), None)
    named = current.named_by.get(str(address))
    taken = special.get(address)
    if reserved is not None and reserved not in macs:
        taken = f"reserved for {reserved} in the Site"
    elif named is not None and named != host.name:
        taken = f"named by the spec of {named}"
    if taken is not None:
        raise ConflictError(
            f"{address} is {taken}", code="address", hint="choose another address", host=host.name
        )
    return keep_named(session, now, host, PXE, address, network.name)


def _giving(site: Site, address: IpAddress, host: HostRow) -> SiteNetwork:
    """The provisioning network on which the edge can give an address."""
    boots = [network for network in site.networks if network.purpose == "provisioning"]
    network = next((one for one in boots if address in one.subnet), None)
    if network is None:
        there = ", ".join(f"{one.name} {one.subnet}" for one in boots) or "none"
        told = f"{address} lies in no provisioning network: {there}"
        raise InvalidError(told, code="address", hint="choose one inside", host=host.name)
    if network.mode in ("proxy", "off"):
        told = f"{network.name} is in mode {network.mode}: another server gives the addresses there"
        raise InvalidError(told, code="address", hint="reserve it at that server", host=host.name)
    return network


def _leased(session: Session, now: datetime, wanted: Iterable[str] | None = None) -> dict[str, str]:
    """Addresses that DHCP has given away and may not give back yet, with the MACs that have them."""
    names = None if wanted is None else list(wanted)
    found: dict[str, str] = {}
    for table in (DhcpLeaseRow, Dhcp6LeaseRow):
        query = select(table.address, table.mac).where(
            table.state.in_(("bound", "declined")), table.expires_at > now.timestamp()
        )
        if names is not None:
            query = query.where(table.address.in_(names))
        found.update((row[0], row[1]) for row in session.execute(query))
    return found


def keep_any(
    session: Session, now: datetime, host: HostRow, key: str, network: SiteNetwork, *, named: frozenset[str]
) -> AddressRow:
    """The address kept under this key, else the next free one of the network; 409 when none is left.

    `named` are addresses that specs ask for by name: theirs, also before their machine was seen. Nobody
    gets an address twice because the table has one row per address, not because of what is read here:
    what another writer took since is passed over.
    """
    mine = kept(session, host.id).get(key)
    if mine is not None and mine.network == network.name:
        return mine
    if mine is not None:
        session.delete(mine)
        session.flush()
    taken = named | _taken(session, now)
    for free in (str(address) for address in pool_addresses(network)):
        if free in taken:
            continue
        try:
            with session.begin_nested():
                return _insert(session, now, host, key, free, network.name)
        except IntegrityError:
            if session.get(AddressRow, free) is None:
                raise
    raise ConflictError(
        f"network {network.name} has no free address left in {', '.join(network.pool) or 'no pool'}",
        code="address",
        hint="give the network a larger pool in the Site",
        host=host.name,
    )


def _taken(session: Session, now: datetime) -> set[str]:
    """Addresses that are kept for a host or leased."""
    return {*session.scalars(select(AddressRow.address)), *_leased(session, now)}


def _insert(
    session: Session, now: datetime, host: HostRow, key: str, address: str, network: str
) -> AddressRow:
    row = AddressRow(address=address, host_id=host.id, key=key, network=network, kept_at=now)
    session.add(row)
    session.flush()
    timeline.add(
        session, now, "address", f"{address} of {network or 'no network'} kept for {key}", host_id=host.id
    )
    return row


def clashes(session: Session, current: Current, bindings: Mapping[str, str]) -> tuple[Finding, ...]:
    """What a set reserves or names although it is kept for another host; `bindings`: spec -> host id."""
    rows = {row.address: row for row in session.scalars(select(AddressRow))}
    found = []

    def say(row: AddressRow, at: Mark) -> None:
        owner = session.get_one(HostRow, row.host_id).name
        told = f"{row.address} is kept for {owner} ({row.key})"
        found.append(at.finding(told, f"choose another address, or rackflow host rm {owner}"))

    for index, network in enumerate(current.site.networks):
        for number, reserved in enumerate(network.reservations):
            row = rows.get(str(reserved.address))
            if row is not None and reserved.mac not in hosts.macs_of(session, row.host_id):
                path = ("networks", index, "reservations", number, "address")
                say(row, current.specs.where("Site", current.site.metadata.name, *path))
    for address, name in current.named_by.items():
        row = rows.get(address)
        if row is not None and bindings.get(name) != row.host_id:
            say(row, current.specs.where("Host", name, "network"))
    return tuple(found)


def bmc_network(site: Site) -> SiteNetwork | None:
    """The network whose addresses BMCs get."""
    wanted = site.bmc.network
    return next(
        (
            n
            for n in site.networks
            if n.name == wanted or (wanted is None and n.purpose == "bmc" and n.subnet.version == 4)
        ),
        None,
    )


def keep_bmc(
    session: Session, now: datetime, host: HostRow, spec: Host | None, current: Current
) -> AddressRow | None:
    """The BMC's address: the spec's, else the kept or next free one of the site's bmc network."""
    network = bmc_network(current.site)
    if spec is not None and spec.bmc.address is not None:
        return keep_named(session, now, host, BMC, spec.bmc.address, network.name if network else "")
    if network is None:
        return None
    return keep_any(session, now, host, BMC, network, named=current.named_addresses)


def keep_spec(session: Session, now: datetime, host: HostRow, spec: Host, current: Current) -> None:
    """Keep all addresses that a bound spec asks for: the BMC's and those of its interfaces."""
    networks = {network.name: network for network in current.site.networks}
    keep_bmc(session, now, host, spec, current)
    parts = (spec.network.ethernets, spec.network.bonds, spec.network.vlans)
    for interface, link in (item for part in parts for item in part.items()):
        for index, wish in enumerate(link.addresses):
            key = f"{interface}/{index}"
            if isinstance(wish, PoolAddress):
                if wish.pool not in networks:
                    raise InvalidError(f"the site has no network {wish.pool}", code="address", host=host.name)
                keep_any(session, now, host, key, networks[wish.pool], named=current.named_addresses)
            else:
                inside = next((n.name for n in current.site.networks if wish.ip in n.subnet), "")
                keep_named(session, now, host, key, wish.ip, inside)


def with_prefix(row: AddressRow, spec: Host | None, site: Site) -> str:
    """An address as it is configured: with the prefix of the spec's literal, else of its network."""
    if spec is not None and row.key != BMC:
        interface, _, index = row.key.rpartition("/")
        for part in (spec.network.ethernets, spec.network.bonds, spec.network.vlans):
            link = part.get(interface)
            wish = link.addresses[int(index)] if link and int(index) < len(link.addresses) else None
            if isinstance(wish, IPv4Interface | IPv6Interface):
                return str(wish)
    subnet = next((n.subnet for n in site.networks if n.name == row.network), None)
    alone = ip_address(row.address).max_prefixlen
    return f"{row.address}/{subnet.prefixlen if subnet else alone}"
