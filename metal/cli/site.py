"""`site snippet`: configuration for the site's own DHCP server, and the lines of its relays."""

import sys
from typing import Annotated

import typer

from metal.cli.groups import new_group
from metal.cli.output import say, show_json
from metal.edge_client import EdgeClient

group = new_group("The site: what other servers and switches have to be told.")
snippet_group = new_group("Print configuration for a DHCP server that is not ours, or for a relay.")
group.add_typer(snippet_group, name="snippet")
Network = Annotated[str | None, typer.Option(help="Only for this network.")]
Edge = Annotated[str | None, typer.Option(help="The edge's address, instead of the one that it sees itself.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _show(kind: str, *, json: bool, network: str | None, edge: str | None, vendor: str | None = None) -> None:
    with EdgeClient() as client:
        found = client.snippet(kind, network=network, edge=edge, vendor=vendor)
    if json:
        show_json(found)
        return
    sys.stdout.write(found["text"])
    for note in found["notes"]:
        say(f"note: {note}")


@snippet_group.command()
def dnsmasq(*, network: Network = None, edge: Edge = None, json: Json = False) -> None:
    """Print dnsmasq's configuration for the site's networks: addresses, loaders, the chain into iPXE."""
    _show("dnsmasq", json=json, network=network, edge=edge)


@snippet_group.command()
def kea(*, network: Network = None, edge: Edge = None, json: Json = False) -> None:
    """Print Kea's configuration for the site's networks: addresses, loaders, the chain into iPXE."""
    _show("kea", json=json, network=network, edge=edge)


@snippet_group.command()
def isc(*, network: Network = None, edge: Edge = None, json: Json = False) -> None:
    """Print ISC dhcpd's configuration for the site's networks: addresses, loaders, the chain into iPXE."""
    _show("isc", json=json, network=network, edge=edge)


@snippet_group.command()
def relay(
    *,
    vendor: Annotated[
        str | None, typer.Option(help="ios, nxos, eos, junos, sonic or dhcrelay; without it, all.")
    ] = None,
    network: Network = None,
    edge: Edge = None,
    json: Json = False,
) -> None:
    """Print the lines that make a switch relay each network's DHCP to the edge."""
    _show("relay", json=json, network=network, edge=edge, vendor=vendor)
