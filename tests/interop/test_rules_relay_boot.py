"""What relays (R1-R6) and booting machines (P1-P10) may count on, on the wire."""

import pytest

from tests.interop.netns import DIRECT, RELAYED, SERVER
from tests.interop.talk import OUTSIDE, PXE_PARAMETERS, RELAY, THROUGH_RELAY, packed, pxe
from tests.interop.wire import DISCOVER, REQUEST

pytestmark = pytest.mark.interop

THIRD = {
    "name": "prov-c",
    "purpose": "provisioning",
    "subnet": "10.77.0.0/24",
    "pool": ["10.77.0.50-10.77.0.99"],
}
OS = {"name": "os", "purpose": "os", "subnet": "10.66.0.0/24", "pool": ["10.66.0.50-10.66.0.99"]}
ODD = b"\2\2ab\1\2cd\x97\1x\1\2ef\0\0"
"""Sub-options unsorted, one twice, one unknown, with two octets behind that are none."""
IPXE = pxe(7) | {77: b"iPXE", 175: bytes.fromhex("b10601001af41000")}


@pytest.fixture
def edge(lab):
    """An edge with three networks to boot in and one that is none."""
    return lab.serve("relay-boot", networks=[DIRECT, RELAYED, THIRD, OS])


def discover(client, options=None, **fields):
    return client.ask(client.message(DISCOVER, options, **fields))


def through(client, options=None, **fields):
    return discover(client, options, **(THROUGH_RELAY | fields))


@pytest.mark.parametrize(
    "value", [b"\1\4port\2\6\0\1\2\3\4\5", ODD, b"\1\4port\2\x09short", b"\1\xc8" + b"c" * 200]
)
def test_r1_option_82_is_echoed_octet_for_octet_and_last(edge, client, value):
    offer = through(client, {82: value})
    ack = client.ask(
        client.message(REQUEST, {82: value, 50: packed(offer.yiaddr), 54: offer.options[54]}, **THROUGH_RELAY)
    )
    nak = client.ask(client.message(REQUEST, {82: value, 50: packed(OUTSIDE)}, **THROUGH_RELAY))

    for kind, reply in (("OFFER", offer), ("ACK", ack), ("NAK", nak)):
        assert (reply.kind, reply.options[82], reply.order[-1]) == (kind, value, 82)


def test_r2_circuit_and_remote_id_are_shown_with_the_lease(edge, client):
    client.lease({82: b"\1\4port\2\4rack"}, **THROUGH_RELAY)
    row = next(row for row in edge.leases() if row["mac"] == client.name)

    assert (row["circuit_id"], row["remote_id"]) == (b"port".hex(), b"rack".hex())


def test_r4_link_selection_chooses_the_subnet_and_giaddr_the_way(edge, client):
    third = through(client, {82: b"\5\4" + packed("10.77.0.0")})
    assert third.yiaddr.startswith("10.77.0.")
    assert (third.target, third.giaddr) == (RELAY, RELAY)
    assert through(client, {82: b"\5\4" + packed(OUTSIDE)}) is None
    both = {82: b"\5\4" + packed("10.77.0.0"), 118: packed("10.66.0.0")}
    assert through(client, both).yiaddr.startswith("10.77.0.")  # before option 118


def test_r5_the_relay_may_stand_in_for_the_server(edge, client):
    told = {82: b"\x0b\4" + packed(RELAY)}
    offer = through(client, told)
    told |= {50: packed(offer.yiaddr), 54: packed(RELAY)}
    ack = client.ask(client.message(REQUEST, told, **THROUGH_RELAY))

    assert (offer.address(54), ack.kind, ack.address(54)) == (RELAY, "ACK", RELAY)


def test_r6_a_relay_with_its_own_source_port_is_answered_there(edge, client):
    sent = client.message(DISCOVER, {82: b"\1\1a\x13\0"}, **THROUGH_RELAY)

    assert client.ask(sent, ports=(1067, 67)).target_port == 1067


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (pxe(0), b"undionly.kpxe"),
        (pxe(0, uuid=False), b"undionly.kpxe"),
        (pxe(7), b"snponly.efi"),
        (pxe(9), b"snponly.efi"),
        (pxe(25, 7), b""),
        (pxe(7) | {97: b"\1\2\3"}, b""),
        (pxe(7) | {60: b"MSFT 5.0"}, b""),
        (pxe(7) | {55: PXE_PARAMETERS + b"\xaf"}, b"snponly.efi"),
        (IPXE, b"http://10.99.0.1:8080/boot.ipxe"),
    ],
    ids=[
        "bios",
        "without 97",
        "7",
        "9",
        "risc-v first",
        "malformed 97",
        "no PXE class",
        "175 asked for",
        "ipxe",
    ],
)
def test_p1_p2_p9_who_gets_which_file(edge, client, options, file):
    assert discover(client, options).file.split(b"?")[0] == file


def test_p2_a_raspberry_pi_gets_no_bios_loader(edge, client):
    client.mac = bytes.fromhex("b827eb") + client.mac[3:]

    assert discover(client, pxe(0)).file == b""


def test_p3_the_machine_identifier_is_echoed(edge, client):
    offer = discover(client, pxe(7))
    ack = client.ask(client.message(REQUEST, pxe(7) | {50: packed(offer.yiaddr), 54: offer.options[54]}))

    assert offer.options[97] == ack.options[97] == pxe(7)[97]


def test_p4_uefi_is_given_no_class_without_its_discovery_control(edge, client):
    offer = discover(client, pxe(7))

    assert 60 not in offer.options or b"\6\1\x08" in offer.options[43]
    assert (offer.siaddr, offer.file) == (SERVER, b"snponly.efi")


def test_p5_http_boot_is_told_its_class_and_a_url_in_offer_and_ack(edge, client):
    told = pxe(16, kind="HTTPClient")
    offer = discover(client, told)
    ack = client.ask(client.message(REQUEST, told | {50: packed(offer.yiaddr), 54: offer.options[54]}))

    for reply in (offer, ack):
        assert reply.options[60] == b"HTTPClient"
        assert reply.options[67].rstrip(b"\0") == b"http://10.99.0.1:8080/snponly.efi"


def test_p8_names_in_both_places_and_67_ends_with_nul(edge, client):
    offer = discover(client, pxe(7))

    assert offer.options[67] == b"snponly.efi\0"
    assert offer.options[66] == SERVER.encode()


def test_p10_ipxe_is_told_not_to_wait_for_a_proxy(edge, client):
    assert bytes.fromhex("b00101") in discover(client, IPXE).options[175]
