"""Relayed messages (facts R1-R7)."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from pxe_edge.policy.dhcp import Reply
from pxe_edge.wire import dhcp
from pxe_edge.wire.options import dotted, packed

CIRCUIT = b"\x01\x08eth0/001"
REMOTE = b"\x02\x06\x52\x54\0\0\0\1"


def kind(outcome):
    return outcome.packet.message_type if isinstance(outcome, Reply) else outcome.reason


@pytest.mark.parametrize("raw", [CIRCUIT + REMOTE, REMOTE + CIRCUIT, b"\x01\xff\x03", b""])
def test_option_82_is_echoed_octet_for_octet_and_last(bench, raw):
    offer = bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1", options={82: raw, 55: b"\x52\1\3"})
    assert offer.packet.options[82] == raw
    assert offer.data.rstrip(b"\0").endswith(bytes((82, len(raw))) + raw + b"\xff")


def test_a_nak_through_a_relay_is_to_be_broadcast_and_carries_82(bench):
    outcome = bench.ask(
        dhcp.REQUEST, giaddr="10.77.2.1", options={50: IPv4Address("10.9.9.9").packed, 82: CIRCUIT}
    )
    assert (kind(outcome), outcome.packet.broadcast) == (dhcp.NAK, True)
    assert (dotted(outcome.target.address), outcome.target.port) == ("10.77.2.1", 67)
    assert outcome.packet.options[82] == CIRCUIT


def test_circuit_and_remote_id_stay_with_the_lease_over_a_unicast_renewal(bench):
    taken = bench.bind(giaddr="10.77.2.1", options={82: CIRCUIT + REMOTE})
    assert dotted(taken) == "10.77.2.50"
    bench.ask(dhcp.REQUEST, ciaddr=dotted(taken), unicast=True, source=dotted(taken))
    row = bench.table.at(taken)
    assert (row.circuit_id, row.remote_id, row.network) == (b"eth0/001", b"\x52\x54\0\0\0\1", "prov-b")


@pytest.mark.parametrize("raw", [CIRCUIT, b""])
@pytest.mark.parametrize(("trusted", "expected"), [(False, "untrusted-relay-option"), (True, dhcp.OFFER)])
def test_82_without_giaddr_needs_a_trusted_network(bench, trusted, expected, raw):
    bench.with_network("prov", trusted=trusted)
    assert kind(bench.ask(dhcp.DISCOVER, options={82: raw})) == expected


@pytest.mark.parametrize(
    ("options", "giaddr", "network"),
    [
        ({82: b"\x05\x04\x0a\x4d\x01\0"}, "10.77.2.1", "prov"),
        ({82: b"\x05\x04\x0a\x4d\x01\0", 118: b"\x0a\x4d\x02\0"}, "10.77.2.1", "prov"),
        ({118: b"\x0a\x4d\x01\0"}, "10.77.2.1", "prov"),
        ({82: b"\x05\x04\x0a\x09\x09\0"}, "10.77.2.1", "unknown-subnet"),
        ({82: b"\x05\x04\x0a\x4d\x01\0"}, "10.9.9.9", "unknown-relay"),
        ({}, "10.9.9.9", "unknown-relay"),
        ({}, "10.77.2.1", "prov-b"),
    ],
)
def test_which_network_a_relayed_message_is_about(bench, options, giaddr, network):
    outcome = bench.ask(dhcp.DISCOVER, giaddr=giaddr, options=options)
    if isinstance(outcome, Reply):
        assert (outcome.place.network.name, dotted(outcome.target.address)) == (network, giaddr)
    else:
        assert outcome.reason == network


def test_link_selection_works_whatever_relays_a_network_names(bench):
    bench.with_network("prov", relays=(IPv4Address("10.77.1.1"),))
    bench.with_network("prov-b", relays=(IPv4Address("10.77.2.9"),))
    assert kind(bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1")) == "unknown-relay"
    selected = bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1", options={82: b"\x05\x04\x0a\x4d\x01\0"})
    assert selected.place.network.name == "prov"


def test_the_relay_may_stand_in_for_the_server(bench):
    raw = b"\x0b\x04\x0a\x4d\x02\x01"
    offer = bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1", options={82: raw})
    assert offer.packet.options[54] == IPv4Address("10.77.2.1").packed
    options = {82: raw, 54: offer.packet.options[54], 50: packed(offer.yiaddr)}
    assert kind(bench.ask(dhcp.REQUEST, giaddr="10.77.2.1", options=options)) == dhcp.ACK


def test_a_relay_with_its_own_source_port_is_answered_there(bench):
    outcome = bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1", port=10067, options={82: b"\x13\0"})
    assert (dotted(outcome.target.address), outcome.target.port) == ("10.77.2.1", 10067)


@pytest.mark.parametrize(("hops", "expected"), [(16, dhcp.OFFER), (17, "too-many-hops")])
def test_hops(bench, hops, expected):
    assert kind(bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1", hops=hops)) == expected


def test_the_longest_subnet_of_a_relay_counts(make_bench):
    bench = make_bench()
    wide = replace(bench.site.networks[1], name="wide", subnet=IPv4Network("10.77.0.0/16"))
    bench.site = replace(bench.site, networks=(wide, *bench.site.networks))
    assert bench.ask(dhcp.DISCOVER, giaddr="10.77.2.1").place.network.name == "prov-b"
