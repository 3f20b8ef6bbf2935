"""PXE, user class and architecture values as firmware sends them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.wire import options as opt
from pxe_edge.wire import pxe
from pxe_edge.wire.errors import WireError


@pytest.mark.parametrize(
    ("value", "classes"),
    [
        (b"iPXE", (b"iPXE",)),
        (b"\x04iPXE", (b"iPXE",)),
        (b"\x03abc\x04iPXE", (b"abc", b"iPXE")),
        (b"\x09short", (b"\x09short",)),
        (b"", ()),
    ],
)
def test_user_class_in_both_forms(value, classes):
    assert pxe.user_classes(value) == classes


@pytest.mark.parametrize(
    ("options", "is_ipxe"),
    [
        ({77: b"iPXE"}, True),
        ({77: b"\x04iPXE"}, True),
        ({175: b""}, True),
        ({55: b"\xaf", 77: b"gPXE"}, False),
    ],
)
def test_ipxe_is_known_by_class_or_by_its_option(options, is_ipxe):
    assert pxe.is_ipxe(options) is is_ipxe


def test_the_machine_guid_has_its_first_three_fields_swapped():
    value = b"\0" + bytes.fromhex("33221100554477668899aabbccddeeff")
    assert pxe.machine_uuid(value) == "00112233-4455-6677-8899-aabbccddeeff"
    assert pxe.machine_uuid(
        b"\0" + UUID("00112233-4455-6677-8899-aabbccddeeff").bytes_le
    ) == pxe.machine_uuid(value)


@pytest.mark.parametrize("value", [None, b"", b"\1" + bytes(16), bytes(16), bytes(18)])
def test_what_is_no_machine_guid(value):
    assert pxe.machine_uuid(value) is None


@pytest.mark.parametrize(
    ("codes", "chaddr", "arch"),
    [
        ((7,), bytes(6), 7),
        ((9999, 9, 7), bytes(6), 9),
        ((9999,), bytes(6), None),
        ((), bytes(6), None),
        ((0,), bytes.fromhex("d83add000001"), pxe.RASPBERRY_PI),
    ],
)
def test_the_first_known_architecture_counts(codes, chaddr, arch):
    assert pxe.choose_architecture(codes, chaddr) == arch


@pytest.mark.parametrize(
    ("vendor", "arch"),
    [(b"PXEClient:Arch:00007:UNDI:003016", 7), (b"PXEClient", None), (b"PXEClient:Arch:7:UNDI", None)],
)
def test_the_architecture_inside_the_vendor_class(vendor, arch):
    assert pxe.vendor_class_architecture(vendor) == arch


sub_options = st.dictionaries(st.integers(1, 254), st.binary(max_size=255), max_size=6)


@given(sub_options)
def test_sub_options_round_trip(values):
    assert opt.suboptions(opt.encapsulate(values)) == values


@given(st.binary(max_size=64))
def test_any_bytes_are_sub_options_or_a_wire_error(data):
    try:
        opt.suboptions(data)
    except WireError:
        return


def test_encapsulated_values_are_what_the_clients_expect():
    assert opt.encapsulate({pxe.IPXE_NO_PXEDHCP: b"\1"}) == bytes.fromhex("b00101")
    assert opt.encapsulate({6: b"\x08"}, end=True) == bytes.fromhex("060108ff")
