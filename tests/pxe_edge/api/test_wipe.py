"""A wipe at the edge: posted, delivered to its flow, and what the registry forgets with its end."""

from typing import Any

import pytest

from specs.reasons import next_step
from tests.pxe_edge.api.conftest import HOST, MAC, PEER

KEY = "ssh-ed25519 AAAAinstaller"
JOBS = f"/v1/hosts/{HOST}/jobs"
SPEC = {
    "image.yaml": "apiVersion: rackflow/v1\nkind: Image\nmetadata: {name: deb}\nsource: {upload: true}\n"
    "os: {family: debian, version: '12'}\n",
    "web.yaml": "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: web-01}\nmatch: {serial: SN-A}\n"
    "image: deb\nrootDevice: {serial: D1}\nlifecycle: {destroy: allow}\n",
}


def to(site: Any, phase: str, epoch: int, **told: str) -> Any:
    return site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": phase, **told})


def ended(site: Any, job: int, epoch: int, result: str, **told: Any) -> Any:
    body = {"epoch": epoch, "run_id": site.prefect.newest(), "result": result, **told}
    return site.call("POST", f"{JOBS}/{job}/finish", json=body)


@pytest.fixture
def installed(reported: Any) -> Any:
    """A host that is active, with an install record, whose system has phoned home."""
    site = reported
    epoch = site.start("inspecting")
    for phase in ("ready", "provisioning"):
        to(site, phase, epoch)
    record = {"job": 1, "disk_serials": ["D1"], "ssh_host_key": KEY, "address": "10.77.1.20"}
    site.call("PUT", f"/v1/hosts/{HOST}/install-record", expect=204, json={"epoch": epoch, "record": record})
    token = site.call("POST", f"/v1/hosts/{HOST}/install-token", json={"epoch": epoch, "job": 1})["token"]
    site.phone_home = {"host": HOST, "boot_id": "b1", "ssh_host_key": KEY}
    site.clock.forward(1)
    assert site.desk.phone_home(token, site.phone_home, PEER)[0] == 204
    to(site, "active", epoch)
    ended(site, 1, epoch, "applied")
    assert site.host()["os"]["address"] == "10.77.1.20"
    return site


def wanted(site: Any, *, expect: int = 201, **args: Any) -> Any:
    return site.call(
        "POST", JOBS, scope="admin", expect=expect, json={"verb": "wipe", "args": args, "by": "ann"}
    )


def wiping(site: Any) -> int:
    """A wipe whose run has the host and was let in."""
    wanted(site)
    assert site.deliver() == 1
    site.clock.forward(1)
    epoch = int(site.claim(job=2)["epoch"])
    to(site, "wiping", epoch)
    return epoch


def test_a_wipe_is_a_job_of_its_own_flow(installed: Any) -> None:
    site = installed
    assert wanted(site, method="discard", disks=["D1"])["args"] == {"method": "discard", "disks": ["D1"]}
    assert wanted(site, expect=200, method="discard", disks=["D1"])["no"] == 2
    assert "does another thing" in wanted(site, expect=409)["detail"]
    assert site.deliver() == 1
    run = list(site.prefect.runs.values())[-1]
    assert (run["flow"], run["name"]) == ("wipe-host", f"wipe {HOST}")
    assert run["parameters"] == {"host": HOST, "job": 2, "specset": site.registry.specset}


def test_arguments_that_could_mean_every_disk_by_mistake_are_refused(installed: Any) -> None:
    problem = wanted(installed, expect=422, disk=["D1"])
    assert "args of wipe: disk: Extra inputs" in problem["detail"]
    assert '"disks": "all" or [SERIAL' in problem["hint"]
    assert installed.host()["last_job"] == 1


def test_a_run_started_by_hand_is_held_to_the_same(installed: Any) -> None:
    body = {"run_id": "by-hand", "verb": "wipe", "args": {"disk": "D1"}}
    installed.call("POST", f"{JOBS}/claim", expect=422, json=body)
    body["args"] = {"method": None, "disks": "all", "specset": None}
    assert installed.call("POST", f"{JOBS}/claim", json=body)["by"] == "prefect-ui"


def test_a_host_that_is_installed_right_now_is_not_wiped(reported: Any) -> None:
    site = reported
    epoch = site.start("inspecting")
    ended(site, 1, epoch, "failed", reason="step-failed")
    problem = wanted(site, expect=422)
    assert "a host that is inspect-failed is not wiped" in problem["detail"]
    assert "ready" in problem["hint"]


def test_an_attested_wipe_leaves_nothing_installed(installed: Any) -> None:
    site = installed
    epoch = wiping(site)
    assert site.host()["installed"] is not None, "until it is attested, its disks are this host's own"
    to(site, "ready", epoch, reason="ok", message="1 disk erased: D1 (metadata)")
    assert ended(site, 2, epoch, "applied", message="1 disk erased: D1 (metadata)")["state"] == "done"
    host = site.host()
    assert (host["phase"], host["installed"], host["os"], host["lease"]) == ("ready", None, None, None)
    assert host["message"] == "1 disk erased: D1 (metadata)"
    assert site.desk.boot_begin(MAC, None, 0, PEER) is None, "no work is due"
    told = site.call("GET", f"/v1/why/{HOST}")
    assert (told["cause"], "1 disk erased" in told["sentence"]) == ("wiped", True)
    lines = site.call("GET", f"/v1/hosts/{HOST}/timeline")["items"]
    assert "nothing is installed any more" in [line["text"] for line in lines]


def test_a_system_that_was_erased_does_not_phone_home_any_more(installed: Any) -> None:
    site = installed
    epoch = wiping(site)
    late = site.call("POST", f"/v1/hosts/{HOST}/install-token", json={"epoch": epoch, "job": 2})["token"]
    to(site, "ready", epoch)
    assert site.desk.phone_home(late, site.phone_home, PEER)[0] != 204
    assert site.host()["os"] is None


def test_a_run_that_says_so_again_changes_nothing(installed: Any) -> None:
    """It may die between the phase and its outcome; its job's next run then goes the same way."""
    site = installed
    epoch = wiping(site)
    for phase in ("ready", "wiping", "ready"):
        to(site, phase, epoch)
    assert ended(site, 2, epoch, "applied")["state"] == "done"
    lines = site.call("GET", f"/v1/hosts/{HOST}/timeline")["items"]
    assert [line["text"] for line in lines].count("nothing is installed any more") == 1


def test_a_wipe_that_fails_keeps_what_is_known_and_is_asked_for_again(installed: Any) -> None:
    site = installed
    epoch = wiping(site)
    job = ended(site, 2, epoch, "failed", reason="step-failed", message="wipe:D1: the disk returned an error")
    assert job["next_step"] == next_step("step-failed", "wipe")
    assert "then rackflow wipe NAME" in job["next_step"]
    host = site.host()
    assert (host["phase"], host["installed"]["disk_serials"]) == ("wipe-failed", ["D1"])
    assert wanted(site)["no"] == 3


def test_a_host_whose_wipe_failed_may_be_inspected_and_is_still_not_called_wiped(installed: Any) -> None:
    """Its BMC's account may have been lost: only an inspection sets it up again, and no wipe runs without."""
    site = installed
    ended(site, 2, wiping(site), "failed", reason="identity-unproven", message="another machine")
    site.call("POST", JOBS, scope="admin", expect=201, json={"verb": "inspect", "args": {}, "by": "ann"})
    assert site.deliver() == 1
    site.clock.forward(1)
    epoch = int(site.claim(job=3)["epoch"])
    for phase in ("inspecting", "ready"):
        to(site, phase, epoch)
    assert ended(site, 3, epoch, "applied")["state"] == "done"
    host = site.host()
    assert (host["phase"], host["installed"]["disk_serials"]) == ("ready", ["D1"])
    assert site.call("GET", f"/v1/why/{HOST}")["cause"] != "wiped"


def test_a_wiped_host_is_not_installed_anew_at_once_whatever_its_spec_allows(installed: Any) -> None:
    site = installed
    files = {
        "site.yaml": next(iter(site.call("GET", "/v1/specsets/current")["files"].values())),
        **SPEC,
    }
    stored = site.call("POST", "/v1/specsets", scope="admin", expect=201, json={"files": files})
    site.call("PUT", "/v1/specsets/current", scope="admin", json={"id": stored["id"]})
    epoch = wiping(site)
    to(site, "ready", epoch)
    ended(site, 2, epoch, "applied")
    assert site.host()["last_job"] == 2
    assert site.host()["spec"] == "web-01"
