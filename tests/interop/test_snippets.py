"""The site's own DHCP server under the configuration that `rackflow site snippet` prints.

The network's mode is off: the edge stays silent on DHCP there and serves loaders and scripts. Each
server reads the snippet in its own check, then answers firmware on the wire as the edge itself would.
"""

import contextlib
import itertools

import pytest

from tests.interop.netns import BEHIND, DIRECT, RELAY, RELAYED, SERVER
from tests.interop.own_servers import OWN, SERVERS, own_server
from tests.interop.talk import PXE_PARAMETERS, Talk, packed, pxe
from tests.interop.wire import DISCOVER, NOBODY, REQUEST, encode

pytestmark = pytest.mark.interop
RESERVED = "02:00:00:20:00:01"
SCRIPT = f"http://{SERVER}:8080/boot.ipxe"
NUMBER = itertools.count(0x200001)
NETWORKS = [
    DIRECT
    | {
        "mode": "off",
        "pool": ["10.99.0.120-10.99.0.139"],
        "exclude": ["10.99.0.125"],
        "dns": ["10.99.0.3"],
        "ntp": ["10.99.0.4"],
        "mtu": 1400,
        "lease": "30m",
        "reservations": [
            {"mac": RESERVED, "address": "10.99.0.120"},
            {"mac": "02:00:00:20:ff:ff", "address": "10.99.0.121"},
        ],
        "options": [
            {"code": 15, "text": "example.net"},
            {"code": 44, "addresses": ["10.99.0.8", "10.99.0.9"]},
            {"code": 66, "text": "12s, b"},
            {"code": 224, "hex": "ab"},
            {"code": 225, "text": "firmware", "match": {"class": "PXEClient"}},
            {"code": 226, "integers": {"u16": [1500]}, "match": {"arch": 7}},
            {"code": 227, "text": "chained", "match": {"userClass": "iPXE"}},
            {"code": 228, "addresses": ["10.99.0.7"], "match": {"mac": RESERVED}},
        ],
    },
    RELAYED | {"mode": "off", "pool": ["10.88.0.120-10.88.0.139"]},
]
IPXE = {77: b"iPXE", 175: b"\xb1\x01\x01", 93: b"\0\7", 55: PXE_PARAMETERS + b"\xaf"}


@pytest.fixture(scope="module", params=SERVERS)
def server(request, lab):
    """The edge with both networks off, and the site's own server with what the edge prints."""
    edge = lab.serve("snippets", networks=NETWORKS)
    with own_server(lab, edge, request.param):
        yield request.param


class Machine(Talk):
    """A client that hears the site's own server."""

    def send(self, message, **how):
        if message.giaddr == NOBODY:
            super().send(message, **how)
            return
        how = {"source": RELAY, "target": OWN, "ports": (67, 67), "source_mac": self.relay_mac}
        self.lab.send("R", "r1", encode(message), target_mac=self.lab.mac("C", "c0"), **how)

    def offered(self, options=None, **fields):
        message = self.message(DISCOVER, options, **fields)
        self.send(message)
        return self.watch.wait(lambda m: m.op == 2 and m.xid == message.xid, 20)


@pytest.fixture
def new(lab, watch, server):
    """Makes fresh machines."""
    with contextlib.ExitStack() as stack:

        def make(mac=None):
            talk = Machine(lab, watch, next(NUMBER))
            talk.mac = bytes.fromhex(mac.replace(":", "")) if mac else talk.mac
            stack.callback(talk.close)
            return talk

        yield make


def file_of(message):
    """The boot file, by field or option."""
    return (message.file or message.options.get(67, b"")).rstrip(b"\0").decode()


FIRMWARE = {
    "bios": (pxe(0), "undionly.kpxe"),
    "uefi": (pxe(7), "snponly.efi"),
    "uefi-9": (pxe(9), "snponly.efi"),
    "http": (pxe(16, kind="HTTPClient"), f"http://{SERVER}:8080/snponly.efi"),
    "ipxe": (IPXE, SCRIPT),
    "ipxe-3004": (IPXE | {77: b"\4iPXE"}, SCRIPT),
    "risc-v": (pxe(27), ""),
    "plain": ({}, ""),
}


@pytest.mark.parametrize("firmware", FIRMWARE)
def test_each_firmware_is_told_what_the_edge_would_tell_it(new, firmware):
    options, file = FIRMWARE[firmware]
    offer = new().offered(options)

    assert (offer.source, offer.address(54), file_of(offer)) == (OWN, OWN, file)
    assert offer.yiaddr.startswith("10.99.0.1")
    if file and not file.startswith("http"):
        assert offer.siaddr == SERVER
    assert (offer.options.get(60) == b"HTTPClient") == (firmware == "http")
    if firmware != "http":
        assert 60 not in offer.options  # UEFI would take it for BINL (facts: PXE-E16)
    if firmware.startswith("ipxe"):
        assert offer.options[175].rstrip(b"\xff") == b"\xb0\1\1"  # dnsmasq closes it with an END


def test_addresses_and_options_are_those_of_the_site(new):
    parameters = {55: PXE_PARAMETERS + bytes((15, 26, 28))}
    seen = [new().offered(pxe(7) | parameters) for _ in range(3)]

    for offer in seen:
        assert offer.address(1) == "255.255.255.0"
        assert (offer.address(3), offer.address(6), offer.address(42)) == (SERVER, "10.99.0.3", "10.99.0.4")
        assert offer.options[26] == (1400).to_bytes(2, "big")
        assert offer.options[51] == (1800).to_bytes(4, "big")
    assert len({offer.yiaddr for offer in seen}) == 3
    taken = {"10.99.0.120", "10.99.0.121", "10.99.0.125"}
    assert not taken & {offer.yiaddr for offer in seen}


def test_options_go_to_those_whom_the_site_names(new):
    def own(offer):
        shown = (15, 44, 66, *range(224, 229))
        return {code: value.rstrip(b"\0") for code, value in offer.options.items() if code in shown}

    everybody = {
        15: b"example.net",
        44: packed("10.99.0.8") + packed("10.99.0.9"),
        66: b"12s, b",
        224: b"\xab",
    }
    wants = {55: PXE_PARAMETERS + bytes((15,))}
    assert own(new().offered(pxe(7) | wants)) == everybody | {225: b"firmware", 226: b"\x05\xdc"}
    assert own(new().offered(pxe(0) | wants)) == everybody | {225: b"firmware"}
    chained = own(new().offered(IPXE | {55: IPXE[55] + b"\x0f"}))
    assert chained == everybody | {226: b"\x05\xdc", 227: b"chained"}
    reserved = new(RESERVED).offered({55: PXE_PARAMETERS + bytes((15,))})
    assert (reserved.yiaddr, own(reserved)) == ("10.99.0.120", everybody | {228: packed("10.99.0.7")})


def test_a_machine_gets_its_lease_and_finds_loader_and_script_at_the_edge(lab, new):
    machine = new()
    offer = machine.offered(pxe(0))
    chosen = machine.message(REQUEST, pxe(0) | {50: packed(offer.yiaddr), 54: offer.options[54]})
    machine.send(chosen)
    ack = machine.watch.wait(lambda m: m.op == 2 and m.xid == chosen.xid, 20)

    assert (ack.kind, ack.yiaddr, file_of(ack), ack.source) == ("ACK", offer.yiaddr, "undionly.kpxe", OWN)
    loader = lab.run(
        "R", "curl", "-sS", f"tftp://{ack.siaddr}/{file_of(ack)}", "-o", "/dev/null", "-w", "%{size_download}"
    )
    assert int(loader.stdout) > 50_000
    script = lab.run("R", "curl", "-sS", SCRIPT).stdout
    assert script.startswith("#!ipxe")
    assert f"{SCRIPT}?mac=" in script


def test_machines_behind_a_relay_are_served_too(lab, new, server):
    offer = new().offered(pxe(7), giaddr=BEHIND, hops=1)

    assert offer.yiaddr.startswith("10.88.0.1")
    assert (offer.giaddr, file_of(offer), offer.siaddr, offer.address(3)) == (
        BEHIND,
        "snponly.efi",
        SERVER,
        BEHIND,
    )


def test_the_edge_says_nothing_where_another_server_speaks(lab, watch, new):
    machine = new()
    machine.offered(pxe(7))

    assert {m.source for m in watch.dhcp() if m.op == 2 and m.mac == machine.mac} == {OWN}
    assert NOBODY not in {m.siaddr for m in watch.dhcp() if m.op == 2 and m.mac == machine.mac}
