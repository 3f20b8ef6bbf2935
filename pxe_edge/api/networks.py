"""The site's networks and who is on them: usage, leases, sightings, silences, other DHCP servers."""

from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from sqlalchemy import select

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Anybody, Reg
from pxe_edge.registry import noticed, sightings, snippets, usage
from pxe_edge.registry.site_tables import Dhcp6LeaseRow, DhcpLeaseRow

router = APIRouter(prefix="/v1", tags=["networks"])
PAGE: Final = 1000
_NOTICED_MAX: Final = 4096
Kind = Literal["dnsmasq", "kea", "isc", "relay"]
After = Annotated[str, Query(description="`next` of the page before")]
Network = Annotated[str | None, Query(description="only of this network")]


@router.get("/networks")
def networks(registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """The site's networks: mode, the edge's address, addresses used and free, other DHCP servers."""
    current = registry.current
    if current is None:
        return b.Page(items=[])
    with registry.db.read() as session:
        counted = usage.usage_of(session, registry.now(), current, current.site.networks)
    servers = [noticed.shown_server(one) for one in noticed.other_servers(registry.notes)]
    items = [
        {
            **network.model_dump(mode="json"),
            "server_address": str(registry.addresses.get(network.name, "")) or None,
            "usage": usage.shown(counts),
            "dhcp_servers": [one for one in servers if one["network"] == network.name],
        }
        for network, counts in zip(current.site.networks, counted, strict=True)
    ]
    return b.Page(items=items)


@router.get("/leases")
def leases(registry: Reg, _: Anybody, network: Network = None, after: After = "") -> b.Page[dict[str, Any]]:
    """DHCP leases of both families, by address as text; one that has ended is shown as `expired`."""
    query = select(DhcpLeaseRow).where(DhcpLeaseRow.address > after)
    query6 = select(Dhcp6LeaseRow).where(Dhcp6LeaseRow.address > after)
    if network is not None:
        query = query.where(DhcpLeaseRow.network == network)
        query6 = query6.where(Dhcp6LeaseRow.network == network)
    with registry.db.read() as session:
        found: list[DhcpLeaseRow | Dhcp6LeaseRow] = [
            *session.scalars(query.order_by(DhcpLeaseRow.address).limit(PAGE)),
            *session.scalars(query6.order_by(Dhcp6LeaseRow.address).limit(PAGE)),
        ]
    rows = sorted(found, key=lambda row: row.address)[:PAGE]
    now = registry.now().timestamp()
    items = [_lease(row, now) for row in rows]
    return b.Page(items=items, next=rows[-1].address if len(rows) == PAGE else None)


@router.get("/sightings")
def list_sightings(registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """Unknown machines that asked for a boot, newest first."""
    with registry.db.read() as session:
        rows = sightings.newest(session, sightings.MAX_SIGHTINGS)
        return b.Page(items=[sightings.shown(row) for row in rows])


@router.get("/silences")
def silences(registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """Machines whose newest packets got no answer since the edge started, newest first, and what to do."""
    now = registry.now()
    found = registry.notes.newest_unanswered(_NOTICED_MAX) if registry.notes else ()
    return b.Page(items=[noticed.shown_silence(one, now) for one in found])


@router.get("/dhcp-servers")
def dhcp_servers(registry: Reg, _: Anybody) -> b.Page[dict[str, Any]]:
    """DHCP servers on the site's links that are not ours, the one seen last first."""
    return b.Page(items=[noticed.shown_server(one) for one in noticed.other_servers(registry.notes)])


@router.get("/site/snippets/{kind}")
def site_snippet(
    kind: Kind,
    registry: Reg,
    _: Anybody,
    network: Network = None,
    edge: Annotated[IPv4Address | None, Query(description="said as the edge's address")] = None,
    vendor: Annotated[str | None, Query(description="of the relay")] = None,
) -> dict[str, Any]:
    """Configuration for a DHCP server that is not ours, or the lines of a relay."""
    with registry.db.read() as session:
        found = snippets.snippet(session, registry, kind, network=network, edge=edge, vendor=vendor)
    return {"kind": kind, "text": found.text, "notes": found.notes}


def _lease(row: DhcpLeaseRow | Dhcp6LeaseRow, now: float) -> dict[str, object]:
    """A lease as `leases --json` prints it; one that has run out is `expired`, whatever its last state."""
    port = row.circuit_id if isinstance(row, DhcpLeaseRow) else row.interface_id
    ended = row.state != "released" and row.expires_at <= now
    return {
        "address": row.address,
        "mac": row.mac,
        "state": "expired" if ended else row.state,
        "network": row.network,
        "circuit_id": port.hex() or None,
        "remote_id": row.remote_id.hex() or None,
        "expires": datetime.fromtimestamp(row.expires_at, UTC).isoformat(),
    }
