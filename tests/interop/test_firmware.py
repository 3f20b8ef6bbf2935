"""Real firmware under QEMU, from its first DISCOVER to the boot script, directly and behind a relay.

`make test` boots one BIOS and one UEFI machine; `make test-rack K=firmware` the whole matrix. Times are
those of the packets on the machine's link.
"""

import contextlib
import itertools
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.netns import BEHIND, DHCRELAY, DHCRELAY_READY, DIRECT, RELAYED, SERVER

pytestmark = [pytest.mark.interop, pytest.mark.rack, pytest.mark.timeout(240)]
chosen = pytest.mark.chosen
OVMF = Path("/usr/share/OVMF")
ROM_WAITS_S = 3.0
"""DISCOVER to script: 16 s with no advertisement and no option 175 (measured), 0.1 s with both."""
NUMBER = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """Where a machine is plugged in."""

    name: str
    letter: str
    bridge: str
    foreign: tuple[str, str, str]
    """Another DHCP server on that link: its namespace, first and last address of its pool."""


PLACES = {
    "direct": Place("direct", "S", "br0", ("C", "10.99.0.100", "10.99.0.150")),
    "relayed": Place("relayed", "R", "br1", ("D", "10.88.0.100", "10.88.0.150")),
}


@pytest.fixture(params=list(PLACES))
def place(request, lab, need):
    """On the edge's link, or on the link behind dhcrelay."""
    if request.param == "direct":
        yield PLACES["direct"]
        return
    need("dhcrelay")
    with lab.running("R", *DHCRELAY, ready=DHCRELAY_READY, name="dhcrelay"):
        yield PLACES["relayed"]


def proxied(network):
    """A network where another server gives the addresses."""
    return {key: value for key, value in network.items() if key != "pool"} | {"mode": "proxy"}


@pytest.fixture
def edge(lab):
    """The edge with full DHCP."""
    return lab.serve("firmware")


@contextlib.contextmanager
def foreign_server(lab, place):
    """A plain dnsmasq that gives addresses and knows nothing of booting."""
    letter, first, last = place.foreign
    argv = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--bind-interfaces"]
    argv += ["--interface=c0", f"--dhcp-range={first},{last},255.255.255.0", "--no-ping", "--log-dhcp"]
    argv += [f"--dhcp-option=3,{SERVER if letter == 'C' else BEHIND}"]
    argv += [f"--dhcp-leasefile={lab.folder / f'dnsmasq-{letter}-{time.monotonic_ns()}.leases'}"]
    with lab.running(letter, *argv, ready="DHCP, IP range", name="dnsmasq"):
        yield


class Machine:
    """One machine on a bridge, started with its boot order on network."""

    def __init__(self, lab, place, folder):
        self.lab, self.place, self.folder = lab, place, folder
        self.mac = (0x525400ED0000 + next(NUMBER)).to_bytes(6, "big")
        self.tap = f"t{next(NUMBER)}"

    @contextlib.contextmanager
    def on(self, firmware=(), device="virtio-net-pci", *more):
        """Power it on; gives what passes its link."""
        letter = self.place.letter
        self.lab.ip(letter, f"tuntap add {self.tap} mode tap")
        self.lab.ip(letter, f"link set {self.tap} master {self.place.bridge} up")
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "512", "-display", "none"]
        argv += [
            "-serial",
            f"file:{self.folder / 'serial.log'}",
            "-monitor",
            "none",
            "-boot",
            "n",
            "-no-reboot",
        ]
        argv += ["-netdev", f"tap,id=n,ifname={self.tap},script=no,downscript=no"]
        argv += ["-device", f"{device},netdev=n,mac={self.mac.hex(':')}", *firmware, *more]
        try:
            with self.lab.watch(letter, self.place.bridge) as watch:
                process = self.lab.start(letter, *argv, log=self.folder / "qemu.log")
                try:
                    yield watch
                finally:
                    self.lab.end(process)
        finally:
            self.lab.ip(letter, f"link del {self.tap}")

    def script_at(self, watch, timeout=90.0):
        """When it asked for its script; fails with what its screen said."""
        wanted = b"GET /boot.ipxe?mac=" + self.mac.hex(":").encode()
        try:
            watch.wait_all(lambda _: watch.times(wanted) or None, timeout, "the request for its script")
        except AssertionError as error:
            screen = (self.folder / "serial.log").read_text(errors="replace")[-3000:]
            pytest.fail(f"{error}\nits screen:\n{screen}")
        return watch.times(wanted)[0]

    def messages(self, watch, kind):
        """Its DHCP messages of one kind."""
        return [m for m in watch.dhcp() if m.mac == self.mac and m.kind == kind]


@pytest.fixture
def machine(lab, place, tmp_path, need):
    """A new machine."""
    need("qemu-system-x86_64")
    return Machine(lab, place, tmp_path)


def uefi(folder, *switched_off, code="OVMF_CODE_4M.fd", variables="OVMF_VARS_4M.fd"):
    """OVMF with variables of its own; `switched_off` are boot ways that it is to leave out."""
    if not (OVMF / code).exists():
        pytest.fail("OVMF is missing: run scripts/setup")
    copy = folder / "vars.fd"
    shutil.copyfile(OVMF / variables, copy)
    flash = "if=pflash,format=raw"
    argv = ["-drive", f"{flash},readonly=on,file={OVMF / code}", "-drive", f"{flash},file={copy}"]
    argv += ["-device", "virtio-rng-pci"]
    for way in switched_off:
        argv += ["-fw_cfg", f"name=opt/org.tianocore/{way},string=n"]
    return argv


# An empty romfile gives EDK2's own PXE; without it the NIC's iPXE ROM would boot.
EDK2 = "virtio-net-pci,romfile="


def waits(machine, watch, script_at):
    """Seconds from iPXE's first DISCOVER to the script, printed with what came between."""
    first = next(m for m in machine.messages(watch, "DISCOVER") if 175 in m.options)
    request = next(m for m in machine.messages(watch, "REQUEST") if m.at > first.at)
    acked = next(m for m in machine.messages(watch, "ACK") if m.at > first.at)
    sys.stdout.write(
        f"\n{machine.place.name}: iPXE DISCOVER to REQUEST {request.at - first.at:.2f} s, "
        f"ACK to script {script_at - acked.at:.2f} s, in all {script_at - first.at:.2f} s\n"
    )
    return script_at - first.at


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
