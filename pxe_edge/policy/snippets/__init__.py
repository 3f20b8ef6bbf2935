"""Configuration for a DHCP server that is not ours (`mode: off`), and for relays: made, never read.

Whoever keeps their own DHCP server gets from here what it has to say so that machines boot from the
edge: the same loaders, by the same function that decides our own answers.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pxe_edge.policy.snippets import dnsmasq, isc, kea, relay
from pxe_edge.policy.snippets.served import Served

SERVERS: Final[Mapping[str, Callable[[str, tuple[Served, ...]], str]]] = {
    "dnsmasq": dnsmasq.render,
    "kea": kea.render,
    "isc": isc.render,
}
VENDORS: Final = tuple(relay.VENDORS)
