"""storcli's text form: outcomes of commands, and what is refused."""

import pytest

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.storcli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else
from tests.metal.drivers.parse.storcli_samples import DRIVES, LISTING, PROGRESS, head, table


def result(*lines):
    return table("Detailed Status", *lines)


OUTCOMES = [
    (head(description="Add VD Succeeded."), Outcome(ok=True)),
    (
        head(status="Failure", description="Un-supported command"),
        Outcome(False, None, "Un-supported command"),
    ),
    (head(description="Couldn't find any foreign Configuration"), Outcome(ok=True)),
    (head(status="Failure", description="No Controller found"), None),
    (head(status="Success", description="No Controller found"), None),
    (head(status="Failure", description="No VDs have been configured."), None),
    (head(description="No VD's have been configured."), Outcome(ok=True)),
    (
        head(status="Failure", description="Set Drive Good Failed.")
        + result(
            "Drive       Status  ErrCd ErrMsg",
            "/c0/e252/s5 Success     0 -",
            "/c0/e252/s6 Failure    50 device state doesn't support requested command",
            "/c0/e252/s7 Failure   255 Drive is JBOD! Use -force option to confirm.",
        ),
        Outcome(False, 50, "device state doesn't support requested command"),
    ),
    (
        head(status="Failure", description="Show Drive Information Failed.")
        + result("Drive     Status  ErrCd ErrMsg ", "/c0/e8/s1 Failure    46 -      "),
        Outcome(False, 46, "Show Drive Information Failed."),
    ),
    (
        head() + result("VD Property Value Status  ErrCd ErrMsg", " 0 wrCache  AWB   Success     0 -"),
        Outcome(ok=True, code=0),
    ),
    (
        head() + result("Ctrl Status Property ErrMsg      ErrCd", "   0 Failed JBOD     Not allowed   255"),
        Outcome(False, 255, "Not allowed"),
    ),
    (
        head() + head(controller=1, status="Failure", description="Controller 1 not found"),
        Outcome(False, None, "Controller 1 not found"),
    ),
    ("syntax error, unexpected $end, expecting TOKEN_SLASH", None),
]


@pytest.mark.parametrize(("text", "outcome"), OUTCOMES)
def test_outcomes(text, outcome):
    if text.startswith("syntax"):
        outcome = Outcome(False, None, text)
    assert parse(text).value.outcome == outcome


@pytest.mark.parametrize("place", [0, 1, 3])
def test_results_of_commands_list_no_controller(place):
    assert parse(OUTCOMES[place][0]).value.controllers == ()


@pytest.mark.parametrize(
    "text",
    [
        "     Storage Command Line Tool  Ver 007.1017.0000.0000 May 10, 2019\n\n     (c)Copyright 2019",
        "Status Code = 0\nStatus = Success\nDescription = None\n\nController Count = 1\n",
    ],
)
def test_versions_and_counts_are_understood(text):
    assert parse(text).value.controllers == ()


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("", 1, "the output of storcli"),
        ("Adapter #0\n\nEnclosure Device ID: 252\nSlot Number: 0\n", 1, "an answer of storcli"),
        (LISTING[: LISTING.index("32:2")], None, "the ruler that ends the table"),
        (LISTING[: LISTING.index("EID:Slt")], None, "a table with its rows"),
        (LISTING[: LISTING.index("VD LIST")], None, "the list of Virtual Drives = 1"),
        (LISTING[: LISTING.index("Virtual Drives")], None, "volumes and drives after TOPOLOGY"),
        (head() + "Supported Adapter Operations :\n====\nBBU = Yes\n", None, "up to Scheduled Tasks"),
        (head() + "Basics :\n======\nModel = RackRAID 3108\nSerial Num", None, "the sections after Basics"),
        (LISTING[: LISTING.index("PD LIST") + 3], None, "the list of Physical Drives = 3"),
        (head() + "Drive Groups = 2\n", None, "what the title announces"),
        (LISTING[: LISTING.index("VD LIST")] + "VD LIST :\n=======\n", None, "what the title announces"),
        ("key = value\nanother = value\n", 1, "an answer of storcli"),
        ("-" * 20 + "\nName Size\n" + "-" * 20 + "\nx 1\n" + "-" * 20, 1, "an answer of storcli"),
        ("CLI Version = 007\nOperating system = Linux\n", 2, "Status"),
        ("CLI Version = 007\nController = 0\nStatus = Success", 3, "Status and Description"),
        (DRIVES.replace("512B", "half"), 7, "a row of the table EID:Slt"),
        (DRIVES.replace("ST3000NM0023", "x" * 500), 8, "a row of the table EID:Slt"),
    ],
)
def test_what_is_refused(text, line, expected):
    with pytest.raises(Unparsable) as refused:
        parse(text)
    where = f"storcli: line {line}: expected " if line else "storcli: line "
    assert refused.value.message.startswith(where)
    assert expected in refused.value.message


HBA = (
    head()
    + "Basics :\n======\nModel = HBA 9000-16e\nSerial Number = RF-SK0009\n\n"
    + "Supported Adapter Operations :\n============\nSupport Multipath = Yes\n\n"
    + "Capabilities :\n============\nEnable JBOD = Yes\n\n"
    + table(
        "Enclosure Information",
        "EID State Slots PD PS Fans TSs Alms SIM ProdID     VendorSpecific",
        "  0 OK       16  2  0    0   0    0   0 VirtualSES               ",
    )
    + "Physical Device Information :\n===========================\n\n"
)


def hba_drive(slot):
    return (
        table(
            f"Drive /c0/e0/s{slot}",
            "EID:Slt DID State DG      Size Intf Med SED PI SeSz Model   Sp",
            f"0:{slot}       1 JBOD  -  13.972 TB SAS  SSD -   -  512B X670 RF -",
        )
        + f"Drive /c0/e0/s{slot} Device attributes :\n=====================\nSN = RFHBA000{slot}\n\n"
        + f"Drive /c0/e0/s{slot} Policies/Settings :\n=====================\nMultipath = No\n\n"
    )


def test_an_hba_lists_its_drives_after_its_enclosures():
    (controller,) = parse(HBA + hba_drive(4) + hba_drive(7)).value.controllers
    assert (controller.model, [drive.serial for drive in controller.drives]) == (
        "HBA 9000-16e",
        ["RFHBA0004", "RFHBA0007"],
    )


@pytest.mark.parametrize("text", [HBA, HBA + hba_drive(4), HBA[: HBA.index("Enclosure Info")]])
def test_an_hba_without_all_the_drives_of_its_enclosure_is_cut_off(text):
    with pytest.raises(Unparsable, match=r"expected (?:2 drives|what|the sections)"):
        parse(text)


def test_a_serial_that_breaks_off_is_refused():
    text = HBA + hba_drive(4) + hba_drive(7)
    with pytest.raises(Unparsable, match="Policies/Settings"):
        parse(text[: text.index("RFHBA0007") + 5])


def test_an_overview_of_hbas():
    text = "Status = Success\nDescription = None\n\n" + table(
        "IT System Overview",
        "Ctl Model        AdapterType   VendId DevId SubVendId SubDevId PCI Address",
        "  0 HBA 9000-16e   SAS3816(A0) 0x1000  0xE6    0x1000   0x4070 00:01:00:00",
    )
    (controller,) = parse(text).value.controllers
    assert (controller.model, controller.pci) == ("HBA 9000-16e", "0000:01:00.0")


test_never_anything_else = never_anything_else(
    "storcli", parse, [LISTING, PROGRESS, LISTING + OUTCOMES[7][0]]
)
