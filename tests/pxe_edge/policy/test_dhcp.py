"""DHCP decisions, requirement by requirement (facts D1-D20), with direct clients."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.policy.dhcp import Quiet, Reply
from pxe_edge.policy.leases import OFFER_S, QUARANTINE_S
from pxe_edge.policy.replies import MANDATORY, max_reply_bytes
from pxe_edge.wire import dhcp
from pxe_edge.wire.dhcp import Packet
from pxe_edge.wire.options import dotted, packed
from tests.pxe_edge.policy.conftest import FAR, PROV, Bench

SERVER = IPv4Address("10.77.1.2")
OTHER = IPv4Address("10.77.1.3")


def address(text):
    return IPv4Address(text).packed


def number(text):
    return int(IPv4Address(text))


def text(address):
    return dotted(address)


def kind(outcome):
    return outcome.packet.message_type if isinstance(outcome, Reply) else outcome.reason


def test_an_offer_says_what_it_must_and_not_what_it_must_not(bench):
    options = {55: bytes((3, 1, 28, 6)), 61: b"\x01any", 57: b"\x05\xdc", 50: address("10.77.1.52")}
    offer = bench.ask(dhcp.DISCOVER, options=options, flags=0x8000, hops=0, secs=9)
    packet = offer.packet
    assert (packet.op, packet.xid, packet.flags, packet.secs, packet.ciaddr) == (
        2,
        7,
        0x8000,
        0,
        0,
    )
    assert (text(packet.yiaddr), text(packet.siaddr)) == ("10.77.1.52", str(SERVER))
    assert list(packet.options)[:2] == [53, 54]
    assert [code for code in packet.options if code in (1, 3, 28, 6)] == [1, 3, 28, 6]
    assert packet.options[61] == b"\x01any"
    assert int.from_bytes(packet.options[58]) < int.from_bytes(packet.options[59]) < 3600
    assert not packet.options.keys() & {50, 55, 57}


def test_without_a_list_a_client_gets_the_usual_options(bench):
    options = bench.ask(dhcp.DISCOVER).packet.options
    assert {1, 3, 6, 28, 42, 26} <= options.keys()
    assert 61 not in options


@pytest.mark.parametrize(
    ("fields", "how", "target", "port"),
    [
        ({}, "layer2", "10.77.1.50", 68),
        ({"flags": 0x8000}, "broadcast", "255.255.255.255", 68),
        ({"giaddr": "10.77.2.1", "source": "10.9.9.9", "port": 67}, "unicast", "10.77.2.1", 67),
    ],
)
def test_where_an_offer_goes(bench, fields, how, target, port):
    found = bench.ask(dhcp.DISCOVER, **fields).target
    assert (found.how, text(found.address), found.port) == (how, target, port)


@pytest.mark.parametrize(
    ("told", "mtu", "limit"),
    [(None, 1500, 548), (b"\xff\x00", 1500, 1472), (b"\0\x10", 1500, 548), (b"\x04\0", 1500, 996)],
)
def test_how_large_a_reply_may_be(told, mtu, limit):
    packet = Packet(1, 1, bytes(6), options={57: told} if told else {})
    assert max_reply_bytes(packet, mtu) == limit


def test_addresses_are_chosen_in_the_rfcs_order(bench):
    first = bench.bind()
    assert text(first) == "10.77.1.50"
    assert bench.ask(dhcp.DISCOVER, options={50: address("10.77.1.52")}).packet.yiaddr == first
    bench.ask(dhcp.RELEASE, ciaddr=text(first), options={54: SERVER.packed}, unicast=True)
    assert bench.bind(mac="52:54:00:00:00:02", options={50: address("10.77.1.53")}) != first
    assert bench.ask(dhcp.DISCOVER).packet.yiaddr == first


def test_one_machine_keeps_its_address_through_three_client_identities(bench):
    found = {
        bench.bind(options={61: client} if client else {}) for client in (b"", b"\1mac", b"\xff" + b"d" * 254)
    }
    assert len(found) == 1


def test_an_expired_lease_is_reused_only_when_the_pool_is_used_up(bench):
    macs = [f"52:54:00:00:00:0{n}" for n in range(1, 7)]
    taken = [bench.bind(mac=mac) for mac in macs[:4]]
    assert bench.ask(dhcp.DISCOVER, mac=macs[4]) == Quiet("pool-exhausted", event=True)
    bench.now += 3601
    assert bench.bind(mac=macs[4]) == taken[0]
    assert bench.ask(dhcp.DISCOVER, mac=macs[3]).packet.yiaddr == taken[3]


def test_an_offer_that_is_not_taken_expires(bench):
    bench.with_network("prov", pool=bench.site.networks[0].pool[:1], exclude=())
    for number in range(4):
        bench.ask(dhcp.DISCOVER, mac=f"52:54:00:00:01:0{number}")
    assert kind(bench.ask(dhcp.DISCOVER)) == "pool-exhausted"
    bench.now += OFFER_S + 1
    assert kind(bench.ask(dhcp.DISCOVER)) == dhcp.OFFER


def test_a_reservation_wins_also_outside_of_the_pool(bench):
    bench.bind()
    bench.with_network("prov", reservations={"52:54:00:00:00:01": IPv4Address("10.77.1.200")})
    assert text(bench.ask(dhcp.DISCOVER).packet.yiaddr) == "10.77.1.200"


def test_reserved_and_own_addresses_are_given_to_nobody_else(bench):
    reserved = {"52:54:00:00:00:77": IPv4Address("10.77.1.50")}
    bench.with_network("prov", reservations=reserved, gateway=IPv4Address("10.77.1.51"))
    assert text(bench.ask(dhcp.DISCOVER, options={50: SERVER.packed}).packet.yiaddr) == "10.77.1.52"


def test_selecting_another_server_frees_the_offer_in_silence(bench):
    offered = bench.ask(dhcp.DISCOVER).packet.yiaddr
    outcome = bench.ask(dhcp.REQUEST, options={50: packed(offered), 54: OTHER.packed})
    assert outcome.reason == "chose-another-server"
    assert bench.table.is_free(offered, "another", bench.now)
    assert outcome.detail == "server=10.77.1.3"


def test_selecting_what_was_not_offered_is_refused(bench):
    bench.ask(dhcp.DISCOVER)
    outcome = bench.ask(dhcp.REQUEST, options={50: address("10.77.1.53"), 54: SERVER.packed, 61: b"\1x"})
    assert kind(outcome) == dhcp.NAK
    assert (outcome.target.how, outcome.packet.options[61]) == ("broadcast", b"\1x")
    assert (outcome.packet.yiaddr, outcome.packet.siaddr) == (0, 0)


def test_a_request_after_the_edge_restarted_is_served_without_its_offer(bench):
    outcome = bench.ask(dhcp.REQUEST, options={50: address("10.77.1.52"), 54: SERVER.packed})
    assert (kind(outcome), text(outcome.packet.yiaddr)) == (dhcp.ACK, "10.77.1.52")
    assert [row.state for row in outcome.rows] == ["bound"]


@pytest.mark.parametrize(
    ("wish", "bound", "expected"),
    [
        ("10.9.9.9", False, dhcp.NAK),  # wrong network, known or not
        ("10.9.9.9", True, dhcp.NAK),
        ("10.77.1.50", True, dhcp.ACK),
        ("10.77.1.51", True, dhcp.NAK),
        ("10.77.1.51", False, "unknown-client"),
    ],
)
def test_init_reboot(bench, wish, bound, expected):
    if bound:
        bench.bind()
    assert kind(bench.ask(dhcp.REQUEST, options={50: address(wish)})) == expected


@pytest.mark.parametrize(
    ("ciaddr", "unicast", "expected"),
    [
        ("10.77.1.50", True, dhcp.ACK),
        ("10.77.1.50", False, dhcp.ACK),
        ("10.77.1.51", True, dhcp.NAK),
        ("10.77.1.51", False, "rebinding-not-ours"),
    ],
)
def test_renewing_and_rebinding(bench, ciaddr, unicast, expected):
    bench.bind()
    bench.now += 1800
    outcome = bench.ask(dhcp.REQUEST, ciaddr=ciaddr, unicast=unicast)
    assert kind(outcome) == expected
    if expected == dhcp.ACK:
        assert (outcome.target.how, text(outcome.target.address)) == ("unicast", ciaddr)
        assert outcome.packet.ciaddr == number(ciaddr)
        assert bench.table.at(number(ciaddr)).expires_at == bench.now + 3600


def test_a_declined_address_is_left_alone_for_a_while(bench):
    taken = bench.bind()
    assert bench.ask(dhcp.DECLINE, options={50: packed(taken)}).reason == "declined-to-another-server"
    stranger = bench.ask(
        dhcp.DECLINE, mac="52:54:00:00:00:09", options={50: packed(taken), 54: SERVER.packed}
    )
    assert stranger.reason == "declined-not-its-address"
    outcome = bench.ask(dhcp.DECLINE, options={50: packed(taken), 54: SERVER.packed})
    assert (outcome.reason, outcome.event, outcome.rows[0].state) == ("declined", True, "declined")
    assert bench.ask(dhcp.DISCOVER).packet.yiaddr != taken
    bench.now += QUARANTINE_S + 1
    late = bench.ask(dhcp.DISCOVER, mac="52:54:00:00:00:09", options={50: packed(taken)})
    assert late.packet.yiaddr == taken


def test_a_release_wants_the_right_client_and_address(bench):
    taken = bench.bind()
    options = {54: SERVER.packed}
    stranger = bench.ask(
        dhcp.RELEASE, mac="52:54:00:00:00:09", ciaddr=text(taken), options=options, unicast=True
    )
    assert (stranger.reason, stranger.rows) == ("released-not-its-address", ())
    outcome = bench.ask(dhcp.RELEASE, ciaddr=text(taken), options=options, unicast=True)
    assert (outcome.reason, outcome.rows[0].state) == ("released", "released")
    assert bench.table.binding("prov", "52:54:00:00:00:01").address == taken


def test_a_discover_with_a_foreign_ciaddr_is_not_answered_there(bench):
    outcome = bench.ask(dhcp.DISCOVER, ciaddr="192.0.2.7")
    assert outcome.target.how == "layer2"


def test_inform_with_a_foreign_address_sends_nothing_there(bench):
    assert bench.ask(dhcp.INFORM, ciaddr="192.0.2.7") == Quiet("inform-from-elsewhere")


def test_inform_gets_options_and_no_lease(bench):
    outcome = bench.ask(dhcp.INFORM, ciaddr="10.77.1.120", options={60: b"PXEClient", 93: b"\0\7"})
    assert (kind(outcome), outcome.rows) == (dhcp.ACK, ())
    assert (text(outcome.target.address), outcome.packet.yiaddr) == ("10.77.1.120", 0)
    assert not outcome.packet.options.keys() & {51, 58, 59}
    assert (text(outcome.packet.ciaddr), outcome.packet.file) == ("10.77.1.120", b"")


def test_reservations_mode_answers_only_reserved_machines(bench):
    bench.with_network(
        "prov", mode="reservations", reservations={"52:54:00:00:00:02": IPv4Address("10.77.1.9")}
    )
    assert kind(bench.ask(dhcp.DISCOVER)) == "no-reservation"
    assert kind(bench.ask(dhcp.REQUEST, options={50: address("10.9.9.9")})) == "no-reservation"
    assert text(bench.bind(mac="52:54:00:00:00:02")) == "10.77.1.9"


def test_mode_off_is_silence(bench):
    bench.with_network("prov", mode="off")
    assert kind(bench.ask(dhcp.DISCOVER)) == "no-network-here"


def test_a_long_client_id_and_a_missing_mac_are_served(bench):
    packet = dhcp.Packet(op=1, xid=1, chaddr=b"", htype=32, options={53: b"\1", 61: b"i" * 255})
    offer = bench.send(packet)
    assert (kind(offer), offer.target.how) == (dhcp.OFFER, "broadcast")
    assert offer.packet.options[61] == b"i" * 255
    assert len(offer.data) <= 548


@pytest.mark.parametrize("message", [dhcp.OFFER, dhcp.ACK, dhcp.NAK, 77])
def test_servers_messages_are_ignored(bench, message):
    assert kind(bench.ask(message)) == "not-for-a-server"
    packet = dhcp.Packet(op=2, xid=1, chaddr=bytes(6), options={53: b"\1"})
    assert kind(bench.send(packet)) == "not-a-dhcp-request"


CLIENTS = st.fixed_dictionaries(
    {},
    optional={
        12: st.binary(max_size=300),
        50: st.binary(min_size=4, max_size=4),
        55: st.binary(max_size=60),
        57: st.integers(0, 65535).map(lambda size: size.to_bytes(2, "big")),
        60: st.sampled_from((b"PXEClient:Arch:00007:UNDI:003016", b"HTTPClient:Arch:00016", b"other")),
        61: st.binary(min_size=1, max_size=600),
        77: st.sampled_from((b"iPXE", b"\x04iPXE", b"x")),
        82: st.binary(max_size=300),
        93: st.sampled_from((b"\0\7", b"\0\0", b"\0\x10")),
        97: st.sampled_from((b"\0" + bytes(range(16)), b"\1")),
        118: st.just(bytes((10, 77, 2, 0))),
    },
)


@given(CLIENTS, st.booleans(), st.integers(0, 0xFFFF))
@settings(deadline=None)
def test_a_filled_form_is_what_the_general_encoder_writes(options, relayed, flags):
    bench = Bench(networks=(PROV, replace(FAR, trusted=True)))
    packet = Packet(
        op=1, xid=9, chaddr=bytes(range(6)), flags=flags, options={53: b"\1", **options},
        giaddr=number("10.77.2.1") if relayed else 0,
    )  # fmt: skip
    first, second = bench.send(packet), bench.send(packet)  # the form is made, then used again
    if not isinstance(first, Reply):
        return
    limit = max_reply_bytes(packet, 1500)
    for reply in (first, second):
        value = reply.packet
        assert len(reply.data) <= limit
        assert value.options.get(61) == packet.options.get(61) or 61 in reply.dropped
        if not reply.dropped and b"\x34\x01" not in reply.data[240:]:
            assert dhcp.encode(value, limit, MANDATORY).data == reply.data
        if 82 in value.options:
            assert value.options[82] == packet.options[82]
            assert list(value.options)[-1] == 82
    assert first.data == second.data
