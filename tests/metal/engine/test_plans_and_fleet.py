"""Which plan a job runs, the BMC's lock, and a fleet whose hosts do not spoil each other's turn."""

from typing import Any

import pytest

from metal.edge_client.wire import Conflict, NotKnown
from metal.engine import fleet
from metal.engine.claim import Claim
from metal.engine.connect import bmc_lock
from metal.engine.plans import plan_for_job, posted_by
from metal.errors import SpecError, UnsafeChange
from metal.planning.plan import Plan, Step
from specs.facts import Observation
from specs.records import JobRecord

CLAIM = Claim("web-01", 7, "run-1", 4)
STEP = Step(id="hostname", kind="hostname", field="hostname", reason="r")
PLAN = Plan(
    host="web-01", host_id="h1", specset="s", spec="web-01", observed_at=None, seen_from=None, steps=(STEP,)
)


def job(rig, **more: Any) -> JobRecord:
    return JobRecord(
        host="web-01", host_id="h1", no=7, verb="apply", state="claimed", created_at=rig.edge.now,
        **({"by": "t"} | more),
    )  # fmt: skip


def test_a_stored_plan_that_is_not_the_one_of_its_hash_does_not_run(rig):
    stored = {PLAN.hash: PLAN.model_dump(mode="json")}
    rig.edge.job = lambda _host, _no: job(rig, plan=PLAN.hash)
    rig.edge.plan = stored.__getitem__
    seen = Observation(at=rig.edge.now, seen_from="boot-os")
    assert plan_for_job(rig.edge, CLAIM, seen) == PLAN
    stored[PLAN.hash]["steps"][0]["args"] = {"hostname": "other"}
    with pytest.raises(UnsafeChange) as caught:
        plan_for_job(rig.edge, CLAIM, seen)
    assert caught.value.reason == "plan-moved"


def test_a_run_started_in_prefects_ui_is_no_persons_wish(rig):
    assert posted_by(job(rig, by="prefect-ui")) == "prefect-ui"
    assert posted_by(job(rig, by="alice")) == "person"


def test_a_bmc_lock_that_a_dead_run_left_is_waited_for_and_a_living_one_named(rig):
    free, held = rig.edge.bmc_lock, Conflict("run-0:power holds the BMC lock", reason="bmc-lock")
    around = {"clock": rig.around.clock, "sleep": rig.around.sleep}
    expires = rig.clock[0] + 60

    def lock(host: str, **asked: Any) -> Any:
        if rig.clock[0] < expires:
            raise held
        return free(host, **asked)

    rig.edge.bmc_lock = lock
    with bmc_lock(rig.edge, "web-01", owner="run-1", **around) as held_now:
        assert held_now.credentials
    expires = rig.clock[0] + 3600
    with pytest.raises(Conflict, match="run-0:power"), bmc_lock(rig.edge, "web-01", owner="run-1", **around):
        pytest.fail("two hold the lock")


def test_two_processes_of_one_run_are_two_holders_of_the_bmc(rig):
    around = {"clock": rig.around.clock, "sleep": rig.around.sleep}
    holders: set[str] = set()

    def lock(_host: str, *, owner: str, **_more: Any) -> list[Any]:
        if holders - {owner}:
            raise Conflict(f"{holders} has it", reason="bmc-lock")
        holders.add(owner)
        return []

    rig.edge.bmc_lock, rig.edge.bmc_unlock = lock, lambda _host, *, owner: holders.discard(owner)
    with (
        bmc_lock(rig.edge, "web-01", owner="run-1:power", epoch=4, **around),
        pytest.raises(Conflict, match="run-1:power"),
        bmc_lock(rig.edge, "web-01", owner="run-1:power", epoch=5, **around),
    ):
        pytest.fail("two hold the lock")
    assert holders == set()


def test_a_host_that_cannot_be_planned_or_has_a_job_does_not_spoil_the_others_turn(rig, monkeypatch):
    said: dict[str, tuple[str, str]] = {}
    posted: list[str] = []

    def order(name: str) -> Any:
        if name == "gone":
            raise NotKnown("no host gone", host=name, reason="refused")
        return rig.edge.order_.model_copy(
            update={"host": rig.edge.record.model_copy(update={"name": name}), "spec": None}
        )

    def post(name: str, _verb: str, *, by: str) -> None:
        if name == "busy":
            raise Conflict("job 3 (power) is claimed", host=name, reason="job")
        posted.append(f"{name} {by}")

    def plan(order: Any, _seen: Any) -> Plan:
        if order.host.name == "wiping":
            raise SpecError("no spec is applied while the host is wiping", reason="no-work-due")
        return PLAN

    monkeypatch.setattr(fleet, "make_plan", plan)
    rig.edge.order, rig.edge.post_job = order, post
    rig.edge.put_condition = lambda name, _type, **told: said.update({name: (told["status"], told["reason"])})
    assert fleet.post_jobs(rig.edge, ["gone", "busy", "wiping", "last"]) == ["last"]
    assert posted == ["last fleet"]
    assert said == {
        "gone": ("Unknown", "refused"),
        "busy": ("False", "drift"),
        "wiping": ("Unknown", "no-work-due"),
        "last": ("False", "drift"),
    }
