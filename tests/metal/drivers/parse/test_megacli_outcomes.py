"""MegaCli: summaries, results of commands, progress, sessions, refusals."""

import pytest

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.megacli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.megacli_samples import (
    ADAPTER,
    BATTERY,
    DONE,
    LDPD,
    SUMMARY,
    drive,
    only,
    volume,
)
from tests.metal.drivers.parse.refusing import never_anything_else


def test_show_summary():
    controller = only(SUMMARY + DONE)
    assert (controller.index, controller.model, controller.firmware) == (None, "RackFlow RAID 9", None)
    assert (controller.state, controller.raw_state) == ("needs-attention", "Needs Attention")
    (first,) = controller.drives
    assert (first.address, first.state, first.model) == (":4", "spare", "DISK15K300")
    assert (first.media, first.interface) == ("ssd", "sas")
    assert [(one.id, one.name, one.level) for one in controller.volumes] == [("5", "data", "raid10")]
    assert [one.text for one in controller.conditions] == ["BBU status: Failed"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Adapter 0: Created VD 0\n\nAdapter 0: Configured the Adapter!!\n" + DONE, Outcome(ok=True, code=0)),
        ("Adapter 0: Deleted Virtual Drive-5(target id-5)\n", Outcome(ok=True)),
        ("Start Reconstruction of Virtual Drive Success.\n", Outcome(ok=True)),
        ("Started rebuild progress on device(Encl-252 Slot-4)\n", Outcome(ok=True)),
        ("Adapter 0-VD 0(target id: 0): Cache Policy:WriteThrough, Direct\n", None),
        (
            "Fatal error - Command Tool invoked with wrong parameters\nExit Code: 0x01\n",
            Outcome(ok=False, code=1, message="Fatal error - Command Tool invoked with wrong parameters"),
        ),
        (
            "Adapter: 0: Failed to change PD state at EnclId-32 SlotId-4.\n\nExit Code: 0x01\n",
            Outcome(ok=False, code=1, message="Failed to change PD state at EnclId-32 SlotId-4."),
        ),
        (
            (
                "The specified physical disk does not have the appropriate attributes\n"
                "to complete the requested command.\n\nExit Code: 0x26\n"
            ),
            Outcome(
                ok=False,
                code=0x26,
                message="The specified physical disk does not have the appropriate attributes "
                "to complete the requested command.",
            ),
        ),
        (
            (
                "Adapter 0: Get BBU Status Failed.\n\nFW error description:\n"
                " The hardware is not present.\n\nExit Code: 0x22\n"
            ),
            Outcome(ok=False, code=0x22, message="Get BBU Status Failed. The hardware is not present."),
        ),
        ("Adapter 0: No Virtual Drive Configured.\n\nExit Code: 0x01\n", None),
        ("Controller Count: 2.\n\nExit Code: 0x02\n", None),
        ("Number of Physical Drives on Adapter 0: 13\n\nExit Code: 0x0d\n", None),
    ],
)
def test_outcomes(text, expected):
    assert parse(text).value.outcome == expected


def test_the_first_failure_of_a_session_is_told():
    text = (
        "Adapter 0: Created VD 0\n\nExit Code: 0x00\n\n"
        "At least two arrays must be specified to configure spanned VD.\n\nExit Code: 0x1e\n"
        "Adapter 0: Failed to Set Adapter Properties.\n\nExit Code: 0x01\n"
    )
    assert parse(text).value.outcome == Outcome(
        ok=False, code=0x1E, message="At least two arrays must be specified to configure spanned VD."
    )


def test_preserved_cache_is_told_by_the_refusal_and_by_the_list():
    refusal = (
        "Adapter 0: Configure Adapter Failed\n\nFW error description:\n  The current operation is not "
        "allowed because the controller has data in cache for offline or missing virtual drives.\n\n"
        "Exit Code: 0x54\n"
    )
    assert [one.kind for one in only(refusal).conditions] == ["preserved-cache"]
    listed = (
        "# MegaCli -GetPreservedCacheList -a0\nAdapter #0\n\nVirtual Drive(Target ID 02): Missing.\n" + DONE
    )
    assert [one.text for one in only(listed).conditions] == ["virtual drive 2: Missing"]
    cleared = "Adapter #0\nVirtual Drive(Target ID 02): Preserved Cache Data Cleared.\n" + DONE
    assert only(cleared).conditions == ()


@pytest.mark.parametrize(("many", "kinds"), [("are 1", ["foreign-config"]), ("is no", [])])
def test_foreign_configurations(many, kinds):
    controller = only(f"There {many} foreign configuration(s) on controller 0.\n{DONE}")
    assert (controller.index, [one.kind for one in controller.conditions]) == ("0", kinds)


@pytest.mark.parametrize(
    ("text", "address", "state", "progress"),
    [
        (
            "Rebuild Progress on Device at Enclosure 8, Slot 3 Completed 7% in 0 Minutes.",
            "8:3",
            "rebuilding",
            7.0,
        ),
        (
            "Clear Progress on Device at Enclosure N/A, Slot 3 Completed 0% in 0 Minutes.",
            ":3",
            "erasing",
            0.0,
        ),
        ("Device(Encl-8 Slot-3) is not in rebuild process", "8:3", None, None),
        (
            "Rebuild progress of physical drives...\n 008 :03  ###87 %###***  01:59:07",
            "8:3",
            "rebuilding",
            87.0,
        ),
    ],
)
def test_progress_of_drives(text, address, state, progress):
    (first,) = only(f"{text}\n{DONE}").drives
    assert (first.address, first.state, first.progress) == (address, state, progress)


@pytest.mark.parametrize(
    ("text", "state", "progress"),
    [
        ("Background Initialization on VD #4 (target id #4) Complete 0% in 0 Minutes.", "initialising", 0.0),
        ("Initialization on VD #4 is not in progress.", None, None),
        ("Reconstruction on VD #4 (target id #4) Completed 23% in 15 Minutes.", "migrating", 23.0),
        ("Check Consistency on VD #4 (target id #4) Completed 5% in 1 Minutes.", None, None),
    ],
)
def test_progress_of_volumes(text, state, progress):
    (first,) = only(f"{text}\n{DONE}").volumes
    assert (first.id, first.state, first.progress) == ("4", state, progress)


def test_a_session_keeps_the_last_word():
    before = (
        "[root@rf ~]# MegaCli64 -PDList -aALL\nAdapter #0\n\n" + drive("0", "Unconfigured(good)") + drive("1")
    )
    created = "[root@rf ~]# MegaCli64 -CfgLdAdd -r0[252:0] -a0\nAdapter 0: Created VD 0\n"
    after = "[root@rf ~]# MegaCli64 -PDList -aALL\nAdapter #0\n\n" + drive("0")
    read = parse(before + DONE + created + DONE + after + DONE)
    (controller,) = read.value.controllers
    assert [(one.address, one.state) for one in controller.drives] == [("252:0", "online")]
    assert len(read.ignored) == 3


def test_a_drive_without_an_adapter_is_of_the_only_one():
    assert only("# MegaCli64 -PDInfo -PhysDrv [252:0] -a1\n" + drive() + DONE).index is None
    text = "Adapter #1\n\n" + drive(state="Offline") + DONE + drive(state="Rebuild") + DONE
    assert (only(text).index, [one.state for one in only(text).drives]) == ("1", ["rebuilding"])


def test_grepped_lists():
    text = "Enclosure Device ID: 32\nSlot Number: 0\nFirmware state: JBOD\n"
    text += "Enclosure Device ID: 32\nSlot Number: 1\n"
    found = only(text + "Firmware state: Failed\n").drives
    assert [(one.address, one.state) for one in found] == [("32:0", "jbod"), ("32:1", "failed")]
    states = only("Firmware state: Online, Spun Up\nFirmware state: Rebuild\n").drives
    assert [(one.address, one.state) for one in states] == [(None, "online"), (None, "rebuilding")]


def test_two_adapters_one_of_them_empty():
    text = (
        "Adapter #0\n\n"
        + drive()
        + "Adapter 1 -- Virtual Drive Information:\nAdapter 1: No Virtual Drive Configured.\n"
    )
    assert [(one.index, len(one.drives)) for one in parse(text + DONE).value.controllers] == [
        ("0", 1),
        ("1", 0),
    ]


def test_what_the_model_has_no_place_for_is_understood():
    text = "    Number of enclosures on adapter 0 -- 1\n\n    Enclosure 0:\n"
    text += "    Device ID : 32\n    Status : Normal\n"
    assert (parse(text + DONE).value.controllers, parse(text + DONE).value.outcome.code) == ((), 0)
    version = "      MegaCLI SAS RAID Management Tool  Ver 8.07.14 Dec 16, 2013\n"
    assert parse(version).value.controllers == ()


@pytest.mark.parametrize(
    "text",
    [
        "Controller = 0\nStatus = Success\nDescription = None\n",
        "Smart Array P440ar in Slot 0 (Embedded)\n\n   Status: OK\n",
        "System\nStorage\n  Physical Disk: 0\n",
        "SAS2IRCU: Utility Completed Successfully.\n",
    ],
)
def test_other_tools_are_refused(text):
    with pytest.raises(Unparsable, match=r"^megacli: line \d: expected .*, found"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "Adapter #0\n",
        "Adapter 0 -- Virtual Drive Information:\nVirtual Drive: 0 (Target Id: 0)\n",
        "Adapter #0\n\n" + drive() + drive("1")[: drive("1").index("Firmware state")],
        "Adapter 0 -- Virtual Drive Information:\n" + volume() + volume("1")[:90],
        "Adapter #0\n\n" + drive() + drive("1").rpartition("\n\n")[0].rstrip().rpartition("\n")[0],
        "Adapter 0 -- Virtual Drive Information:\nVirtual Dri",
    ],
    ids=["adapter", "volume-heading", "drive", "volume", "no-end", "no-end-of-a-word"],
)
def test_a_text_that_ends_inside_an_entry_is_refused(text):
    with pytest.raises(Unparsable, match=r"^megacli: line \d+: expected .*, found "):
        parse(text)


def test_an_excerpt_without_the_end_of_its_last_line_is_read():
    text = "Adapter 0 -- Virtual Drive Information:\n" + volume() + volume("1")
    assert len(only(text.rstrip()).volumes) == 2


WHOLE = ADAPTER + DONE + LDPD + BATTERY + DONE + SUMMARY + DONE


test_any_text_and_any_damage_is_read_or_refused = never_anything_else("megacli", parse, [WHOLE])
