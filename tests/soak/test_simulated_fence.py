"""rf-exec of a simulated machine fences as the real one does; else a passed soak would mean nothing."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lab.sim import fleet
from lab.sim.disks import Disk
from lab.sim.fence import EXIT_BUSY, EXIT_DISK, EXIT_EPOCH, EXIT_OTHER_COMMAND, Answer, Fence, Step
from lab.sim.system import System
from lab.sim.witness import Witness, violations

DEADLINE_S = 10.0


@dataclass
class Rig:
    """A boot with one disk, and programs that run until they are let go."""

    system: System
    witness: Witness = field(default_factory=Witness)
    running: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    effects: list[str] = field(default_factory=list)
    fence: Fence = field(init=False)

    def __post_init__(self) -> None:
        self.fence = Fence(self.system, self.witness, self.program)

    def program(self, step: Step) -> Answer:
        """Work until it may end or is ended, then change the machine."""
        self.running.set()
        while step.request.argv[0] == "slow" and not self.let_go.is_set():
            step.pause(0.01)
        with step.change():
            self.effects.append(step.request.step)
        return 0, "done\n", ""

    def call(self, *argv: str) -> Answer:
        return self.fence.call(list(argv), lambda: b"")

    def start(self, *argv: str) -> Callable[[], Answer]:
        """Call from a thread, as a connection does; gives what waits for its answer."""
        answers: list[Answer] = []
        caller = threading.Thread(target=lambda: answers.append(self.call(*argv)))
        caller.start()
        assert self.running.wait(DEADLINE_S)

        def answer() -> Answer:
            caller.join(DEADLINE_S)
            return answers[0]

        return answer


@pytest.fixture
def rig() -> Rig:
    disk = Disk("D0", 8 << 30, "sda", "sata")
    return Rig(System(fleet.definition(1), "boot-os", 1, "10.77.1.101", [disk], fleet.image()))


def test_a_lower_epoch_is_refused_and_the_witness_hears_of_it(rig: Rig) -> None:
    rig.call("--epoch", "5", "--step", "1-a-aaaaaaaa-0", "--", "quick")

    status, _, told = rig.call("--epoch", "4", "--step", "1-b-bbbbbbbb-0", "--", "quick")

    assert status == EXIT_EPOCH
    assert '"highest": 5' in told
    assert [row.event for row in rig.witness.rows] == ["start", "end", "refused"]
    assert rig.effects == ["1-a-aaaaaaaa-0"]


def test_a_higher_epoch_ends_what_a_lower_one_runs(rig: Rig) -> None:
    older = rig.start("--epoch", "4", "--step", "1-a-aaaaaaaa-0", "--", "slow")

    rig.call("--epoch", "5", "--step", "1-b-bbbbbbbb-0", "--", "quick")

    status, _, told = older()
    assert status == 137
    assert '"fenced": true' in told
    assert rig.effects == ["1-b-bbbbbbbb-0"]
    assert violations(rig.witness.rows) == []


def test_the_same_id_is_answered_by_the_step_that_runs(rig: Rig) -> None:
    asked = ("--epoch", "4", "--step", "1-a-aaaaaaaa-0", "--", "slow")
    first, second = rig.start(*asked), rig.start(*asked)

    rig.let_go.set()

    assert first() == second() == (0, "done\n", "")
    assert rig.call(*asked) == (0, "done\n", "")
    assert rig.call(*asked[:-1], "quick")[0] == EXIT_OTHER_COMMAND
    assert rig.effects == ["1-a-aaaaaaaa-0"]


def test_one_step_runs_at_a_time(rig: Rig) -> None:
    first = rig.start("--epoch", "4", "--step", "1-a-aaaaaaaa-0", "--", "slow")

    refused = rig.call("--epoch", "4", "--step", "1-a-aaaaaaaa-1", "--wait", "0", "--", "quick")

    assert refused[0] == EXIT_BUSY
    rig.let_go.set()
    assert first()[0] == 0


def test_what_a_power_cut_meets_changes_nothing(rig: Rig) -> None:
    first = rig.start("--epoch", "4", "--step", "1-a-aaaaaaaa-0", "--", "slow")

    rig.system.over.set()
    rig.fence.cut()

    first()
    assert rig.effects == []
    assert rig.witness.rows[-1].how == "cut"


@pytest.mark.parametrize("wish", ["D1", "D0:1", "md-uuid:00000000:00000000:00000000:00000000"])
def test_another_disk_is_refused(rig: Rig, wish: str) -> None:
    assert rig.call("--epoch", "4", "--step", "1-a-aaaaaaaa-0", "--disk", wish, "--", "quick")[0] == EXIT_DISK
    assert rig.effects == []
