"""DHCPv6 decisions: who gets which address, status or silence (RFC 8415 section 18.3)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe_edge.policy import dhcp6 as policy
from pxe_edge.policy import dhcp6_leases as leases
from pxe_edge.policy.views import HostView
from pxe_edge.wire import dhcp6 as wire
from pxe_edge.wire.dhcp6 import LeasedAddress, Message
from pxe_edge.wire.errors import WireError
from tests.pxe_edge.policy.bench6 import (
    EUI64,
    FAR,
    MAC,
    OWN,
    PROV,
    PXE,
    SERVER,
    Bench,
    address,
    asked,
    associations,
    given_to,
    ia,
    ll,
    relay,
    span,
    status,
    uuid_duid,
)


@pytest.fixture
def bench():
    return Bench()


def test_solicit_advertise_request_reply(bench):
    offer = bench.ask(wire.SOLICIT, ia(9))
    assert (offer.message.kind, offer.message.transaction) == (wire.ADVERTISE, 7)
    assert offer.message.option(wire.CLIENT_ID) == ll()
    assert offer.message.option(wire.SERVER_ID) == OWN
    assert offer.message.option(wire.PREFERENCE) == b"\xff"
    assert [row.state for row in offer.rows] == ["offered"]
    reply = bench.ask(wire.REQUEST, *associations(offer), server=OWN)
    (leased,) = associations(reply)
    assert (leased.iaid, leased.t1_s, leased.t2_s) == (9, 1800, 2880)
    assert leased.addresses == (LeasedAddress(address("fd00:77::50"), 3600, 3600),)
    assert [(row.state, row.mac, row.expires_at) for row in reply.rows] == [("bound", MAC, bench.now + 3600)]
    assert (reply.target, reply.port) == (EUI64, policy.CLIENT_PORT)


def test_rapid_commit_binds_at_once_and_only_when_asked(bench):
    reply = bench.ask(wire.SOLICIT, ia(), options=((wire.RAPID_COMMIT, b""),))
    assert (reply.message.kind, reply.message.option(wire.RAPID_COMMIT)) == (wire.REPLY, b"")
    assert [row.state for row in reply.rows] == ["bound"]
    assert bench.ask(wire.SOLICIT, ia()).message.kind == wire.ADVERTISE


def test_one_machine_keeps_its_address_through_firmware_ipxe_and_system(bench):
    # EDK2: DUID-UUID and a random number, known by its link-local address; iPXE: DUID-LL; system: LLT.
    system = b"\0\1\0\1\x2a\0\0\0" + bytes.fromhex(MAC.replace(":", ""))
    for duid, iaid in ((uuid_duid(1), 77), (uuid_duid(1), 78), (ll(), 5), (system, 6)):
        assert given_to(bench.bind(ia(iaid), duid=duid)) == ["fd00:77::50"]
    assert len(bench.table.rows()) == 1


def test_two_interfaces_with_one_duid_get_an_address_each(bench):
    # The DUID's hardware address is the first NIC's; the link-local addresses hide theirs (RFC 7217).
    hidden = address("fe80::1234:5678:9abc:def0")
    assert given_to(bench.bind(ia(1), source=hidden)) == ["fd00:77::50"]
    assert given_to(bench.bind(ia(2), source=hidden)) == ["fd00:77::51"]
    assert given_to(bench.bind(ia(1), source=hidden)) == ["fd00:77::50"]


def test_two_associations_in_one_message_get_two_addresses(bench):
    reply = bench.bind(ia(1), ia(2))
    assert given_to(reply) == ["fd00:77::50", "fd00:77::51"]
    assert [each.iaid for each in associations(reply)] == [1, 2]
    assert given_to(bench.bind(ia(2), ia(1))) == ["fd00:77::51", "fd00:77::50"]


def test_two_associations_do_not_get_one_address_by_wishing_for_it(bench):
    offer = bench.ask(wire.SOLICIT, ia(1, "fd00:77::52"), ia(2, "fd00:77::52"))
    assert given_to(offer) == ["fd00:77::52", "fd00:77::50"]


def test_without_hardware_address_the_binding_hangs_on_duid_and_association(bench):
    hidden = address("fe80::1234:5678:9abc:def0")
    first = bench.bind(ia(1), duid=uuid_duid(1), source=hidden)
    assert [row.mac for row in first.rows] == [f"duid-{uuid_duid(1).hex()}-00000001"]
    assert given_to(bench.bind(ia(2), duid=uuid_duid(1), source=hidden)) != given_to(first)
    assert given_to(bench.bind(ia(1), duid=uuid_duid(1), source=hidden)) == given_to(first)


def test_no_address_is_given_twice_and_an_exhausted_pool_says_so(bench):
    machines = [f"52:54:00:00:00:{n:02x}" for n in range(5)]
    got = [given_to(bench.bind(ia(), duid=ll(mac), source=address("fe80::9"))) for mac in machines[:4]]
    assert len({each for one in got for each in one}) == 4
    none = bench.ask(wire.SOLICIT, ia(3), duid=ll(machines[4]), source=address("fe80::9"))
    assert [each.status.code for each in associations(none)] == [wire.NO_ADDRESSES]
    assert none.event == "pool-exhausted"
    bench.now += 3601
    assert given_to(bench.bind(ia(), duid=ll(machines[4]), source=address("fe80::9"))) == got[0]


def test_a_reservation_wins_and_moves_a_client(bench):
    assert given_to(bench.bind()) == ["fd00:77::50"]
    bench.reserve(MAC, "fd00:77::1:1")
    renewed = bench.ask(wire.RENEW, ia(1, "fd00:77::50"), server=OWN)
    (one,) = associations(renewed)
    assert [(str(a.address), a.valid_s) for a in one.addresses] == [
        ("fd00:77::1:1", 3600),
        ("fd00:77::50", 0),
    ]
    assert bench.table.at(address("fd00:77::50")).state == "released"


def test_a_host_known_by_its_uuid_gets_its_fixed_address_by_a_nic_that_nobody_has_seen():
    for mode in ("full", "reservations"):
        bench = Bench(replace(PROV, mode=mode), host=HostView("h1", "web-01", fixed6=address("fd00:77::7")))
        assert given_to(bench.bind(duid=uuid_duid(1))) == ["fd00:77::7"]
        elsewhere = Bench(FAR, host=HostView("h1", "web-01", fixed6=address("fd00:77::7")))
        assert given_to(elsewhere.bind(relays=(relay("fd00:88::1"),))) == ["fd00:88::50"]


def test_reservations_mode_leaves_strangers_to_another_server(bench):
    bench.reserve("52:54:00:00:00:09", "fd00:77::9:9", mode="reservations")
    assert bench.ask(wire.SOLICIT, ia()) == policy.Quiet6("no-reservation")
    assert given_to(bench.bind(duid=ll("52:54:00:00:00:09"))) == ["fd00:77::9:9"]


def test_addresses_of_the_edge_the_gateway_and_of_others_are_not_given():
    kept = {address("fd00:77::3"): frozenset({"52:54:00:00:00:09"})}
    network = replace(
        PROV, pool=span("fd00:77::", "fd00:77::7"), exclude=span("fd00:77::4", "fd00:77::5"),
        gateway=address("fd00:77::2"), kept=kept,
    )  # fmt: skip
    bench = Bench(network)
    wish = [given_to(bench.bind(ia(1, "fd00:77::3"), duid=ll(f"52:54:00:00:00:0{n}"))) for n in (1, 2, 3)]
    assert wish == [["fd00:77::6"], ["fd00:77::7"], []]
    assert given_to(bench.bind(ia(1, "fd00:77::3"), duid=ll("52:54:00:00:00:09"))) == ["fd00:77::3"]


def test_a_huge_pool_with_a_huge_gap_is_no_work():
    network = replace(
        PROV, pool=span("fd00:77::", "fd00:77::ffff:ffff:ffff:ffff"),
        exclude=span("fd00:77::", "fd00:77::ffff:ffff:ffff:fff0"),
    )  # fmt: skip
    assert given_to(Bench(network).bind()) == ["fd00:77::ffff:ffff:ffff:fff1"]


def test_renew_and_rebind_lengthen_what_is_known(bench):
    bench.bind()
    bench.now += 1800
    for kind, server in ((wire.RENEW, OWN), (wire.REBIND, None)):
        reply = bench.ask(kind, ia(1, "fd00:77::50"), server=server)
        assert given_to(reply) == ["fd00:77::50"]
        assert [row.expires_at for row in reply.rows] == [bench.now + 3600]


def test_renewing_what_is_not_known(bench):
    bench.bind()
    stranger = ll("52:54:00:00:00:07")
    (taken,) = associations(bench.ask(wire.RENEW, ia(1, "fd00:77::50"), duid=stranger, server=OWN))
    assert taken.status.code == wire.NO_BINDING
    assert bench.ask(wire.REBIND, ia(1, "fd00:77::50"), duid=stranger) == policy.Quiet6("rebinding-not-ours")
    for kind, server in ((wire.RENEW, OWN), (wire.REBIND, None)):
        (foreign,) = associations(bench.ask(kind, ia(1, "fd00:99::5"), duid=stranger, server=server))
        assert foreign.addresses == (LeasedAddress(address("fd00:99::5"), 0, 0),)
    free = bench.ask(wire.RENEW, ia(1, "fd00:77::52"), duid=stranger, server=OWN)
    assert given_to(free) == ["fd00:77::52"]  # the lease was lost with its database


def test_release_and_decline(bench):
    bench.bind()
    released = bench.ask(wire.RELEASE, ia(1, "fd00:77::50"), server=OWN)
    assert (status(released), [row.state for row in released.rows]) == (wire.SUCCESS, ["released"])
    again = bench.ask(wire.RELEASE, ia(1, "fd00:77::50"), server=OWN)
    assert [each.status.code for each in associations(again)] == [wire.NO_BINDING]
    assert given_to(bench.bind()) == ["fd00:77::50"]
    declined = bench.ask(wire.DECLINE, ia(1, "fd00:77::50"), server=OWN)
    assert (declined.event, [row.state for row in declined.rows]) == ("declined", ["declined"])
    assert given_to(bench.bind()) == ["fd00:77::51"]
    assert given_to(bench.ask(wire.SOLICIT, ia(9, "fd00:77::50"), source=address("fe80::9"))) == [
        "fd00:77::52"
    ]


def test_nobody_gives_back_for_another(bench):
    bench.bind()
    other = bench.ask(wire.RELEASE, ia(1, "fd00:77::50"), duid=ll("52:54:00:00:00:07"), server=OWN)
    assert other.rows == ()
    assert bench.table.at(address("fd00:77::50")).state == "bound"


def test_a_stage_that_ends_late_does_not_give_back_what_the_next_one_has(bench):
    bench.bind(ia(77), duid=uuid_duid(1))
    assert given_to(bench.bind(ia(5))) == ["fd00:77::50"]
    late = bench.ask(wire.RELEASE, ia(77, "fd00:77::50"), duid=uuid_duid(1), server=OWN)
    assert ([each.status.code for each in associations(late)], late.rows) == ([wire.NO_BINDING], ())
    assert bench.table.at(address("fd00:77::50")).state == "bound"


def test_confirm_says_whether_the_link_fits(bench):
    assert status(bench.ask(wire.CONFIRM, ia(1, "fd00:77::50"))) == wire.SUCCESS
    assert status(bench.ask(wire.CONFIRM, ia(1, "fd00:99::50"))) == wire.NOT_ON_LINK
    assert bench.ask(wire.CONFIRM, ia(1)) == policy.Quiet6("confirm-without-address")


def test_a_request_for_another_link_gets_not_on_link(bench):
    (one,) = associations(bench.ask(wire.REQUEST, ia(1, "fd00:99::50"), server=OWN))
    assert one.status.code == wire.NOT_ON_LINK


def test_prefixes_and_temporary_addresses_are_refused_by_status(bench):
    reply = bench.bind(ia(1))
    offer = bench.ask(wire.SOLICIT, ia(2, kind=wire.IA_PD), ia(3, kind=wire.IA_TA))
    options = dict(offer.message.options)
    assert wire.read_options(options[wire.IA_PD], 12)[0][1][:2] == wire.NO_PREFIX.to_bytes(2, "big")
    assert wire.read_options(options[wire.IA_TA], 4)[0][1][:2] == wire.NO_ADDRESSES.to_bytes(2, "big")
    assert given_to(reply) == ["fd00:77::50"]


def test_information_request_gets_options_and_no_address(bench):
    reply = bench.ask(wire.INFORMATION_REQUEST, options=(asked(wire.DNS, wire.REFRESH_TIME),))
    codes = [code for code, _ in reply.message.options]
    assert codes == [wire.CLIENT_ID, wire.SERVER_ID, wire.DNS, wire.REFRESH_TIME]
    anonymous = bench.ask(wire.INFORMATION_REQUEST, duid=b"")
    assert [code for code, _ in anonymous.message.options] == [wire.SERVER_ID]
    assert isinstance(bench.ask(wire.INFORMATION_REQUEST, ia()), policy.Quiet6)


@pytest.mark.parametrize(
    ("kind", "server", "duid", "reason"),
    [
        (wire.SOLICIT, None, b"", "no-client-id"),
        (wire.SOLICIT, OWN, None, "server-id-not-allowed"),
        (wire.CONFIRM, OWN, None, "server-id-not-allowed"),
        (wire.REBIND, OWN, None, "server-id-not-allowed"),
        (wire.REQUEST, None, None, "no-server-id"),
        (wire.RENEW, None, None, "no-server-id"),
        (wire.RELEASE, ll(), None, "chose-another-server"),
        (wire.INFORMATION_REQUEST, ll(), None, "chose-another-server"),
        (wire.REPLY, None, None, "not-for-a-server"),
        (wire.RECONFIGURE, None, None, "not-for-a-server"),
    ],
)
def test_what_the_protocol_says_to_drop(bench, kind, server, duid, reason):
    assert bench.ask(kind, ia(1), server=server, duid=duid).reason == reason


def test_an_offer_is_given_up_for_another_server(bench):
    bench.ask(wire.SOLICIT, ia())
    quiet = bench.ask(wire.REQUEST, ia(1, "fd00:99::1"), server=ll())
    assert (quiet.reason, [row.state for row in quiet.rows]) == ("chose-another-server", ["released"])


def test_unicast_is_told_to_use_multicast(bench):
    assert status(bench.ask(wire.REQUEST, ia(), server=OWN, multicast=False)) == wire.USE_MULTICAST
    assert bench.ask(wire.SOLICIT, ia(), multicast=False) == policy.Quiet6("sent-unicast")
    assert bench.table.rows() == ()


def test_what_is_held_may_still_give_its_address_back():
    bench = Bench()
    bench.bind(options=PXE)
    bench.site = replace(bench.site, discovery="off")
    released = bench.ask(wire.RELEASE, ia(1, "fd00:77::50"), server=OWN, options=PXE)
    assert [row.state for row in released.rows] == ["released"]


def test_only_what_is_named_is_given_back(bench):
    bench.bind(ia(1), ia(2))
    released = bench.ask(wire.RELEASE, ia(1, "fd00:77::50"), server=OWN)
    assert [str(row.address) for row in released.rows] == ["fd00:77::50"]


def test_who_invents_associations_does_not_drain_the_pool():
    bench = Bench(replace(PROV, pool=span("fd00:77::50", "fd00:77::ff")))
    hidden = address("fe80::1234:5678:9abc:def0")
    got = [given_to(bench.bind(ia(number), source=hidden)) for number in range(20)]
    assert sum(map(len, got)) == 16
    with pytest.raises(WireError, match="9 associations"):
        bench.ask(wire.SOLICIT, *map(ia, range(9)))


def test_made_up_clients_leave_no_trace_and_no_gap_in_a_huge_pool():
    bench = Bench(replace(PROV, pool=span("fd00:77::50", "fd00:77::ffff:ffff:ffff")))
    for number in range(300):
        bench.ask(wire.SOLICIT, ia(), duid=ll(f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"))
        bench.now += 7
        bench.table.forget_offers(bench.now)
    assert len(bench.table) < 12
    assert max(row.address for row in bench.table.rows()) < address("fd00:77::60")


def test_what_is_remembered_is_bounded_and_what_came_free_is_given_again(monkeypatch):
    monkeypatch.setattr(leases, "MAX_ROWS", 3)
    bench = Bench(replace(PROV, pool=span("fd00:77::50", "fd00:77::ffff:ffff:ffff")))
    got = [given_to(bench.bind(duid=ll(f"52:54:00:00:00:{n:02x}"))) for n in range(4)]
    assert got == [["fd00:77::50"], ["fd00:77::51"], ["fd00:77::52"], []]
    bench.now += 3601
    assert given_to(bench.bind(duid=ll("52:54:00:00:00:09"))) == ["fd00:77::50"]
    assert len(bench.table) == 3


def test_offers_are_bounded_and_old_ones_forgotten(monkeypatch):
    monkeypatch.setattr(leases, "MAX_OFFERS", 2)
    bench = Bench()
    machines = [ll(f"52:54:00:00:00:{n:02x}") for n in range(4)]
    got = [given_to(bench.ask(wire.SOLICIT, ia(), duid=duid)) for duid in machines[:3]]
    assert got[2] == []
    bench.now += leases.OFFER_S + 1
    assert given_to(bench.ask(wire.SOLICIT, ia(), duid=machines[3])) != []


_VALUES = st.binary(max_size=48) | st.sampled_from(
    [ll(), OWN, wire.write_association(ia(1, "fd00:77::50"))[1], b"\0\0\1\x57\0\x09PXEClient"]
)
_OPTIONS = st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 6, 13, 14, 15, 16, 25, 61]), _VALUES), max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 11), _OPTIONS), max_size=8))
def test_any_messages_leave_a_sound_table_or_are_named(messages):
    bench = Bench()
    for kind, options in messages:
        try:
            outcome = bench.send(Message(kind, 1, tuple(options)))
        except WireError:
            continue
        if isinstance(outcome, policy.Reply6):
            assert wire.decode(wire.encode(outcome.message)) == outcome.message
            for each in outcome.addresses:
                assert bench.table.at(each).state in ("offered", "bound")
    held = [row for row in bench.table.rows() if row.holds(bench.now)]
    assert all(row.address in PROV.subnet and row.address != SERVER for row in held)
