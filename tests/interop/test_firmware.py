"""Real firmware of a BIOS and a UEFI machine, from its first DISCOVER to the boot OS's kernel."""

import re
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.rack, pytest.mark.timeout(120)]
CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
MAC = "52:54:00:ed:9e:01"


def boot(lab, tmp_path, *firmware, device):
    """Start a machine on the bench's bridge with TCG; the caller ends it."""
    lab.ip("S", "tuntap add t0 mode tap")
    lab.ip("S", "link set t0 master br0 up")
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "512", "-display", "none"]
    argv += ["-serial", f"file:{tmp_path / 'serial.log'}", "-monitor", "none", "-boot", "n", "-no-reboot"]
    argv += ["-netdev", "tap,id=n,ifname=t0,script=no,downscript=no", "-device", device, *firmware]
    return lab.start("S", *argv, log=tmp_path / "qemu.log")


@pytest.fixture
def served(lab, edge, need):
    need("qemu-system-x86_64")
    yield
    lab.ip("S", "link del t0")


@pytest.fixture
def log(edge):
    edge_log_start = len(edge.read_text())
    return lambda: edge.read_text()[edge_log_start:]


def milliseconds(text, pattern):
    return int(re.search(rf"^(\d+) {pattern}", text, re.MULTILINE)[1])


def test_bios_ipxe_asks_for_its_script_at_once(lab, edge, served, log, tmp_path):
    machine = boot(lab, tmp_path, device=f"virtio-net-pci,netdev=n,mac={MAC}")
    try:
        lab.wait_for(edge, rf"boot=script mac={MAC}", machine, timeout=60)
    finally:
        lab.end(machine)
    taken = milliseconds(log(), rf"boot=script mac={MAC}") - milliseconds(log(), rf"dhcp=DISCOVER mac={MAC}")
    # 16 s without router advertisement and without option 175 (measured); 0.1 s with both.
    assert taken < 3000


def test_uefi_loads_snponly_by_tftp_and_then_its_script(lab, edge, served, log, tmp_path):
    if not CODE.exists():
        pytest.skip("OVMF is not installed")
    mac = "52:54:00:ed:9e:02"
    variables = tmp_path / "vars.fd"
    shutil.copyfile(VARS, variables)
    flash = "if=pflash,format=raw"
    firmware = ["-drive", f"{flash},readonly=on,file={CODE}", "-drive", f"{flash},file={variables}"]
    # An empty romfile gives EDK2's own PXE; without it the NIC's iPXE ROM would boot.
    machine = boot(lab, tmp_path, *firmware, device=f"virtio-net-pci,romfile=,netdev=n,mac={mac}")
    try:
        said = lab.wait_for(edge, rf"boot=script mac={mac}", machine, timeout=90)
    finally:
        lab.end(machine)
    assert "outcome=refused" in log()  # OVMF's size probe (T7)
    assert re.search(r"file='snponly.efi' outcome=complete bytes=\d+", said)
