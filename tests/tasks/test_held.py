"""`held`: whatever leaves the block becomes the job's outcome, once; a lost lease reports nothing."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Self

import pytest
from prefect.exceptions import Pause, TerminationSignal

from metal.errors import (
    Cancelled,
    JobWaits,
    LeaseLost,
    RackflowError,
    Refused,
    Unreachable,
    UnsafeChange,
    Wait,
)
from metal.planning.plan import Destroyed, Plan, Step
from specs.facts import Disk, Hardware, PartitionFact
from specs.phases import Phase
from specs.reasons import REASONS
from specs.records import JobRecord, JournalRow, LeaseGrant
from tasks import form
from tasks import held as module
from tasks.held import held
from tasks.run import Run, Stage

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class FakeEdge:
    """The calls of `held`, in order, with what they carried."""

    job_: JobRecord
    calls: list[tuple[str, Any]] = field(default_factory=list)
    held_by_another: bool = False
    cancelling: bool = False
    spec: object = None
    rows: list[JournalRow] = field(default_factory=list)
    plan_: Plan | None = None
    asks_at: datetime | None = None
    """When a run's outcome makes the job wait for a consent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def job(self, name: str, number: int) -> JobRecord:
        self.calls.append(("job", (name, number)))
        return self.job_

    def claim_job(self, name: str, **claim: Any) -> JobRecord:
        self.calls.append(("claim_job", claim))
        return self.job_

    def lease(self, name: str, **claim: Any) -> LeaseGrant:
        self.calls.append(("lease", claim))
        if self.held_by_another:
            raise LeaseLost("job 3 holds it", host=name, reason="lease-lost")
        return LeaseGrant(epoch=5, ttl_s=90, cancelling=self.cancelling)

    def phase(self, name: str, phase: Phase, **more: Any) -> None:
        self.calls.append(("phase", phase))

    def put_condition(self, name: str, type_: str, **more: Any) -> None:
        self.calls.append(("condition", (type_, more["status"])))

    def finish(self, name: str, number: int, **outcome: Any) -> JobRecord:
        self.calls.append(("finish", {"host": name, "job": number} | outcome))
        state = outcome["result"] if outcome["result"] == "waiting-consent" else "done"
        self.job_ = self.job_.model_copy(update={"consent_asked": self.asks_at})
        return self.job_.model_copy(update={"state": "cancelled" if self.cancelling else state})

    def journal_rows(self, name: str, *, job: int) -> list[JournalRow]:
        return self.rows

    def plan(self, plan_hash: str) -> dict[str, Any]:
        return self.plan_.model_dump(mode="json") if self.plan_ else {}

    def answer_form(self, name: str, number: int, **answer: Any) -> JobRecord:
        self.calls.append(("answer_form", answer))
        state = "delivered" if answer["consents"] else "cancelled"
        told = None if answer["consents"] else "a person refused the plan"
        return self.job_.model_copy(update={"state": state, "message": told})

    def order(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(spec=self.spec)

    def all(self, what: str) -> list[Any]:
        """What the calls of one name carried."""
        return [carried for name, carried in self.calls if name == what]

    @property
    def outcome(self) -> dict[str, Any]:
        """The one report."""
        (only,) = self.all("finish")
        return dict(only)


@pytest.fixture
def edge(monkeypatch: pytest.MonkeyPatch) -> FakeEdge:
    job = JobRecord(
        host="web-01", host_id="id-1", no=7, verb="apply", state="delivered", by="t", created_at=NOW
    )
    fake = FakeEdge(job)
    monkeypatch.setattr(module, "EdgeClient", lambda: fake)
    return fake


def plan(*, destructive: bool = False, drift: tuple[str, ...] = ()) -> Plan:
    """A plan of one step, or of none."""
    destroys = (Destroyed(serial="D0", size_bytes=1, found="blank"),)
    step = Step(id="wipe", kind="wipe", field="disks", reason="r", destructive=True, destroys=destroys)
    return Plan(
        host="web-01",
        host_id="id-1",
        specset=None,
        spec="web-01",
        observed_at=None,
        seen_from=None,
        steps=(step,) if destructive else (),
        drift=drift,
    )


def test_a_block_that_ends_well_reports_what_it_did_under_its_epoch(edge: FakeEdge) -> None:
    with held("web-01", 7, "apply") as run:
        with run.stage("write") as stage:
            stage.wrote(3)
        run.applied(plan(destructive=True))

    told = edge.outcome
    assert (told["host"], told["job"], told["epoch"], told["result"]) == ("web-01", 7, 5, "applied")
    assert {key: told["outcome"][key] for key in ("changes", "writes")} == {"changes": 1, "writes": 3}
    assert [stage["name"] for stage in told["outcome"]["stages"]] == ["write"]
    assert edge.all("phase") == [Phase.ACTIVE]


@pytest.mark.parametrize(
    ("error", "reason", "message"),
    [
        (Refused("no disk fits", reason="no-matching-disk"), "no-matching-disk", "no disk fits"),
        (Unreachable("silent", host="web-01", reason="unreachable"), "unreachable", "silent"),
        (ValueError("a bug"), "step-failed", "ValueError: a bug"),
    ],
)
def test_an_exception_becomes_a_failure_with_its_reason_and_next_step_and_goes_on(
    edge: FakeEdge, error: Exception, reason: str, message: str
) -> None:
    def writes_and_fails() -> None:
        with held("web-01", 7, "apply") as run, run.stage("write") as stage:
            stage.wrote(2)
            raise error

    with pytest.raises(type(error)):
        writes_and_fails()

    told = edge.outcome
    assert (told["result"], told["reason"], told["message"]) == ("failed", reason, message)
    assert told["next_step"] == REASONS[reason].next_step
    assert told["outcome"]["writes"] == 2


@pytest.mark.parametrize(
    "error",
    [
        LeaseLost("job 8 holds it", host="web-01", reason="lease-lost"),
        Unreachable("the edge does not answer", reason="unreachable"),
        TerminationSignal(15),
        KeyboardInterrupt(),
    ],
    ids=["the host is another run's", "the edge is away", "Prefect's cancel", "the worker is stopped"],
)
def test_a_job_that_may_go_on_in_another_run_gets_no_outcome(edge: FakeEdge, error: BaseException) -> None:
    with pytest.raises(type(error)), held("web-01", 7, "apply"):
        raise error

    assert edge.all("finish") == []


def test_a_wait_ends_the_run_well_and_without_an_outcome(edge: FakeEdge) -> None:
    wait = Wait("web-01", "os", NOW, NOW, "waits for the system to phone home")
    with held("web-01", 7, "apply") as run, run.stage("OS up") as stage:
        stage.got(wait)
        pytest.fail("the block went on")

    assert edge.all("finish") == []
    assert (run.ended().type.value, run.ended().message) == ("COMPLETED", wait.message)


def test_a_step_that_waits_is_told_from_one_that_ran() -> None:
    with pytest.raises(JobWaits):
        Stage().did(Wait("web-01", "boot-os", NOW, NOW, "waits"))


def test_an_outcome_counts_what_the_jobs_earlier_runs_finished(edge: FakeEdge) -> None:
    detail = {"writes": 3, "seconds": 61.5}
    told: dict[str, Any] = {
        "job": 7,
        "step": "write-image",
        "kind": "write-image",
        "at": NOW,
        "detail": detail,
    }
    edge.rows = [
        JournalRow(no=1, epoch=4, phase="intent", **told),
        JournalRow(no=2, epoch=4, phase="done", **told),
    ]
    with held("web-01", 7, "apply") as run:
        with run.stage("verify") as stage:
            stage.wrote(0)
        run.applied(plan())

    outcome = edge.outcome["outcome"]
    assert (outcome["changes"], outcome["writes"]) == (1, 3)
    assert [stage["name"] for stage in outcome["stages"]] == ["write-image", "verify"]
    assert edge.outcome["message"] == "1 changes, 3 writes, verified"


def wipe_after_the_lease_was_lost() -> None:
    """A run whose renewing thread has learnt that another holds the host."""
    with held("web-01", 7, "apply") as run:
        assert run.keeper is not None
        run.keeper._stopped = LeaseLost("job 8 holds it", host="web-01", reason="lease-lost")
        with run.stage("wipe"):
            pytest.fail("the stage was started")


def test_a_run_whose_lease_was_lost_starts_no_further_stage(edge: FakeEdge) -> None:
    with pytest.raises(LeaseLost):
        wipe_after_the_lease_was_lost()

    assert edge.all("finish") == []


def test_a_host_that_another_run_holds_is_not_touched(edge: FakeEdge) -> None:
    edge.held_by_another = True

    with pytest.raises(LeaseLost, match="job 3 holds it"), held("web-01", 7, "apply"):
        pytest.fail("the block ran")

    assert edge.all("finish") == []


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_a_run_of_a_job_that_has_ended_does_nothing(edge: FakeEdge, state: Any) -> None:
    edge.job_ = edge.job_.model_copy(update={"state": state})

    with pytest.raises(LeaseLost, match=f"already ended as {state}"), held("web-01", 7, "apply"):
        pytest.fail("the block ran")

    assert [name for name, _ in edge.calls] == ["job"]


def test_a_run_that_a_person_started_makes_its_own_job(edge: FakeEdge) -> None:
    with held("web-01", 0, "power", {"action": "on"}) as run:
        run.says("power off -> on")

    (claimed,) = edge.all("claim_job")
    assert (claimed["verb"], claimed["args"]) == ("power", {"action": "on"})
    assert edge.outcome["job"] == 7


@pytest.mark.parametrize(
    ("filesystem", "spec", "reason"),
    [("ext4", None, "foreign-system"), ("ext4", object(), "ok"), (None, None, "ok")],
)
def test_a_system_that_no_spec_claims_is_said_when_the_host_is_ready(
    edge: FakeEdge, filesystem: str | None, spec: object, reason: str
) -> None:
    part = PartitionFact(number=1, device="sda1", start_bytes=0, size_bytes=1, filesystem=filesystem)
    disk = Disk(device="/dev/sda", serial="D0", size_bytes=10, partitions=(part,))
    edge.spec = spec

    with held("web-01", 7, "discover") as run:
        run.ready(Hardware(disks=(disk,)))

    assert edge.outcome["reason"] == reason
    assert edge.all("phase") == [Phase.READY]
    assert ("D0" in edge.outcome["message"]) == (reason == "foreign-system")


def test_a_plan_that_waits_for_consent_names_what_it_would_erase(edge: FakeEdge) -> None:
    waiting = plan(destructive=True)
    with held("web-01", 7, "apply") as run:
        run.waits_for_consent(waiting)

    told = edge.outcome
    assert (told["result"], told["plan"]) == ("waiting-consent", waiting.hash)
    assert told["message"] == "waits for consent to erase D0"
    assert told["next_step"] == "rackflow approve NAME"


def test_a_run_without_work_says_that_the_host_is_in_sync(edge: FakeEdge) -> None:
    with held("web-01", 7, "apply") as run:
        run.in_sync(plan())

    assert (edge.outcome["result"], edge.outcome["reason"]) == ("in-sync", "ok")
    assert edge.all("condition") == [("InSync", "True")]


def test_drift_that_no_step_repairs_is_a_failure_that_names_it(edge: FakeEdge) -> None:
    """Zero steps are not yet "in sync": what differs and stays so must not look done."""
    with pytest.raises(Refused), held("web-01", 7, "apply") as run:
        run.in_sync(plan(drift=("image: other",)))

    told = edge.outcome
    assert (told["result"], told["reason"], told["message"]) == ("failed", "drift", "image: other")
    assert edge.all("condition") == [("InSync", "False")]


def test_a_reading_alone_says_what_differs(edge: FakeEdge) -> None:
    with held("web-01", 7, "observe") as run:
        run.observed(plan(drift=("image: other",)))

    assert (edge.outcome["result"], edge.outcome["message"]) == ("observed", "observed: image: other")
    assert edge.all("condition") == [("InSync", "False")]


def test_an_adjustment_keeps_the_phase_and_an_installation_enters_provisioning(edge: FakeEdge) -> None:
    def begins(made: Plan) -> Run:
        with held("web-01", 7, "apply") as run:
            run.begin(made)
        return run

    begins(plan())
    assert edge.all("phase") == []
    begins(plan(destructive=True))
    assert edge.all("phase") == [Phase.PROVISIONING]


def test_a_failure_to_report_is_not_swallowed(edge: FakeEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise Unreachable("the edge does not answer")

    monkeypatch.setattr(edge, "finish", silent)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    with pytest.raises(RackflowError), held("web-01", 7, "apply") as run:
        run.says("done")
    assert 45 < sum(slept) < 90  # longer than a restart, shorter than the lease


def test_an_outcome_waits_for_an_edge_that_restarts(edge: FakeEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    told, answers = edge.finish, iter([Unreachable("restarting"), Unreachable("restarting"), None])

    def finish(name: str, number: int, **outcome: Any) -> JobRecord:
        if error := next(answers):
            raise error
        return told(name, number, **outcome)

    monkeypatch.setattr(edge, "finish", finish)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with held("web-01", 7, "apply") as run:
        run.says("done")
    assert edge.outcome["message"] == "done"


def test_a_job_that_was_cancelled_between_its_runs_is_wound_down_and_ends(edge: FakeEdge) -> None:
    """The lease was taken to learn it; without an outcome the job would stay cancelling."""
    edge.cancelling = True

    with held("web-01", 7, "apply") as run, run.stage("observe"):
        pytest.fail("the stage was started")

    told = edge.outcome
    assert (told["result"], told["reason"], told["epoch"]) == ("failed", "cancelled", 5)
    assert told["message"] == "job 7 was cancelled; no step was begun"
    assert run.ended().type.value == "CANCELLED"


def test_what_went_wrong_while_winding_down_does_not_hide_the_cancel(
    edge: FakeEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr(module, "wind_down", breaks)
    with held("web-01", 7, "apply"):
        raise Cancelled("job 7 is being cancelled", host="web-01", reason="cancelled")

    assert (edge.outcome["reason"], edge.outcome["message"]) == ("cancelled", "job 7 is being cancelled")


class Asked:
    """The form of Prefect's UI: what is asked, and what a person answered; None suspends the run."""

    def __init__(self, answer: bool | None = None) -> None:  # noqa: FBT001 - a person's answer
        self.answer = answer
        self.plans: list[str] = []
        self.turns: list[int] = []

    def ask(self, asked: Plan, turn: int) -> bool:
        """Suspend, as Prefect does by an exception, or answer."""
        self.plans.append(asked.hash)
        self.turns.append(turn)
        if self.answer is None:
            raise Pause
        return self.answer


@pytest.fixture
def waiting(edge: FakeEdge, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A job that waits for consent with this run, and the form."""
    monkeypatch.setattr(module, "flow_run", SimpleNamespace(id="run-1"))
    edge.plan_ = plan(destructive=True)
    waits = {"state": "waiting-consent", "plan": edge.plan_.hash, "run_id": "run-1", "ask_in_ui": True}
    edge.job_ = edge.job_.model_copy(update=waits)
    asked = Asked()
    monkeypatch.setattr(form, "ask", asked.ask)
    return asked


def test_a_run_that_waits_for_consent_reports_first_and_then_suspends_itself(
    edge: FakeEdge, waiting: Asked
) -> None:
    edge.job_ = edge.job_.model_copy(update={"state": "delivered"})
    with pytest.raises(Pause), held("web-01", 7, "apply") as run:
        run.waits_for_consent(plan(destructive=True))

    assert edge.outcome["result"] == "waiting-consent"
    assert waiting.plans == [edge.outcome["plan"]]


def test_a_job_that_was_cancelled_just_before_it_asks_shows_no_form(edge: FakeEdge, waiting: Asked) -> None:
    edge.job_ = edge.job_.model_copy(update={"state": "delivered"})
    with held("web-01", 7, "apply") as run:
        run.waits_for_consent(plan(destructive=True))
        edge.cancelling = True

    assert waiting.plans == []


def test_a_step_that_was_cut_short_and_that_only_a_person_can_judge_asks_once_more(
    edge: FakeEdge, waiting: Asked
) -> None:
    edge.job_ = edge.job_.model_copy(update={"state": "delivered"})
    row = JournalRow(no=1, job=7, epoch=4, step="wipe", kind="wipe", phase="intent", at=NOW)
    edge.rows = [row, row]
    edge.asks_at = NOW
    with pytest.raises(Pause), held("web-01", 7, "apply") as run:
        carry_out(run, UnsafeChange("wipe has no outcome", host="web-01", reason="waiting-consent"))

    assert (edge.outcome["result"], edge.outcome["message"]) == ("waiting-consent", "wipe has no outcome")
    assert (waiting.plans, waiting.turns) == ([edge.outcome["plan"]], [int(NOW.timestamp() * 1000)])


def carry_out(run: Run, error: UnsafeChange) -> None:
    """Begin, and be refused."""
    run.begin(plan(destructive=True))
    raise error


def test_without_the_form_the_job_waits_for_the_command_alone(edge: FakeEdge, waiting: Asked) -> None:
    edge.job_ = edge.job_.model_copy(update={"state": "delivered", "ask_in_ui": False})
    with held("web-01", 7, "apply") as run:
        run.waits_for_consent(plan(destructive=True))

    assert waiting.plans == []
    assert run.ended().message == "waits for consent to erase D0"


def test_a_resumed_run_takes_the_answer_to_the_edge_and_goes_on(edge: FakeEdge, waiting: Asked) -> None:
    waiting.answer = True
    with held("web-01", 7, "apply") as run:
        run.says("done")

    (told,) = edge.all("answer_form")
    assert told == {"run_id": "run-1", "plan": waiting.plans[0], "consents": True}
    assert [name for name, _ in edge.calls] == ["job", "answer_form", "lease", "finish"]


def test_a_refusal_in_the_form_ends_the_run_before_it_holds_anything(edge: FakeEdge, waiting: Asked) -> None:
    waiting.answer = False
    with held("web-01", 7, "apply") as run, run.stage("observe"):
        pytest.fail("the stage was started")

    assert [name for name, _ in edge.calls] == ["job", "answer_form"]
    assert (run.ended().type.value, run.ended().message) == ("CANCELLED", "a person refused the plan")


def test_a_run_that_nobody_has_answered_suspends_again_and_an_orphan_of_the_job_does_not(
    edge: FakeEdge, waiting: Asked
) -> None:
    with pytest.raises(Pause), held("web-01", 7, "apply"):
        pytest.fail("the block ran")
    assert len(waiting.plans) == 1

    edge.job_ = edge.job_.model_copy(update={"run_id": "run-2"})
    with pytest.raises(LeaseLost, match="without this run"), held("web-01", 7, "apply"):
        pytest.fail("the block ran")
    assert [name for name, _ in edge.calls] == ["job", "job"]
