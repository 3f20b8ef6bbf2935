"""Machines under QEMU, with real firmware, plugged into a bridge of the bench."""

import contextlib
import itertools
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.netns import BEHIND, SERVER
from tests.queueing import queued_s

OVMF = Path("/usr/share/OVMF")
EDK2 = "virtio-net-pci,romfile="
"""An empty romfile gives EDK2's own PXE; without it the NIC's iPXE ROM would boot."""
NO_HANG = pytest.mark.timeout(7200)
"""For whole scenarios; what must come in time has limits of its own, see `Machine.within`. Under Secure Boot
they add up to ten minutes of the machine's, and machines were seen with a tenth of a processor."""
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

    program = "qemu-system-x86_64"
    board = ("-machine", "q35", "-boot", "n")

    def __init__(self, lab, place, folder):
        self.lab, self.place, self.folder = lab, place, folder
        self.mac = (0x525400ED0000 + next(NUMBER)).to_bytes(6, "big")
        self.tap = f"t{next(NUMBER)}"
        self.pid = 0

    @contextlib.contextmanager
    def on(self, firmware=(), device="virtio-net-pci", memory_mib=512):
        """Power it on; gives what passes its cable."""
        letter = self.place.letter
        self.lab.ip(letter, f"tuntap add {self.tap} mode tap")
        self.lab.ip(letter, f"link set {self.tap} master {self.place.bridge} up")
        argv = [
            self.program,
            *self.board,
            "-accel",
            "tcg",
            "-m",
            str(memory_mib),
            "-display",
            "none",
            "-no-reboot",
        ]
        argv += ["-monitor", "none", "-serial", f"file:{self.folder / 'serial.log'}"]
        argv += ["-netdev", f"tap,id=n,ifname={self.tap},script=no,downscript=no"]
        argv += ["-device", f"{device},netdev=n,mac={self.mac.hex(':')}", *firmware]
        try:
            # Not the bridge: what another server sends to this machine alone never passes there.
            with self.lab.watch(letter, self.tap) as watch:
                process = self.lab.start(letter, *argv, log=self.folder / "qemu.log")
                self.pid = process.pid
                try:
                    yield watch
                finally:
                    self.lab.end(process)
        finally:
            self.lab.ip(letter, f"link del {self.tap}")

    def seen(self, watch, *octets, timeout=90.0):
        """When a frame with these octets passed first; fails with what the machine's screen said."""
        if not (found := self.within(timeout, lambda: watch.times(*octets))):
            passed = [f"{m.kind} {m.source}->{m.target} {m.mac.hex(':')}" for m in watch.dhcp()]
            pytest.fail(
                f"{octets[0]!r} {self.late(timeout)}; seen: {passed}\nits screen:\n{self.screen()[-3000:]}"
            )
        return found[0]

    def says(self, pattern, timeout):
        """Wait for words on its serial console."""
        if not self.within(timeout, lambda: re.search(pattern, self.screen(), re.MULTILINE)):
            pytest.fail(f"{pattern!r} {self.late(timeout)}:\n{self.screen()}")
        return self.screen()

    def screen(self):
        """What its serial console said."""
        log = self.folder / "serial.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def within(self, timeout, look):
        """What `look` finds before the machine has lived for so many seconds, or nothing.

        Seconds in which it stood in the queue for a processor are no part of its life: a computer that is
        busy with other work makes a machine slow and not wrong.
        """
        end = time.monotonic() - self.queued_s() + timeout
        while not (found := look()):
            if time.monotonic() - self.queued_s() > end:
                return None
            time.sleep(0.1)
        return found

    def queued_s(self):
        """How long it has stood in the queue for a processor."""
        return queued_s(self.pid)

    def late(self, timeout):
        """That something did not come in time."""
        return f"did not come within {timeout} s of the machine's time ({self.queued_s():.0f} s in the queue)"

    def script_at(self, watch, timeout=90.0):
        """When it asked for its script: iPXE writes the colons of a MAC as they are or as %3A, by version."""
        return self.seen(watch, b"GET /boot.ipxe?mac=", self.mac, timeout=timeout)

    def messages(self, watch, kind):
        """Its DHCP messages of one kind."""
        return [m for m in watch.dhcp() if m.mac == self.mac and m.kind == kind]


def uefi(folder, *switched_off, code="OVMF_CODE_4M.fd", variables="OVMF_VARS_4M.fd"):
    """OVMF, or firmware by its whole path, with variables of its own; `switched_off` ways are left out."""
    if not (OVMF / code).exists():
        pytest.fail(f"{OVMF / code} is missing: run scripts/setup")
    copy = folder / "vars.fd"
    shutil.copyfile(OVMF / variables, copy)
    flash = "if=pflash,format=raw"
    argv = ["-drive", f"{flash},readonly=on,file={OVMF / code}", "-drive", f"{flash},file={copy}"]
    argv += ["-device", "virtio-rng-pci"]
    for way in switched_off:
        argv += ["-fw_cfg", f"name=opt/org.tianocore/{way},string=n"]
    return argv


def waits(machine, watch, script_at):
    """Seconds from iPXE's first DISCOVER to the script, printed with what came between."""
    first = next(m for m in machine.messages(watch, "DISCOVER") if 175 in m.options)
    offer = next(m for m in machine.messages(watch, "OFFER") if m.at > first.at)
    request = next(m for m in machine.messages(watch, "REQUEST") if m.at > first.at)
    acked = next(m for m in machine.messages(watch, "ACK") if m.at > first.at)
    sys.stdout.write(
        f"\n{machine.place.name}: iPXE's DISCOVER to OFFER {offer.at - first.at:.2f} s, "
        f"to REQUEST {request.at - first.at:.2f} s, to ACK {acked.at - first.at:.2f} s, "
        f"to script {script_at - first.at:.2f} s\n"
    )
    return script_at - first.at
