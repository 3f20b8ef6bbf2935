"""Specs meet machines: bindings, the names and addresses they bring, and the jobs that follow."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.discovery.identify import host_name
from pxe_edge.jobs import rules
from pxe_edge.registry import addresses, hosts, jobs, observations, timeline
from pxe_edge.registry.errors import RegistryError
from pxe_edge.registry.specsets import Current, FindingsError
from pxe_edge.registry.tables import BindingRow, HostRow
from specs.match import Machine, bind
from specs.phases import Phase


def bindings(session: Session) -> dict[str, str]:
    """Spec name -> host id."""
    return {row.spec: row.host_id for row in session.scalars(select(BindingRow))}


def spec_name(session: Session, host_id: str) -> str | None:
    """The spec bound to a host."""
    return session.scalar(select(BindingRow.spec).where(BindingRow.host_id == host_id))


def _machine(session: Session, host: HostRow) -> Machine:
    seen = observations.get(session, host.id)
    return Machine(
        id=host.id,
        name=host.name,
        macs=hosts.macs_of(session, host.id),
        uuid=host.uuid,
        serial=host.serial,
        manufacturer=host.manufacturer,
        hardware=seen.hardware if seen else None,
        bmc_address=host.bmc_address,
    )


def machines(session: Session) -> list[Machine]:
    """All hosts as a match sees them."""
    rows = session.scalars(select(HostRow).where(HostRow.phase != Phase.RETIRED))
    return [_machine(session, host) for host in rows]


def publish(session: Session, now: datetime, current: Current) -> list[HostRow]:
    """Bind a new current set, keep its addresses; FindingsError for a match that fits two machines.

    A spec whose bound machine no longer fits is no ground to refuse: its binding stays, the finding is
    shown with the set.
    """
    stored = bindings(session)
    found = bind(current.specs.hosts, machines(session), stored, current.specs)
    places = {
        (mark.file, mark.line) for mark in (current.specs.where("Host", name, "match") for name in stored)
    }
    blocking = tuple(f for f in found.findings if (f.file, f.line) not in places)
    if blocking:
        raise FindingsError(blocking)
    for name, host_id in found.added.items():
        _bind(session, now, name, hosts.get(session, host_id))
    bound = []
    taken = addresses.clashes(session, current, bindings(session))
    if taken:
        raise FindingsError(taken)
    for name, host_id in bindings(session).items():
        spec = current.spec(name)
        if spec is None:
            continue
        host = hosts.get(session, host_id)
        try:
            addresses.keep_spec(session, now, host, spec, current)
        except RegistryError as error:
            mark = current.specs.where("Host", name, "network")
            raise FindingsError((mark.finding(str(error), error.hint),)) from error
        bound.append(host)
    return bound


def _bind(session: Session, now: datetime, name: str, host: HostRow) -> None:
    session.add(BindingRow(spec=name, host_id=host.id, bound_at=now))
    session.flush()
    timeline.add(session, now, "spec", f"spec {name} bound", host_id=host.id)
    hosts.rename(session, now, host, name, own_name=True)


def arrived(session: Session, now: datetime, host: HostRow, current: Current | None) -> None:
    """After something was learnt of a host: bind a spec that fits now, else give it a name of its own."""
    if current is not None and spec_name(session, host.id) is None:
        stored = bindings(session)
        free = {name: spec for name, spec in current.specs.hosts.items() if name not in stored}
        found = bind(free, machines(session), {}, current.specs)
        name = next((n for n, host_id in found.added.items() if host_id == host.id), None)
        if name is not None:
            _bind_on_arrival(session, now, host, name, current)
            return
    mac = next(iter(hosts.macs_of(session, host.id)), None)
    if not host.own_name and mac is not None:
        better = host_name(host.manufacturer, host.serial, mac)
        if hosts.lookup(session, better) is None:
            hosts.rename(session, now, host, better, own_name=False)


def _bind_on_arrival(session: Session, now: datetime, host: HostRow, name: str, current: Current) -> None:
    spec = current.specs.hosts[name]
    try:
        with session.begin_nested():
            _bind(session, now, name, host)
            addresses.keep_spec(session, now, host, spec, current)
    except RegistryError as error:
        # The set was good when it was published; another host has taken the name or address since.
        timeline.add(session, now, "spec", f"spec {name} not bound: {error}", host_id=host.id)


def post_due(
    session: Session, now: datetime, due: Iterable[HostRow], current: Current | None, by: str
) -> list[int]:
    """Post apply jobs for ready hosts whose bound spec wants that without a command; the jobs' numbers."""
    posted = []
    for host in due:
        spec = current.spec(spec_name(session, host.id)) if current else None
        open_jobs = any(j.state in rules.OPEN for j in jobs.unfinished(session, host.id))
        if rules.apply_is_due(Phase(host.phase), spec) and not open_jobs:
            job, created = jobs.post(session, now, host, "apply", by=by)
            if created:
                posted.append(job.no)
    return posted
