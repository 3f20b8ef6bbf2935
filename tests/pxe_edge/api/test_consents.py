"""Consent: the command and the form, a plan that moved, refusals, and time that runs out."""

from typing import Any

import httpx
import pytest

from pxe_edge.registry.registry import open_registry

HOST = "mac-52540000000a"
PLAN, OLD = "sha256:aa", "sha256:bb"
DAY_S = 24 * 3600


def plan(*serials: str) -> dict[str, Any]:
    disks = [{"serial": serial, "size_bytes": 1, "found": "ext4"} for serial in serials]
    step = {"id": "partition", "kind": "partition", "new": "gpt", "destroys": disks}
    return {"host": HOST, "steps": [step]}


def ask(site: Any) -> str:
    """Have a run end as waiting for consent and suspend itself; its id."""
    epoch = site.start()
    job = site.finish(epoch, "waiting-consent", plan=PLAN, reason="waiting-consent")
    assert (job["state"], job["ask_in_ui"]) == ("waiting-consent", True)
    assert site.finish(epoch, "waiting-consent", plan=PLAN, reason="waiting-consent") == job
    site.prefect.says(site.prefect.newest(), "PAUSED")
    assert site.host()["lease"] is None
    return str(site.prefect.newest())


def approve(site: Any, *, expect: int = 201, **more: Any) -> Any:
    body = {"host": HOST, "by": "ann", **more}
    return site.call("POST", "/v1/consents", scope="admin", expect=expect, json=body)


def answer(site: Any, run_id: str, *, consents: bool, expect: int = 200, **more: Any) -> Any:
    body = {"run_id": run_id, "plan": PLAN, "consents": consents, **more}
    return site.call("POST", f"/v1/hosts/{HOST}/jobs/1/form", expect=expect, json=body)


def spent(site: Any, job: int) -> list[str]:
    query = {"host": HOST, "plan": PLAN, "job": job}
    return [c["by"] for c in site.call("GET", "/v1/consents", params=query)["items"]]


def test_approving_wakes_the_suspended_run(reported: Any) -> None:
    site = reported
    run = ask(site)
    site.call("POST", "/v1/consents", expect=403, json={"host": HOST, "by": "ann"})
    given = approve(site)
    assert (given["plan"], given["by"]) == (PLAN, "ann")
    assert site.deliver() == 1
    assert site.prefect.told == [f"resume {run}"]
    job = site.job()
    assert (job["state"], job["run_no"], job["run_id"], job["ask_in_ui"]) == ("delivered", 1, run, True)
    assert site.claim(run)["epoch"] == 2
    assert spent(site, 1) == ["ann"]
    assert spent(site, 2) == []
    site.clock.forward(8 * DAY_S)
    assert spent(site, 1) == ["ann"]


def test_a_consent_outlives_prefects_absence_and_a_run_that_is_not_suspended_yet(reported: Any) -> None:
    site = reported
    run = ask(site)
    site.prefect.says(run, "RUNNING")
    site.prefect.down = True
    approve(site)
    assert site.deliver() == 0
    site.prefect.down = False
    site.clock.forward(10)
    assert site.deliver() == 0
    assert site.sweep() == 0
    site.prefect.says(run, "PAUSED")
    site.clock.forward(10)
    assert site.deliver() == 1
    assert site.prefect.told == [f"resume {run}"]


def test_a_run_that_waits_for_a_worker_after_it_was_woken_is_not_said_to_wait_for_prefect(
    reported: Any,
) -> None:
    """The answer to the waking got lost; before that, the run had not come to suspend itself."""
    site = reported
    run = ask(site)
    approve(site)
    site.prefect.says(run, "RUNNING")
    site.deliver()
    assert site.call("GET", f"/v1/why/{HOST}")["cause"] == "run-due"
    site.prefect.says(run, "SCHEDULED")
    site.clock.forward(60)
    assert site.deliver() == 1
    assert site.prefect.told == []
    assert site.job()["state"] == "delivered"
    site.clock.forward(60)
    site.sweep()
    assert site.call("GET", f"/v1/why/{HOST}")["cause"] == "no-worker"


def test_a_run_that_never_comes_to_suspend_itself_is_replaced(reported: Any) -> None:
    site = reported
    run = ask(site)
    site.prefect.says(run, "RUNNING")
    approve(site)
    site.clock.forward(119)
    assert site.sweep() == 0
    site.clock.forward(1)
    assert site.sweep() == 1
    site.deliver()
    assert site.prefect.told == [f"CRASHED {run}"]
    assert site.claim()["epoch"] == 2


def test_a_restarted_edge_wakes_the_run_that_it_had_not_woken(reported: Any, assemble: Any) -> None:
    site = reported
    run = ask(site)
    site.prefect.down = True
    approve(site)
    site.deliver()
    site.registry.db.close()
    registry = open_registry(site.registry.data, clock=site.clock)
    again = assemble(registry, site.prefect, site.clock)
    again.prefect.down = False
    again.clock.forward(10)
    assert again.deliver() == 1
    assert again.prefect.told == [f"resume {run}"]
    registry.db.close()


def test_a_run_that_suspends_itself_after_it_was_woken_is_woken_again(reported: Any) -> None:
    site = reported
    run = ask(site)
    approve(site)
    site.deliver()
    site.prefect.says(run, "PAUSED")
    assert site.sweep() == 1
    assert site.deliver() == 1
    assert site.prefect.told == [f"resume {run}"] * 2


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "forgotten"])
def test_a_run_that_cannot_be_woken_is_followed_by_a_new_one(reported: Any, state: str) -> None:
    site = reported
    run = ask(site)
    if state == "forgotten":
        site.prefect.runs.clear()
    else:
        site.prefect.says(run, state)
    approve(site)
    assert site.deliver() == 0
    site.deliver()
    job = site.job()
    assert (job["state"], job["run_no"]) == ("delivered", 2)
    site.claim(run, expect=409)
    assert site.claim()["epoch"] == 2


def test_a_run_that_prefect_refuses_to_wake_is_followed_by_a_new_one(reported: Any) -> None:
    site = reported
    run = ask(site)
    approve(site)
    answer_as_now = type(site.prefect).__call__

    def refuses(prefect: Any, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/resume"):
            return httpx.Response(422, text="no such input")
        return answer_as_now(prefect, request)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(site.prefect), "__call__", refuses)
        assert site.deliver() == 0
    assert site.deliver() == 2
    assert site.prefect.told == [f"CANCELLED {run}"]
    assert site.claim()["epoch"] == 2
    assert site.job()["run_no"] == 2


@pytest.mark.parametrize("how", ["cancel", "lose", "release"])
def test_a_consent_ends_with_the_job_that_it_was_given_to(reported: Any, how: str) -> None:
    site = reported
    ask(site)
    approve(site)
    if how == "release":
        site.call("POST", f"/v1/hosts/{HOST}/release", scope="admin", json={"by": "ann"})
    elif how == "lose":
        for n in range(6):
            site.deliver()
            site.prefect.says(site.prefect.newest(), "CRASHED")
            site.sweep()
            site.clock.forward(30 * 2**n)
    else:
        site.call("POST", f"/v1/hosts/{HOST}/jobs/1/cancel", scope="admin")
        site.deliver()
        site.finish(int(site.claim()["epoch"]), "failed", reason="cancelled")
    assert site.job()["state"] in ("failed", "cancelled")
    body = {"verb": "discover", "by": "ann"}
    site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json=body)
    assert spent(site, 2) == []


def test_a_run_of_an_ended_job_spends_no_consent(reported: Any) -> None:
    site = reported
    site.finish(site.start(), "failed", plan=OLD)
    assert "no plan" in approve(site, plan=PLAN, expect=404)["detail"]
    site.call("PUT", f"/v1/plans/{PLAN}", expect=204, json=plan("D1"))
    approve(site, plan=PLAN)
    body = {"verb": "discover", "by": "ann"}
    site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json=body)
    assert spent(site, 1) == []
    assert spent(site, 2) == ["ann"]


def test_the_forms_yes_is_a_consent_by_nobody_in_particular(reported: Any) -> None:
    site = reported
    run = ask(site)
    site.prefect.says(run, "RUNNING")
    for _ in range(2):
        assert answer(site, run, consents=True)["state"] == "delivered"
    assert site.claim(run)["epoch"] == 2
    assert spent(site, 1) == ["prefect-ui (shared)"]
    assert site.deliver() == 0
    answer(site, run, consents=True, expect=409)


@pytest.mark.parametrize("state", ["CRASHED", "RUNNING"])
def test_a_form_whose_run_died_with_the_answer_is_asked_again(reported: Any, state: str) -> None:
    site = reported
    run = ask(site)
    site.prefect.says(run, state)
    site.clock.forward(120)
    assert site.sweep() == 1
    site.clock.forward(30)
    site.deliver()
    assert site.prefect.told == ([f"CRASHED {run}"] if state == "RUNNING" else [])
    answer(site, run, consents=True, expect=409)
    epoch = site.start()
    assert spent(site, 1) == []
    assert site.finish(epoch, "waiting-consent", plan=PLAN)["state"] == "waiting-consent"
    assert answer(site, site.prefect.newest(), consents=True)["state"] == "delivered"


def test_the_forms_no_ends_the_job(reported: Any) -> None:
    site = reported
    run = ask(site)
    job = answer(site, run, consents=False)
    assert (job["state"], job["reason"]) == ("cancelled", "consent-refused")
    approve(site, expect=409)
    site.claim(run, expect=409)


def test_a_form_counts_only_for_the_plan_and_the_run_that_wait(reported: Any) -> None:
    site = reported
    run = ask(site)
    assert answer(site, run, consents=True, plan=OLD, expect=409)["code"] == "consent"
    assert answer(site, "another", consents=True, expect=409)["code"] == "lease"
    assert site.job()["state"] == "waiting-consent"


def test_a_site_can_switch_the_form_off(reported: Any) -> None:
    site = reported
    files = site.call("GET", "/v1/specsets/current")["files"]
    off = {path: text + "consentForm: false\n" for path, text in files.items()}
    site.registry.publish_files(off, author="test")
    epoch, run = site.start(), site.prefect.newest()
    job = site.finish(epoch, "waiting-consent", plan=PLAN)
    assert job["ask_in_ui"] is False
    assert answer(site, run, consents=True, expect=403)["code"] == "form"
    approve(site)
    assert site.deliver() == 1
    assert site.job()["run_no"] == 2


def test_a_consent_for_another_plan_says_what_differs(reported: Any) -> None:
    site = reported
    ask(site)
    assert PLAN in approve(site, plan=OLD, expect=409)["detail"]
    site.call("PUT", f"/v1/plans/{PLAN}", expect=204, json=plan("D1", "D2"))
    site.call("PUT", f"/v1/plans/{OLD}", expect=204, json=plan("D1"))
    detail = approve(site, plan=OLD, expect=409)["detail"]
    assert "also erases D2 (holds ext4)" in detail
    assert site.job()["state"] == "waiting-consent"


def test_nobody_consents_for_seven_days(reported: Any) -> None:
    site = reported
    run = ask(site)
    site.clock.forward(7 * DAY_S - 1)
    assert site.sweep() == 0
    site.clock.forward(1)
    site.prefect.down = True
    assert site.sweep() == 1
    assert (site.job()["state"], site.job()["reason"]) == ("failed", "consent-expired")
    site.prefect.down = False
    site.deliver()
    assert site.prefect.told == [f"CANCELLED {run}"]
    approve(site, expect=409)


def test_a_consent_that_nobody_used_expires(reported: Any) -> None:
    site = reported
    ask(site)
    approve(site)
    site.clock.forward(7 * DAY_S)
    assert spent(site, 1) == []


@pytest.mark.parametrize("how", ["command", "ui"])
def test_a_job_that_waits_for_consent_is_cancelled_at_once(reported: Any, how: str) -> None:
    site = reported
    run = ask(site)
    if how == "ui":
        site.prefect.says(run, "CANCELLED")
        assert site.sweep() == 1
    else:
        site.call("POST", f"/v1/hosts/{HOST}/jobs/1/cancel", scope="admin")
        site.deliver()
        assert site.prefect.told == [f"CANCELLED {run}"]
    assert site.job()["state"] == "cancelled"


def test_the_phases_clock_stands_still_while_a_person_thinks(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    site.clock.forward(60)
    site.finish(epoch, "waiting-consent", plan=PLAN)
    site.prefect.says(site.prefect.newest(), "PAUSED")
    site.clock.forward(3 * DAY_S)
    assert site.sweep() == 0
    approve(site)
    site.deliver()
    site.clock.forward(30 * 60 - 62)
    assert site.sweep() == 0
    site.clock.forward(2)
    site.sweep()
    assert site.host()["reason"] == "phase-deadline"


def test_another_wish_takes_the_place_of_a_job_that_waits(reported: Any) -> None:
    site = reported
    run = ask(site)
    body = {"verb": "discover", "by": "ann"}
    job = site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json=body)
    assert (job["no"], site.job()["state"]) == (2, "cancelled")
    assert site.deliver() == 2
    assert site.prefect.told == [f"CANCELLED {run}"]
