"""`cancel`, `release`, `approve`: what is asked, what is refused, what is said of what is left."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metal.planning.plan import Destroyed, Plan, Step
from specs.phases import Phase
from specs.records import HostRecord, JobRecord, LeaseRecord, WaitRecord
from tests.metal.cli.conftest import NOW, FakeEdge, Rackflow

JOBS = "GET /v1/hosts/web-01/jobs"
BEGUN = {"no": 1, "job": 7, "epoch": 2, "kind": "k", "at": str(NOW)}


def plan_of(serial: str) -> Plan:
    lost = Destroyed(serial=serial, size_bytes=8 << 30, found="ntfs")
    step = Step(id="wipe", kind="wipe", field="disks", reason="r", destructive=True, destroys=(lost,))
    return Plan(
        host="web-01", host_id="id-1", specset=None, spec="w", observed_at=None, seen_from="boot-os",
        steps=(step,),
    )  # fmt: skip


WAITING, OTHER = plan_of("D0"), plan_of("D1")


@pytest.fixture
def open_job(edge: FakeEdge, job: JobRecord) -> JobRecord:
    """A claimed job that is cancelled once it is asked to be."""
    claimed = job.model_copy(update={"state": "claimed", "result": None})
    ended = claimed.model_copy(
        update={"state": "cancelled", "reason": "cancelled", "result": "failed", "message": "stopped"}
    )
    edge.answers[JOBS] = (200, {"items": [claimed.model_dump(mode="json")]})
    edge.answers[f"POST {JOBS[4:]}/7/cancel"] = (200, claimed.model_dump(mode="json"))
    edge.answers[f"{JOBS}/7"] = (200, ended.model_dump(mode="json"))
    rows = [
        {**BEGUN, "step": "wipe", "phase": "done"},
        {**BEGUN, "step": "write-image", "phase": "intent", "no": 2},
    ]
    edge.answers["GET /v1/hosts/web-01/journal"] = (200, {"items": rows})
    return claimed


@pytest.mark.usefixtures("open_job")
def test_cancel_waits_for_the_end_and_says_what_was_left(edge: FakeEdge, rackflow: Rackflow) -> None:
    said = rackflow("cancel", "web-01", "--yes")

    assert said.code == 0
    assert said.out.splitlines()[0] == "web-01: apply #7 is cancelled: stopped"
    assert "finished: wipe" in said.out
    assert "step write-image was begun at 2026-11-25 12:00 UTC and has no outcome" in said.out
    assert len(edge.sent(f"POST {JOBS[4:]}/7/cancel")) == 1


@pytest.mark.usefixtures("open_job")
def test_cancel_without_a_person_or_yes_asks_for_yes_and_cancels_nothing(
    edge: FakeEdge, rackflow: Rackflow
) -> None:
    said = rackflow("cancel", "web-01")

    assert (said.code, "--yes" in said.err) == (2, True)
    assert edge.sent(f"POST {JOBS[4:]}/7/cancel") == []


def test_a_job_that_ended_before_its_cancel_is_a_failure(
    edge: FakeEdge, rackflow: Rackflow, open_job: JobRecord
) -> None:
    done = open_job.model_copy(update={"state": "done", "result": "applied", "message": "3 steps"})
    edge.answers[f"{JOBS}/7"] = (200, done.model_dump(mode="json"))

    said = rackflow("cancel", "web-01", "--yes")

    assert (said.code, "ended before it could be cancelled: 3 steps" in said.out) == (1, True)


@pytest.mark.usefixtures("open_job")
def test_cancel_need_not_wait_and_nothing_to_cancel_is_no_failure(edge: FakeEdge, rackflow: Rackflow) -> None:
    assert rackflow("cancel", "web-01", "--yes", "--no-wait").code == 0
    edge.answers[JOBS] = (200, {"items": []})

    said = rackflow("cancel", "web-01", "--yes")

    assert (said.code, "nothing to cancel" in said.err) == (0, True)


@pytest.mark.parametrize(
    ("renewed_ago_s", "more", "code"),
    [(5, ("--yes",), 1), (5, ("--yes", "--force"), 0), (40, ("--yes",), 0), (40, (), 2)],
)
def test_release_refuses_a_holder_that_lives(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, renewed_ago_s: int, more: tuple[str, ...], code: int
) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=90 - renewed_ago_s)
    lease = LeaseRecord(epoch=3, job=7, run_id="0123456789", expires=expires)
    edge.knows(host.model_copy(update={"lease": lease}))
    edge.answers[JOBS] = (200, {"items": []})
    edge.answers["POST /v1/hosts/web-01/release"] = (200, host.model_dump(mode="json"))

    said = rackflow("release", "web-01", *more)

    assert said.code == code
    assert len(edge.sent("POST /v1/hosts/web-01/release")) == (code == 0)
    if code == 1:
        assert "flow run 01234567" in said.err
        assert "next: rackflow cancel web-01" in said.err


def waits(edge: FakeEdge, job: JobRecord, *stored: Plan) -> None:
    waiting = job.model_copy(
        update={"state": "waiting-consent", "result": "waiting-consent", "plan": WAITING.hash}
    )
    edge.answers[JOBS] = (200, {"items": [waiting.model_dump(mode="json")]})
    for plan in stored:
        edge.answers[f"GET /v1/plans/{plan.hash}"] = (200, plan.model_dump(mode="json"))
    consent = {"host": "web-01", "plan": WAITING.hash, "by": "me", "at": str(NOW), "expires": str(NOW)}
    edge.answers["POST /v1/consents"] = (201, consent)


@pytest.mark.parametrize("more", [(), ("--plan", WAITING.hash[:12]), ("--plan", WAITING.hash)])
def test_approve_shows_what_is_erased_and_consents_to_the_plan_that_was_shown(
    edge: FakeEdge, rackflow: Rackflow, job: JobRecord, more: tuple[str, ...]
) -> None:
    waits(edge, job, WAITING)

    said = rackflow("approve", "web-01", *more)

    assert (said.code, said.out.splitlines()[1]) == (0, "D0\t8 GiB\tntfs\twipe")
    assert edge.sent("POST /v1/consents")[0]["plan"] == WAITING.hash


def test_who_approves_a_wipe_is_told_that_it_is_one(
    edge: FakeEdge, rackflow: Rackflow, job: JobRecord
) -> None:
    """An installation erases the same disks by steps of the same names."""
    told = "a wipe: nothing is installed afterwards"
    waits(edge, job, WAITING)
    assert told not in rackflow("approve", "web-01").err
    edge.answers[f"GET /v1/plans/{WAITING.hash}"][1]["wipe"] = {"method": None, "disks": "all"}
    assert told in rackflow("approve", "web-01").err


@pytest.mark.parametrize("stored", [(WAITING, OTHER), (WAITING,)])
def test_approve_for_another_plan_is_refused_with_the_difference(
    edge: FakeEdge, rackflow: Rackflow, job: JobRecord, stored: tuple[Plan, ...]
) -> None:
    waits(edge, job, *stored)

    said = rackflow("approve", "web-01", "--plan", OTHER.hash)

    assert (said.code, edge.sent("POST /v1/consents")) == (1, [])
    assert f"next: look at it, then: rackflow approve web-01 --plan {WAITING.hash[:12]}" in said.err
    if OTHER in stored:
        assert [row for row in said.out.splitlines() if row.startswith("steps.wipe.destroys")] == [
            'steps.wipe.destroys.0.serial\t"D1"\t"D0"'
        ]


def busy(host: HostRecord, job: JobRecord, **changed: Any) -> tuple[HostRecord, JobRecord]:
    return host.model_copy(update={"last_job": 7, "phase": Phase.PROVISIONING}), job.model_copy(
        update={"result": None, **changed}
    )


WAIT = WaitRecord(event="boot-os", since=NOW, deadline=NOW, message="waits for the boot OS to report in")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"state": "waiting", "wait": WAIT}, "waits for the boot OS, looks again at 2026-11-25 12:00 UTC"),
        ({"state": "wanted", "lost_runs": 2}, "waits for its next attempt (2 runs lost)"),
        ({"state": "waiting-consent", "plan": "f" * 64}, f"waits for consent to plan {'f' * 12}"),
        ({"state": "cancelling"}, "is being cancelled"),
    ],
)
def test_hosts_and_host_show_what_a_job_waits_for(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, job: JobRecord, changed: Any, told: str
) -> None:
    at_work, doing = busy(host, job, **changed)
    edge.answers["GET /v1/hosts"] = (200, {"items": [at_work.model_dump(mode="json")]})
    edge.answers["GET /v1/hosts/web-01"] = (200, at_work.model_dump(mode="json"))
    edge.answers[f"{JOBS}/7"] = (200, doing.model_dump(mode="json"))
    edge.answers["GET /v1/hosts/web-01/journal"] = (200, {"items": []})

    assert f"apply #7 {told}" in rackflow("hosts").out
    assert f"job\tapply #7 of t: {told}" in rackflow("host", "web-01").out


def test_apply_goes_on_waiting_for_a_job_that_waits_and_shows_for_what(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, job: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metal.cli.waiting.POLL_S", 0.0)
    edge.knows(host)
    edge.ends(job)
    waiting = job.model_copy(update={"state": "waiting", "wait": WAIT, "result": None})
    done = edge.answers[f"{JOBS}/7"]
    edge.answers[f"{JOBS}/7"] = (200, waiting.model_dump(mode="json"))
    edge.then[f"{JOBS}/7"] = done

    said = rackflow("apply", "web-01")

    assert said.code == 0
    assert "web-01: waits for the boot OS to report in; looks again at" in said.err
