"""Boots: seeds, tokens, hostile report-ins, and the phone-home of a deployed system."""

from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from sqlalchemy import select

from pxe_edge.registry import boots, hosts, jobs
from pxe_edge.registry.tables import BootRow
from specs.phases import Phase

MAC = "52:54:00:00:00:0a"
HOST = "mac-52540000000a"
PEER = IPv4Address("10.77.1.50")
OTHER = IPv4Address("10.77.1.66")
KEY = "ssh-ed25519 INSTALLED"


def test_a_seed_is_for_one_address_and_one_whole_transfer(site: Any) -> None:
    plan = site.desk.boot_begin(MAC, None, 0, PEER)
    nonce = plan.seed_url.removeprefix("/seed/")
    assert site.desk.seed(nonce, PEER, peek=True)
    data = site.desk.seed(nonce, PEER, peek=False)
    assert data.startswith(b"070701")
    assert len(data) % 512 == 0
    assert site.registry.management_public.encode() in data
    assert site.desk.seed(nonce, OTHER, peek=False) is None
    site.desk.seed_done(nonce)
    assert site.desk.seed(nonce, PEER, peek=False) is None
    assert site.desk.seed("f" * 32, PEER, peek=False) is None


def test_a_token_is_good_for_one_body_and_fifteen_minutes(site: Any) -> None:
    boot_no, token = site.boot()
    assert site.report_in("0" * 32, boot_no) == (401, "token")
    assert site.report_in(token, boot_no) == (204, None)
    assert site.report_in(token, boot_no) == (204, None)
    assert site.report_in(token, boot_no, serial="SN-B") == (409, "token")
    late_no, late = site.boot()
    site.clock.forward(15 * 60)
    assert site.report_in(late, late_no) == (410, "token")
    assert site.report_in(token, boot_no) == (204, None)


def test_a_new_boot_ends_the_one_before(site: Any) -> None:
    old_no, old = site.boot()
    new_no, new = site.boot()
    assert site.report_in(old, old_no) == (410, "token")
    assert site.report_in(new, new_no) == (204, None)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"extra": 1}, 422, "bad-report"),
        ({"mem_bytes": "much"}, 422, "bad-report"),
        ({"mac": "52:54:00:00:00:0b"}, 409, "bad-report"),
        ({"ssh_host_key": "ssh-rsa AAAA"}, 409, "bad-report"),
        ({"boot_no": 99}, 409, "bad-report"),
        ({"uuid": "99999999-2222-3333-4444-555555555555"}, 409, "identity-conflict"),
        ({"serial": "SN-OTHER"}, 409, "identity-conflict"),
    ],
)
def test_hostile_reports_change_nothing_and_are_shown(
    reported: Any, changed: dict[str, Any], status: int, code: str
) -> None:
    site = reported
    before = site.call("GET", f"/v1/hosts/{HOST}")
    boot_no, token = site.boot()
    got = site.report_in(token, **{"boot_no": boot_no, **changed})
    assert got == (status, code)
    after = site.call("GET", f"/v1/hosts/{HOST}")
    assert after["boot"] == before["boot"]
    assert (after["uuid"], after["serial"], after["macs"]) == (
        before["uuid"],
        before["serial"],
        before["macs"],
    )
    if status == 409:
        assert after["reason"] == code
        assert site.report_in(token, boot_no) == (409, "token")
        assert "refused" in [entry["kind"] for entry in site.call("GET", f"/v1/why/{HOST}")["timeline"]]


def test_a_machine_with_anothers_identity_gets_no_host(reported: Any) -> None:
    site = reported
    plan = site.desk.boot_begin("52:54:00:00:00:0b", None, 0, OTHER)
    seed = site.desk.seed(plan.seed_url.removeprefix("/seed/"), OTHER, peek=False)
    token = seed.split(b'"token": "')[1].split(b'"')[0].decode()
    second = "ffffffff-2222-3333-4444-555555555555"
    assert site.report_in(token, plan.boot_no, mac="52:54:00:00:00:0b", uuid=second) == (
        409,
        "identity-conflict",
    )
    assert len(site.call("GET", "/v1/hosts")["items"]) == 1


def test_a_rebooted_machine_continues_the_same_job(reported: Any) -> None:
    site = reported
    run = next(iter(site.prefect.runs.values()))
    site.call("POST", f"/v1/hosts/{HOST}/lease", json={"job": 1, "run_id": run["id"]})
    site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": 1, "phase": "inspecting"})
    boot_no, token = site.boot()
    assert site.report_in(token, boot_no, ssh_host_key="ssh-ed25519 FRESH") == (204, None)
    host = site.call("GET", f"/v1/hosts/{HOST}")
    assert (host["boot"]["boot_no"], host["boot"]["ssh_host_key"]) == (boot_no, "ssh-ed25519 FRESH")
    assert host["last_job"] == 1
    assert site.deliver() == 0


def test_no_boot_without_due_work(reported: Any) -> None:
    site = reported
    site.call("POST", f"/v1/hosts/{HOST}/lease", json={"job": 1, "run_id": site.prefect.newest()})
    for phase in ("inspecting", "ready"):
        site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": 1, "phase": phase})
    body = {"epoch": 1, "run_id": site.prefect.newest(), "result": "applied"}
    site.call("POST", f"/v1/hosts/{HOST}/jobs/1/finish", json=body)
    assert site.desk.boot_begin(MAC, None, 0, PEER) is None
    site.call("POST", "/v1/hosts/approve", scope="admin", json={"what": HOST})
    assert site.desk.boot_begin(MAC, None, 0, PEER) is not None


def installed(site: Any) -> str:
    site.call("POST", f"/v1/hosts/{HOST}/lease", json={"job": 1, "run_id": site.prefect.newest()})
    record = {"job": 1, "disk_serials": ["D1"], "ssh_host_key": KEY, "address": "10.77.1.20"}
    body = {"epoch": 1, "record": record}
    site.call("PUT", f"/v1/hosts/{HOST}/install-record", expect=204, json=body)
    answer = site.call("POST", f"/v1/hosts/{HOST}/install-token", json={"epoch": 1, "job": 1})
    assert answer["phone_home"].endswith("/v1/phone-home")
    return str(answer["token"])


def test_the_installers_host_key_is_the_only_one_that_phones_home(reported: Any) -> None:
    site = reported
    token = installed(site)
    good = {"host": HOST, "boot_id": "b1", "ssh_host_key": f"{KEY} root@web"}
    foreign = {**good, "ssh_host_key": "ssh-ed25519 STRANGER"}
    assert site.desk.phone_home(token, foreign, PEER)[0] == 409
    assert site.call("GET", f"/v1/hosts/{HOST}")["reason"] == "identity-conflict"
    assert site.desk.phone_home("0" * 32, good, PEER)[0] == 401
    assert site.desk.phone_home(token, {**good, "more": "x"}, PEER)[0] == 422
    assert site.desk.phone_home(token, good, PEER) == (204, None)
    assert site.desk.phone_home(token, good, PEER) == (204, None)
    assert site.desk.phone_home(token, {**good, "boot_id": "b2"}, PEER)[0] == 410
    host = site.call("GET", f"/v1/hosts/{HOST}")
    assert host["boot"] is None
    assert (host["os"]["ssh_host_key"], host["os"]["address"]) == (KEY, "10.77.1.20")


def test_an_install_token_dies_with_its_deadline_and_with_the_next_one(reported: Any) -> None:
    site = reported
    first, second = installed(site), installed(site)
    good = {"host": HOST, "boot_id": "b1", "ssh_host_key": KEY}
    assert site.desk.phone_home(first, good, PEER)[0] == 410
    site.clock.forward(91 * 60)
    assert site.desk.phone_home(second, good, PEER)[0] == 410


def test_a_strangers_boot_takes_no_running_hosts_place(site: Any) -> None:
    boot_no, token = site.boot()
    assert site.report_in(token, boot_no) == (204, None)
    with site.registry.db.write() as session:
        hosts.get(session, HOST).phase = Phase.ACTIVE
        for job in jobs.unfinished(session, hosts.get(session, HOST).id):
            job.state = "done"
    before = site.call("GET", f"/v1/hosts/{HOST}")
    # It boots under a MAC of its own, says no UUID to iPXE, and the known host's to the edge.
    stranger = "52:54:00:00:00:66"
    boot_no, token = site.boot(mac=stranger, uuid=None)
    told = {"mac": stranger, "serial": None, "ssh_host_key": "ssh-ed25519 MINE", "addresses": []}
    assert site.report_in(token, boot_no, **told) == (409, "identity-conflict")
    after = site.call("GET", f"/v1/hosts/{HOST}")
    assert (after["address"], after["boot"], after["macs"]) == (
        before["address"],
        before["boot"],
        before["macs"],
    )
    assert stranger in site.call("GET", f"/v1/why/{HOST}")["sentence"]


def test_made_up_machines_do_not_fill_the_disk(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boots, "MAX_STRANGERS", 3)
    for number in range(8):
        site.boot(mac=f"52:54:00:00:01:0{number}", uuid=None)
    with site.registry.db.read() as session:
        assert sorted(session.scalars(select(BootRow.mac))) == [f"52:54:00:00:01:0{n}" for n in (5, 6, 7)]
    boot_no, token = site.boot()
    assert site.report_in(token, boot_no) == (204, None)


def test_no_host_key_is_not_the_installers(site: Any) -> None:
    boot_no, token = site.boot()
    site.report_in(token, boot_no)
    with site.registry.db.write() as session:
        host = hosts.get(session, HOST)
        deadline = site.registry.now() + timedelta(hours=1)
        install = boots.install_token(session, site.registry.now(), host, job=1, deadline=deadline)
    status, told = site.desk.phone_home(install, {"host": HOST, "boot_id": "b", "ssh_host_key": ""}, PEER)
    assert (status, told.code) == (409, "host-key")
