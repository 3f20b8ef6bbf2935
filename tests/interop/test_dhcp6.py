"""IPv6 on the edge that an operator starts: real DHCPv6 clients, a real relay, and what they then fetch."""

import json
import socket
from ipaddress import ip_address

import pytest

from tests.interop.clients6 import CLIENTS6, bound
from tests.interop.netns import DIRECT, RELAYED
from tests.interop.places6 import DIRECT6, RELAYED6, RESERVED, lease, machine, with_ipv6
from tests.interop.wire6 import advertisements, decode, messages, option, wrapped

pytestmark = pytest.mark.interop

DHCRELAY6 = ("dhcrelay", "-6", "-d", "-I", "-l", "br1", "-u", "fd00:99::1%r1")


@pytest.fixture(scope="module")
def edge(lab):
    """The edge on both families, with a boot file to fetch."""
    with_ipv6(lab)
    reserved = {"reservations": [{"mac": RESERVED, "address": "fd00:99::99"}]}
    networks = [DIRECT, RELAYED, DIRECT6 | reserved, RELAYED6]
    with lab.edge(name="v6", networks=networks, files={"hello.efi": b"x" * 5000}) as running:
        yield running


@pytest.fixture
def letter(request, lab, edge, need):
    """The namespace of a client on the edge's link, or behind dhcrelay."""
    if request.param == "direct":
        yield "C"
        return
    need("dhcrelay")
    with lab.running("R", *DHCRELAY6, ready="Sending on   Socket", name="dhcrelay6"):
        yield "D"


# Behind the relay it is the router that would have to advertise, and only dhclient asks unbidden.
@pytest.mark.parametrize(
    ("letter", "name"),
    [*(("direct", name) for name in CLIENTS6), ("dhcrelay", "dhclient")],
    indirect=["letter"],
)
def test_a_client_gets_an_address_of_its_link(lab, edge, letter, need, tmp_path, name):
    client = CLIENTS6[name]
    need(client.program)
    mac = machine(lab, letter)
    with lab.watch("S", "br0") as watch, bound(client, lab, letter, tmp_path) as got:
        row = lease(edge, mac)

    assert ip_address(row["address"]) == ip_address(got.address)
    if letter == "D":
        asked = next(m for m in messages(watch) if m.kind == "RELAY-FORW" and m.inner.kind == "REQUEST")
        told = next(m for m in messages(watch) if m.kind == "RELAY-REPL" and m.inner.kind == "REPLY")
        assert told.option(18) == asked.option(18) == bytes.fromhex(row["circuit_id"])
        assert (told.target, told.ports) == ("fd00:99::2", (547, 547))
    elif name != "dhclient":
        assert {(flags, *prefixes) for _, flags, prefixes in advertisements(watch)} == {
            (0x80, "fd00:99::/64")
        }
    network = DIRECT6 if letter == "C" else RELAYED6
    assert (row["network"], row["state"]) == (network["name"], "bound")
    assert row["address"].startswith(network["subnet"].removesuffix("/64") + "1")
    assert bool(row["circuit_id"]) == (letter == "D")  # dhcrelay's interface-id


def test_an_answer_goes_back_through_a_chain_of_relays(lab, edge):
    duid = b"\0\4" + bytes(range(16))  # says nothing of the hardware; the relay next to the client does
    solicit = b"\1\0\0\7" + option(1, duid) + option(3, bytes(12)) + option(14, b"")
    told = option(79, b"\0\1" + bytes.fromhex("525400060077"))
    near = wrapped(solicit, option(18, b"port 7"), told, link="fd00:88::1")
    middle = wrapped(near, option(18, b"\0\xffuplink"), hops=1)
    with lab.socket("R", socket.AF_INET6, socket.SOCK_DGRAM) as relay:
        relay.settimeout(10)
        relay.bind(("fd00:99::2", 547))
        relay.sendto(wrapped(middle, hops=2), ("fd00:99::1", 547))
        back = decode(relay.recv(2000))

    kinds, options = [], []
    while back is not None:
        kinds.append(back.kind)
        options.append(back.option(18))
        reply, back = back, back.inner
    assert kinds == ["RELAY-REPL", "RELAY-REPL", "RELAY-REPL", "REPLY"]
    assert options == [None, b"\0\xffuplink", b"port 7", None]
    row = lease(edge, "52:54:00:06:00:77")
    assert (row["address"], row["network"]) == (reply.address, "far6")
    assert reply.address.startswith("fd00:88::1")


def test_stages_with_other_identifiers_keep_the_address_of_the_machine(lab, edge, need, tmp_path):
    mac = machine(lab, "C")
    addresses = set()
    for name, client in CLIENTS6.items():
        need(client.program)
        folder = tmp_path / name
        folder.mkdir()
        with bound(client, lab, "C", folder) as got:
            addresses.add(ip_address(got.address))
        lab.ip("C", "addr flush dev c0 scope global")
    assert len(addresses) == 1
    assert str(addresses.pop()) == lease(edge, mac)["address"]


def test_a_reservation_by_hardware_address(lab, edge, need, tmp_path):
    need("dhclient")
    machine(lab, "C", RESERVED)
    with bound(CLIENTS6["dhclient"], lab, "C", tmp_path) as got:
        assert got.address == "fd00:99::99"


def test_a_machine_fetches_its_boot_file_over_ipv6_and_the_api_answers(lab, edge, need, tmp_path):
    need("curl")
    need("dhclient")
    machine(lab, "C")
    with bound(CLIENTS6["dhclient"], lab, "C", tmp_path) as got:
        lab.ip("C", f"addr add {got.address}/64 dev c0 nodad")
        for url in ("http://[fd00:99::1]:8080/hello.efi", "tftp://[fd00:99::1]/hello.efi"):
            target = tmp_path / "got"
            lab.run("C", "curl", "-sgf", "-o", str(target), url)
            assert target.read_bytes() == b"x" * 5000
        script = lab.run("C", "curl", "-sgf", "http://[fd00:99::1]:8080/boot.ipxe").stdout
        assert "chain http://[fd00:99::1]:8080/boot.ipxe?mac=" in script
        health = lab.run("C", "curl", "-sgk", "https://[fd00:99::1]:8443/v1/healthz").stdout
        assert json.loads(health)["ok"] is True
    lab.ip("C", "addr flush dev c0 scope global")


def test_damaged_messages_are_counted_and_end_nothing(lab, edge, need, tmp_path):
    need("dhclient")
    machine(lab, "C")
    code = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
        "to = ('ff02::1:2', 547, 0, socket.if_nametoindex('c0'))\n"
        "for n in range(300): s.sendto(bytes([n % 14]) + os.urandom(n), to)\n"
    )
    lab.run("C", "python3", "-c", code)
    with bound(CLIENTS6["dhclient"], lab, "C", tmp_path) as got:
        assert got.address.startswith("fd00:99::1")
    assert "reason=damaged" in edge.said()
    assert "Traceback" not in edge.said()
