"""Waiting without a process: the event in both orders, the deadline, and an edge that restarts meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pxe_edge.registry import boots, courier, hosts
from pxe_edge.registry.registry import open_registry

HOST = "mac-52540000000a"


def phone_home(site: Any) -> None:
    """Have the deployed system say its first word."""
    record = {"job": 1, "ssh_host_key": "ssh-ed25519 K", "address": "10.77.1.20"}
    with site.registry.db.write() as session:
        host = hosts.get(session, HOST)
        host.installed = record
        deadline = site.clock.now + timedelta(hours=1)
        token = boots.install_token(session, site.clock.now, host, job=1, deadline=deadline)
        said = {"host": HOST, "boot_id": "b", "ssh_host_key": "ssh-ed25519 K"}
        boots.phone_home(session, site.clock.now, token=token, body=said, peer="10.77.1.20")


def come_up(site: Any, event: str) -> None:
    if event == "os":
        phone_home(site)
    else:
        boot_no, token = site.boot()
        assert site.report_in(token, boot_no) == (204, None)


@pytest.mark.parametrize("event", ["boot-os", "os"])
def test_an_event_before_the_wait_is_told_and_nothing_is_registered(reported: Any, event: str) -> None:
    site = reported
    epoch = site.start("inspecting")
    since = site.clock.now.isoformat()
    site.clock.forward(10)
    come_up(site, event)
    site.clock.forward(10)
    assert site.wait(epoch, event, since=since) == {"seen": True}
    assert (site.job()["state"], site.job()["wait"]) == ("claimed", None)
    site.step(epoch, "done")


@pytest.mark.parametrize("event", ["boot-os", "os"])
def test_an_event_after_the_wait_starts_the_next_run_at_once(reported: Any, event: str) -> None:
    site = reported
    epoch = site.start("inspecting")
    site.clock.forward(10)
    assert site.wait(epoch, event) == {"seen": False}
    assert site.wait(epoch, event) == {"seen": False}
    site.prefect.says(site.prefect.newest(), "COMPLETED")
    job, host = site.job(), site.host()
    assert (job["state"], job["wait"]["event"], host["lease"]) == ("waiting", event, None)
    assert site.step(epoch, "intent", expect=409)["detail"].startswith("epoch 1 holds no lease")
    assert site.sweep() == 0
    assert site.deliver() == 0
    site.clock.forward(60)
    come_up(site, event)
    assert site.deliver() == 1
    job = site.job()
    assert (job["state"], job["run_no"], job["wait"], job["lost_runs"]) == ("delivered", 2, None, 0)
    assert site.start() == epoch + 1


def test_a_report_in_from_before_is_no_event(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    site.clock.forward(1)
    assert site.wait(epoch) == {"seen": False}


def test_a_wait_is_over_at_its_deadline_without_prefect(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"), "bmc")
    site.prefect.down = True
    site.clock.forward(119)
    assert site.end_waits() == 0
    site.clock.forward(1)
    assert site.end_waits() == 1
    assert site.end_waits() == 0
    assert (site.job()["state"], site.deliver()) == ("wanted", 0)
    site.prefect.down = False
    site.clock.forward(10)
    assert site.deliver() == 1


def test_no_wait_outlives_a_day(reported: Any) -> None:
    site = reported
    far = datetime(2099, 1, 1, tzinfo=UTC).isoformat()
    site.wait(site.start("inspecting"), deadline=far)
    until = datetime.fromisoformat(site.job()["wait"]["deadline"])
    assert until == site.clock.now + timedelta(days=1)


def test_only_the_holder_may_wait(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    site.wait(epoch + 1, expect=409)
    site.wait(epoch, run_id="r2", expect=409)
    site.wait(epoch, event="coffee", expect=422)
    site.wait(epoch, deadline="2026-11-25T12:00:00", expect=422)


def test_a_waiting_machine_still_gets_the_boot_os_and_no_second_job(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    assert site.boot()[0] == 2
    same = site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", json={"verb": "discover"})
    assert (same["no"], same["state"]) == (1, "waiting")


def test_a_restarted_edge_goes_on_with_waits_and_what_prefect_was_not_told(
    reported: Any, assemble: Any
) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    site.registry.db.close()
    registry = open_registry(site.registry.data, clock=site.clock)
    again = assemble(registry, site.prefect, site.clock)
    assert again.job()["state"] == "waiting"
    again.clock.forward(120)
    assert again.end_waits() == 1
    assert again.deliver() == 1
    assert again.claim()["epoch"] == 2
    registry.db.close()


def test_a_storm_is_told_without_a_pause(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "EVERY_S", 3600.0)
    hosts = [f"h{number}" for number in range(45)]
    for number, name in enumerate(hosts):
        body = {"name": name, "mac": f"52:54:00:00:01:{number:02x}"}
        site.call("POST", "/v1/hosts", scope="admin", expect=201, json=body)
        order = {"verb": "power", "args": {"action": "status"}}
        site.call("POST", f"/v1/hosts/{name}/jobs", scope="admin", expect=201, json=order)

    async def told() -> None:
        made = asyncio.Event()
        site.prefect.created = lambda: made.set() if len(site.prefect.runs) == len(hosts) else None
        task = asyncio.create_task(site.courier.run())
        try:
            await asyncio.wait_for(made.wait(), timeout=30)
        finally:
            task.cancel()

    asyncio.run(told())
    assert {run["parameters"]["host"] for run in site.prefect.runs.values()} == set(hosts)


def test_the_tasks_end_waits_and_deliver_by_themselves(reported: Any) -> None:
    site = reported
    site.wait(site.start("inspecting"))
    site.clock.forward(120)

    async def both() -> None:
        made = asyncio.Event()
        site.prefect.created = made.set
        tasks = [asyncio.create_task(site.sweeper.run()), asyncio.create_task(site.courier.run())]
        try:
            await asyncio.wait_for(made.wait(), timeout=20)
        finally:
            for task in tasks:
                task.cancel()

    asyncio.run(both())
    assert len(site.prefect.runs) == 2
    assert site.registry.may_hand_on()
