"""IpmiBmc against the lab's BMC over RMCP+, and the boot flags' bits."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.errors import Refused, Unparsable, Unreachable
from metal.protocols import BootFlags
from metal.transport.ipmi import IpmiBmc, decode_boot_flags, decode_system_info, encode_boot_flags

FACTORY = {"user": "ADMIN", "password": "factory"}

FLAGS = st.builds(
    BootFlags,
    st.sampled_from(["pxe", "disk", "cdrom", "bios"]),
    persistent=st.booleans(),
    efi=st.booleans(),
)


@given(FLAGS)
def test_boot_flags_come_back_as_they_were_set(flags):
    assert decode_boot_flags("m1", bytes((1, 5, *encode_boot_flags(flags)))) == flags


@given(st.binary(max_size=12))
def test_any_answer_is_flags_or_unparsable(data):
    with contextlib.suppress(Unparsable):
        assert isinstance(decode_boot_flags("m1", data), BootFlags)


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        ("0105e008000000", BootFlags("disk", persistent=True, efi=True)),  # ipmitool: disk persistent efiboot
        ("01058004000000", BootFlags("pxe", persistent=False, efi=False)),
        ("01050004000000", BootFlags("none", persistent=False, efi=False)),  # the valid bit is clear
        ("01850004000000", BootFlags("none", persistent=False, efi=False)),  # the parameter is locked
    ],
)
def test_boot_flags_of_real_answers(data, flags):
    assert decode_boot_flags("m1", bytes.fromhex(data)) == flags


def test_a_boot_device_without_a_name_is_not_guessed():
    with pytest.raises(Unparsable, match="device 3"):
        decode_boot_flags("m1", bytes.fromhex("0105800c000000"))


def test_system_info_is_text_of_the_first_block():
    assert decode_system_info(bytes((0x11, 0, 0, 3)) + b"abc".ljust(14, b"\0")) == "abc"
    assert decode_system_info(bytes((0x11, 0)) + bytes(16)) is None
    assert decode_system_info(b"") is None


def connect(bmc, **more):
    return IpmiBmc.connect("m1", "127.0.0.1", port=bmc.port, **{**FACTORY, **more})


@pytest.mark.interop
def test_power_flags_and_identity_are_read_back(lab_bmc):
    with connect(lab_bmc) as bmc:
        assert bmc.power() == "on"
        bmc.set_power("cycle")
        for flags in (
            BootFlags("pxe", persistent=False, efi=True),
            BootFlags("disk", persistent=True, efi=False),
            BootFlags("none", persistent=False, efi=False),
        ):
            bmc.set_boot_flags(flags)
            assert bmc.boot_flags() == flags
        assert bmc.guid() == "a4b5c6d7-0102-4304-8506-0708090a0b0c"
        assert bmc.lan_mac() == "52:54:00:77:01:99"
        assert bmc.read_proof() == ""
    assert [asked for asked in lab_bmc.chassis.asked if asked != "boot order"] == ["cycle"]


@pytest.mark.interop
def test_closing_logs_out_and_a_new_login_works(lab_bmc):
    for _ in range(3):
        with connect(lab_bmc) as bmc:
            assert lab_bmc.sessions == 1
            assert bmc.power() == "on"
        lab_bmc.closed.get(timeout=5)
        assert lab_bmc.sessions == 0


@pytest.mark.interop
def test_what_the_bmc_refuses_is_not_worth_a_retry(lab_bmc):
    lab_bmc.chassis.is_on = False
    with connect(lab_bmc) as bmc, pytest.raises(Refused, match="present state"):
        bmc.set_power("reset")


@pytest.mark.interop
def test_a_wrong_password_is_refused(lab_bmc):
    with pytest.raises(Refused, match="refuses user 'ADMIN'") as caught:
        connect(lab_bmc, password="wrong")
    assert caught.value.reason == "bmc-unverified"


@pytest.mark.interop
def test_an_unknown_user_is_refused(lab_bmc):
    with pytest.raises(Refused, match="refuses user 'nobody'"):
        connect(lab_bmc, user="nobody")


@pytest.mark.interop
def test_silence_ends_at_the_deadline(lab_bmc):
    lab_bmc.deaf = True
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        connect(lab_bmc, login_timeout_s=2)
    assert time.monotonic() - begun < 5


@pytest.mark.interop
def test_a_bmc_that_falls_silent_is_unreachable_and_closes_in_time(lab_bmc):
    bmc = connect(lab_bmc, timeout_s=1.5)
    lab_bmc.deaf = True
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        bmc.power()
    bmc.close()
    assert time.monotonic() - begun < 8
