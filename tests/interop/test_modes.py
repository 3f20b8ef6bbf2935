"""Sites of their own: each mode, each `discovery`, trusted and nested networks, as firmware sees them."""

import time

import pytest

from tests.interop import wire
from tests.interop.netns import BEHIND, DIRECT, RELAY, RELAYED, SERVER
from tests.interop.talk import THROUGH_RELAY, packed, pxe
from tests.interop.wire import DISCOVER, REQUEST

pytestmark = pytest.mark.interop

OTHER_SERVER = (
    *("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces", "--no-ping"),
    *("--interface=c0", "--dhcp-range=10.99.0.100,10.99.0.150,255.255.255.0", "--dhcp-authoritative"),
)
RISC_V = 27


def discover(machine, arch=7):
    """What firmware gets for its DISCOVER."""
    return machine.ask(machine.message(DISCOVER, pxe(arch)))


def discover_until_served(machine):
    """The same again until there is an answer: a change at the registry reaches packets within seconds."""
    deadline = time.monotonic() + 20
    while (offer := discover(machine)) is None and time.monotonic() < deadline:
        pass
    return offer


def test_off_serves_who_was_added_and_is_silent_to_the_other(lab, new):
    known, stranger = new(), new()
    with lab.edge(name="off", discovery="off") as edge:
        edge.cli("host", "add", "rack1-01", "--mac", known.name)
        assert discover(stranger) is None
        offer = discover_until_served(known)
        why = edge.why(stranger.name)

    assert offer.file == b"snponly.efi"
    assert "discovery" in why
    assert "rackflow host add" in why


def test_hold_shows_the_machine_and_serves_it_once_it_is_approved(lab, new):
    held = new()
    with lab.edge(name="hold", discovery="hold") as edge:
        assert discover(held) is None
        assert f"rackflow host approve {held.name}" in edge.why(held.name)
        edge.cli("host", "approve", held.name)
        offer = discover_until_served(held)

    assert offer.file == b"snponly.efi"


@pytest.mark.parametrize("discovery", ["off", "hold"])
def test_plain_clients_get_addresses_also_where_strangers_may_not_boot(lab, client, discovery):
    with lab.edge(name=discovery, discovery=discovery):
        assert client.ask(client.message(DISCOVER)).yiaddr.startswith("10.99.0.")


@pytest.mark.parametrize("discovery", ["inspect", "register"])
def test_strangers_get_loaders_and_others_get_addresses(lab, new, discovery):
    machine, without_loader, plain = new(), new(), new()
    with lab.edge(name=discovery, discovery=discovery):
        loader = discover(machine)
        offers = discover(without_loader, RISC_V), plain.ask(plain.message(DISCOVER))

    assert (loader.file, loader.siaddr) == (b"snponly.efi", SERVER)
    for offer in offers:
        assert offer.yiaddr.startswith("10.99.0.")
        assert (offer.file, offer.options.get(67)) == (b"", None)


def test_reservations_answers_only_who_is_reserved(lab, new):
    known, stranger = new(), new()
    reserved = [
        {"mac": known.name, "address": "10.99.0.20"},
        {"mac": stranger.witness.hex(":"), "address": "10.99.0.21"},
    ]
    network = DIRECT | {"mode": "reservations", "reservations": reserved}
    with lab.edge(name="reservations", networks=[network, RELAYED]) as edge:
        assert discover(stranger) is None
        assert discover(known).yiaddr == "10.99.0.20"
        assert edge.why(stranger.name)


def test_proxy_adds_the_loader_to_another_servers_address(lab, watch, new):
    """P6: the offer without address from port 67, the file again from port 4011."""
    network = {key: value for key, value in DIRECT.items() if key != "pool"} | {"mode": "proxy"}
    machine, plain = new(), new()
    leases = f"--dhcp-leasefile={lab.folder / 'proxied.leases'}"
    with (
        lab.edge(name="proxy", networks=[network]),
        lab.running("C", *OTHER_SERVER, leases, ready="DHCP, IP range", name="dnsmasq"),
    ):
        machine.send(machine.message(DISCOVER, pxe(7)))
        proxy, other = sorted(answers(watch, machine, "OFFER", 2), key=lambda offer: offer.yiaddr)
        chosen = pxe(7) | {50: packed(other.yiaddr), 54: other.options[54]}
        machine.send(machine.message(REQUEST, chosen))
        answers(watch, machine, "ACK", 1)
        asked = machine.message(REQUEST, pxe(7), ciaddr=other.yiaddr)
        machine.send(asked, unicast=True, ports=(4011, 4011))
        acks = answers(watch, machine, "ACK", 2)
        plain.send(plain.message(DISCOVER))
        answers(watch, plain, "OFFER", 1)

    assert (proxy.yiaddr, proxy.address(54), proxy.siaddr) == ("0.0.0.0", SERVER, SERVER)
    assert (proxy.options[60], proxy.options[97]) == (b"PXEClient", chosen[97])
    assert 51 not in proxy.options
    told = next(ack for ack in acks if ack.source_port == 4011)
    assert (told.target, told.target_port, told.file) == (other.yiaddr, 4011, b"snponly.efi")
    assert [ack.address(54) for ack in acks].count(SERVER) == 1  # the REQUEST to the other is not ours
    assert [m.address(54) for m in answers(watch, plain, "OFFER", 1)] == ["10.99.0.10"]


def answers(watch, talk, kind, count):
    """The answers of one kind that a client has, once there are so many."""

    def enough(seen):
        mine = [m for m in seen if m.op == 2 and m.mac == talk.mac and m.kind == kind]
        return mine if len(mine) >= count else None

    return watch.wait_all(enough, what=f"{count} {kind}")


def test_mode_off_leaves_the_link_to_others_and_serves_its_relays(lab, new):
    quiet = [DIRECT | {"mode": "off"}, RELAYED]
    direct, relayed = new(), new()
    with lab.edge(name="mode-off", networks=quiet):
        direct.send(direct.message(DISCOVER, pxe(7)))
        offer = relayed.ask(relayed.message(DISCOVER, **THROUGH_RELAY))

    assert offer.yiaddr.startswith("10.88.0.")
    assert not [m for m in direct.watch.dhcp() if m.op == 2 and m.mac == direct.mac]
    assert wire.NOBODY not in (offer.giaddr, offer.siaddr)


@pytest.mark.parametrize("trusted", [False, True])
def test_r3_option_82_without_giaddr_is_taken_only_where_the_network_is_trusted(lab, client, trusted):
    with lab.edge(name="trusted", networks=[DIRECT | {"trusted": trusted}]):
        offer = client.ask(client.message(DISCOVER, {82: b"\1\4port"}))

    assert (offer is not None) == trusted
    if offer is not None:
        assert (offer.options[82], offer.order[-1]) == (b"\1\4port", 82)


def through(client, **fields):
    """What a relayed DISCOVER gets."""
    return client.ask(client.message(DISCOVER, **(THROUGH_RELAY | fields)))


def test_r7_hops_and_several_relays_of_one_network(lab, new):
    with lab.edge(name="relays", networks=[DIRECT, RELAYED | {"relays": [BEHIND, RELAY]}]):
        assert through(new(), hops=16).yiaddr.startswith("10.88.0.")
        assert through(new(), hops=17) is None
        assert through(new(), giaddr=RELAY).yiaddr.startswith("10.88.0.")
        assert through(new(), giaddr="10.88.0.7") is None  # a relay that is not named
        assert through(new(), giaddr="192.0.2.1") is None
