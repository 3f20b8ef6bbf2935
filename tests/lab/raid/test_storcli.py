"""The emulated storcli: its forms as the driver reads them, its refusals, jobs from dirty to done."""

import pytest

from lab.raid import model, storcli
from lab.raid.model import Plug
from metal.drivers.raid.storcli import parse
from tests.lab.raid.storcli_view import (
    BOTH,
    agrees,
    call,
    listed,
    make,
)


@BOTH
def test_what_is_listed_is_what_is_there(second):
    one = make(10, second=second)
    level = "raid10" if second else "r10"
    strip = "strip=256" if second else "strip=1024"
    for line in (
        f"/c0 add vd {level} size=30GB name=root drives=252:0-3 pdperarray=2 wb nora {strip}",
        f"/c0 add vd {level} name=data drives=252:0-3 pdperarray=2 wt ra",
        f"/c0 add vd {'raid1' if second else 'type=raid1'} drives=252:4,5 spares=252:6",
        "/c0/e252/s7 add hotsparedrive",
    ):
        assert '"Status" : "Success"' in call(one, f"{line} nolog J").stdout
    one.drives[8].foreign = "old"
    one.drives[9].spun_down = True
    one.pinned.append(7)
    model.fail(one, one.drives[0])
    model.fail(one, one.drives[5], gone=True)
    one.volumes[0].initialising = 4.0
    (view,) = listed(one)
    agrees(view, one)
    assert view.jbod is (None if second else False)
    assert view.levels == one.limits.levels
    assert one.drives[6].condition == "rebuilding"


@BOTH
@pytest.mark.parametrize(
    "words", ["/call show all", "/c0/eall/sall show all", "/c0/vall show all", "/c0/fall show"]
)
def test_text_and_json_say_the_same(second, words):
    one = make(second=second)
    call(one, f"/c0 add vd {'raid5' if second else 'r5'} name=two drives=252:0-2 spares=252:3")
    one.drives[4].foreign = "old"
    text, data = (parse(call(one, f"{words} {form}").stdout).value for form in ("", "J"))
    assert text.outcome == data.outcome
    assert text.controllers == data.controllers


def test_hbas_come_after_and_make_nothing():
    raid, hba = make(2), make(3)
    hba.family, hba.model, hba.serial = "sas3ircu", "LSI3008-IR", "500605b0badf00d0"
    (view,) = listed(raid, hba)
    agrees(view, raid)
    for line in ("/c1 add vd r0 drives=252:0", "/c1/vall show", "/c1/s2 set jbod"):
        said = storcli.run(["storcli64", *line.split()], [raid, hba])
        assert (said.status, "Un-supported command" in said.stdout) == (255, True)
    overview = storcli.run(["storcli64", "show", "J"], [raid, hba]).stdout
    assert '"Number of Controllers" : 2' in overview
    assert '"IT System Overview"' in overview
    shown = parse(storcli.run(["storcli64", "/c1", "show"], [raid, hba]).stdout).value.controllers
    assert [drive.state for drive in shown[0].drives] == ["unconfigured"] * 3


@pytest.mark.parametrize(
    ("tool", "line", "status", "words"),
    [
        (
            "storcli64",
            "/call show J",
            255,
            '"Status" : "Failure",\n\t\t"Description" : "No Controller found"',
        ),
        ("storcli2", "/call show", 0, "Status = Success\nDescription = No Controller found"),
        ("storcli64", "show ctrlcount J", 0, '"Controller Count" : 0'),
        ("storcli64", "show", 0, "Status = Success"),
    ],
)
def test_without_a_controller_a_success_says_little(tool, line, status, words):
    said = storcli.run([tool, *line.split()], [])
    assert (said.status, words in said.stdout) == (status, True)


def fails(name, value):
    """A change of the drive in slot 1."""
    return lambda one: setattr(one.drives[1], name, value)


REFUSED = [
    (fails("foreign", "old"), "drives=252:0-1", 11, "resources already in use"),
    (fails("spun_down", True), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (fails("condition", "jbod"), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (fails("medium", "ssd"), "drives=252:0-1", 38, "physical disk does not have appropriate attributes"),
    (
        lambda one: one.pinned.append(3),
        "drives=252:0-1",
        84,
        "controller has data in cache for offline or missing",
    ),
    (id, "drives=252:0,252:0", 11, "resources already in use"),
    (id, "drives=252:0-2", 255, "Number of drives is not valid"),
    (id, "drives=252:0,252:77", 255, "Drive not found"),
    (id, "size=101GB drives=252:0-1", 13, "disk doesn't have enough capacity"),
    (id, "drives=252:0-1 strip=8", 255, "Strip size"),
    (id, "drives=252:0-1 name=longer-than-it-may-be", 255, "longer than 15"),
    (lambda one: call(one, "/c0 add vd r0 drives=252:0"), "drives=252:0-1", 13, "disk doesn't have enough"),
]


@pytest.mark.parametrize(("change", "options", "code", "words"), REFUSED)
def test_what_firmware_refuses_is_told_with_its_code_and_nothing_changes(change, options, code, words):
    one = make()
    change(one)
    before = repr(one)
    said = call(one, f"/c0 add vd r1 {options}")
    assert (said.status, words in said.stdout, repr(one)) == (code, True, before)
    assert parse(said.stdout).value.outcome.code == code


def test_storcli2_ends_with_0_and_says_no_free_space():
    one = make(second=True)
    assert '"VDID" : 1' in call(one, "/c0 add vd raid0 drives=252:0 wb nora J").stdout
    said = call(one, "/c0 add vd raid0 drives=252:0 J")
    assert (said.status, "No freespace available to create VD." in said.stdout) == (0, True)
    said = call(one, "/c0/v9 delete J")
    assert (said.status, '"ErrMsg" : "Invalid VD number"' in said.stdout) == (0, True)
    for line in ("add vd type=raid0 drives=252:1", "set jbod=on"):
        assert "Status = Failure\nDescription = syntax error" in call(one, f"/c0 {line} J").stdout
    said = call(one, "/c0/v1 set rdcache=RA wrcache=WT J").stdout
    assert "Description = syntax error, unexpected TOKEN_WRCACHE, expecting $end" in said


DRIVE_CASES = [
    ("jbod", "set good", 255, "Drive is JBOD! Use -force option to confirm.", "jbod"),
    ("jbod", "set good force", 0, "Set Drive Good Succeeded.", "good"),
    ("jbod", "del jbod", 255, "Use -force", "jbod"),
    ("good", "set good force", 255, "Operation not allowed.", "good"),
    ("good", "set jbod", 255, "Operation not allowed.", "good"),
    ("good", "spinup", 50, "device state doesn't support requested command", "good"),
    ("good", "set offline", 50, "device state doesn't support", "good"),
    ("jbod", "set offline", 255, "Drive not found", "jbod"),
    ("good", "add hotsparedrive", 0, "Add Hot Spare Succeeded.", "spare"),
    ("good", "add hotsparedrive dgs=9", 255, "Invalid Drive Group", "good"),
    ("spare", "delete hotsparedrive", 0, "Delete Hot Spare Succeeded.", "good"),
    ("spare", "set good force", 50, "device state doesn't support", "spare"),
    ("failed", "set good", 0, "Set Drive Good Succeeded.", "good"),
    ("good", "start locate", 0, "Start Drive Locate Succeeded.", "good"),
]


@pytest.mark.parametrize(("before", "words", "status", "told", "after"), DRIVE_CASES)
def test_what_is_done_to_a_drive(before, words, status, told, after):
    one = make()
    one.drives[0].condition = before
    said = call(one, f"/c0 /e252 /s0 {words}")
    assert (said.status, told in said.stdout, one.drives[0].condition) == (status, True, after)


def test_a_volume_with_data_is_deleted_by_force_only():
    one = make()
    call(one, "/c0 add vd r1 drives=252:0-1 name=os")
    one.volumes[0].has_data = True
    said = call(one, "/c0/v239 del")
    assert (said.status, "VD has OS/FS, use 'force' option" in said.stdout, len(one.volumes)) == (
        255,
        True,
        1,
    )
    said = call(one, "/c0/v239 del force")
    assert (said.status, "Delete VD succeeded" in said.stdout, one.volumes) == (0, True, [])
    assert [effect.key for effect in said.effects] == ["v" + said.effects[0].key[1:]]
    said = call(one, "/c0/v239 del force")
    assert (said.status, "Some of the specified VDs does not exist" in said.stdout) == (255, True)
    assert "No VDs have been configured" in call(one, "/c0/vall del force").stdout


def test_jbod_mode_takes_all_drives_that_are_free():
    one = make(3)
    one.drives[1].foreign = "old"
    said = call(one, "/c0 set jbod=on")
    assert [drive.condition for drive in one.drives] == ["jbod", "good", "jbod"]
    assert [type(effect) for effect in said.effects] == [Plug, Plug]
    assert listed(one)[0].jbod is True


def test_the_one_command_that_asks_waits_for_an_answer():
    one = make()
    before = repr(one)
    assert call(one, "/c0 flasherase").asks
    assert not call(one, "/c0 flasherase", stdin="Yes\n").asks
    assert repr(one) == before
