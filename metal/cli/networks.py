"""`networks`, `leases`, `sightings`: the site's networks, who has which address, and who asks unknown."""

from ipaddress import ip_address
from typing import Annotated, Any

import typer

from metal.cli.output import show_json, show_table
from metal.edge_client import EdgeClient

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_HELD = ("awaiting-approval", "discovery-off")


def networks(*, json: Json = False) -> None:
    """List the site's networks: mode, the edge's address, addresses used and free, other DHCP servers."""
    with EdgeClient() as edge:
        known = edge.networks()
    if json:
        show_json(known)
        return
    columns = (
        "network",
        "purpose",
        "subnet",
        "mode",
        "edge",
        "pool",
        "used",
        "free",
        "reserved",
        "other DHCP",
    )
    show_table(columns, [_network_row(one) for one in known])


def _network_row(one: dict[str, Any]) -> tuple[object, ...]:
    usage = one.get("usage") or {}
    counts = [usage.get(name) for name in ("pool", "used", "free", "reserved")]
    others = " ".join(server["address"] for server in one.get("dhcp_servers", ()))
    named = (one["name"], one["purpose"], one["subnet"], one["mode"], one.get("server_address"))
    return (*named, *counts, others)


def leases(
    *,
    network: Annotated[str | None, typer.Option(help="Only of this network.")] = None,
    json: Json = False,
) -> None:
    """List the DHCP leases of the site: address, MAC, state, network, switch port, end."""
    with EdgeClient() as edge:
        known = sorted(edge.leases(network), key=lambda lease: _order(lease["address"]))
    if json:
        show_json(known)
        return
    columns = ("address", "mac", "state", "network", "port", "expires")
    rows = [
        (lease["address"], lease["mac"], lease["state"], lease["network"], _port(lease), lease["expires"])
        for lease in known
    ]
    show_table(columns, rows)


def _order(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def _port(lease: dict[str, Any]) -> str:
    """The circuit id as its switch wrote it, where that is text; else in hex."""
    hexed = lease.get("circuit_id") or ""
    text = bytes.fromhex(hexed).decode("ascii", "replace")
    return text if text.isprintable() and text.isascii() else hexed


def sightings(*, json: Json = False) -> None:
    """List unknown machines that asked for a boot, newest first, and what each of them waits for."""
    with EdgeClient() as edge:
        known = edge.sightings()
    if json:
        show_json(known)
        return
    columns = ("mac", "network", "times", "last", "got", "next")
    rows = [
        (one["mac"], one["network"], one["count"], one["last_at"][:19], one["reason"], _next(one))
        for one in known
    ]
    show_table(columns, rows)


def _next(sighting: dict[str, Any]) -> str:
    command = "host approve" if sighting["reason"] in _HELD else "why"
    return f"rackflow {command} {sighting['mac']}"
