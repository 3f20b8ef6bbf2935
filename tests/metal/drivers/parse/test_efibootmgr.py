"""efibootmgr's listing, with and without device paths."""

import pytest

from metal.drivers.identity.boot_entries import BootEntry, parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

VERBOSE = """\
Skipping unreadable variable "Boot0019": Input/output error
BootCurrent: 0002
BootNext: 0001
Timeout: 1 seconds
BootOrder: 0002,0000,0001
Boot0000* ubuntu\tHD(1,GPT,0e5f-01,0x800,0x100000)/File(\\EFI\\ubuntu\\shimx64.efi)
Boot0001  UEFI: PXE IPv4 Acme\tPciRoot(0x0)/Pci(0x1c,0x0)/MAC(525400000001,1)/IPv4(0.0.0.0,0,0)..BO
      dp: 02 01 0c 00
    data: 4f 43
Boot0002* Linux (old)
Boot000A* Hard Drive\tBBS(HD,,0x0)..GO..NO
DriverOrder: 0000
Driver0000* Acme Driver\tFvFile(1234)
MirroredPercentageAbove4G: 0.00
MirrorMemoryBelow4GB: false
"""
NO_TABS = "BootOrder: 0003\nBoot0003* Windows Boot Manager HD(1,GPT,ab)/File(\\EFI\\boot.efi)WINDOWS\n"


def test_a_verbose_listing():
    read = value_or_refusal("efibootmgr", parse, VERBOSE)
    assert (read["current"], read["next"], read["order"]) == ("0002", "0001", ["0002", "0000", "0001"])
    assert [(one["num"], one["label"], one["active"]) for one in read["entries"]] == [
        ("0000", "ubuntu", True),
        ("0001", "UEFI: PXE IPv4 Acme", False),
        ("0002", "Linux (old)", True),
        ("000A", "Hard Drive", True),
    ]
    assert read["entries"][0]["path"] == "HD(1,GPT,0e5f-01,0x800,0x100000)/File(\\EFI\\ubuntu\\shimx64.efi)"
    assert read["entries"][2]["path"] is None
    assert read["ignored"] == ['Skipping unreadable variable "Boot0019": Input/output error']


def test_a_path_is_found_where_the_tab_was_lost():
    (entry,) = parse(NO_TABS).value.entries
    path = "HD(1,GPT,ab)/File(\\EFI\\boot.efi)WINDOWS"
    assert entry == BootEntry("0003", "Windows Boot Manager", active=True, path=path)


def test_a_later_listing_of_a_session_replaces_the_first():
    read = parse("# efibootmgr -v\n" + VERBOSE + "# efibootmgr -B -b 0000\n" + NO_TABS).value
    # The second listing begins at its first variable; it has neither BootCurrent nor BootNext.
    assert (read.current, read.next, read.order) == (None, None, ("0003",))
    assert [entry.num for entry in read.entries] == ["0003"]


def test_a_machine_without_entries():
    read = parse(
        "BootCurrent: 0000\nTimeout: 0 seconds\nNo BootOrder is set; firmware will attempt recovery\n"
    )
    assert (read.value.order, read.value.entries) == ((), ())
    assert read.ignored == ("No BootOrder is set; firmware will attempt recovery",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("EFI variables are not supported on this system.\n", "line 1: expected a line 'BootOrder'"),
        ("BootOrder: 0001,00", "line 1: expected numbers of entries"),
        ("BootCurrent: 1\n", "line 1: expected numbers of entries"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else("efibootmgr", parse, (VERBOSE, NO_TABS))
