"""A small site with a direct network, one behind a relay, and a way to ask it things."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from pxe_edge.policy.dhcp import Reply, answer
from pxe_edge.policy.leases import LeaseTable
from pxe_edge.policy.networks import Arrival, Link, serve_site
from pxe_edge.policy.requests import read_boot_request
from pxe_edge.policy.views import AddressRange, HostView, NetworkView, SiteView
from pxe_edge.wire import dhcp
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.options import packed

MAC = "52:54:00:00:00:01"
SERVER = int(IPv4Address("10.77.1.2"))


def span(first, last):
    return (AddressRange(IPv4Address(first), IPv4Address(last)),)


PROV = NetworkView(
    "prov",
    "provisioning",
    IPv4Network("10.77.1.0/24"),
    interface="prov0",
    gateway=IPv4Address("10.77.1.1"),
    pool=span("10.77.1.50", "10.77.1.53"),
    dns=(IPv4Address("10.77.1.9"),),
    ntp=(IPv4Address("10.77.1.8"),),
    mtu=1500,
)
FAR = NetworkView(
    "prov-b",
    "provisioning",
    IPv4Network("10.77.2.0/24"),
    gateway=IPv4Address("10.77.2.1"),
    pool=span("10.77.2.50", "10.77.2.99"),
)
LINK = Link("prov0", 2, (IPv4Interface("10.77.1.2/24"),), bytes.fromhex("525400aaaaaa"), 1500)


class Bench:
    """Sends messages to the policy and applies what comes out, as the server does."""

    def __init__(self, *, discovery="register", networks=(PROV, FAR), host=None, **site):
        self.site = SiteView("lab", discovery=discovery, networks=networks, **site)
        self._served = None
        self.host = host
        self.table = LeaseTable()
        self.now = 1_000_000.0

    def ask(self, kind, *, mac=MAC, unicast=False, source="0.0.0.0", port=68, options=None, **fields):
        values = {53: bytes((kind,)), **(options or {})}
        fields = {
            name: int(IPv4Address(value)) if name in ("ciaddr", "giaddr") else value
            for name, value in fields.items()
        }
        chaddr = bytes.fromhex(mac.replace(":", ""))
        packet = Packet(op=1, xid=7, chaddr=chaddr, options=values, **fields)
        return self.send(packet, unicast=unicast, source=source, port=port)

    def send(self, packet, *, unicast=False, source="0.0.0.0", port=68):
        arrival = Arrival(LINK, source, port, unicast=unicast)
        request = read_boot_request(packet)
        outcome = answer(packet, arrival, request, self.host, self.served, self.table, self.now)
        for row in outcome.rows:
            self.table.put(row)
        return outcome

    @property
    def served(self):
        """The site as the packet path has it; made anew when the site is another one."""
        if self._served is None or self._served.view is not self.site:
            self._served = serve_site(self.site, frozenset({SERVER}))
        return self._served

    def bind(self, mac=MAC, **fields):
        """DISCOVER and REQUEST; the bound address."""
        offer = self.ask(dhcp.DISCOVER, mac=mac, **fields)
        assert isinstance(offer, Reply), offer
        wish = {50: packed(offer.yiaddr), 54: offer.packet.options[54]}
        options = {**fields.pop("options", {}), **wish}
        ack = self.ask(dhcp.REQUEST, mac=mac, options=options, **fields)
        assert ack.packet.message_type == dhcp.ACK
        return ack.yiaddr

    def with_network(self, network, **changes):
        networks = tuple(replace(n, **changes) if n.name == network else n for n in self.site.networks)
        self.site = replace(self.site, networks=networks)


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def make_bench():
    return Bench


@pytest.fixture
def make_host():
    def make(due=None, mac=MAC):
        return HostView("h1", "web-01", frozenset({mac}), due=due)

    return make
