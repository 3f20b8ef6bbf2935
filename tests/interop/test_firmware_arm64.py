"""An arm64 machine: AAVMF, and the shim and GRUB that Debian signed for arm64, up to its own configuration.

Debian 12 has no iPXE for arm64, so the unsigned way has no loader here. The boot OS is built for amd64, which
the machine is told.
"""

import json
from pathlib import Path

import pytest

from tests.interop.machines import EDK2, NO_HANG, Machine, uefi

pytestmark = [pytest.mark.interop, pytest.mark.rack, NO_HANG]

UNPACKED = Path(__file__).parents[2] / "build" / "tools" / "arm64"
LOADERS = {
    "shimaa64.efi": "usr/lib/shim/shimaa64.efi.signed",
    "grubaa64.efi": "usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed",
}
FIRMWARE = UNPACKED / "usr" / "share" / "AAVMF"
SIGNED = {"code": FIRMWARE / "AAVMF_CODE.ms.fd", "variables": FIRMWARE / "AAVMF_VARS.ms.fd"}
BOOT_OS = {"arch": "amd64", "kernel": "bootos/1/vmlinuz", "initrds": ["bootos/1/base.img"]}
ARM64 = b"\0\x0b"
"""Option 93, RFC 4578 section 2.1 and IANA's list: 11."""


class Arm64Machine(Machine):
    """A machine as QEMU's own arm64 board has it; its firmware tries the network by itself."""

    program = str(UNPACKED / "usr" / "bin" / "qemu-system-aarch64")
    board = ("-machine", "virt", "-cpu", "cortex-a57")


@pytest.fixture
def arm64(lab, place, tmp_path):
    """A new arm64 machine with Secure Boot on, off."""
    if not (UNPACKED / ".complete").exists():
        pytest.fail("qemu-system-aarch64 and arm64's loaders are missing: run scripts/setup --arm64")
    return Arm64Machine(lab, place, tmp_path)


@pytest.mark.parametrize("place", ["direct"], indirect=True)
def test_an_arm64_machine_loads_arm64s_signed_grub_and_its_own_configuration(lab, arm64, place, tmp_path):
    files = {name: (UNPACKED / path).read_bytes() for name, path in LOADERS.items()}
    files["bootos/current.json"] = json.dumps(BOOT_OS).encode()
    firmware = uefi(tmp_path, "IPv6PXESupport", **SIGNED)
    with (
        lab.edge(name="arm64", files=files, boot={"secureBoot": True}),
        arm64.on(firmware, EDK2) as watch,
    ):
        arm64.seen(watch, b"\0\x01shimaa64.efi\0octet\0")
        arm64.seen(watch, b"\0\x01grubaa64.efi\0octet\0")
        arm64.seen(watch, b"\0\x01/v1/boot/", b"/arm64/grub.cfg\0octet\0")
        arm64.says("rackflow: No network boot for this machine: no-boot-os-for-it", 60)

    assert arm64.messages(watch, "DISCOVER")[0].options[93] == ARM64
