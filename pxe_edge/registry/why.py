"""Why a host, a MAC or an address is where it is: one sentence, the next step, the history behind it."""

from ipaddress import ip_address
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs.rules import OPEN
from pxe_edge.registry import binding, hosts, jobs, timeline
from pxe_edge.registry.errors import NotFoundError
from pxe_edge.registry.site_tables import DhcpLeaseRow, SightingRow
from pxe_edge.registry.tables import AddressRow, BootRow, HostRow, JobRow, RunRow
from specs.identity import mac_identity
from specs.phases import Phase
from specs.reasons import REASONS
from specs.records import TimelineEntry


def explain(session: Session, what: str) -> dict[str, Any]:
    """Find what is meant and explain it; 404 when the edge never saw it."""
    mac = mac_identity(what)
    host = hosts.lookup(session, what) or (hosts.by_mac(session, mac) if mac else None)
    if host is None and _is_address(what):
        host, mac = _behind(session, what)
    if host is not None:
        reason, sentence, step = _of_host(session, host)
        return _answer(host.name, reason, sentence, step, timeline.of_host(session, host.id, limit=200))
    sighting = session.get(SightingRow, mac) if mac else None
    if mac is None or sighting is None:
        raise NotFoundError(
            f"{what} was never seen here",
            hint="is its NIC on a network of the Site? rackflow leases",
            host=what,
        )
    known = REASONS.get(sighting.reason or "")
    times = f"{sighting.count} time{'s' if sighting.count > 1 else ''}"
    sentence = f"It asked {times} and got: {sighting.reason}; it has not reported in."
    step = f"Look at its screen; if it hangs: rackflow host approve {mac}, and start it anew."
    if known is not None:
        sentence, step = known.sentence, known.next_step.replace("MAC", mac)
    return _answer(None, sighting.reason, sentence, step, timeline.of_mac(session, mac))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _behind(session: Session, address: str) -> tuple[HostRow | None, str | None]:
    lease = session.scalar(select(DhcpLeaseRow).where(DhcpLeaseRow.address == address))
    if lease is not None:
        return hosts.by_mac(session, lease.mac), lease.mac
    kept = session.get(AddressRow, address)
    boot = session.scalar(
        select(BootRow).where(BootRow.address == address).order_by(BootRow.no.desc()).limit(1)
    )
    host_id = kept.host_id if kept else boot.host_id if boot else None
    return (session.get(HostRow, host_id) if host_id else None), None


def _of_host(session: Session, host: HostRow) -> tuple[str | None, str, str | None]:
    running = next((j for j in jobs.unfinished(session, host.id) if j.state in OPEN), None)
    if host.reason is not None:
        known = REASONS.get(host.reason)
        sentence = host.message or (known.sentence if known else host.reason)
        step = known.next_step.replace("NAME", host.name) if known else None
        return host.reason, f"{host.phase}: {sentence}", step
    if running is not None:
        return _of_job(session, host, running)
    if host.phase == Phase.REGISTERED:
        return (
            "ok",
            "registered: it has not reported in yet.",
            f"power {host.name} on, with network boot first",
        )
    if binding.spec_name(session, host.id) is None:
        known = REASONS["no-spec"]
        return "no-spec", f"{host.phase}: {known.sentence}", known.next_step
    return "ok", f"{host.phase}: nothing is due.", None


def _of_job(session: Session, host: HostRow, job: JobRow) -> tuple[str | None, str, str | None]:
    said = f"{host.phase}: job {job.no} ({job.verb}) is {job.state}"
    runs = select(RunRow).where(RunRow.host_id == host.id, RunRow.job_no == job.no)
    run = session.scalar(runs.order_by(RunRow.id.desc()).limit(1))
    if run is not None and run.state == "pending" and run.error is not None:
        return "ok", f"{said}; Prefect has not taken its run: {run.error}", "Is Prefect up? rackflow doctor"
    return "ok", f"{said}.", "Wait for the run."


def _answer(
    host: str | None,
    reason: str | None,
    sentence: str,
    step: str | None,
    rows: list[tuple[int, TimelineEntry]],
) -> dict[str, Any]:
    entries = [entry.model_dump(mode="json") for _, entry in rows]
    return {"host": host, "reason": reason, "sentence": sentence, "next": step, "timeline": entries}
