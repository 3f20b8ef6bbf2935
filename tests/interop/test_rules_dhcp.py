"""What a DHCPv4 client may count on (D1-D20), on the wire, read by a second codec."""

import itertools
from ipaddress import IPv4Address

import pytest

from tests.interop import wire
from tests.interop.netns import DIRECT, RELAYED, SERVER
from tests.interop.talk import OUTSIDE, PARAMETERS, RELAY, THROUGH_RELAY, packed, pxe
from tests.interop.wire import DECLINE, DISCOVER, INFORM, NAK, RELEASE, REQUEST, encode

pytestmark = pytest.mark.interop

FREE = itertools.count(int(IPv4Address("10.99.0.200")))
IDENTIFIER = b"\1\2\0\0\x20\0\1"
LONG = "x" * 600


@pytest.fixture
def edge(lab):
    """An edge with wide pools and an option of 600 octets for one architecture."""
    long = {"code": 224, "text": LONG, "match": {"arch": 9}}
    direct = DIRECT | {"pool": ["10.99.0.50-10.99.0.240"], "dns": ["10.99.0.3"], "options": [long]}
    return lab.serve("rules", networks=[direct, RELAYED | {"pool": ["10.88.0.50-10.88.0.240"]}])


@pytest.fixture
def free():
    """An address of the pool that nobody has."""
    return str(IPv4Address(next(FREE)))


def discover(client, options=None, **fields):
    return client.ask(client.message(DISCOVER, options, **fields))


def request(client, options=None, *, unicast=False, **fields):
    return client.ask(client.message(REQUEST, options, **fields), unicast=unicast)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"\2" + data[1:],
        lambda data: data[:2] + b"\x11" + data[3:],
        lambda data: data[:236] + b"\x63\x82\x53\x64" + data[240:],
        lambda data: data[:240] + b"\xff" + bytes(60),
        lambda data: data[:100],
        lambda data: data[:0],
        lambda data: bytes(range(256)) * 4 + data,
    ],
    ids=["a reply", "hlen 17", "another cookie", "no option 53", "cut short", "empty", "noise"],
)
def test_d1_what_is_no_dhcp_request_is_dropped(edge, client, change):
    assert client.ask(client.message(DISCOVER), change=change) is None


@pytest.mark.parametrize(
    ("told", "most"),
    [(None, 548), (300, 548), (1000, 972), (65280, 1472)],
    ids=["none", "300", "1000", "OVMF"],
)
def test_d2_replies_have_300_octets_and_no_more_than_the_client_and_the_link_take(edge, client, told, most):
    assert discover(client, {57: None if told is None else told.to_bytes(2, "big")}).size == 300
    large = discover(
        client, pxe(9) | {55: bytes((1, 3, 224)), 57: None if told is None else told.to_bytes(2, "big")}
    )

    assert 300 <= large.size <= most
    assert (large.options.get(224) == LONG.encode()) == (most >= 900)


def test_d3_where_replies_go(edge, new, free):
    silent = discover(new())
    assert (silent.target, silent.target_port, silent.target_mac) == (silent.yiaddr, 68, silent.mac)
    flagged = discover(new(), flags=0x8000)
    assert (flagged.target, flagged.target_port) == (wire.EVERYBODY, 68)
    relayed = discover(new(), flags=0x8000, **THROUGH_RELAY)
    assert (relayed.target, relayed.target_port) == (RELAY, 67)
    client = new()
    client.lease()
    renewed = request(client, ciaddr=client.address, unicast=True)
    assert (renewed.target, renewed.target_port) == (client.address, 68)
    refused = request(new(), {50: packed(OUTSIDE)})
    assert (refused.kind, refused.target, refused.target_port) == ("NAK", wire.EVERYBODY, 68)
    passed_on = request(new(), {50: packed(OUTSIDE)}, **THROUGH_RELAY)
    assert (passed_on.target, passed_on.flags) == (RELAY, 0x8000)


def test_d4_header_fields(edge, client):
    sent = client.message(DISCOVER, secs=9, **(THROUGH_RELAY | {"flags": 0x8000, "hops": 3}))
    offer = client.ask(sent)
    same = ("xid", "htype", "hlen", "mac", "flags", "giaddr")
    assert [getattr(offer, name) for name in same] == [getattr(sent, name) for name in same]
    assert (offer.op, offer.hops, offer.secs, offer.ciaddr, offer.siaddr) == (2, 0, 0, wire.NOBODY, SERVER)
    client.lease()
    assert request(client, ciaddr=client.address, unicast=True).ciaddr == client.address


def test_d5_a_machine_keeps_its_address_through_three_identities(edge, client):
    first = discover(client, pxe(7)).yiaddr
    assert discover(client, {61: b"\1" + client.mac}).yiaddr == first
    assert discover(client, {61: b"\xff\0\0\0\1\0\3\0\1abcdef"}).yiaddr == first


def test_d5_the_client_identifier_is_echoed_in_every_reply_and_only_if_sent(edge, client):
    assert 61 not in discover(client).options
    assert discover(client, {61: IDENTIFIER}).options[61] == IDENTIFIER
    refused = request(client, {61: IDENTIFIER, 50: packed(OUTSIDE)})
    assert (refused.kind, refused.options[61]) == ("NAK", IDENTIFIER)
    assert 61 not in request(client, {50: packed(OUTSIDE)}).options


def test_d6_current_then_former_then_wished_address(edge, new, free):
    client, other = new(), new()
    client.lease({50: packed(free)})
    assert client.address == free
    assert (
        discover(client, {50: packed(str(IPv4Address(next(FREE))))}).yiaddr == free
    )  # current before wished
    ending = client.message(RELEASE, {54: packed(SERVER)}, ciaddr=free)
    assert client.ask(ending, unicast=True) is None
    assert discover(client).yiaddr == free  # former
    assert discover(other, {50: packed(OUTSIDE)}).yiaddr.startswith("10.99.0.")


def test_d7_what_offer_and_ack_must_and_must_not_have(edge, client):
    offer = discover(client, {55: bytes((3, 6, 1, 51))})
    ack = request(client, {50: packed(offer.yiaddr), 54: offer.options[54], 55: bytes((3, 6, 1, 51))})
    for reply in (offer, ack):
        assert {51, 53, 54} <= set(reply.options)
        assert not {50, 55, 57} & set(reply.options)
        t1, t2, lease = (int.from_bytes(reply.options[code], "big") for code in (58, 59, 51))
        assert (t1, t2, lease) == (1800, 3150, 3600)
        asked = [code for code in reply.order if code in (1, 3, 6, 51)]
        assert asked == [1, 3, 6, 51]  # the client's order, but the mask before the router


def test_d8_selecting(edge, new, free):
    chooser, client, wrong = new(), new(), new()
    offer = discover(chooser)
    assert request(chooser, {50: packed(offer.yiaddr), 54: packed("10.99.0.9")}) is None
    offer = discover(client)
    assert request(client, {50: packed(offer.yiaddr), 54: offer.options[54]}).kind == "ACK"
    offer = discover(wrong)
    assert request(wrong, {50: packed(free), 54: offer.options[54]}).kind == "NAK"


def test_d9_init_reboot(edge, new, free):
    client, stranger = new(), new()
    client.lease()
    assert request(client, {50: packed(client.address)}).kind == "ACK"
    assert request(client, {50: packed(free)}).kind == "NAK"
    assert request(client, {50: packed(OUTSIDE)}).kind == "NAK"
    assert request(stranger, {50: packed(free)}) is None
    assert request(stranger, {50: packed(OUTSIDE)}).kind == "NAK"
    moved = request(client, {50: packed(client.address)}, **THROUGH_RELAY)
    assert moved.kind == "NAK"


def test_d10_renewing_and_rebinding(edge, new, free):
    client, stranger = new(), new()
    client.lease()
    assert request(client, ciaddr=client.address, unicast=True).kind == "ACK"
    assert request(client, ciaddr=client.address).kind == "ACK"  # rebinding
    assert request(stranger, ciaddr=free, unicast=True).kind == "NAK"
    assert request(stranger, ciaddr=free) is None


def test_d10_a_unicast_renewal_keeps_what_the_relay_said(edge, client):
    client.lease({82: b"\1\4port\2\4rack"}, **THROUGH_RELAY)
    ack = request(client, ciaddr=client.address, unicast=True)
    row = next(row for row in edge.leases() if row["mac"] == client.name)

    assert (ack.kind, ack.target, 82 in ack.options) == ("ACK", client.address, False)
    assert (row["circuit_id"], row["remote_id"]) == (b"port".hex(), b"rack".hex())


def test_d11_decline(edge, client):
    client.lease()
    other = client.message(DECLINE, {50: packed(client.address), 54: packed("10.99.0.9")})
    assert client.ask(other) is None  # to another server: nothing happens
    assert discover(client).yiaddr == client.address
    assert client.ask(client.message(DECLINE, {50: packed(client.address), 54: packed(SERVER)})) is None
    assert discover(client).yiaddr != client.address
    rows = [row for row in edge.leases() if row["address"] == client.address]
    assert [row["state"] for row in rows] == ["declined"]


def test_d12_release_wants_client_and_address(edge, new):
    client, thief = new(), new()
    client.lease()
    taken = thief.message(RELEASE, {54: packed(SERVER)}, ciaddr=client.address)
    assert thief.ask(taken, unicast=True) is None
    assert request(client, {50: packed(client.address)}).kind == "ACK"
    assert (
        client.ask(client.message(RELEASE, {54: packed(SERVER)}, ciaddr=client.address), unicast=True) is None
    )
    assert not [r for r in edge.leases() if r["mac"] == client.name and r["state"] == "bound"]


def test_d13_inform(edge, client, free):
    ack = client.ask(client.message(INFORM, {55: PARAMETERS}, ciaddr=free))

    assert (ack.kind, ack.target, ack.target_port, ack.yiaddr) == ("ACK", free, 68, wire.NOBODY)
    assert not {51, 58, 59} & set(ack.options)
    assert {1, 3, 6, 54} <= set(ack.options)
    assert not [row for row in edge.leases() if row["address"] == free]


def test_d16_options_in_file_and_sname_are_read(edge, client):
    def overloaded(data):
        file = b"\x3d\x07" + IDENTIFIER + b"\xff"
        return (
            data[:44]
            + b"\x0c\x04node\xff".ljust(64, b"\0")
            + file.ljust(128, b"\0")
            + data[236:-1]
            + b"\x34\1\3\xff"
        )

    assert client.ask(client.message(DISCOVER), change=overloaded).options[61] == IDENTIFIER


def test_d17_long_options_are_joined_and_split(edge, client):
    def in_two(data):
        return data[:-1] + b"\x3d\x04" + IDENTIFIER[:4] + b"\x3d\x03" + IDENTIFIER[4:] + b"\xff"

    assert client.ask(client.message(DISCOVER), change=in_two).options[61] == IDENTIFIER
    offer = discover(client, pxe(9) | {55: bytes((1, 3, 224)), 57: (1472).to_bytes(2, "big")})
    assert offer.options[224] == LONG.encode()
    assert offer.order.count(224) == 3


@pytest.mark.parametrize(
    ("change", "answered"),
    [
        (lambda data: data[:240] + b"\0\0\0" + data[240:], True),
        (lambda data: data[:-1], True),
        (lambda data: data[:-1] + b"\xe0\x03abc\xff", True),
        (lambda data: data[:-1] + b"\x0c\x40cut", False),
    ],
    ids=["pads", "no end", "unknown option", "past the end"],
)
def test_d18_odd_forms(edge, client, change, answered):
    assert (client.ask(client.message(DISCOVER), change=change) is not None) == answered


def test_d19_ten_a_second_are_answered_and_a_flood_is_not(edge, client):
    for _ in range(10):
        client.send(client.message(DISCOVER))
    answers(client, 10)
    flood = [client.message(DISCOVER) for _ in range(300)]
    client.send_all(flood)
    assert client.ask(client.message(NAK)) is None  # waits until the flood is over: a witness was answered
    sent = {message.xid for message in flood}
    times = [m.at for m in client.watch.dhcp() if m.op == 2 and m.xid in sent and m.source == SERVER]
    # 20 a second, in windows of two seconds, of which the flood may touch one more at either end.
    assert len(times) <= 20 * (times[-1] - times[0] + 4)
    assert len(times) < len(flood)


def answers(client, count):
    def enough(seen):
        return True if len([m for m in seen if m.op == 2 and m.mac == client.mac]) >= count else None

    client.watch.wait_all(enough, what=f"{count} answers")


def test_d15_an_address_that_answers_arp_is_not_offered(edge, lab, new, free):
    client = new()
    with lab.has_address("R", free):
        offer = discover(client, {50: packed(free)})

    squatter = lab.mac("R", "r1").hex(":")
    assert offer.yiaddr != free
    assert [row["mac"] for row in edge.leases() if row["address"] == free] == [squatter]
    assert [row["state"] for row in edge.leases() if row["address"] == free] == ["declined"]
    assert "address-in-use" in edge.why(squatter)
    assert discover(client, {50: packed(free)}).yiaddr == offer.yiaddr


def test_d15_a_probe_holds_nobody_else_up(edge, new, free):
    known, unknown = new(), new()
    known.lease()
    asked, between = unknown.message(DISCOVER, {50: packed(free)}), known.message(DISCOVER)
    unknown.send_all([asked, between])  # one right behind the other, however busy this computer is
    quick, waited = known.hear(between.xid), unknown.hear(asked.xid)

    seen = next(m for m in unknown.watch.dhcp() if m.op == 1 and m.xid == asked.xid)
    assert (waited.yiaddr, quick.yiaddr) == (free, known.address)
    assert quick.at < waited.at
    assert 0.15 < waited.at - seen.at < 2


@pytest.mark.parametrize(
    "value", [b"iPXE", b"\4iPXE", b"\3foo\4iPXE"], ids=["raw", "RFC 3004", "second of two"]
)
def test_d20_both_forms_of_the_user_class(edge, client, value):
    assert discover(client, pxe(7) | {77: value}).file.startswith(b"http://")


def test_a_message_of_1500_octets_with_pads_is_served(edge, client):
    offer = client.ask(client.message(DISCOVER), change=lambda data: data + bytes(1400 - len(data)))

    assert offer.kind == "OFFER"
    assert len(encode(offer)) <= offer.size
