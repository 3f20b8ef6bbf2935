"""arcconf: lists, tasks, results of commands, sessions, refusals."""

import pytest

from metal.drivers.raid.arcconf import parse
from metal.drivers.raid.listing import Outcome
from metal.errors import Unparsable
from tests.metal.drivers.parse.arcconf_samples import (
    DONE,
    FOUND,
    LIST,
    controller,
    drive,
    drives,
    only,
    task,
    volume,
    volumes,
)
from tests.metal.drivers.parse.refusing import never_anything_else


def test_list():
    first, second = parse(LIST + DONE).value.controllers
    assert (first.index, first.model, first.serial) == ("1", "RackFlow HBA, 16 ports", "RF100421")
    assert (first.state, first.jbod) == ("optimal", True)
    assert (second.index, second.state, second.raw_state, second.jbod) == ("2", "failed", "Failed", False)


def test_a_listed_serial_gives_getconfig_its_index():
    session = LIST + DONE + FOUND + controller() + DONE
    first, second = parse(session).value.controllers
    assert (first.index, first.firmware, second.firmware) == ("1", "5.2-0", None)


def test_no_controller():
    read = parse("Controllers found: 0\n" + DONE)
    assert (read.value.controllers, read.value.outcome) == ((), Outcome(ok=True))
    assert (
        parse("Controllers found: 0\nInvalid controller number.\n\nCommand aborted.\n").value.outcome is None
    )


def test_a_refusal_without_a_count_of_controllers():
    read = parse("Invalid controller number.\n\nCommand aborted.\n").value
    assert (read.controllers, read.outcome.message) == ((), "Invalid controller number.")


def test_no_logical_devices():
    one = only(FOUND + volumes("   No logical devices configured\n") + DONE)
    assert (one.index, one.volumes, one.drives) == (None, (), ())


@pytest.mark.parametrize(
    ("operation", "status", "expected"),
    [
        ("Build/Verify", "In Progress", ("initialising", 11.0)),
        ("Rebuild", "In Progress", ("rebuilding", 11.0)),
        ("Compacting", "In Progress", ("migrating", 11.0)),
        ("Verify with fix", "In Progress", (None, None)),
        ("Rebuild", "Queued", (None, None)),
    ],
)
def test_getstatus(operation, status, expected):
    first, second = only(FOUND + task(0, operation, status) + task(1, "Clear") + DONE).volumes
    assert (first.id, (first.state, first.progress)) == ("0", expected)
    assert (second.id, second.state) == ("1", "initialising")


def test_getstatus_of_a_drive_and_of_nothing():
    text = "Physical device Task:\n   Physical device : 0,4\n"
    text += "   Current operation : Clear\n   Percentage complete : 5\n"
    (first,) = only(FOUND + text + DONE).drives
    assert (first.address, first.state, first.progress) == ("0,4", "erasing", 5.0)
    assert only(FOUND + "   Current operation              : None\n" + DONE).volumes == ()


def test_getversion():
    text = "Controller #1\n==============\nFirmware                  : 1.32[0] (0)\n"
    text += "Driver  : Linux 1.2.10-025 (0)\n"
    one = only(FOUND + text + DONE)
    assert (one.index, one.firmware) == ("1", "1.32")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nCreating logical device: data\n" + DONE, Outcome(ok=True)),
        (
            "The specified logical device does not exist.\n\nCommand aborted.\n",
            Outcome(ok=False, message="The specified logical device does not exist."),
        ),
        (
            "Invalid number of devices\nfor the given RAID level.\nCommand failed.\n",
            Outcome(ok=False, message="Invalid number of devices for the given RAID level."),
        ),
        ("Command failed.\n", Outcome(ok=False, message="Command failed.")),
    ],
)
def test_outcomes(text, expected):
    read = parse(FOUND + text)
    assert (read.value.outcome, read.value.controllers) == (expected, ())


def test_a_session_keeps_the_last_word_and_the_first_failure():
    before = "# arcconf getconfig 1 LD\n" + FOUND + volumes(volume(0), volume(1)) + DONE
    failed = (
        "# arcconf delete 1 logicaldrive 7\n"
        + FOUND
        + "No such logical device is not found.\nCommand aborted.\n"
    )
    after = "# arcconf getconfig 1 LD\n" + FOUND + volumes(volume(1, Logical_device_name="rest")) + DONE
    other = "# arcconf getconfig 2 LD\n" + FOUND + volumes(volume(0)) + DONE
    read = parse(before + failed + after + other)
    assert [[(each.id, each.name) for each in one.volumes] for one in read.value.controllers] == [
        [("1", "rest")],
        [("0", "data")],
    ]
    assert read.value.outcome is not None
    assert not read.value.outcome.ok
    assert len(read.ignored) == 4


def test_one_volume_of_a_session_leaves_the_others():
    session = FOUND + volumes(volume(0), volume(1)) + DONE
    session += "[root@rf ~]# arcconf GETCONFIG 1 LD 1\n"
    session += FOUND + volumes(volume(1, Status_of_logical_device="Failed")) + DONE
    assert [each.state for each in only(session).volumes] == ["optimal", "failed"]


def test_the_help_is_understood():
    text = "  | UCLI |  Adaptec uniform command line interface\n"
    text += "  | UCLI |  Version 7.31 (B18856)\n\n CREATE | creates\n"
    assert parse(text).value.controllers == ()


@pytest.mark.parametrize(
    "text",
    [
        "Controller = 0\nStatus = Success\nDescription = None\n",
        "Smart Array P440ar in Slot 0 (Embedded)\n\n   Status: OK\n",
        "Adapter #0\n\nEnclosure Device ID: 32\nSlot Number: 0\n",
        "Device #0\nDevice is a Hard drive\n",
    ],
)
def test_other_tools_are_refused(text):
    with pytest.raises(Unparsable, match=r"^arcconf: line 1: expected a list of arcconf"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        FOUND,
        FOUND + volumes("Logical device number 0\n   Logical device name : data\n"),
        FOUND + drives(drive(0)).partition("State")[0],
        FOUND + controller().partition("Controller Version")[0],
        FOUND + task(0, "Rebuild").partition("Status")[0],
        FOUND + volumes(volume(0, "Present (1000MB, SATA")),
        FOUND + volumes(volume(0, "Present (0,0)")) + "-" * 70 + "\n",
        (FOUND + drives(drive(0), drive(1))).rstrip(),
    ],
    ids=["nothing", "volume", "drive", "controller", "task", "segment", "ruler", "no-end"],
)
def test_a_text_that_ends_inside_an_entry_is_refused(text):
    with pytest.raises(Unparsable, match=r"^arcconf: line \d+: expected .*, found "):
        parse(text)


WHOLE = LIST + DONE + FOUND + controller() + volumes(volume(0, "Present (0,0)")) + drives(drive(0)) + DONE


test_any_text_and_any_damage_is_read_or_refused = never_anything_else("arcconf", parse, [WHOLE])
