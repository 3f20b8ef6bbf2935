"""Runs that die: when they are noticed, what fences them, and when their job gives up."""

from typing import Any

import pytest

HOST = "mac-52540000000a"


def lose(site: Any) -> str:
    """Have the newest run claim the host and die; its id."""
    site.start()
    lost = str(site.prefect.newest())
    site.clock.forward(1)
    site.prefect.says(lost, "CRASHED")
    assert site.sweep() == 1
    return lost


def next_attempt(site: Any, delay_s: int) -> None:
    """The next run comes after its back-off, and not before."""
    site.clock.forward(delay_s - 1)
    site.deliver()
    before = site.prefect.newest()
    site.clock.forward(1)
    assert site.deliver() == 1
    assert site.prefect.newest() != before


def test_a_run_that_prefect_calls_dead_is_followed_at_once_by_a_fenced_attempt(reported: Any) -> None:
    site = reported
    lost = lose(site)
    job = site.job()
    assert (job["state"], job["lost_runs"], job["run_id"]) == ("wanted", 1, None)
    site.claim(lost, expect=409)
    assert site.step(1, "intent", expect=409)["code"] == "epoch"
    next_attempt(site, 30)
    assert site.prefect.told == []  # Prefect says CRASHED by itself
    assert site.claim()["epoch"] == 2
    assert site.claim(lost, expect=409)["code"] == "lease"


def test_a_run_that_prefect_believes_alive_is_lost_with_its_lease(reported: Any) -> None:
    site = reported
    site.start("inspecting")
    lost = site.prefect.newest()
    site.clock.forward(89)
    assert site.sweep() == 0
    site.clock.forward(1)
    assert site.sweep() == 1
    assert site.deliver() == 1
    assert site.prefect.told == [f"CRASHED {lost}"]
    assert site.host()["phase"] == "inspecting"


def test_a_run_that_renews_after_prefects_verdict_is_left_to_its_lease(reported: Any) -> None:
    site = reported
    epoch = site.start()
    alive = site.prefect.newest()
    site.prefect.says(alive, "CRASHED")
    site.clock.forward(20)
    site.call("PUT", f"/v1/hosts/{HOST}/lease", json={"epoch": epoch, "run_id": alive})
    assert site.sweep() == 0
    site.clock.forward(90)
    assert site.sweep() == 1


def test_while_prefect_is_away_nothing_is_handed_on_or_counted(reported: Any) -> None:
    site = reported
    site.start()
    site.clock.forward(3600)
    site.prefect.down = True
    assert site.sweep() == 0
    assert (site.job()["state"], site.job()["lost_runs"]) == ("claimed", 0)
    site.prefect.down = False
    assert site.sweep() == 1


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_run_that_never_claims_is_replaced_and_not_counted(reported: Any, state: str) -> None:
    site = reported
    stuck = site.prefect.newest()
    site.clock.forward(1000)
    assert site.sweep() == 0  # SCHEDULED: no worker is there
    site.prefect.says(stuck, state)
    site.clock.forward(119)
    assert site.sweep() == 0
    site.clock.forward(1)
    assert site.sweep() == 1
    assert site.deliver() == 2
    assert site.prefect.told == [f"CRASHED {stuck}"]
    job = site.job()
    assert (job["run_no"], job["lost_runs"], job["state"]) == (2, 0, "delivered")
    site.claim(stuck, expect=409)
    assert site.claim()["epoch"] == 1


def test_a_run_that_prefect_has_forgotten_is_replaced(reported: Any) -> None:
    site = reported
    site.prefect.runs.clear()
    site.clock.forward(120)
    assert site.sweep() == 1
    assert site.deliver() == 2
    assert site.job()["run_no"] == 2


def test_another_process_of_the_same_run_fences_the_first(reported: Any) -> None:
    site = reported
    run = site.prefect.newest()
    assert site.claim(run, holder="a")["epoch"] == 1
    assert site.claim(run, holder="a")["epoch"] == 1
    assert site.claim(run, holder="b")["epoch"] == 2
    site.call("PUT", f"/v1/hosts/{HOST}/lease", expect=409, json={"epoch": 1, "run_id": run})
    assert site.step(1, "done", expect=409)["code"] == "epoch"
    assert site.finish(1, "applied", expect=409)["code"] == "epoch"
    assert site.finish(2, "applied")["state"] == "done"
    assert site.finish(2, "applied")["state"] == "done"
    assert site.finish(1, "applied", expect=409)["code"] == "epoch"


def test_a_run_may_claim_before_its_delivery_is_noted(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    assert site.claim("quick")["epoch"] == 1
    key = f"t1:{site.host()['id']}:1:1"
    site.prefect.runs[key] = {"id": "quick", "state_type": "RUNNING", "idempotency_key": key}
    assert site.deliver() == 1
    assert (site.job()["run_id"], site.job()["state"]) == ("quick", "claimed")


def test_a_quick_run_that_has_finished_before_its_delivery_is_noted_is_left_alone(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    site.claim("quick")
    body = {"epoch": 1, "run_id": "quick", "result": "applied"}
    site.call("POST", f"/v1/hosts/{HOST}/jobs/1/finish", json=body)
    key = f"t1:{site.host()['id']}:1:1"
    site.prefect.runs[key] = {"id": "quick", "state_type": "RUNNING", "idempotency_key": key}
    assert site.deliver() == 1
    assert site.deliver() == 0
    assert site.prefect.told == []


def test_six_losses_fail_the_phase(reported: Any) -> None:
    site = reported
    site.start("inspecting")
    site.clock.forward(1)
    site.prefect.says(site.prefect.newest(), "FAILED")
    assert site.sweep() == 1
    for n in range(5):
        next_attempt(site, 30 * 2**n)
        lose(site)
    job, host = site.job(), site.host()
    assert (job["state"], job["reason"], job["lost_runs"]) == ("failed", "runs-lost", 6)
    assert (host["phase"], host["reason"], host["lease"]) == ("inspect-failed", "runs-lost", None)
    assert job["next_step"] == f"rackflow inspect {HOST}"
    site.clock.forward(10_000)
    site.deliver()
    assert len(site.prefect.runs) == 6


def test_a_finished_step_resets_the_count(reported: Any) -> None:
    site = reported
    lose(site)
    next_attempt(site, 30)
    epoch = site.start()
    site.step(epoch, "intent")
    assert site.job()["lost_runs"] == 1
    site.step(epoch, "done")
    assert site.job()["lost_runs"] == 0


def test_a_step_that_each_run_does_again_does_not_reset_the_count(reported: Any) -> None:
    site = reported
    for n in range(6):
        epoch = site.start()
        site.step(epoch, "intent")
        site.step(epoch, "done")
        assert site.job()["lost_runs"] == n
        site.clock.forward(1)
        site.prefect.says(site.prefect.newest(), "CRASHED")
        site.sweep()
        if n < 5:
            next_attempt(site, 30 * 2**n)
    assert site.job()["reason"] == "runs-lost"


def test_a_second_run_of_a_number_that_another_run_has_claimed_under_is_cancelled(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    assert site.claim("first")["epoch"] == 1
    assert site.deliver() == 1
    second = site.prefect.newest()
    assert site.job()["run_id"] == "first"
    assert site.deliver() == 1
    assert site.prefect.told == [f"CANCELLED {second}"]


def test_a_cancelled_run_that_died_before_its_delivery_was_noted_is_lost_once(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    site.claim("quick")
    key = f"t1:{site.host()['id']}:1:1"
    site.call("POST", f"/v1/hosts/{HOST}/jobs/1/cancel", scope="admin")
    site.clock.forward(1)
    site.prefect.runs[key] = {"id": "quick", "idempotency_key": key}
    site.prefect.says("quick", "CRASHED")
    site.deliver()
    assert (site.job()["run_no"], site.job()["run_id"]) == (1, "quick")
    assert site.sweep() == 1
    assert (site.job()["run_no"], site.job()["lost_runs"], site.job()["state"]) == (2, 1, "cancelling")
    site.clock.forward(30)
    site.deliver()
    assert site.claim() == {"epoch": 2, "ttl_s": 90, "cancelling": True}


def test_a_run_that_gives_the_host_back_without_an_outcome_is_lost(reported: Any) -> None:
    site = reported
    epoch = site.start()
    proof = {"epoch": epoch, "run_id": site.prefect.newest()}
    site.call("DELETE", f"/v1/hosts/{HOST}/lease", expect=204, params=proof)
    site.call("DELETE", f"/v1/hosts/{HOST}/lease", expect=204, params=proof)
    assert (site.job()["state"], site.job()["lost_runs"]) == ("wanted", 1)


def test_a_phase_has_its_time(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    for _ in range(1799 // 60):
        site.clock.forward(60)
        site.call("PUT", f"/v1/hosts/{HOST}/lease", json={"epoch": epoch, "run_id": site.prefect.newest()})
    assert site.sweep() == 0
    site.clock.forward(60)
    site.prefect.down = True
    assert site.sweep() == 1
    assert (site.host()["phase"], site.host()["reason"]) == ("inspect-failed", "phase-deadline")
    assert site.finish(epoch, "applied", expect=409)["code"] == "epoch"
    site.prefect.down = False
    site.deliver()
    assert site.prefect.told == [f"CRASHED {site.prefect.newest()}"]


def test_a_finished_job_is_left_alone(reported: Any) -> None:
    site = reported
    site.finish(site.start(), "applied")
    site.prefect.says(site.prefect.newest(), "COMPLETED")
    site.clock.forward(1000)
    assert site.sweep() == 0
    assert site.job()["state"] == "done"


@pytest.mark.parametrize(
    ("state", "seconds", "ended"),
    [("PENDING", 119, False), ("PENDING", 120, True), ("RUNNING", 1799, False), ("RUNNING", 1800, True)],
)
def test_a_fleet_run_that_is_stuck_frees_its_place(
    site: Any, state: str, seconds: int, *, ended: bool
) -> None:
    site.prefect.runs["fleet"] = {"id": "f1", "flow": "reconcile-fleet"}
    site.prefect.says("f1", state)
    site.clock.forward(seconds)
    site.sweep()
    assert site.prefect.told == (["CRASHED f1"] if ended else [])
    events = site.call("GET", "/v1/events")["items"]
    assert any("fleet run f1" in event["text"] for event in events) is ended


def test_an_idempotency_key_is_good_for_one_wish(site: Any) -> None:
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "a"})
    key = {"Idempotency-Key": "k"}
    wish = {"verb": "power", "args": {"action": "on"}}
    site.call("POST", "/v1/hosts/a/jobs", scope="admin", expect=201, json=wish, headers=key)
    assert site.call("POST", "/v1/hosts/a/jobs", scope="admin", json=wish, headers=key)["no"] == 1
    other = {"verb": "power", "args": {"action": "off"}}
    answer = site.call("POST", "/v1/hosts/a/jobs", scope="admin", expect=409, json=other, headers=key)
    assert answer["code"] == "idempotency"
