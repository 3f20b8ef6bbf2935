"""The way of one machine through the API: report-in, job, run, lease, journal, credentials, outcome."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pxe_edge.registry import hosts

MAC = "52:54:00:00:00:0a"
HOST = "mac-52540000000a"
JOBS = f"/v1/hosts/{HOST}/jobs"


def claim(site: Any, job: int, run_id: str, name: str = HOST) -> int:
    return int(site.call("POST", f"/v1/hosts/{name}/lease", json={"job": job, "run_id": run_id})["epoch"])


def finish(site: Any, job: int, epoch: int, run_id: str, result: str, name: str = HOST, **more: Any) -> Any:
    body = {"epoch": epoch, "run_id": run_id, "result": result, **more}
    return site.call("POST", f"/v1/hosts/{name}/jobs/{job}/finish", json=body)


def test_an_unknown_machine_becomes_a_ready_host(reported: Any) -> None:
    site = reported
    run = next(iter(site.prefect.runs.values()))
    host = site.call("GET", f"/v1/hosts/{HOST}")
    assert run["idempotency_key"] == f"t1:{host['id']}:1:1"
    assert run["parameters"] == {"host": HOST, "job": 1, "specset": site.registry.specset}
    assert run["name"] == f"discover {HOST}"
    assert run["tags"] == ["rackflow", f"host:{HOST}", "site:t1", f"job:{host['id']}:1"]
    assert (host["boot"]["address"], host["boot"]["ssh_host_key"]) == ("10.77.1.50", "ssh-ed25519 AAAA")
    assert site.call("GET", f"{JOBS}/1")["state"] == "delivered"

    epoch = claim(site, 1, run["id"])
    assert site.call("GET", f"{JOBS}/1")["state"] == "claimed"
    site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": "inspecting"})
    order = site.call("GET", f"/v1/hosts/{HOST}/order")
    assert order["addresses"] == {"bmc": "10.77.9.50/24"}
    assert (order["bmc_netmask"], order["bmc_gateway"]) == ("255.255.255.0", "10.77.9.1")
    account = {"epoch": epoch, "address": "10.77.9.50", "user": "rackflow"}
    password = site.call("POST", f"/v1/hosts/{HOST}/bmc-credential", json=account)["password"]
    promoted = {"epoch": epoch, "user": "rackflow"}
    site.call("POST", f"/v1/hosts/{HOST}/bmc-credential/promote", json=promoted)
    entry = {"epoch": epoch, "job": 1, "step": "bmc", "kind": "bmc-user", "phase": "done"}
    site.call("POST", f"/v1/hosts/{HOST}/journal", expect=201, json=entry)
    nics = [{"name": "eth1", "mac": "52:54:00:00:00:0b"}]
    seen = {
        "at": datetime(2026, 11, 25, tzinfo=UTC).isoformat(),
        "seen_from": "boot-os",
        "hardware": {"manufacturer": "QEMU", "serial": "SN-A", "nics": nics},
    }
    host = site.call("PUT", f"/v1/hosts/{HOST}/observation", json={"epoch": epoch, "observation": seen})
    assert host["name"] == "qemu-sn-a"
    assert host["macs"] == [MAC, "52:54:00:00:00:0b"]
    site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": "ready"})
    assert finish(site, 1, epoch, run["id"], "applied")["state"] == "done"

    host = site.call("GET", "/v1/hosts/qemu-sn-a")
    assert (host["phase"], host["lease"], host["bmc_address"]) == ("ready", None, "10.77.9.50")
    shown = site.call("GET", "/v1/hosts/qemu-sn-a/credentials", scope="admin")["items"]
    assert [(c["state"], c["password"]) for c in shown] == [("current", password)]
    rows = site.call("GET", f"/v1/hosts/{HOST}/journal", params={"job": 1})["items"]
    assert [(row["step"], row["phase"]) for row in rows] == [("bmc", "done")]


def test_a_discovered_machine_that_a_spec_allows_is_provisioned_by_itself(reported: Any) -> None:
    site = reported
    files = {
        "site.yaml": next(iter(site.call("GET", "/v1/specsets/current")["files"].values())),
        "image.yaml": "apiVersion: rackflow/v1\nkind: Image\nmetadata: {name: deb}\nsource: {upload: true}\n"
        "os: {family: debian, version: '12'}\n",
        "web.yaml": "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: web-01}\nmatch: {serial: SN-A}\n"
        "image: deb\nrootDevice: {serial: D1}\nlifecycle: {destroy: allow}\n",
    }
    stored = site.call("POST", "/v1/specsets", scope="admin", expect=201, json={"files": files})
    site.call("PUT", "/v1/specsets/current", scope="admin", json={"id": stored["id"]})
    assert site.call("GET", f"/v1/hosts/{HOST}")["name"] == "web-01"
    run = next(iter(site.prefect.runs.values()))
    epoch = claim(site, 1, run["id"])
    for phase in ("inspecting", "ready"):
        site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": phase})
    finish(site, 1, epoch, run["id"], "applied")
    assert site.deliver() == 1
    job = site.call("GET", "/v1/hosts/web-01/jobs/2")
    assert (job["verb"], job["by"], job["state"]) == ("apply", "discovery", "delivered")
    assert site.prefect.runs[f"t1:{job['host_id']}:2:1"]["name"] == "apply web-01"


def test_one_holder_at_a_time(reported: Any) -> None:
    site = reported
    first = site.prefect.newest()
    epoch = claim(site, 1, first)
    assert claim(site, 1, first) == epoch
    stranger = {"job": 1, "run_id": "r2"}
    refused = site.call("POST", f"/v1/hosts/{HOST}/lease", expect=409, json=stranger)
    assert refused["code"] == "lease"
    assert f"run {first}" in refused["detail"]
    site.clock.forward(60)
    renewal = {"epoch": epoch, "run_id": first}
    assert site.call("PUT", f"/v1/hosts/{HOST}/lease", json=renewal)["epoch"] == epoch
    site.clock.forward(91)
    site.prefect.down = True
    assert site.sweep() == 0
    site.call("POST", f"/v1/hosts/{HOST}/lease", expect=409, json=stranger)
    site.prefect.down = False
    assert site.sweep() == 1
    site.clock.forward(30)
    assert site.deliver() == 2  # the lost run is set CRASHED, the next one is made
    assert claim(site, 1, site.prefect.newest()) == epoch + 1
    for method, path, body in (
        ("PUT", "lease", {"epoch": epoch, "run_id": first}),
        ("POST", "phase", {"epoch": epoch, "phase": "inspecting"}),
        ("POST", "journal", {"epoch": epoch, "job": 1, "step": "s", "kind": "k", "phase": "intent"}),
        ("PUT", "boot-wish", {"epoch": epoch, "wish": "boot-os"}),
        ("PUT", "install-record", {"epoch": epoch, "record": {}}),
        ("POST", "boots", {"epoch": epoch}),
        ("POST", "jobs/1/finish", {"epoch": epoch, "run_id": first, "result": "applied"}),
        ("POST", "bmc-credential", {"epoch": epoch, "address": "1.2.3.4", "user": "x"}),
        ("POST", "install-token", {"epoch": epoch, "job": 1}),
        ("POST", "bmc-lock", {"owner": first, "epoch": epoch}),
    ):
        answer = site.call(method, f"/v1/hosts/{HOST}/{path}", expect=409, json=body)
        assert answer["code"] in ("epoch", "lease"), path
        assert site.prefect.newest() in answer["detail"], path


def test_a_failed_run_moves_the_host_and_says_why(reported: Any) -> None:
    site = reported
    epoch = claim(site, 1, site.prefect.newest())
    site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": "inspecting"})
    job = finish(site, 1, epoch, site.prefect.newest(), "failed", reason="bmc-unverified")
    again = finish(site, 1, epoch, site.prefect.newest(), "failed", reason="bmc-unverified")
    assert job == again
    assert (job["state"], job["next_step"]) == ("failed", "rackflow credentials NAME")
    host = site.call("GET", f"/v1/hosts/{HOST}")
    assert (host["phase"], host["reason"], host["lease"]) == ("inspect-failed", "bmc-unverified", None)
    why = site.call("GET", "/v1/why/10.77.1.50")
    assert why["reason"] == "bmc-unverified"
    assert "BMC does not answer" in why["sentence"]


def test_a_phase_that_is_no_transition_is_refused(reported: Any) -> None:
    epoch = claim(reported, 1, reported.prefect.newest())
    body = {"epoch": epoch, "phase": "active"}
    assert reported.call("POST", f"/v1/hosts/{HOST}/phase", expect=409, json=body)["code"] == "phase"


def test_a_cancelled_job_stops_at_the_next_renewal(reported: Any) -> None:
    site = reported
    epoch = claim(site, 1, site.prefect.newest())
    assert site.call("POST", f"{JOBS}/1/cancel", scope="admin")["state"] == "cancelling"
    grant = site.call(
        "PUT", f"/v1/hosts/{HOST}/lease", json={"epoch": epoch, "run_id": site.prefect.newest()}
    )
    assert grant["cancelling"] is True
    assert finish(site, 1, epoch, site.prefect.newest(), "failed", reason="cancelled")["state"] == "cancelled"


def test_the_same_wish_twice_is_one_job(site: Any) -> None:
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "a", "mac": MAC})
    path, body = "/v1/hosts/a/jobs", {"verb": "discover"}
    first = site.call("POST", path, scope="admin", expect=201, json=body, headers={"Idempotency-Key": "k"})
    assert site.call("POST", path, scope="admin", json=body) == first
    assert site.call("POST", path, scope="admin", expect=409, json={"verb": "apply"})["code"] == "job"
    site.call("POST", f"{path}/1/cancel", scope="admin")
    again = site.call("POST", path, scope="admin", json=body, headers={"Idempotency-Key": "k"})
    assert (again["no"], again["state"]) == (1, "cancelled")
    assert site.deliver() == 0


@pytest.mark.parametrize("job_state", ["free", "open", "retired"])
def test_a_run_started_by_hand_claims_a_job(site: Any, job_state: str) -> None:
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "a", "mac": MAC})
    if job_state == "retired":
        with site.registry.db.write() as session:
            hosts.get(session, "a").phase = "retired"
    if job_state == "open":
        site.call("POST", "/v1/hosts/a/jobs", scope="admin", expect=201, json={"verb": "discover"})
    body = {"run_id": "by-hand", "verb": "discover", "args": {}}
    expect = {"free": 200, "open": 409, "retired": 422}[job_state]
    job = site.call("POST", "/v1/hosts/a/jobs/claim", expect=expect, json=body)
    if job_state == "free":
        assert site.call("POST", "/v1/hosts/a/jobs/claim", json=body) == job
        assert claim(site, job["no"], "by-hand", "a") == 1
        assert site.deliver() == 0
