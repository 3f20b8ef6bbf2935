"""Hosts as boot requests see them, read many at a time: a query per table, however many hosts there are."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from pxe_edge.jobs import rules
from pxe_edge.jobs.due import boot_os_due
from pxe_edge.policy.views import HostView
from pxe_edge.registry import addresses, jobs
from pxe_edge.registry.tables import AddressRow, BindingRow, HostRow, JobRow, MacRow
from specs.shapes import IpAddress

Row = TypeVar("Row", bound=tuple[object, ...])
MOST_NAMED = 500
"""Hosts that a query names; more are read with all the others (SQLite takes a limited number of values)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One host: what a boot request is answered by, and what it is found by."""

    view: HostView
    kept: dict[IpAddress, str]
    """Addresses that IPAM keeps for it, and for what."""
    spec: str | None
    serial: str | None
    """Its serial in lower case, where its UUID is not known."""


def read(session: Session, host_ids: Collection[str] | None = None) -> Iterator[Seen]:
    """These hosts, or all (also when too many are named); a host that is gone is left out."""
    macs: defaultdict[str, set[str]] = defaultdict(set)
    for mac_row in session.execute(_of(select(MacRow.host_id, MacRow.mac), MacRow.host_id, host_ids)):
        macs[mac_row.host_id].add(mac_row.mac)
    kept: defaultdict[str, dict[IpAddress, str]] = defaultdict(dict)
    columns = select(AddressRow.host_id, AddressRow.address, AddressRow.key)
    for row in session.execute(_of(columns, AddressRow.host_id, host_ids)):
        kept[row.host_id][ip_address(row.address)] = row.key
    bound = _of(select(BindingRow.host_id, BindingRow.spec), BindingRow.host_id, host_ids)
    specs = {row.host_id: row.spec for row in session.execute(bound)}
    open_jobs: dict[str, JobRow] = {}
    found = _of(select(JobRow).where(JobRow.state.in_(rules.OPEN)), JobRow.host_id, host_ids)
    for job in session.scalars(found.order_by(JobRow.no)):
        open_jobs.setdefault(job.host_id, job)
    for host in session.scalars(_of(select(HostRow), HostRow.id, host_ids)):
        view = _view(host, frozenset(macs[host.id]), kept[host.id], open_jobs.get(host.id))
        serial = host.serial.lower() if host.uuid is None and host.serial is not None else None
        yield Seen(view, kept[host.id], specs.get(host.id), serial)


def _of(
    query: Select[Row], column: InstrumentedAttribute[str], host_ids: Collection[str] | None
) -> Select[Row]:
    return query if host_ids is None or len(host_ids) > MOST_NAMED else query.where(column.in_(host_ids))


def _view(
    host: HostRow, macs: frozenset[str], kept: dict[IpAddress, str], open_job: JobRow | None
) -> HostView:
    fixed = next((address for address, key in kept.items() if key == addresses.PXE), None)
    return HostView(
        host_id=host.id,
        name=host.name,
        macs=macs,
        uuid=host.uuid,
        fixed=int(fixed) if isinstance(fixed, IPv4Address) else None,
        fixed6=fixed if isinstance(fixed, IPv6Address) else None,
        due="boot-os" if boot_os_due(jobs.boot_state_of(host, open_job)) else None,
    )
