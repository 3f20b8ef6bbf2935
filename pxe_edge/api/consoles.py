"""Boots and their serial logs; which consoles the broker should read."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Anybody, Broker, Reg, problem
from pxe_edge.registry import console_logs, hosts, timeline
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.tables import BootRow, CredentialRow, HostRow
from specs.phases import Phase

router = APIRouter(prefix="/v1", tags=["consoles"])
READ_MAX_BYTES = 4 << 20


@router.get("/hosts/{name}/boots")
def list_boots(name: str, registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """The host's boots, newest last."""
    with registry.db.read() as session:
        host = hosts.get(session, name)
        rows = session.scalars(select(BootRow).where(BootRow.host_id == host.id).order_by(BootRow.no))
        items = [
            {
                "boot_no": row.no,
                "kind": row.kind,
                "started_at": row.started_at.isoformat(),
                "reported_at": row.reported_at.isoformat() if row.reported_at else None,
                "console_bytes": console_logs.size(registry.data, host.id, row.no),
            }
            for row in rows
        ]
    return b.Page(items=items)


def _host_id(registry: Registry, name: str) -> str:
    with registry.db.read() as session:
        return hosts.get(session, name).id


@router.put("/hosts/{name}/boots/{no}/console", status_code=204)
async def put_console(
    name: str, no: int, offset: int, request: Request, registry: Reg, _: Broker
) -> Response:
    """Append bytes at an offset; 409 with the size that is there when they don't fit on."""
    data = await request.body()
    host_id = await run_in_threadpool(_host_id, registry, name)
    there = await run_in_threadpool(console_logs.append, registry.data, host_id, no, offset, data)
    if there is not None:
        said = f"the log has {there} bytes, not {offset}"
        return problem(409, "offset", said, hint="send from there", host=name, size=there)
    return Response(status_code=204)


@router.get("/hosts/{name}/boots/{no}/console", response_class=Response)
def get_console(
    name: str,
    no: int,
    registry: Reg,
    _: Anybody,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=READ_MAX_BYTES)] = 1 << 20,
) -> Response:
    """Bytes of a boot's serial log."""
    data = console_logs.read(registry.data, _host_id(registry, name), no, offset, limit)
    return Response(data, media_type="application/octet-stream")


@router.post("/hosts/{name}/console/release")
def release_console(name: str, body: b.ConsoleRelease, registry: Reg, _: Admin) -> dict[str, str]:
    """Free the BMC's one session for another client for some minutes."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        host.console_released_until = now + timedelta(minutes=body.minutes)
        timeline.add(session, now, "console", f"released for {body.minutes} minutes", host_id=host.id)
        return {"host": host.name, "released_until": host.console_released_until.isoformat()}


@router.get("/console")
def list_consoles(registry: Reg, _: Broker) -> b.Page[dict[str, Any]]:
    """What the broker should read, and for which boot it keeps the log."""
    with registry.db.read() as session:
        rows = session.scalars(select(HostRow).where(HostRow.phase != Phase.RETIRED).order_by(HostRow.name))
        return b.Page(items=_consoles(session, list(rows)))


def _consoles(session: Session, rows: list[HostRow]) -> list[dict[str, Any]]:
    boots = select(BootRow.host_id, func.max(BootRow.no)).group_by(BootRow.host_id)
    newest = {host_id: no for host_id, no in session.execute(boots)}  # noqa: C416 - rows, not pairs
    current = select(CredentialRow.host_id).where(CredentialRow.state == "current")
    with_bmc = set(session.scalars(current))
    return [
        {
            "host": host.name,
            "host_id": host.id,
            "boot_no": newest.get(host.id, 0),
            "bmc": host.id in with_bmc,
            "released_until": host.console_released_until.isoformat()
            if host.console_released_until
            else None,
        }
        for host in rows
    ]
