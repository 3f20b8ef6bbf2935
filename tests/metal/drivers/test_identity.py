"""Identity and platform: placeholders, old and new shapes, texts that are none."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.drivers.identity.dmi import DmiIdentity, parse_dmi_sysfs, parse_dmidecode
from metal.drivers.identity.platform import parse_lscpu, parse_platform
from metal.errors import Unparsable

UNPROGRAMMED = """\
Handle 0x0001, DMI type 1, 27 bytes
System Information
\tManufacturer: To be filled by O.E.M.
\tProduct Name: X9DRT-P
\tSerial Number: 0123456789
\tUUID: 03000200-0400-0500-0006-000700080009

Handle 0x0021, DMI type 17, 34 bytes
Memory Device
\tSize: 16384 MB
Handle 0x0022, DMI type 17, 34 bytes
Memory Device
\tSize: No Module Installed
Handle 0x0023, DMI type 17, 34 bytes
Memory Device
\tSize: 1 TB
"""


def test_a_placeholder_is_no_identity():
    got = parse_dmidecode(UNPROGRAMMED)
    assert (got.manufacturer, got.product, got.serial, got.uuid) == (None, "X9DRT-P", None, None)
    assert got.memory_bytes == (16 << 30) + (1 << 40)


def test_the_quiet_form_without_handles_is_read_too():
    quiet = (
        "System Information\n\tManufacturer: QEMU\n\tSerial Number: RF-1\n\nMemory Device\n\tSize: 512 MB\n"
    )
    got = parse_dmidecode(quiet)
    assert (got.manufacturer, got.serial, got.memory_bytes) == ("QEMU", "RF-1", 512 << 20)


@given(st.text(max_size=200))
def test_any_text_is_an_identity_or_unparsable(text):
    with contextlib.suppress(Unparsable):
        assert isinstance(parse_dmidecode(text), DmiIdentity)


def test_sysfs_says_the_same_without_dmidecode():
    got = parse_dmi_sysfs({"sys_vendor": "Acme", "product_name": " R1 ", "product_serial": "None"})
    assert (got.manufacturer, got.product, got.serial, got.uuid) == ("Acme", "R1", None, None)


def test_processors_are_counted_for_the_whole_machine_also_when_nested():
    inner = [{"field": "Core(s) per socket:", "data": "24"}, {"field": "Socket(s):", "data": "2"}]
    outer = [
        {"field": "Architecture:", "data": "aarch64"},
        {"field": "CPU(s):", "data": "96"},
        {
            "field": "Vendor ID:",
            "data": "X",
            "children": [{"field": "Model name:", "data": "N  1", "children": inner}],
        },
    ]
    got = parse_lscpu(json.dumps({"lscpu": outer}))
    assert (got.model, got.sockets, got.cores, got.threads, got.arch) == ("N 1", 2, 48, 96, "arm64")


@pytest.mark.parametrize("text", ["", "[]", '{"lscpu": 3}', '{"lscpu": [{}]}', "null"])
def test_what_is_no_lscpu_is_unparsable(text):
    with pytest.raises(Unparsable):
        parse_lscpu(text)


def test_the_firmware_mode_is_known_or_unknown():
    text = "sys_vendor=A=B\nfirmware=uefi\nmemtotal_kib=1000\narch=x86_64\n"
    got = parse_platform(text)
    assert (got.dmi["sys_vendor"], got.firmware, got.memory_bytes, got.arch) == (
        "A=B",
        "uefi",
        1024000,
        "amd64",
    )
    assert parse_platform("arch=riscv64\n").firmware is None


@pytest.mark.parametrize(
    ("line", "tpm"), [("tpm=2", "2.0"), ("tpm=1", "1.2"), ("tpm=none", "none"), ("", None), ("tpm=", None)]
)
def test_the_tpm_is_there_or_not_or_unknown(line, tpm):
    assert parse_platform(f"arch=x86_64\n{line}\n").tpm == tpm


def test_what_is_no_platform_is_unparsable():
    with pytest.raises(Unparsable):
        parse_platform("sh: syntax error")
