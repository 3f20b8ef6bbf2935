"""How a job is stopped: cancelled by an operator or in Prefect's UI, in each of its states, or released."""

import asyncio
from typing import Any

import pytest

from pxe_edge.registry import hosts, outbox

HOST = "mac-52540000000a"
CANCEL = f"/v1/hosts/{HOST}/jobs/1/cancel"
RELEASE = f"/v1/hosts/{HOST}/release"


def cancel(site: Any) -> str:
    return str(site.call("POST", CANCEL, scope="admin")["state"])


def test_a_job_that_prefect_has_not_taken_is_cancelled_at_once(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    assert cancel(site) == "cancelled"
    assert site.deliver() == 0
    assert cancel(site) == "cancelled"


def test_a_job_that_no_run_claimed_is_cancelled_with_its_run(reported: Any) -> None:
    site = reported
    run = site.prefect.newest()
    assert cancel(site) == "cancelled"
    assert site.deliver() == 1
    assert site.prefect.told == [f"CANCELLED {run}"]
    assert site.claim(run, expect=409)["detail"] == "job 1 is cancelled"


def test_a_run_that_was_made_while_its_job_was_cancelled_is_cancelled_too(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    with site.registry.db.read() as session:
        (offer,) = outbox.due(session, site.clock.now, site="t1", specset=None)
    run = asyncio.run(site.prefect_client.offer(offer)).run_id
    assert cancel(site) == "cancelled"
    with site.registry.db.write() as session:
        outbox.delivered(session, site.clock.now, offer.row, run)
    assert site.deliver() == 1
    assert site.prefect.told == [f"CANCELLED {run}"]


def test_a_live_run_learns_of_it_at_its_renewal(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    assert cancel(site) == "cancelling"
    proof = {"epoch": epoch, "run_id": site.prefect.newest()}
    assert site.call("PUT", f"/v1/hosts/{HOST}/lease", json=proof)["cancelling"] is True
    assert site.finish(epoch, "failed", reason="cancelled")["state"] == "cancelled"
    assert site.host()["phase"] == "inspect-failed"


def test_a_waiting_job_winds_down_in_a_run_of_its_own(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    assert cancel(site) == "cancelling"
    assert site.job()["wait"] is None
    assert site.deliver() == 1
    grant = site.claim()
    assert (grant["epoch"], grant["cancelling"]) == (2, True)
    assert site.finish(2, "failed", reason="cancelled")["state"] == "cancelled"


def test_a_job_between_two_attempts_winds_down_without_its_back_off(reported: Any) -> None:
    site = reported
    site.start("inspecting")
    site.clock.forward(90)
    site.sweep()
    assert cancel(site) == "cancelling"
    assert site.deliver() == 2
    assert site.claim()["cancelling"] is True


def test_a_cancelled_run_that_wants_to_wait_winds_down_instead(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    cancel(site)
    assert site.wait(epoch) == {"seen": False}
    assert site.job()["state"] == "cancelling"
    assert site.deliver() == 1
    assert site.claim()["cancelling"] is True


def test_a_cancelled_run_that_would_ask_for_consent_ends_the_job_and_the_phase(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    cancel(site)
    job = site.finish(epoch, "waiting-consent", plan="p", reason="waiting-consent")
    assert (job["state"], job["result"], job["reason"]) == ("cancelled", "failed", "cancelled")
    assert (site.host()["phase"], site.host()["reason"]) == ("inspect-failed", "cancelled")


def test_what_a_job_wished_for_the_next_boot_ends_with_it(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    site.call("PUT", f"/v1/hosts/{HOST}/boot-wish", expect=204, json={"epoch": epoch, "wish": "boot-os"})
    site.finish(epoch, "failed", reason="step-failed")
    with site.registry.db.read() as session:
        assert hosts.get(session, HOST).boot_wish == "none"


@pytest.mark.parametrize("state", ["CANCELLING", "CANCELLED"])
def test_a_cancel_in_prefects_ui_is_wound_down_at_once(reported: Any, state: str) -> None:
    site = reported
    epoch = site.start("inspecting")
    killed = site.prefect.newest()
    site.prefect.says(killed, state)
    assert site.sweep() == 1
    assert (site.job()["state"], site.job()["lost_runs"]) == ("cancelling", 0)
    assert site.step(epoch, "done", expect=409)["code"] == "epoch"
    assert site.deliver() == 1
    assert site.claim(killed, expect=409)["code"] == "lease"
    assert site.claim()["cancelling"] is True
    site.prefect.says(site.prefect.newest(), "RUNNING")
    assert site.sweep() == 0


def test_a_cancel_in_prefects_ui_before_any_claim_ends_the_job(reported: Any) -> None:
    site = reported
    site.prefect.says(site.prefect.newest(), "CANCELLED")
    assert site.sweep() == 1
    assert site.job()["state"] == "cancelled"


def test_a_cancel_in_prefects_ui_reaches_a_job_that_waits(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    site.prefect.says(site.prefect.newest(), "CANCELLED")
    assert site.sweep() == 1
    assert site.job()["state"] == "cancelling"
    assert site.deliver() == 1


@pytest.mark.parametrize("waits", [True, False])
def test_release_takes_the_host_from_a_run(reported: Any, *, waits: bool) -> None:
    site = reported
    epoch, run = site.start("inspecting"), site.prefect.newest()
    if waits:
        site.wait(epoch)
    site.call("POST", RELEASE, expect=403, json={"by": "ann"})
    host = site.call("POST", RELEASE, scope="admin", json={"by": "ann"})
    assert (host["phase"], host["reason"], host["lease"]) == ("inspect-failed", "released", None)
    assert (site.job()["state"], site.job()["reason"]) == ("failed", "released")
    site.deliver()
    assert site.prefect.told == [f"CRASHED {run}"]
    assert site.finish(epoch, "applied", expect=409)["code"] == "epoch"
    site.call("POST", RELEASE, scope="admin", json={"by": "ann"})
    site.call("DELETE", f"/v1/hosts/{HOST}", scope="admin", expect=204)


def test_a_host_that_a_job_has_is_not_removed(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    answer = site.call("DELETE", f"/v1/hosts/{HOST}", scope="admin", expect=409)
    assert "rackflow release" in answer["hint"]
