"""Between plan and act the disks are no longer those that were shown: right all the same, or refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from metal.engine.steps import run_step
from metal.errors import RackflowError
from metal.protocols import Command
from metal.testing.fake_machine import FakeMachine
from tests.metal.engine.whole_jobs import plain
from tests.metal.engine.world import ERASERS, World

GIB = 1 << 30
Change = Callable[[FakeMachine], None]
NEXT = "rackflow plan web-01 --refresh shows the disks that are there now"


def swap_names(machine: FakeMachine) -> None:
    """The kernel finds them in another order."""
    first, second = machine.disks["RF-D0"], machine.disks["RF-D1"]
    first["kname"], second["kname"] = second["kname"], first["kname"]


def replace(machine: FakeMachine) -> None:
    """Another disk of the same make is in its slot."""
    machine.disks = {"RF-D9" if name == "RF-D0" else name: one for name, one in machine.disks.items()}


def remove(machine: FakeMachine) -> None:
    del machine.disks["RF-D0"]


def add_path(machine: FakeMachine) -> None:
    """A second path to it is cabled."""
    machine.disks["RF-D0"]["wwn"] = "naa.5000c500aaaa0001"
    machine.disks["path"] = machine.disks["RF-D0"] | {"kname": "sdz", "serial": "RF-D0"}


def add_stick(machine: FakeMachine) -> None:
    stick = {"kname": "sdz", "size": 4 * GIB, "parts": {}, "lsblk": {"tran": "usb", "rm": True}}
    machine.disks["STICK4"] = stick


def resize(machine: FakeMachine) -> None:
    """A bridge that tells every disk of its bay by one serial has another disk in it."""
    machine.disks["RF-D0"]["size"] = 16 * GIB


@dataclass(frozen=True)
class Case:
    """What changes after the plan, and after the step's last reading; how it ends."""

    change: Change
    says: str = ""
    """Message and next step; empty where the right disk is written."""
    at_the_command: str = ""
    """What rf-exec says where the change comes between the reading and the command."""


CASES = {
    "names swapped": Case(swap_names),
    "disk replaced": Case(
        replace, f"0 disks are RF-D0; seen: RF-D9, RF-D1 ({NEXT})", "no disk has this identity: RF-D0"
    ),
    "disk removed": Case(
        remove, f"0 disks are RF-D0; seen: RF-D1 ({NEXT})", "no disk has this identity: RF-D0"
    ),
    "second path": Case(
        add_path,
        f"2 disks are RF-D0; seen: RF-D0, RF-D1, RF-D0 ({NEXT})",
        "more than one disk has this identity: RF-D0",
    ),
    "another size": Case(
        resize,
        f"disk RF-D0 has {16 * GIB} bytes, the plan is for {8 * GIB} ({NEXT})",
        "another size has this identity: RF-D0",
    ),
}


def outcome(world: World) -> str:
    claim, around = world.begin()
    try:
        for step in world.plan.steps:
            if step.where == "boot-os":
                run_step(world.rig.edge, claim, world.plan, step.id, log=world.rig.said.append, around=around)
    except RackflowError as error:
        return str(error).removeprefix("web-01: ")
    return ""


def erased(world: World) -> list[str]:
    """Disks that an erasing command named."""
    sent = [one.change for one in world.machine.sent if isinstance(one.change, Command)]
    return sorted({g.identity for one in sent if " ".join(one.argv).find(erase(one)) >= 0 for g in one.disks})


def erase(command: Command) -> str:
    return next((word for word in ERASERS if word in " ".join(command.argv)), "\0")


def bystanders(machine: FakeMachine) -> dict[str, Any]:
    return {name: dict(one["parts"]) for name, one in machine.disks.items() if name != "RF-D0"}


@pytest.mark.parametrize("name", CASES)
def test_a_disk_that_is_another_one_since_the_plan_is_refused(name: str, rig) -> None:
    case, world = CASES[name], plain(rig)
    case.change(world.machine)
    before = bystanders(world.machine)
    assert outcome(world) == case.says
    assert erased(world) == ([] if case.says else ["RF-D0"])
    assert bystanders(world.machine) == before


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.at_the_command])
def test_rf_exec_refuses_what_changed_after_the_last_reading(name: str, rig) -> None:
    case, world = CASES[name], plain(rig)
    first = next(n for n, step in enumerate(world.plan.steps) if step.destructive)
    changed: list[str] = []
    plain_change = world.machine.change

    def change(sent: Any, **more: Any) -> Any:
        if not changed and erase(sent) != "\0":
            case.change(world.machine)
            changed.append(sent.argv[0])
        return plain_change(sent, **more)

    world.machine.change = change  # type: ignore[method-assign]
    assert outcome(world) == f"rf-exec: {case.at_the_command}"
    assert changed == [world.machine.sent[-1].change.argv[0]], "nothing was sent after the refusal"
    failed = [row.step for row in world.rig.edge.rows if row.phase == "failed"]
    assert failed == [world.plan.steps[first].id]


def test_what_is_plugged_in_after_the_plan_stops_it_before_anything_is_erased(rig) -> None:
    world = plain(rig)
    add_stick(world.machine)
    told = outcome(world)
    assert told.startswith(
        "the machine is not as it was when the plan was made: hardware.disks.STICK4: is new: "
    )
    assert told.endswith("(rackflow plan web-01 --refresh)")
    assert erased(world) == []
