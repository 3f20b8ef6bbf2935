"""`wipe-host`: its recipe from claim to outcome, with every task's word given; and how a wipe ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from flows import wipe as recipe
from metal.engine.steps import StepOutcome
from metal.errors import UnsafeChange, Wait
from metal.planning.attested import erased_markdown, wiped_words
from metal.planning.plan import Destroyed, Plan, Step
from specs.erasure import WipeWish
from specs.facts import WipeReport
from specs.phases import Phase
from specs.records import JobRecord, JournalRow
from tasks import held as held_module
from tests.tasks.test_held import NOW, FakeEdge

STEPS = tuple(
    Step(
        id=f"wipe:{name}", kind="wipe", field="disks", reason="r", destructive=True,
        destroys=(Destroyed(serial=name, size_bytes=8 << 30, found="ntfs"),),
    )
    for name in ("D0", "D1")
)  # fmt: skip
PLAN = Plan(
    host="web-01", host_id="id-1", specset=None, spec=None, observed_at=None, seen_from="boot-os",
    wipe=WipeWish(), steps=STEPS, notes=("not erased: /dev/sdc STICK: removable", "another remark"),
)  # fmt: skip
REPORTS = tuple(
    WipeReport(
        identity=name, method="sanitize", how="h", size_bytes=8 << 30, began=1.0, ended=2.0, samples=64,
        zero_samples=0, proven=proven,
    )
    for name, proven in (("D0", True), ("D1", False))
)  # fmt: skip
WORDS = (
    "2 disks erased: D0 (sanitize), D1 (sanitize); by the drive's word alone: D1; 1 not erased, see the plan"
)


@dataclass
class Tasks:
    """What the tasks say, and in which order they were asked."""

    consents: bool = True
    asked: list[str] = field(default_factory=list)
    attests: Any = REPORTS
    steps: Callable[[str], StepOutcome] = lambda name: StepOutcome(
        name, changed=True, writes=2, seconds=1.0, message="done"
    )

    def observe(self, _claim: Any) -> str:
        self.asked.append("observe")
        return "seen"

    def make_plan(self, _claim: Any, seen: Any) -> Plan:
        assert seen == "seen"
        self.asked.append("plan")
        return PLAN

    def consented(self, _claim: Any, _plan: Plan) -> bool:
        self.asked.append("consent")
        return self.consents

    def execute(self, _claim: Any, _plan: Plan, step_id: str) -> StepOutcome:
        self.asked.append(step_id)
        return self.steps(step_id)

    def attest(self, _claim: Any, _plan: Plan) -> Any:
        self.asked.append("attest")
        return self.attests


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> FakeEdge:
    job = JobRecord(
        host="web-01", host_id="id-1", no=7, verb="wipe", state="delivered", by="t", created_at=NOW
    )
    fake = FakeEdge(job)
    monkeypatch.setattr(held_module, "EdgeClient", lambda: fake)
    return fake


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    given = Tasks()
    for name in ("observe", "make_plan", "consented", "execute", "attest"):
        monkeypatch.setattr(recipe, name, getattr(given, name))
    return given


def run(**more: Any) -> Any:
    return recipe.wipe_host.fn("web-01", job=7, **more)


def test_every_disk_is_erased_attested_and_the_host_is_ready(edge: FakeEdge, tasks: Tasks) -> None:
    assert run().type.value == "COMPLETED"

    assert tasks.asked == ["observe", "plan", "consent", "wipe:D0", "wipe:D1", "attest"]
    assert edge.all("phase") == [Phase.WIPING, Phase.READY]
    assert edge.all("condition") == [("InSync", "Unknown"), ("Reachable", "True")]
    told = edge.outcome
    assert (told["result"], told["reason"], told["plan"]) == ("applied", "ok", PLAN.hash)
    assert told["message"] == WORDS
    assert (told["outcome"]["changes"], told["outcome"]["writes"]) == (2, 4)


def test_without_a_consent_nothing_is_touched(edge: FakeEdge, tasks: Tasks) -> None:
    tasks.consents = False

    run()

    assert tasks.asked == ["observe", "plan", "consent"]
    assert edge.all("phase") == []
    told = edge.outcome
    assert (told["result"], told["plan"]) == ("waiting-consent", PLAN.hash)
    assert told["message"] == "waits for consent to erase D0, D1"


def test_who_is_asked_again_is_told_what_was_cut_and_which_disks_are_left(
    edge: FakeEdge, tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They consented already: without the reason it would read as if nobody had heard them."""
    steps = tuple(one.model_copy(update={"args": {"method": "overwrite"}}) for one in STEPS)
    plan = PLAN.model_copy(update={"steps": steps})
    monkeypatch.setattr(recipe, "make_plan", lambda _claim, _seen: plan)
    tasks.consents = False
    told: list[tuple[str, Any]] = [("wipe:D0", "intent"), ("wipe:D0", "done"), ("wipe:D1", "intent")]
    edge.rows = [
        JournalRow(no=no, job=7, epoch=4, step=step, kind="wipe", phase=phase, plan=plan.hash, at=NOW)
        for no, (step, phase) in enumerate(told)
    ]

    run()

    begun = f"wipe:D1 was begun at {NOW:%F %T} UTC and cut"
    assert edge.outcome["message"] == f"{begun}; waits for consent to erase D1"


def test_a_wipe_that_was_cut_waits_for_a_person_in_its_phase(edge: FakeEdge, tasks: Tasks) -> None:
    def cut(name: str) -> StepOutcome:
        raise UnsafeChange(f"step {name} has no outcome", host="web-01", reason="waiting-consent")

    tasks.steps = cut

    run()

    assert edge.all("phase") == [Phase.WIPING]
    assert edge.outcome["result"] == "waiting-consent"


def test_a_machine_that_boots_for_its_last_reading_ends_the_run_and_not_the_job(
    edge: FakeEdge, tasks: Tasks
) -> None:
    tasks.attests = Wait("web-01", "boot-os", NOW, NOW + timedelta(minutes=2), "waits for the boot OS")

    assert run().type.value == "COMPLETED"

    assert edge.all("finish") == []
    assert edge.all("phase") == [Phase.WIPING]


def test_a_failure_says_how_to_have_it_wiped_again(edge: FakeEdge, tasks: Tasks) -> None:
    def fails(name: str) -> StepOutcome:
        raise UnsafeChange(f"{name} failed", host="web-01", reason="step-failed")

    tasks.steps = fails

    with pytest.raises(UnsafeChange):
        run()

    assert "then rackflow wipe NAME" in edge.outcome["next_step"]
    assert "rackflow apply" not in edge.outcome["next_step"]


def test_a_run_by_hand_claims_a_job_with_what_its_form_says(edge: FakeEdge, tasks: Tasks) -> None:
    recipe.wipe_host.fn("web-01", method="discard", disks="D0,D1")

    (claimed,) = edge.all("claim_job")
    assert (claimed["verb"], claimed["args"]) == (
        "wipe", {"method": "discard", "disks": ["D0", "D1"], "specset": None},
    )  # fmt: skip
    assert tasks.asked[-1] == "attest"


def test_the_words_and_the_table_of_a_wipe_say_what_was_not_proven_and_not_erased() -> None:
    assert wiped_words(REPORTS, PLAN.notes) == WORDS
    assert wiped_words(REPORTS[:1], ()) == "1 disk erased: D0 (sanitize)"
    table = erased_markdown(REPORTS, ("not erased: <b> | x",))
    assert "the drive's word alone" in table
    assert "- not erased: &lt;b> \\| x" in table
