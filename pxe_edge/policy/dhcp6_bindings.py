"""Which address each association of a DHCPv6 message gets, keeps, or gives back.

One machine shows several DUIDs and association numbers on its way (firmware, iPXE, system), and is to
keep its address all the same. So an association takes, in this order: the binding with its own DUID
and number; a binding that another stage of the same machine left; a new one. A second association of
the same DUID is another interface or another wish of the same client, and gets an address of its own,
unless the NIC itself is known (`Request6.own_nic`): EDK2 draws a new number at every start.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Final

from pxe_edge.policy.dhcp6_leases import (
    MAX_PER_HOLDER,
    OFFER_S,
    QUARANTINE_S,
    Lease6Row,
    Lease6Table,
)
from pxe_edge.policy.dhcp6_requests import Request6
from pxe_edge.policy.dhcp6_views import Network6View
from pxe_edge.policy.leases import LeaseState
from pxe_edge.wire import dhcp6
from pxe_edge.wire.dhcp6 import Association, LeasedAddress, Status

_NO_ADDRESSES: Final = Status(dhcp6.NO_ADDRESSES, "no address is free here for this client")
_NO_PREFIX: Final = Status(dhcp6.NO_PREFIX, "prefixes are not given here")
_NO_BINDING: Final = Status(dhcp6.NO_BINDING, "this binding is not known")
_NOT_ON_LINK: Final = Status(dhcp6.NOT_ON_LINK, "not an address of this link")


@dataclass(frozen=True, slots=True)
class Bound:
    """What comes of a message's associations: their answers, and the rows that change."""

    associations: tuple[Association, ...] = ()
    rows: tuple[Lease6Row, ...] = ()
    exhausted: bool = False
    """An association went without for want of a free address."""
    unknown: bool = False
    """None of the associations is known, and nothing of them is wrong on this link."""


@dataclass
class Desk:
    """One client before the lease table; `claimed` keeps two associations off one binding."""

    request: Request6
    network: Network6View
    table: Lease6Table
    now: float
    avoid: frozenset[IPv6Address]
    fixed: IPv6Address | None = None
    """Kept for the host that the client is, by whichever of its NICs."""
    claimed: set[IPv6Address] = field(default_factory=set)

    @property
    def duid(self) -> bytes:
        """The client's identifier."""
        return self.request.duid.raw if self.request.duid is not None else b""

    def rows(self) -> tuple[Lease6Row, ...]:
        """All of the client's rows on this network."""
        holders = dict.fromkeys(self.request.holder(each.iaid) for each in self.request.associations)
        return tuple(row for holder in holders for row in self.table.of(self.network.name, holder))

    def binding(self, iaid: int) -> Lease6Row | None:
        """The row that an association takes; see the module's head."""
        rows = self.table.of(self.network.name, self.request.holder(iaid))
        taken = self.taken(iaid)
        free = [row for row in rows if row.address not in taken]
        own = [row for row in free if (row.duid, row.iaid) == (self.duid, iaid)]
        # The newest that is still held counts: what the client had before is known for a while.
        return max(own or free, key=lambda row: (row.holds(self.now), row.expires_at), default=None)

    def taken(self, iaid: int) -> frozenset[IPv6Address]:
        """Addresses of this client that belong to its other associations."""
        rows = self.table.of(self.network.name, self.request.holder(iaid))
        wanted = {each.iaid for each in self.request.associations}
        siblings = (
            row.address
            for row in rows
            if row.duid == self.duid
            and row.iaid != iaid
            and row.holds(self.now)
            and (row.iaid in wanted or not self.request.own_nic)
        )
        return self.avoid.union(self.claimed, siblings)

    def may_have(self, iaid: int, address: IPv6Address) -> bool:
        """Whether an association may have exactly this address now."""
        holder = self.request.holder(iaid)
        return self.table.may_keep(self.network, holder, address, self.now, self.taken(iaid), self.fixed)

    def row(self, given: Association, address: IPv6Address, state: LeaseState, seconds: float) -> Lease6Row:
        """A row of the client; where it is plugged in comes from the relay nearest to it."""
        relays = self.request.message.relays
        nearest = relays[-1] if relays else None
        return Lease6Row(
            address=address,
            mac=self.request.holder(given.iaid),
            network=self.network.name,
            state=state,
            expires_at=self.now + seconds,
            duid=self.duid,
            iaid=given.iaid,
            interface_id=(nearest.option(dhcp6.INTERFACE_ID) or b"") if nearest else b"",
            remote_id=(nearest.option(dhcp6.REMOTE_ID) or b"") if nearest else b"",
        )


def assign(desk: Desk, *, commit: bool) -> Bound:
    """Addresses for a Solicit (an offer) or, with `commit`, for a Request or Rapid Commit."""
    answers: list[Association] = []
    rows: list[Lease6Row] = []
    exhausted = False
    for given in desk.request.associations:
        if given.kind != dhcp6.IA_NA:
            answers.append(_not_given(given))
            continue
        foreign = [each for each in given.addresses if each.address not in desk.network.subnet]
        if foreign and desk.request.message.kind == dhcp6.REQUEST:
            answers.append(Association(given.iaid, status=_NOT_ON_LINK))
            continue
        address, changed = _place(desk, given, commit=commit)
        if address is None:
            exhausted = True
            answers.append(Association(given.iaid, status=_NO_ADDRESSES))
            continue
        rows += changed
        answers.append(_leased(desk, given, address))
    return Bound(tuple(answers), tuple(rows), exhausted and desk.network.mode == "full")


def extend(desk: Desk) -> Bound:
    """Longer leases for a Renew or Rebind; an address that is wrong now goes back with lifetime 0."""
    answers: list[Association] = []
    rows: list[Lease6Row] = []
    known = False
    for given in desk.request.associations:
        if given.kind != dhcp6.IA_NA:
            answers.append(replace(given, status=_NO_BINDING, addresses=()))
            continue
        told = [each.address for each in given.addresses]
        wrong = [address for address in told if address not in desk.network.subnet]
        # A binding that was lost with its database is made again when nobody else has the address.
        if desk.binding(given.iaid) is None and not any(desk.may_have(given.iaid, each) for each in told):
            known = known or bool(wrong)
            gone = tuple(LeasedAddress(address) for address in wrong)
            answers.append(Association(given.iaid, addresses=gone, status=None if gone else _NO_BINDING))
            continue
        known = True
        address, changed = _place(desk, given, commit=True)
        rows += changed
        answers.append(_leased(desk, given, address, told))
    return Bound(tuple(answers), tuple(rows), unknown=not known)


def release(desk: Desk) -> Bound:
    """What a client gives back is free, and stays the first choice for it."""
    return _end(desk, "released", 0)


def decline(desk: Desk) -> Bound:
    """What a client found in use by another is left alone for a while."""
    return _end(desk, "declined", QUARANTINE_S)


def _end(desk: Desk, state: LeaseState, seconds: float) -> Bound:
    answers: list[Association] = []
    rows: list[Lease6Row] = []
    for given in desk.request.associations:
        told = {each.address for each in given.addresses}
        mine = desk.table.of(desk.network.name, desk.request.holder(given.iaid))
        # Only by whom it is bound now: EDK2's network stack gives back what its PXE client took over.
        found = [
            row
            for row in mine
            if row.address in told
            and row.state != "released"
            and (row.duid, row.iaid) == (desk.duid, given.iaid)
        ]
        rows += (replace(row, state=state, expires_at=desk.now + seconds) for row in found)
        if not found:
            answers.append(replace(given, addresses=(), t1_s=0, t2_s=0, status=_NO_BINDING))
    return Bound(tuple(answers), tuple(rows))


def _place(desk: Desk, given: Association, *, commit: bool) -> tuple[IPv6Address | None, list[Lease6Row]]:
    # The address for one association, and the rows that make it so.
    holder = desk.request.holder(given.iaid)
    row = desk.binding(given.iaid)
    wishes = [row.address] if row is not None else []
    wishes += (each.address for each in given.addresses)
    held = [one for one in desk.table.of(desk.network.name, holder) if one.holds(desk.now)]
    if row is None and len(held) >= MAX_PER_HOLDER:
        return None, []
    address = desk.table.choose(desk.network, holder, wishes, desk.now, desk.taken(given.iaid), desk.fixed)
    if address is None:
        return None, []
    desk.claimed.add(address)
    return address, list(_rows(desk, given, row, address, commit=commit))


def _rows(
    desk: Desk, given: Association, row: Lease6Row | None, address: IPv6Address, *, commit: bool
) -> Iterator[Lease6Row]:
    moved = row is not None and row.address != address
    if commit:
        if row is not None and moved:
            # The client moved, say to a reservation: what it had comes free.
            yield replace(row, state="released", expires_at=desk.now)
        yield desk.row(given, address, "bound", desk.network.lease_s)
        return
    here = desk.table.at(address)
    if here is None or here.state != "bound" or here.expires_at <= desk.now:
        yield desk.row(given, address, "offered", OFFER_S)


def _leased(
    desk: Desk, given: Association, address: IPv6Address | None, told: list[IPv6Address] | None = None
) -> Association:
    lease_s = desk.network.lease_s
    gone = tuple(LeasedAddress(each) for each in told or () if each != address)
    if address is None:
        return Association(given.iaid, addresses=gone, status=None if gone else _NO_ADDRESSES)
    # T1 and T2 at half and four fifths of the preferred lifetime (section 21.4).
    live = LeasedAddress(address, lease_s, lease_s)
    return Association(given.iaid, lease_s // 2, lease_s * 4 // 5, (live, *gone))


def _not_given(given: Association) -> Association:
    status = _NO_PREFIX if given.kind == dhcp6.IA_PD else _NO_ADDRESSES
    return Association(given.iaid, status=status, kind=given.kind)
