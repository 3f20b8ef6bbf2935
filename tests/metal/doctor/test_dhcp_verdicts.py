"""What is made of offers: ours, others', none, in each mode."""

from ipaddress import IPv4Address

import pytest
from pyroute2.dhcp.messages import ReceivedDHCPMessage

from metal.doctor import dhcp, discover
from metal.doctor.dhcp import Heard
from metal.doctor.discover import Offer
from pxe_edge.policy.requests import read_boot_request
from pxe_edge.wire import dhcp as wire
from specs.site_model import SiteNetwork
from tests.metal.doctor.conftest import SERVER, SITE

PROV = SITE.networks[0]
OURS = Offer(SERVER, "02:00:00:00:00:01", IPv4Address("10.99.0.50"), False, router="10.99.0.1", lease_s=3600)
ROGUE = Offer(
    IPv4Address("192.168.0.1"), "02:00:00:00:00:66", IPv4Address("192.168.0.9"), False, router="192.168.0.1"
)
PXE_ONLY = Offer(IPv4Address("10.99.0.66"), "02:00:00:00:00:67", IPv4Address(0), True, file="wds.efi")


def network(mode: str) -> SiteNetwork:
    return PROV.model_copy(update={"mode": mode})


@pytest.mark.parametrize(
    ("mode", "offers", "status", "words"),
    [
        ("full", (OURS,), "ok", "none answers on br0"),
        (
            "full",
            (OURS, ROGUE),
            "failed",
            "192.168.0.1 (02:00:00:00:00:66) offers 192.168.0.9, router 192.168.0.1",
        ),
        (
            "full",
            (PXE_ONLY,),
            "failed",
            "10.99.0.66 (02:00:00:00:00:67) offers no address, boot file wds.efi",
        ),
        ("proxy", (ROGUE,), "ok", "mode proxy wants one"),
        ("proxy", (PXE_ONLY,), "failed", "mode proxy leaves addresses to another server"),
        ("off", (), "failed", "none answers on br0"),
    ],
)
def test_other_servers(mode: str, offers: tuple[Offer, ...], status: str, words: str) -> None:
    verdict = dhcp.judge_others(network(mode), Heard("br0", offers, True), (SERVER,))

    assert (verdict.status, words in verdict.message) == (status, True)


def test_our_answer_is_held_against_the_site() -> None:
    assert dhcp.judge_answer(PROV, OURS).status == "ok"
    outside = dhcp.judge_answer(PROV, ROGUE)
    assert (outside.status, "outside of 10.99.0.0/24" in outside.message) == ("failed", True)
    other_router = Offer(SERVER, "", IPv4Address("10.99.0.50"), False, router="10.99.0.254")
    assert dhcp.judge_answer(PROV, other_router).status == "warning"


def test_mode_reservations_is_asked_as_one_who_has_one() -> None:
    mine = {"mode": "reservations", "reservations": [{"mac": "52:54:00:00:00:01", "address": "10.99.0.20"}]}
    reserved = SiteNetwork.model_validate(PROV.model_dump(by_alias=True) | mine)

    assert dhcp.client_mac(reserved) == "52:54:00:00:00:01"
    assert dhcp.client_mac(network("reservations")) is None
    assert dhcp.client_mac(PROV) == discover.PROBE_MAC


def test_the_messages_of_the_doctor_are_what_they_say() -> None:
    plain = wire.decode(bytes(discover.discover(discover.PROBE_MAC).encode().buf))
    firmware = wire.decode(bytes(discover.discover(discover.PROBE_MAC, boot_client=True).encode().buf))
    relayed = wire.decode(bytes(discover.discover(discover.PROBE_MAC, relay=(19, 2, 0, 0)).encode().buf))

    assert plain.message_type == wire.DISCOVER
    assert plain.broadcast
    assert read_boot_request(plain).mac == discover.PROBE_MAC
    assert read_boot_request(plain).client == "plain"
    assert (read_boot_request(firmware).client, read_boot_request(firmware).arch) == ("pxe", 7)
    assert relayed.options[82] == bytes((19, 2, 0, 0))


def test_what_is_no_offer_is_none() -> None:
    request = discover.Message(buf=discover.discover(discover.PROBE_MAC).encode().buf).decode()

    assert discover.read_offer(ReceivedDHCPMessage(dhcp=request, eth_src=""), boot_client=False) is None
