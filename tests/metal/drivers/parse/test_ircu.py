"""sas2ircu and sas3ircu: LIST, DISPLAY, STATUS, what commands say, sessions, refusals."""

import pytest

from metal.drivers.raid.ircu import parse_sas2ircu, parse_sas3ircu
from metal.drivers.raid.ircu.words import DRIVE_STATES, VOLUME_STATES
from metal.drivers.raid.listing import Condition, Outcome
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else

RULE = "-" * 72 + "\n"
BANNER = (
    "LSI Corporation SAS2 IR Configuration Utility.\nVersion 20.00.00.00 (2014.09.18)\n"
    "Copyright (c) 2008-2014 LSI Corporation. All rights reserved.\n\n"
)
CLOSED = "SAS2IRCU: Command DISPLAY Completed Successfully.\nSAS2IRCU: Utility Completed Successfully.\n"


def keys(**values):
    return "".join(f"  {key:<40}: {value}\n" for key, value in values.items())


def section(title, body):
    return f"{RULE}{title}\n{RULE}{body}"


def disk(slot, state, *, enclosure=1, kind="Hard disk", **more):
    values = {
        "Enclosure #": enclosure,
        "Slot #": slot,
        "SAS Address": "4433221-1-0700-0000",
        "State": state,
        "Size (in MB)/(in sectors)": "953869/1953525167",
        "Manufacturer": "ATA     ",
        "Model Number": "RACKFLOW  DISK 1",
        "Firmware Revision": "RF07",
        "Serial No": "RF0000421",
        "GUID": "5000ab00c0ffee01",
        "Protocol": "SATA",
        "Drive Type": "SATA_HDD",
    } | more
    return f"Device is a {kind}\n" + keys(**{k: v for k, v in values.items() if v is not None}) + "\n"


def volume(number="323", state="Okay (OKY)", *members, **more):
    values = {"Volume ID": number, "Status of volume": state, "RAID level": "RAID1", "Size (in MB)": "1000"}
    head = f"IR volume 1\n{keys(**(values | more))}" + keys(**{"Physical hard disks": ""})
    phys = enumerate(members or ("1:0", "1:1"))
    return head + "".join(f"  PHY[{place}] Enclosure#/Slot#{'':17}: {one}\n" for place, one in phys)


def display(volumes="", disks="", *, support="Yes", closed=CLOSED, index="0"):
    controller = keys(
        **{
            "Controller type": "SAS2308_2",
            "BIOS version": "7.39.00.00",
            "Firmware version": "20.00.07.00",
            "Slot": "Unknown",
            "Segment": "0",
            "Bus": "133",
            "Device": "0",
            "Function": "1",
            "RAID Support": support,
        }
    )
    return (
        f"{BANNER}Read configuration has been initiated for controller {index}\n"
        + section("Controller information", controller)
        + section("IR Volume information", volumes)
        + section("Physical device information", disks and "Initiator at ID #0\n\n" + disks)
        + section("Enclosure information", keys(**{"Enclosure#": "1", "Numslots": "8", "StartSlot": "0"}))
        + RULE
        + closed
    )


def status(number="323", state="Degraded", operation="None", percent=None):
    more = {"Percentage complete": percent} if percent else {}
    body = keys(
        **{
            "Volume ID": number,
            "Current operation": operation,
            "Volume status": "Enabled",
            "Volume state": state,
            "Physical disk I/Os": "Not quiesced",
        }
        | more
    )
    closing = CLOSED.replace("DISPLAY", "STATUS")
    head = f"{BANNER}Background command progress status for controller 0...\nIR Volume 1\n"
    return head + body + closing


def only(text, parse=parse_sas2ircu):
    (controller,) = parse(text).value.controllers
    return controller


def test_a_controller_with_its_volume_and_disks():
    read = parse_sas2ircu(
        display(volume(**{"Volume Name": "boot"}), disk(0, "Optimal (OPT)") + disk(1, "Online (ONL)"))
    )
    controller = only(display(volume(), disk(0, "Optimal (OPT)")))
    assert (controller.index, controller.model, controller.firmware) == ("0", "SAS2308_2", "20.00.07.00")
    assert controller.pci == "0000:85:00.1", "Bus 133 is decimal"
    (found,) = read.value.controllers
    (boot,) = found.volumes
    assert (boot.id, boot.name, boot.level, boot.state) == ("323", "boot", "raid1", "optimal")
    assert (boot.raw_state, boot.size_bytes, boot.members) == ("Okay (OKY)", 1000 << 20, ("1:0", "1:1"))
    first = found.drives[0]
    assert (first.address, first.state, first.volume) == ("1:0", "online", "323")
    assert (first.model, first.serial, first.firmware) == ("RACKFLOW DISK 1", "RF0000421", "RF07")
    assert (first.interface, first.media, first.wwn) == ("sata", "hdd", "5000ab00c0ffee01")
    assert first.size_bytes == 1953525168 * 512, "the number is the last sector"
    assert read.value.outcome == Outcome(ok=True)
    assert read.ignored[0] == "LSI Corporation SAS2 IR Configuration Utility."


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"Size (in MB)/(in sectors)": "953869/244190645"}, 244190646 * 4096),
        ({"Size (in MB)/(in sectors)": None, "Size (in MB)": "953869"}, 953869 << 20),
        ({"Size (in MB)/(in sectors)": "huge"}, None),
    ],
)
def test_sizes_of_disks(size, expected):
    assert only(display("", disk(0, "Ready (RDY)", **size))).drives[0].size_bytes == expected


@pytest.mark.parametrize(
    ("state", "support", "expected"),
    [
        ("Ready (RDY)", "Yes", "unconfigured"),
        ("Ready (RDY)", "No", "jbod"),
        ("Hot Spare (HSP)", "Yes", "spare"),
        ("Failed (FLD)", "Yes", "failed"),
        ("Missing (MIS)", "Yes", "missing"),
        ("Standby (SBY)", "Yes", None),
        ("Something New (SNW)", "Yes", None),
    ],
)
def test_states_of_disks(state, support, expected):
    controller = only(display("", disk(0, state), support=support))
    assert (controller.drives[0].state, controller.drives[0].raw_state) == (expected, state)
    assert controller.jbod is (True if support == "No" else None)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("Degraded (DGD)", "degraded"),
        ("Failed (FLD)", "failed"),
        ("Initializing (INIT)", "initialising"),
        ("Inactive, Okay (OKY)", "offline"),
        ("Missing (MIS)", "offline"),
        ("Odd (ODD)", None),
    ],
)
def test_states_of_volumes(state, expected):
    (found,) = only(display(volume("1", state))).volumes
    assert (found.state, found.raw_state) == (expected, state)


def test_the_tables_know_the_tags_of_the_guides():
    assert {
        "ONL",
        "HSP",
        "RDY",
        "AVL",
        "FLD",
        "MIS",
        "SBY",
        "OSY",
        "DGD",
        "RBLD",
        "OPT",
    } <= DRIVE_STATES.keys()
    assert {"OKY", "DGD", "FLD", "MIS", "INIT", "ONL"} <= VOLUME_STATES.keys()


def test_a_rebuilding_member_makes_the_volume_rebuild():
    controller = only(
        display(volume("9", "Degraded (DGD)"), disk(0, "Rebuilding (RBLD)") + disk(1, "Out of Sync (OSY)"))
    )
    assert controller.volumes[0].state == "rebuilding"
    assert [drive.state for drive in controller.drives] == ["rebuilding", "online"]
    assert controller.conditions == (
        Condition("rebuild", "volume 9: Degraded (DGD)"),
        Condition("other", "drive 1:1: Out of Sync (OSY)"),
    )


def test_a_member_without_a_block_of_its_own_is_listed():
    drives = only(display(volume("9", "Degraded (DGD)", "1:0", "0:0"), disk(0, "Optimal (OPT)"))).drives
    assert [(drive.address, drive.state, drive.volume) for drive in drives] == [
        ("1:0", "online", "9"),
        ("0:0", None, "9"),
    ]


def test_only_hard_disks_are_drives():
    others = disk(9, "Standby (SBY)", kind="Enclosure services device") + disk(
        8, "Ready (RDY)", kind="unknown device"
    )
    assert [one.address for one in only(display("", others + disk(2, "Ready (RDY)"))).drives] == ["1:2"]


@pytest.mark.parametrize(
    ("vpd", "plain", "expected"),
    [("RF-0421", "RF0421", "RF-0421"), ("N/A", "RF0421", "RF0421"), ("", "N/A", None)],
)
def test_the_serial_of_the_vpd_page_is_the_clean_one(vpd, plain, expected):
    text = display("", disk(0, "Ready (RDY)", **{"Unit Serial No(VPD)": vpd, "Serial No": plain}))
    assert only(text).drives[0].serial == expected


def test_a_serial_of_zeros_is_a_placeholder():
    read = parse_sas2ircu(display("", disk(0, "Ready (RDY)", **{"Serial No": "00000000"})))
    assert read.value.controllers[0].drives[0].serial is None
    assert read.placeholders == ("controllers[0].drives[0].serial",)


def test_list_has_hexadecimal_addresses():
    rows = (
        "         Adapter      Vendor  Device                       SubSys  SubSys\n"
        " Index    Type          ID      ID    Pci Address          Ven ID  Dev ID\n"
        " -----  ------------  ------  ------  -----------------    ------  ------\n"
        "   0     SAS3008       1000h   97h    00h:5eh:00h:00h      1000h   30e0h\n"
        "   1     SAS3004       1000h   96h    01h:85h:00h:01h      1000h   30e0h\n"
    )
    read = parse_sas3ircu(BANNER + rows + "SAS3IRCU: Utility Completed Successfully.\n").value
    assert read.tool == "sas3ircu"
    assert [(one.index, one.model, one.pci) for one in read.controllers] == [
        ("0", "SAS3008", "0000:5e:00.0"),
        ("1", "SAS3004", "0001:85:00.1"),
    ]


@pytest.mark.parametrize(
    ("operation", "percent", "state", "progress"),
    [
        ("None", None, "degraded", None),
        ("Synchronize", "4.19%", "initialising", 4.19),
        ("Rebuild", "50%", "rebuilding", 50.0),
        ("Online Capacity Expansion", "7%", "migrating", 7.0),
        ("Consistency Check", "7%", "degraded", None),
    ],
)
def test_status(operation, percent, state, progress):
    controller = only(status(operation=operation, percent=percent))
    (found,) = controller.volumes
    assert (controller.index, found.id, found.raw_state) == ("0", "323", "Degraded")
    assert (found.state, found.progress) == (state, progress)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("there are no IR volumes on the controller!\nSAS2IRCU: Error executing command STATUS.", None),
        ("MPTLib2 Error 1", None),
        ("MPTLib2 Error 5", Outcome(ok=False, code=5, message="MPTLib2 Error 5")),
        (
            "Command CREATE Completed Successfully.\nSAS2IRCU: Utility Completed Successfully.",
            Outcome(ok=True),
        ),
        (
            "disk 1:5 cannot be used.\nSAS2IRCU: Error executing command CREATE.",
            Outcome(ok=False, message="disk 1:5 cannot be used."),
        ),
        ("Error executing command DELETE.", Outcome(ok=False, message="Error executing command DELETE.")),
    ],
)
def test_outcomes(said, outcome):
    read = parse_sas2ircu(f"{BANNER}SAS2IRCU: {said}\n").value
    assert (read.outcome, read.controllers) == (outcome, ())


def test_a_session_ends_with_its_last_answers():
    text = (
        "[root@node7 ~]# sas2ircu 0 DISPLAY\n"
        + display(volume("323"), disk(0, "Optimal (OPT)") + disk(1, "Optimal (OPT)"))
        + "[root@node7 ~]# sas2ircu 0 DELETEVOLUME 323 noprompt\n"
        + "SAS2IRCU: Command DELETEVOLUME Completed Successfully.\n"
        + "[root@node7 ~]# sas2ircu 0 DISPLAY\n"
        + display(volume("324", "Degraded (DGD)"), disk(1, "Ready (RDY)"))
        + "[root@node7 ~]# sas2ircu 0 STATUS\n"
        + status("324", operation="Synchronize", percent="12%")
    )
    controller = only(text)
    assert [(one.id, one.state, one.progress) for one in controller.volumes] == [
        ("324", "initialising", 12.0)
    ]
    assert controller.volumes[0].members == ("1:0", "1:1")
    assert "1:1" in [one.address for one in controller.drives]
    assert parse_sas2ircu(text).ignored[0] == "[root@node7 ~]# sas2ircu 0 DISPLAY"


def test_a_tail_without_its_beginning_has_no_index():
    tail = disk(2, "Ready (RDY)") + section("Enclosure information", "") + RULE + CLOSED
    assert (only(tail).index, len(only(tail).drives)) == (None, 1)


TWO_DISKS = display("", disk(0, "Ready (RDY)") + disk(1, "Ready (RDY)"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("storcli64 /c0 show\nController = 0\n", "line 1: expected an answer of LIST, DISPLAY or STATUS"),
        (BANNER, "line 1: expected an answer of LIST"),
        (BANNER + "Read configuration has been initiated for controller 0\n", "the blocks of the controller"),
        (display().split("  Bus ")[0], "the rest of the block from line 7"),
        (display("", disk(0, "Ready (RDY)")).split("  Drive Type")[0], "the rest of the block"),
        (display("", "").split("Physical device")[0], "the rest of the block"),
        (display(volume("323", "Okay (OKY)", "1:0", "1:1")).split("1:1")[0], "enclosure and slot"),
        (display().split("IR Volume")[0], "what the ruler is drawn for"),
        (TWO_DISKS.rpartition("Device is")[0].rstrip(), "'Utility Completed Successfully.' at the end"),
    ],
    ids=["foreign", "banner", "begun", "controller", "disk", "title", "member", "ruler", "no-end"],
)
def test_refusals(text, told):
    with pytest.raises(Unparsable) as refused:
        parse_sas2ircu(text)
    assert refused.value.message.startswith("sas2ircu: line ")
    assert told in refused.value.message


WHOLE = display(volume(), disk(0, "Optimal (OPT)") + disk(1, "Rebuilding (RBLD)")) + status()


test_any_text_is_read_or_refused = never_anything_else("sas2ircu", parse_sas2ircu, (WHOLE,))


def test_windows_line_ends_make_no_difference():
    assert parse_sas2ircu(WHOLE.replace("\n", "\r\n")) == parse_sas2ircu(WHOLE)
