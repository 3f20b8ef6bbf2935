"""DHCP: decoding one DISCOVER, and deciding its OFFER."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from pyroute2.dhcp.dhcp4msg import dhcp4msg

from bench.row import Row, best_s, tell
from pxe_edge.policy.dhcp import Reply, answer
from pxe_edge.policy.leases import LeaseTable
from pxe_edge.policy.networks import Arrival, Link, serve_site
from pxe_edge.policy.requests import read_boot_request
from pxe_edge.policy.views import AddressRange, NetworkView, SiteView
from pxe_edge.wire import dhcp

DECODES = 2000
CLIENTS = 4000
LINK = Link("prov0", 2, (IPv4Interface("10.77.0.2/16"),), bytes.fromhex("525400aaaaaa"), 1500)
ARRIVAL = Arrival(LINK, "0.0.0.0", 68, unicast=False)
OPTIONS = {
    53: bytes([dhcp.DISCOVER]),
    55: bytes([1, 3, 6, 15, 26, 42, 51, 54, 58, 59, 60, 66, 67, 93, 97]),
    57: (1472).to_bytes(2, "big"),
    60: b"PXEClient:Arch:00007:UNDI:003016",
    93: (7).to_bytes(2, "big"),
    97: b"\0" + bytes(range(16)),
}


def discover(number: int) -> bytes:
    """A UEFI client's DISCOVER."""
    packet = dhcp.Packet(op=1, xid=number, chaddr=b"\x52\x54" + number.to_bytes(4, "big"), options=OPTIONS)
    return dhcp.encode(packet).data


def decoding() -> Row:
    """Both decoders on the same bytes."""
    data = discover(1)

    def ours() -> None:
        for _ in range(DECODES):
            dhcp.decode(data)

    def theirs() -> None:
        for _ in range(DECODES):
            dhcp4msg(buf=data).decode()

    return Row("decode a DISCOVER", best_s(ours) / DECODES, "each", "pyroute2", best_s(theirs) / DECODES)


def deciding() -> Row:
    """A new client each time: bytes in, OFFER's bytes out, the lease reserved."""
    subnet = IPv4Network("10.77.0.0/16")
    pool = (AddressRange(IPv4Address("10.77.1.0"), IPv4Address("10.77.250.0")),)
    network = NetworkView("prov", "provisioning", subnet, interface="prov0", pool=pool)
    site = serve_site(SiteView("bench", discovery="register", networks=(network,)))
    asked = [discover(number) for number in range(CLIENTS)]

    def storm() -> None:
        table = LeaseTable()
        for data in asked:
            packet = dhcp.decode(data)
            outcome = answer(packet, ARRIVAL, read_boot_request(packet), None, site, table, 1e6)
            assert isinstance(outcome, Reply)
            for row in outcome.rows:
                table.put(row)

    return Row("DISCOVER to OFFER, no sockets", best_s(storm, 3) / CLIENTS, "each")


if __name__ == "__main__":
    tell([decoding(), deciding()])
