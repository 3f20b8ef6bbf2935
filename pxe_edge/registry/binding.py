"""Specs meet machines: bindings, the names and addresses they bring, and the jobs that follow."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from pxe_edge.discovery.identify import host_name
from pxe_edge.jobs import rules
from pxe_edge.registry import addresses, hosts, jobs, observations, timeline
from pxe_edge.registry.errors import RegistryError
from pxe_edge.registry.specsets import Current, FindingsError
from pxe_edge.registry.tables import BindingRow, HostRow, MacRow
from specs.match import Machine, bind, fits
from specs.model import Host
from specs.phases import Phase


def bindings(session: Session) -> dict[str, str]:
    """Spec name -> host id."""
    return {row.spec: row.host_id for row in session.scalars(select(BindingRow))}


def spec_name(session: Session, host_id: str) -> str | None:
    """The spec bound to a host."""
    return session.scalar(select(BindingRow.spec).where(BindingRow.host_id == host_id))


def _machine(session: Session, host: HostRow, *, facts: bool = True) -> Machine:
    seen = observations.get(session, host.id) if facts else None
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
        name = _fitting_spec(session, host, current)
        if name is not None:
            _bind_on_arrival(session, now, host, name, current)
            return
    mac = next(iter(hosts.macs_of(session, host.id)), None)
    if not host.own_name and mac is not None:
        better = host_name(host.manufacturer, host.serial, mac)
        if hosts.lookup(session, better) is None:
            hosts.rename(session, now, host, better, own_name=False)


def _fitting_spec(session: Session, host: HostRow, current: Current) -> str | None:
    """The first unbound spec that fits this host and no other; none for a retired host.

    Asked whenever a machine reports in or tells facts, under the lock that DHCP's leases wait for: so what it
    costs must not grow with the fleet.
    """
    if host.phase == Phase.RETIRED:
        return None
    known = _machine(session, host, facts=False)
    for name in current.index.candidates(known):
        spec = current.specs.hosts[name]
        if session.get(BindingRow, name) is not None or not _fits(session, spec, host, known):
            continue
        if not any(_fits(session, spec, other) for other in session.scalars(_rivals(spec, host))):
            return name
    return None


def _fits(session: Session, spec: Host, host: HostRow, known: Machine | None = None) -> bool:
    """Whether the spec fits; a host's facts, which may be large, are read only if it asks for them."""
    if known is None or (spec.match is not None and spec.match.facts):
        known = _machine(session, host, facts=spec.match is not None and bool(spec.match.facts))
    return fits(spec, known)


def _rivals(spec: Host, host: HostRow) -> Select[tuple[HostRow]]:
    """The other hosts that the spec may fit, by what the registry can look up."""
    query = select(HostRow).where(HostRow.phase != Phase.RETIRED, HostRow.id != host.id)
    match = spec.match
    if match is None:
        return query.where(HostRow.name == spec.name)
    if match.mac is not None:
        query = query.join(MacRow, MacRow.host_id == HostRow.id).where(MacRow.mac == match.mac)
    if match.uuid is not None:
        query = query.where(HostRow.uuid == match.uuid)
    if match.serial is not None and match.serial.isascii():  # SQLite's lower() knows no other letters
        query = query.where(func.lower(func.trim(HostRow.serial)) == match.serial.strip().lower())
    if match.bmc is not None:
        query = query.where(HostRow.bmc_address == str(match.bmc))
    return query


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
