"""Real DHCP clients, on the edge's link and behind real relays: every state of RFC 2131 figure 5."""

import contextlib
import itertools
import re
import sys

import pytest

from tests.interop.clients import CLIENTS
from tests.interop.netns import BEHIND, DHCRELAY, DHCRELAY_READY, SERVER

pytestmark = pytest.mark.interop

DNSMASQ_RELAY = (
    *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces"),
    *(f"--dhcp-relay={BEHIND},{SERVER},r1", "--interface=br1", "--interface=r1"),
)
NUMBER = itertools.count(1)


class Way:
    """How a client reaches the edge."""

    def __init__(self, name, letter, network, address):
        self.name, self.letter, self.network, self.address = name, letter, network, address

    @property
    def relayed(self):
        return self.letter == "D"

    def foreign(self, address):
        """The same host part on a network that is not here."""
        return re.sub(r"^10\.\d+\.\d+", "10.44.0", address)


@pytest.fixture
def edge(lab):
    """An edge with two networks, one of them behind a relay."""
    return lab.serve("clients")


@pytest.fixture(scope="module", params=["direct", "dhcrelay", "dnsmasq-relay"])
def way(request, lab, need):
    if request.param == "direct":
        yield Way("direct", "C", "prov", "10.99.0.10/24")
        return
    argv, ready = {
        "dhcrelay": (DHCRELAY, DHCRELAY_READY),
        "dnsmasq-relay": (DNSMASQ_RELAY, "DHCP relay from"),
    }[request.param]
    need(argv[0])
    with lab.running("R", *argv, ready=ready, name=request.param):
        yield Way(request.param, "D", "prov-b", "10.88.0.10/24")


@pytest.fixture
def mac(lab, way):
    """A new machine at the client's place: its hardware address."""
    mac = (0x02005E000000 + next(NUMBER)).to_bytes(6, "big").hex(":")
    lab.ip(way.letter, "addr flush dev c0 scope global")
    lab.ip(way.letter, f"link set c0 address {mac}")
    yield mac
    lab.ip(way.letter, "addr flush dev c0 scope global")
    lab.ip(way.letter, f"addr add {way.address} dev c0")
    if way.relayed:
        lab.ip("D", f"route replace default via {BEHIND}")


@pytest.fixture
def at_server(lab):
    """What passes the edge's interface."""
    with lab.watch("S", "br0") as watch:
        yield watch


def of(mac, kind, **fields):
    """Whether a message is of this machine, of this kind, with these fields."""

    def wanted(message):
        same = all(getattr(message, name) == value for name, value in fields.items())
        return message.mac.hex(":") == mac and message.kind == kind and same

    return wanted


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_gets_an_address(lab, edge, way, mac, at_server, need, tmp_path, name):
    need(CLIENTS[name].program)
    with CLIENTS[name].run(lab, way.letter, tmp_path) as got:
        ack = at_server.wait(of(mac, "ACK"))

    assert got.address == ack.yiaddr
    assert got.address.startswith("10.88.0." if way.relayed else "10.99.0.")
    offer = at_server.wait(of(mac, "OFFER"))
    for reply in (offer, ack):
        assert reply.address(54) == SERVER
        assert reply.size >= 300
        if way.relayed:  # RFC 2131 section 4.1: to giaddr, whatever the relay's own address is
            assert (reply.target, reply.target_port, reply.giaddr) == (BEHIND, 67, BEHIND)
        elif reply.flags:
            assert (reply.target, reply.target_mac) == ("255.255.255.255", b"\xff" * 6)
        else:
            assert (reply.target, reply.target_mac) == (reply.yiaddr, reply.mac)
    if way.name == "dhcrelay":
        asked = at_server.wait(of(mac, "REQUEST"))
        assert ack.options[82] == asked.options[82]
        assert ack.order[-1] == 82
        row = next(row for row in edge.leases() if row["mac"] == mac)
        assert bytes.fromhex(row["circuit_id"]) == b"br1"


@pytest.mark.parametrize("name", ["dhclient", "dhcpcd"])
def test_a_client_that_comes_from_another_network_is_told_so(
    lab, edge, way, mac, at_server, need, tmp_path, name
):
    need(CLIENTS[name].program)
    client = CLIENTS[name]
    with client.run(lab, way.letter, tmp_path) as got:
        first = got.address
    client.move(tmp_path, first, way.foreign(first))
    lab.ip(way.letter, "addr flush dev c0 scope global")

    with client.run(lab, way.letter, tmp_path) as got:
        nak = at_server.wait(of(mac, "NAK"))

    assert got.address == first
    assert way.foreign(first) in [m.address(50) for m in at_server.dhcp()]
    if way.relayed:  # RFC 2131 section 4.3.2: the relay is asked to broadcast it
        assert (nak.target, nak.flags) == (BEHIND, 0x8000)
    else:
        assert nak.target == "255.255.255.255"


def test_an_address_that_somebody_has_is_declined_and_left_alone(
    lab, edge, way, mac, at_server, need, tmp_path
):
    need("udhcpc")
    udhcpc = CLIENTS["udhcpc"]
    with udhcpc.run(lab, way.letter, tmp_path, release=False) as got:
        taken = got.address
    lab.ip(way.letter, "addr flush dev c0 scope global")
    with lab.has_address("R", taken), udhcpc.run(lab, way.letter, tmp_path, "-a500") as got:
        declined = at_server.wait(of(mac, "DECLINE"))
        other = udhcpc.bound.findall(got.wait_for(r"declining(.|\n)*lease of"))[-1][0]

    assert declined.address(50) == taken
    assert other != taken
    assert taken in [row["address"] for row in edge.leases() if row["state"] == "declined"]


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.releases])
def test_a_released_address_is_free_and_comes_back_to_its_client(
    lab, edge, way, mac, at_server, need, tmp_path, name
):
    need(CLIENTS[name].program)
    with CLIENTS[name].run(lab, way.letter, tmp_path) as got:
        first = got.address
    released = at_server.wait(of(mac, "RELEASE"))
    assert (released.ciaddr, released.target) == (first, SERVER)
    assert not [row for row in edge.leases() if row["mac"] == mac and row["state"] == "bound"]

    lab.ip(way.letter, "addr flush dev c0 scope global")
    with CLIENTS[name].run(lab, way.letter, tmp_path) as got:
        assert got.address == first


def test_a_renewal_goes_past_the_relay(lab, edge, way, mac, at_server, need, tmp_path):
    need("udhcpc")
    with CLIENTS["udhcpc"].run(lab, way.letter, tmp_path) as got:
        before = next(row for row in edge.leases() if row["mac"] == mac)
        CLIENTS["udhcpc"].renew(got.process)
        asked = at_server.wait(of(mac, "REQUEST", ciaddr=got.address))
        ack = at_server.wait(of(mac, "ACK", ciaddr=got.address))

        assert (asked.source, asked.target, asked.giaddr) == (got.address, SERVER, "0.0.0.0")
        assert (ack.target, ack.target_port, ack.yiaddr) == (got.address, 68, got.address)
        got.wait_for(r"lease of \S+ obtained(.|\n)*lease of \S+ obtained")
        after = next(row for row in edge.leases() if row["mac"] == mac)
    assert after["expires"] > before["expires"]
    assert after["circuit_id"] == before["circuit_id"]


@pytest.fixture
def on_link(lab):
    """C as it was set up."""
    with contextlib.suppress(OSError):
        lab.ip("C", "addr add 10.99.0.10/24 dev c0")


def test_nmap_sees_the_server_by_broadcast(lab, edge, on_link, need):
    need("nmap")
    arguments = "broadcast-dhcp-discover.mac=random,broadcast-dhcp-discover.timeout=8"
    argv = ("nmap", "--script", "broadcast-dhcp-discover", "--script-args", arguments, "-e", "c0")
    said = lab.run("C", *argv).stdout

    for line in (r"IP Offered: 10\.99\.0\.", "Message Type: DHCPOFFER", rf"Server Identifier: {SERVER}"):
        assert re.search(line, said)
    assert "IP Address Lease Time: 1h00m00s" in said


def test_nmap_is_informed_without_a_lease(lab, edge, on_link, need):
    need("nmap")
    before = len(edge.leases())
    argv = ("nmap", "-n", "-sU", "-Pn", "-p", "67", "--script", "dhcp-discover")
    said = lab.run("C", *argv, "--script-args", "dhcp-discover.dhcptype=DHCPINFORM", SERVER).stdout

    assert "DHCP Message Type: DHCPACK" in said
    assert f"Server Identifier: {SERVER}" in said
    assert "Lease Time" not in said
    assert len(edge.leases()) == before


def test_a_second_server_is_refused_in_one_sentence(lab, edge):
    other = edge.folder / "other"
    argv = ("--specs", str(edge.specs), "--data", str(other), "--port", "8444", "--boot-port", "8081")
    done = lab.run("S", sys.executable, "-m", "pxe_edge", *argv, check=False)

    assert done.returncode == 1
    assert "UDP port 67 is in use by another program. See" in done.stderr.strip().splitlines()[-1]
