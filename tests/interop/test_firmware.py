"""Real firmware under QEMU, from its first DISCOVER to the boot script, directly and behind a relay.

`make test` boots one BIOS and one UEFI machine; `make test-rack K=firmware` the whole matrix. Times are
those of the packets on the machine's link.
"""

import contextlib

import pytest

from tests.interop.machines import EDK2, NO_HANG, foreign_server, uefi, waits
from tests.interop.netns import DIRECT, RELAYED, SERVER

pytestmark = [pytest.mark.interop, pytest.mark.rack, NO_HANG]
chosen = pytest.mark.chosen
ROM_WAITS_S = 3.0
"""DISCOVER to script: 16 s with no advertisement and no option 175 (measured), 0.1 s with both."""
FIRST_ANSWER_S = 1.0
"""BIOS firmware asks again after a second."""


@pytest.fixture
def edge(lab):
    """The edge with full DHCP."""
    return lab.serve("firmware")


def proxied(network):
    """A network where another server gives the addresses."""
    return {key: value for key, value in network.items() if key != "pool"} | {"mode": "proxy"}


def first_answer_s(machine, watch):
    """Seconds from the machine's first DISCOVER to its first OFFER."""
    return machine.messages(watch, "OFFER")[0].at - machine.messages(watch, "DISCOVER")[0].at


@pytest.mark.parametrize(
    ("place", "rom"),
    [
        pytest.param("direct", "virtio-net-pci", marks=chosen),
        ("direct", "e1000"),
        ("relayed", "virtio-net-pci"),
        ("relayed", "e1000"),
    ],
    indirect=["place"],
)
def test_a_bios_machine_with_ipxe_in_its_rom(edge, machine, place, rom):
    with machine.on(device=rom) as watch:
        taken = waits(machine, watch, machine.script_at(watch))

    offer = machine.messages(watch, "OFFER")[0]
    assert bytes.fromhex("b00101") in offer.options[175]  # P10
    assert first_answer_s(machine, watch) < FIRST_ANSWER_S  # P12
    if place.name == "direct":  # on the far side of a relay the router's advertisements are the router's
        assert taken < ROM_WAITS_S


@pytest.mark.parametrize("place", ["direct"], indirect=True)
def test_without_router_advertisements_ipxe_waits(lab, machine, place):
    """The other half of the proof of P11: it is the advertisement that takes the wait away."""
    networks = [DIRECT | {"routerAdvertisements": False}, RELAYED]
    with lab.edge(name="no-ra", networks=networks), machine.on() as watch:
        taken = waits(machine, watch, machine.script_at(watch))

    assert taken > 2 * ROM_WAITS_S


@pytest.mark.parametrize("place", [pytest.param("direct", marks=chosen), "relayed"], indirect=True)
def test_uefi_pxe_loads_ipxe_by_tftp_and_then_its_script(edge, machine, place, tmp_path):
    with machine.on(uefi(tmp_path, "IPv6PXESupport"), EDK2) as watch:
        taken = waits(machine, watch, machine.script_at(watch))

    offer = machine.messages(watch, "OFFER")[0]
    assert 60 not in offer.options or 43 in offer.options  # P4
    assert watch.times(b"\0\x01snponly.efi\0octet\0")  # by TFTP
    assert watch.times(b"\0\x05\0\x08")  # T7: it breaks its size probe off
    if place.name == "direct":
        assert taken < ROM_WAITS_S


def test_uefi_http_boot_loads_ipxe_by_http_and_then_its_script(edge, machine, place, tmp_path):
    with machine.on(uefi(tmp_path, "IPv4PXESupport", "IPv6PXESupport"), EDK2) as watch:
        machine.script_at(watch)

    ack = machine.messages(watch, "ACK")[0]
    assert ack.options[60] == b"HTTPClient"  # P5
    assert watch.times(b"HEAD /snponly.efi")
    assert watch.times(b"GET /snponly.efi")


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_beside_a_server_that_gives_the_addresses(lab, machine, place, tmp_path, firmware):
    networks = [proxied(DIRECT), proxied(RELAYED)]
    how = (uefi(tmp_path, "IPv6PXESupport"), EDK2) if firmware == "uefi" else ()
    with contextlib.ExitStack() as stack:
        stack.enter_context(lab.edge(name="proxy", networks=networks))
        stack.enter_context(foreign_server(lab, place))
        watch = stack.enter_context(machine.on(*how))
        machine.script_at(watch)

    offers = machine.messages(watch, "OFFER")
    proxy = next(m for m in offers if m.address(54) == SERVER)
    assert (proxy.yiaddr, proxy.options[60]) == ("0.0.0.0", b"PXEClient")  # P6
    assert any(m.yiaddr != "0.0.0.0" for m in offers)
    if firmware == "uefi":
        asked = next(m for m in machine.messages(watch, "REQUEST") if m.target_port == 4011)
        told = next(m for m in machine.messages(watch, "ACK") if m.source_port == 4011)
        assert (asked.target, told.target_port) == (SERVER, asked.source_port)
