"""What a reading of a machine with a RAID controller says of its drives: the condition `Healthy`."""

import pytest

from lab.raid import model
from metal.engine.claim import Claim
from metal.engine.connect import Openers, Sessions
from metal.engine.observe import observe
from metal.engine.steps import Surroundings
from specs.records import Condition
from tests.metal.engine.raid_machine import RaidMachine
from tests.metal.engine.test_raid_families import ROOT_UUID, controller, spec

CLAIM = Claim("web-01", 7, "run-1", 4)
WITH_SPARES = ("storcli", "storcli2", "megacli", "sas2ircu", "sas3ircu", "arcconf")


def look(rig):
    return observe(rig.edge, "web-01", CLAIM, around=rig.around)


def mirrored(rig, family):
    one = controller(family)
    for drive in one.drives:
        drive.condition = "good"
    model.create(one, "raid1", one.drives[:2], name="system")
    rig.machine = RaidMachine(one, root_uuid=ROOT_UUID)
    sessions = Sessions(Openers(ssh=lambda _at, _key: rig.machine, ipmi=rig.bmc.log_in))
    rig.around = Surroundings(sessions, rig.around.memory, rig.around.clock, rig.around.sleep)
    return one


@pytest.mark.parametrize("family", [*WITH_SPARES, "ssacli", "mvcli"])
def test_a_drive_that_fails_is_told_by_slot_and_serial(family, make_rig):
    rig = make_rig()
    one = mirrored(rig, family)
    assert spec(family)["raid"]
    look(rig)
    assert rig.edge.put["Healthy"]["status"] == "True"
    model.fail(one, one.drives[1])
    rig.machine.known.clear()
    look(rig)
    told = rig.edge.put["Healthy"]
    assert (told["status"], told["reason"]) == ("False", "drive-failed")
    assert one.drives[1].serial in told["message"]
    assert " in slot " in told["message"]


def test_what_is_known_already_is_not_told_again(make_rig):
    rig = make_rig()
    mirrored(rig, "storcli")
    look(rig)
    told = rig.edge.put.pop("Healthy")
    known = Condition(type="Healthy", since=rig.edge.now, **told)
    rig.edge.record = rig.edge.record.model_copy(update={"conditions": [known]})
    look(rig)
    assert "Healthy" not in rig.edge.put


def test_a_controller_without_its_tool_leaves_the_hardware_unknown_until_it_has_it(make_rig):
    rig = make_rig()
    one = mirrored(rig, "storcli")
    tools, rig.machine.kinds = rig.machine.kinds, {}
    seen = look(rig)
    told = rig.edge.put.pop("HardwareMatches")
    problem = "tool missing: storcli64 or MegaCli64 (put it in bootos/vendor, see docs/raid.md)"
    assert told == {
        "status": "Unknown", "reason": "tool-missing",
        "message": f"controller PCI 1000:0014 at {one.pci}: {problem}",
    }  # fmt: skip
    assert [each.problem for each in seen.hardware.controllers] == [problem]
    known = Condition(type="HardwareMatches", since=rig.edge.now, **told)
    rig.edge.record = rig.edge.record.model_copy(update={"conditions": [known]})
    look(rig)
    assert "HardwareMatches" not in rig.edge.put
    rig.machine.kinds = tools
    look(rig)
    assert rig.edge.put["HardwareMatches"]["status"] == "True"


def test_identities_that_conflict_are_not_excused_by_a_missing_tool(make_rig):
    rig = make_rig()
    mirrored(rig, "storcli")
    rig.machine.kinds = {}
    known = Condition(
        type="HardwareMatches", since=rig.edge.now, status="False", reason="identity-conflict", message="m"
    )
    rig.edge.record = rig.edge.record.model_copy(update={"conditions": [known]})
    look(rig)
    assert "HardwareMatches" not in rig.edge.put
