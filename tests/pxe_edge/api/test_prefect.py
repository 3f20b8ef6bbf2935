"""Delivery to Prefect: once, whatever happens to it."""

from typing import Any

import httpx
import pytest

HOST = "mac-52540000000a"


def host_of(site: Any) -> dict[str, Any]:
    return dict(site.call("GET", f"/v1/hosts/{HOST}"))


def start(site: Any) -> None:
    body = {"name": HOST, "mac": "52:54:00:00:00:0a"}
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json=body)
    site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json={"verb": "discover"})


def test_a_prefect_that_is_away_or_busy_gets_the_run_later(site: Any) -> None:
    start(site)
    site.prefect.down = True
    assert site.deliver() == 0
    why = site.call("GET", f"/v1/why/{HOST}")
    assert "Prefect has not taken its run: ConnectError" in why["sentence"]
    site.prefect.down, site.prefect.busy = False, 2
    delivered = []
    for _ in range(4):
        site.clock.forward(20)
        delivered.append(site.deliver())
    assert delivered == [0, 0, 1, 0]
    assert len(site.prefect.runs) == 1


@pytest.mark.parametrize("body", [None, [], [None], "text"])
def test_an_answer_that_makes_no_sense_holds_up_nothing(
    site: Any, monkeypatch: pytest.MonkeyPatch, body: object
) -> None:
    start(site)
    site.deliver()
    site.start("inspecting")
    site.clock.forward(1800)
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "b"})
    site.call("POST", "/v1/hosts/b/jobs", scope="admin", expect=201, json={"verb": "discover"})
    shown = type(site.prefect).__call__
    answer = httpx.Response(200, json=body)
    monkeypatch.setattr(type(site.prefect), "__call__", lambda _prefect, _request: answer)
    assert site.deliver() == 0
    assert site.sweep() == 1
    assert host_of(site)["reason"] == "phase-deadline"
    monkeypatch.setattr(type(site.prefect), "__call__", shown)
    site.clock.forward(20)
    assert site.deliver() == 2


def test_a_deployment_that_is_not_there_yet_is_waited_for(site: Any) -> None:
    start(site)
    site.prefect.deployments.clear()
    assert site.deliver() == 0
    site.prefect.deployments.add("discover/t1")
    site.clock.forward(20)
    assert site.deliver() == 1


def test_an_answer_that_got_lost_makes_no_second_run(site: Any) -> None:
    start(site)
    key = f"t1:{host_of(site)['id']}:1:1"
    site.prefect.runs[key] = {"id": "there-already", "state_type": "RUNNING", "idempotency_key": key}
    assert site.deliver() == 1
    assert site.call("GET", f"/v1/hosts/{HOST}/jobs/1")["run_id"] == "there-already"


def test_a_key_of_an_ended_run_gets_a_new_number(site: Any) -> None:
    start(site)
    host_id = host_of(site)["id"]
    old = f"t1:{host_id}:1:1"
    site.prefect.runs[old] = {"id": "old", "state_type": "FAILED", "idempotency_key": old}
    assert site.deliver() == 0
    assert site.deliver() == 1
    job = site.call("GET", f"/v1/hosts/{HOST}/jobs/1")
    assert (job["run_no"], job["run_id"]) == (2, site.prefect.runs[f"t1:{host_id}:1:2"]["id"])
