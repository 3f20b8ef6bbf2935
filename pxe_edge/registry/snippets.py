"""Snippets for the current set: what a foreign DHCP server, or a relay, has to be told of this site."""

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.policy.snippets import SERVERS, relay
from pxe_edge.policy.snippets.served import NotServedError, Served, served
from pxe_edge.registry import addresses
from pxe_edge.registry.errors import InvalidError
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.site_view import site_view
from pxe_edge.registry.tables import AddressRow, MacRow
from pxe_edge.servers.loaders import absent_loaders

RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Snippet:
    """The text, and what whoever uses it should know."""

    text: str
    notes: tuple[str, ...]


def snippet(
    session: Session,
    registry: Registry,
    kind: str,
    *,
    network: str | None = None,
    edge: IPv4Address | None = None,
    vendor: str | None = None,
) -> Snippet:
    """Print one; 422 with what to change where there is nothing to print."""
    try:
        found = _served(session, registry, network, edge)
        if kind == RELAY:
            chosen = _relayed(found, one=network is not None)
            return Snippet(relay.render(_site(registry), chosen, vendor), _vlan_notes(chosen))
        return Snippet(SERVERS[kind](_site(registry), found), _notes(found))
    except NotServedError as error:
        raise InvalidError(str(error), code="snippet", hint=error.hint) from error


def _site(registry: Registry) -> str:
    return registry.current.site.metadata.name if registry.current else ""


def _served(
    session: Session, registry: Registry, network: str | None, edge: IPv4Address | None
) -> tuple[Served, ...]:
    current = registry.current
    if current is None:
        raise NotServedError("no spec set is current", "rackflow spec publish")
    rows = list(session.scalars(select(AddressRow)))
    owned = (*(row.address for row in rows), *current.named_by)
    macs: dict[str, list[str]] = {}
    for row in session.scalars(select(MacRow)):
        macs.setdefault(row.host_id, []).append(row.mac)
    fixed = {
        mac: row.address for row in rows if row.key == addresses.PXE for mac in macs.get(row.host_id, ())
    }
    view = site_view(
        current.site,
        registry.addresses,
        http_port=registry.ports.boot,
        bootos=None,
        absent_loaders=absent_loaders(registry.data / "boot"),
        kept={ip_address(text): frozenset() for text in owned},
        fixed={mac: ip_address(text) for mac, text in fixed.items()},
    )
    vlans = {one.name: one.vlan for one in current.site.networks if one.vlan is not None}
    return served(view, network=network, edge=edge, vlans=vlans)


def _relayed(found: tuple[Served, ...], *, one: bool) -> tuple[Served, ...]:
    """Networks that the edge has no interface on; a network that was asked for by name in any case."""
    chosen = tuple(network for network in found if one or network.view.interface is None)
    if not chosen:
        raise NotServedError(
            "the edge is on the link of every provisioning network: none needs a relay",
            "for one of them all the same: --network NAME",
        )
    return chosen


def _notes(found: tuple[Served, ...]) -> tuple[str, ...]:
    notes = [
        f"{one.name} is in mode {one.view.mode}: publish it with mode: off before this server starts"
        for one in found
        if one.view.mode != "off"
    ]
    notes += [
        f"{one.name}: option {option.code} for host {option.host} is left out: give it by mac in the Site"
        for one in found
        for option in one.view.options
        if option.host
    ]
    return tuple(notes)


def _vlan_notes(found: tuple[Served, ...]) -> tuple[str, ...]:
    missing = ", ".join(one.name for one in found if one.vlan is None)
    return (f"the Site gives no vlan for {missing}: write it in place of <VLAN>",) if missing else ()
