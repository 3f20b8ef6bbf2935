"""Secure Boot, with Microsoft's keys in the firmware: shim, GRUB and kernel as Debian signed them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.machines import EDK2, Machine, uefi
from tests.interop.netns import PATH

pytestmark = [pytest.mark.interop, pytest.mark.rack, pytest.mark.timeout(600)]

CLONE = Path(__file__).parents[2]
UNPACKED = CLONE / "build" / "tools" / "root"
LOADERS = {
    "shimx64.efi": "usr/lib/shim/shimx64.efi.signed",
    "grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
}
BUILT = CLONE / "build" / "rack" / "demo"
LOCKED_DOWN = "(?i)Kernel is locked down from EFI Secure Boot"
SIGNED = {"code": "OVMF_CODE_4M.ms.fd", "variables": "OVMF_VARS_4M.ms.fd"}


class GuardedMachine(Machine):
    """A machine whose firmware keeps its variables to itself, as Secure Boot asks for."""

    board = (
        "-machine",
        "q35,smm=on",
        "-global",
        "driver=cfi.pflash01,property=secure,value=on",
        "-boot",
        "n",
    )


@pytest.fixture(scope="module")
def signed_files():
    """Loaders of Debian's packages, and the boot OS's own kernel; the initial file system is left empty."""
    argv = [sys.executable, "-m", "bootos", "build", "--data", str(BUILT)]
    subprocess.run(argv, cwd=CLONE, check=True, env={"PATH": PATH, "HOME": str(Path.home())})
    current = json.loads((BUILT / "boot" / "bootos" / "current.json").read_text())
    told = {"kernel": "bootos/vmlinuz", "initrds": ["bootos/initrd"], "kernel_args": "console=ttyS0 panic=1"}
    return {
        **{name: (UNPACKED / path).read_bytes() for name, path in LOADERS.items()},
        "bootos/vmlinuz": (BUILT / "boot" / current["kernel"]).read_bytes(),
        "bootos/initrd": bytes(512),
        "bootos/current.json": json.dumps(told).encode(),
    }


@pytest.fixture
def guarded(lab, place, tmp_path, need):
    """A new machine with Secure Boot on, off."""
    need("qemu-system-x86_64")
    return GuardedMachine(lab, place, tmp_path)


@pytest.mark.parametrize("place", ["direct", "relayed"], indirect=True)
def test_the_signed_chain_reaches_a_kernel_that_is_locked_down(lab, guarded, place, signed_files, tmp_path):
    site = {"boot": {"secureBoot": True}}
    firmware = uefi(tmp_path, "IPv6PXESupport", **SIGNED)
    with lab.edge(name="signed", files=signed_files, **site), guarded.on(firmware, EDK2) as watch:
        guarded.seen(watch, b"\0\x01shimx64.efi\0octet\0")
        guarded.seen(watch, b"\0\x01grubx64.efi\0octet\0")
        guarded.seen(watch, b"\0\x01/v1/boot/", b"/grub.cfg\0octet\0")
        guarded.says(LOCKED_DOWN, 240)
        assert watch.times(b"\0\x01/bootos/vmlinuz\0octet\0")
        assert watch.times(b"\0\x01/seed/")


@pytest.mark.parametrize("place", ["direct"], indirect=True)
def test_the_same_machine_refuses_an_unsigned_loader(lab, guarded, place, signed_files, tmp_path):
    """The other half of the proof: it is the signature that lets the chain through."""
    firmware = uefi(tmp_path, "IPv6PXESupport", **SIGNED)
    with lab.edge(name="unsigned", files=signed_files), guarded.on(firmware, EDK2) as watch:
        guarded.seen(watch, b"\0\x01snponly.efi\0octet\0")
        guarded.says("Access Denied|Security Violation", 120)

    assert not watch.times(b"GET /boot.ipxe?mac=")
