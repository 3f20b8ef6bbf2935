"""The site: health, spec sets, why, events, fleet runs."""

from typing import Any

from fastapi import APIRouter

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Anybody, Reg, Worker
from pxe_edge.registry import boot_files, specsets, timeline, why
from pxe_edge.registry.site_tables import FleetRunRow
from specs.records import SpecSetRecord
from specs.site_model import SiteBoot

router = APIRouter(prefix="/v1", tags=["site"])


@router.get("/healthz")
def healthz(registry: Reg) -> dict[str, Any]:
    """Whether the edge serves, for which site and set; needs no token."""
    where = registry.where()
    return {"ok": True, "site": where[0] if where else None, "specset": registry.specset}


@router.post("/specsets", status_code=201)
def store_specset(body: b.SpecSetBody, registry: Reg, _: Admin) -> SpecSetRecord:
    """Check and store a set; 422 with all findings, nothing stored."""
    checked = specsets.check(body.files)
    with registry.db.write() as session:
        row = specsets.store(
            session, registry.now(), checked, commit=body.commit, author=body.author,
            dirty=body.dirty or body.force, expected_current=None if body.force else body.expected_current,
        )  # fmt: skip
        return specsets.record(row, files=False)


@router.put("/specsets/current")
def make_current(body: b.CurrentBody, registry: Reg, _: Admin) -> SpecSetRecord:
    """Make a stored set current: binds hosts, keeps addresses, posts due jobs."""
    return registry.publish(body.id, expected_current=body.expected_current)


@router.get("/specsets/{set_id}")
def get_specset(set_id: str, registry: Reg, _: Anybody) -> SpecSetRecord:
    """A set with its files; `current` names the current one."""
    with registry.db.read() as session:
        return specsets.record(specsets.get(session, set_id))


@router.get("/boot-files")
def list_boot_files(registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """Loaders by architecture, kernel and initrds, with size and digest; null for what is missing."""
    boot = registry.current.site.boot if registry.current is not None else SiteBoot()
    return b.Page(items=boot_files.listed(registry.data / "boot", registry.boot_url, boot))


@router.get("/why/{what}")
def get_why(what: str, registry: Reg, _: Anybody) -> dict[str, Any]:
    """One sentence why a host, MAC or address is where it is, with its history."""
    with registry.db.read() as session:
        return why.explain(session, what, why.around(registry))


@router.get("/events")
def events(registry: Reg, _: Anybody, after: int = 0) -> b.Page[dict[str, Any]]:
    """The site's history after a number, for polling."""
    with registry.db.read() as session:
        rows = timeline.of_site(session, after=after)
    items = [{"no": no, **entry.model_dump(mode="json")} for no, entry in rows]
    return b.Page(items=items)


@router.post("/fleet", status_code=204)
def fleet(body: b.FleetBody, registry: Reg, _: Worker) -> None:
    """Record what a fleet run did."""
    with registry.db.write() as session:
        session.merge(
            FleetRunRow(run_id=body.run_id, at=registry.now(), planned=body.planned, posted=body.posted)
        )
