"""How full a network is: counted by ranges, so that a /8, or an IPv6 /64, costs no more than a /24."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.policy.ranges import Range, without
from pxe_edge.registry.addresses import address_range
from pxe_edge.registry.site_tables import Dhcp6LeaseRow, DhcpLeaseRow
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import AddressRow
from specs.shapes import IpAddress
from specs.site_model import SiteNetwork

_IPV6: Final = 1 << 128
"""Added to IPv6 addresses, so that no number is both families'."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of addresses. `pool` = `used` + `free`: those that may be given to anybody."""

    pool: int
    used: int
    """Of the pool: leased, in quarantine, or kept for a host."""
    free: int
    reserved: int
    """In the whole subnet: reserved in the Site, kept for a host, or named by a spec."""
    leased: int
    declined: int


def usage_of(
    session: Session, now: datetime, current: Current, networks: Iterable[SiteNetwork]
) -> list[Usage]:
    """The usage of some networks of the current set."""
    leases: dict[int, str] = {}
    for table in (DhcpLeaseRow, Dhcp6LeaseRow):
        live = select(table.address, table.state).where(
            table.state.in_(("bound", "declined")), table.expires_at > now.timestamp()
        )
        leases.update((_number(ip_address(row[0])), row[1]) for row in session.execute(live))
    kept = {
        _number(ip_address(text))
        for text in (*session.scalars(select(AddressRow.address)), *current.named_by)
    }
    return [_usage(network, leases, kept) for network in networks]


def shown(usage: Usage) -> dict[str, int]:
    """Counts as REST carries them."""
    return asdict(usage)


def _usage(network: SiteNetwork, leases: dict[int, str], kept: set[int]) -> Usage:
    low, high = _number(network.subnet.network_address), _number(network.subnet.broadcast_address)
    site = {_number(one.address) for one in network.reservations}
    inside = {number: state for number, state in leases.items() if low <= number <= high}
    reserved = {number for number in kept if low <= number <= high} | site
    special = {low, high} if network.subnet.version == 4 else {low}
    if network.gateway is not None:
        special.add(_number(network.gateway))
    barred = [*map(_ints, network.exclude), *((number, number) for number in special | site)]
    given = without(map(_ints, network.pool), barred)
    used = sum(_holds(given, number) for number in inside.keys() | reserved)
    size = sum(last - first + 1 for first, last in given)
    declined = sum(state == "declined" for state in inside.values())
    return Usage(size, used, size - used, len(reserved), len(inside) - declined, declined)


def _holds(ranges: list[Range], number: int) -> bool:
    at = bisect_right(ranges, (number, 2 * _IPV6)) - 1
    return at >= 0 and ranges[at][0] <= number <= ranges[at][1]


def _ints(text: str) -> Range:
    first, last = address_range(text)
    return _number(first), _number(last)


def _number(address: IpAddress) -> int:
    return int(address) + (_IPV6 if address.version == 6 else 0)
