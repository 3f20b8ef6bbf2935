"""Secure Boot, with Microsoft's keys in the firmware: shim, GRUB and kernel as Debian signed them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.machines import EDK2, NO_HANG, Machine, uefi
from tests.interop.netns import PATH

pytestmark = [pytest.mark.interop, pytest.mark.rack, NO_HANG]

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
    """Loaders of Debian's packages, and the boot OS, whose kernel is Debian's."""
    argv = [sys.executable, "-m", "bootos", "build", "--data", str(BUILT)]
    subprocess.run(argv, cwd=CLONE, check=True, env={"PATH": PATH, "HOME": str(Path.home())})
    current = json.loads((BUILT / "boot" / "bootos" / "current.json").read_text())
    return {
        **{name: (UNPACKED / path).read_bytes() for name, path in LOADERS.items()},
        **{path: (BUILT / "boot" / path).read_bytes() for path in current["files"]},
        "bootos/current.json": json.dumps(current).encode(),
    }


@pytest.fixture
def guarded(lab, place, tmp_path, need):
    """A new machine with Secure Boot on, off."""
    need("qemu-system-x86_64")
    return GuardedMachine(lab, place, tmp_path)


@pytest.mark.parametrize("place", ["direct", "relayed"], indirect=True)
def test_the_signed_chain_boots_the_boot_os_with_a_locked_down_kernel(
    lab, guarded, place, signed_files, tmp_path
):
    site = {"boot": {"secureBoot": True}}
    firmware = uefi(tmp_path, "IPv6PXESupport", **SIGNED)
    with (
        lab.edge(name="signed", files=signed_files, **site) as edge,
        guarded.on(firmware, EDK2, memory_mib=1024) as watch,
    ):
        guarded.seen(watch, b"\0\x01shimx64.efi\0octet\0")
        guarded.seen(watch, b"\0\x01grubx64.efi\0octet\0")
        guarded.seen(watch, b"\0\x01/v1/boot/", b"/x86_64/grub.cfg\0octet\0")
        guarded.says(LOCKED_DOWN, 240)
        assert watch.times(b"\0\x01/seed/")
        reported = r"said=/v1/report-in client=\S+ status=2"
        assert guarded.within(120, lambda: re.search(reported, edge.said())), guarded.screen()[-3000:]
        assert "seed=taken" in edge.said()
        assert "/seed/-" in edge.said()  # what a seed is called is a secret, by TFTP too
        assert not re.search("/seed/[^-]", edge.said())


@pytest.mark.parametrize("place", ["direct"], indirect=True)
def test_the_same_machine_refuses_an_unsigned_loader(lab, guarded, place, signed_files, tmp_path):
    """The other half of the proof: it is the signature that lets the chain through."""
    firmware = uefi(tmp_path, "IPv6PXESupport", **SIGNED)
    with lab.edge(name="unsigned", files=signed_files), guarded.on(firmware, EDK2) as watch:
        guarded.seen(watch, b"\0\x01snponly.efi\0octet\0")
        guarded.says("Access Denied|Security Violation", 120)

    assert not watch.times(b"GET /boot.ipxe?mac=")
