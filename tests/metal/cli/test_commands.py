"""Exit codes and JSON of the commands, against an edge over real TLS."""

import socket
from pathlib import Path
from typing import Any

import pytest

from metal.cli import plan_file
from specs.facts import Disk, Hardware, Observation
from specs.model import Host
from specs.records import HostRecord, JobRecord, LeaseRecord
from tests.metal.cli.conftest import NOW, FakeEdge, Rackflow

PROBLEM = {"code": "refused", "detail": "no", "hint": "ask again", "host": "web-01"}


def test_plan_of_a_host_in_sync_exits_0(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, nothing_to_do: Host
) -> None:
    edge.knows(host, nothing_to_do)

    said = rackflow("plan", "web-01", "--json")

    assert said.code == 0
    assert said.json["hosts"][0]["in_sync"] is True


def test_plan_with_work_exits_3_and_has_the_shape_of_the_contract(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, erasing: Host, tmp_path: Path
) -> None:
    edge.knows(host, erasing)

    said = rackflow("plan", "web-01", "--json", "--out", str(tmp_path / "plan.json"))

    assert said.code == 3
    (planned,) = said.json["hosts"]
    assert {"name", "hash", "observed_at", "in_sync", "steps"} <= planned.keys()
    step = {"id", "kind", "field", "old", "new", "reason", "destructive", "destroys", "reboot", "minutes"}
    assert all(one.keys() == {*step, "blocked_by"} for one in planned["steps"])
    erased = [found for one in planned["steps"] for found in one["destroys"]]
    assert {"serial": "D0", "size_bytes": 8 << 30, "found": "ntfs labelled data"} in erased
    assert plan_file.read(tmp_path / "plan.json")[0].hash == planned["hash"]
    assert [what for what, _ in edge.asked if not what.startswith("GET")] == []


def test_a_plan_for_a_person_names_what_is_erased_and_what_stands_in_the_way(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, erasing: Host
) -> None:
    edge.knows(host, erasing)

    assert "D0 8 GiB: ntfs labelled data" in rackflow("plan", "web-01").out
    edge.knows(host, erasing, image=None)

    said = rackflow("plan", "web-01")

    assert said.code == 3
    assert "refused before anything is touched: image-missing" in said.out


def test_a_host_that_was_never_read_does_not_hide_the_plans_of_others(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, nothing_to_do: Host
) -> None:
    unread = host.model_copy(update={"name": "db-01", "observation": None})
    edge.knows(host, nothing_to_do)
    edge.knows(unread, nothing_to_do)
    listed = [one.model_dump(mode="json") for one in (unread, host)]
    edge.answers["GET /v1/hosts"] = (200, {"items": listed, "next": None})

    said = rackflow("plan", "--all", "--json")

    assert (said.code, [one["name"] for one in said.json["hosts"]]) == (2, ["web-01"])
    assert "error: db-01: nothing was read of this host yet" in said.err
    assert "next: rackflow plan db-01 --refresh" in said.err


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [
        ("done", "in-sync", 0),
        ("done", "applied", 0),
        ("waiting-consent", "waiting-consent", 4),
        ("failed", "failed", 1),
        ("cancelled", None, 1),
    ],
)
def test_apply_exits_by_its_worst_result(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, job: JobRecord, state: Any, result: Any, code: int
) -> None:
    edge.knows(host)
    edge.ends(job.model_copy(update={"state": state, "result": result}))

    assert rackflow("apply", "web-01").code == code


def test_apply_json_has_the_shape_of_the_contract(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, job: JobRecord
) -> None:
    edge.knows(host)
    outcome = {"changes": 2, "writes": 9, "stages": [{"name": "observe", "seconds": 1.5}]}
    edge.ends(
        job.model_copy(update={"result": "applied", "outcome": outcome, "run_id": "r1", "reason": "ok"})
    )

    (row,) = rackflow("apply", "web-01", "--json").json["hosts"]

    expected = {"name": "web-01", "result": "applied", "reason": "ok", "next": None} | outcome
    assert expected.items() <= row.items()
    assert row["run_url"] == "http://127.0.0.1:4200/runs/flow-run/r1"
    assert edge.sent("POST /v1/hosts/web-01/jobs")[0]["verb"] == "apply"


def test_apply_of_two_hosts_fails_when_one_failed(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, job: JobRecord
) -> None:
    for name, state, result in (
        ("web-01", "waiting-consent", "waiting-consent"),
        ("db-01", "failed", "failed"),
    ):
        edge.knows(host.model_copy(update={"name": name}))
        edge.ends(job.model_copy(update={"host": name, "host_id": name, "state": state, "result": result}))

    assert rackflow("apply", "web-01", "db-01").code == 1


def test_an_unreachable_edge_exits_5_with_the_next_step(
    edge: FakeEdge, rackflow: Rackflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metal.edge_client.wire.RETRY_DELAYS_S", ())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RACKFLOW_EDGE_URL", f"https://127.0.0.1:{silent.getsockname()[1]}")
        said = rackflow("hosts", "--json")

    assert (said.code, said.out) == (5, "")
    assert "next: is it running? rackflow up" in said.err


@pytest.mark.parametrize("argv", [("plan",), ("apply",), ("host", "add", "web-01"), ("nonsense",)])
def test_wrong_use_exits_2_and_prints_nothing_on_stdout(
    edge: FakeEdge, rackflow: Rackflow, argv: tuple[str, ...]
) -> None:
    said = rackflow(*argv)

    assert (said.code, said.out) == (2, "")
    assert said.err


def test_a_refusal_exits_1_and_says_where_and_what_next(edge: FakeEdge, rackflow: Rackflow) -> None:
    edge.answers["GET /v1/hosts/web-01"] = (403, PROBLEM)

    said = rackflow("host", "web-01")

    assert (said.code, said.err) == (1, "error: web-01: no\n  next: ask again\n")


def test_hosts_json_has_the_shape_of_the_contract(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    lease = LeaseRecord(epoch=3, job=7, run_id="r1", expires=NOW)
    listed = host.model_copy(update={"lease": lease, "specset": "set-1", "address": "10.77.1.9"})
    edge.answers["GET /v1/hosts"] = (200, {"items": [listed.model_dump(mode="json")], "next": None})

    (row,) = rackflow("hosts", "--json").json

    names = "name id phase conditions address bmc_address specset lease last_run"
    assert set(row) == set(names.split())
    assert (row["phase"], row["lease"]["epoch"]) == ("ready", 3)


def test_hosts_in_a_pipe_are_plain_lines(edge: FakeEdge, rackflow: Rackflow, host: HostRecord) -> None:
    edge.answers["GET /v1/hosts"] = (200, {"items": [host.model_dump(mode="json")], "next": None})

    assert rackflow("hosts").out.splitlines() == [
        "name\tphase\tjob\tin sync\taddress\tbmc\tspec",
        "web-01\tready\t\tUnknown\t\t\tweb-01",
    ]


def test_host_name_shows_how_disks_can_be_erased_and_were(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    frozen = Disk(
        device="/dev/sda", serial="AAA1", size_bytes=1 << 40, erases=(), erase_problem="it is frozen"
    )
    whole = Disk(
        device="/dev/nvme0n1", wwn="eui.01", drive_serial="NVM6", size_bytes=1 << 40, medium="nvme",
        logical_block_bytes=4096, erases=("nvme-crypto", "discard"),
    )  # fmt: skip
    seen = Observation(at=NOW, seen_from="boot-os", hardware=Hardware(disks=(frozen, whole)))
    edge.knows(
        host.model_copy(update={"observation": seen, "installed": {"root_disks": ["AAA1"]}, "last_job": 7})
    )
    job = JobRecord(
        host=host.name, host_id=host.id, no=7, verb="apply", state="done", by="me", created_at=NOW
    )
    edge.ends(job)
    report = {"identity": "AAA1", "method": "overwrite", "how": "zeros", "size_bytes": 1 << 40, "began": 0.0}
    report |= {"ended": 60.0, "samples": 64, "zero_samples": 64, "proven": True}
    row = {
        "no": 3,
        "job": 7,
        "epoch": 1,
        "step": "wipe:AAA1",
        "kind": "wipe",
        "phase": "done",
        "at": str(NOW),
    }
    older = row | {"detail": {"wipe": report | {"method": "metadata"}}}
    items = [older, row | {"detail": {}}, row | {"detail": {"wipe": report}}]
    edge.answers[f"GET /v1/hosts/{host.name}/journal"] = (200, {"items": items})

    shown = rackflow("host", host.name).out.splitlines()

    assert "/dev/sda\tAAA1\t\t1 TiB\tunknown\t\tblank\tit is frozen" in shown
    assert "/dev/nvme0n1\tnamespace of NVM6\teui.01\t1 TiB\tnvme 4Kn\t\tblank\tnvme-crypto, discard" in shown
    told = "AAA1\t1 TiB\toverwrite\tzeros\t1970-01-01 00:00:00 UTC\t1970-01-01 00:01:00 UTC"
    assert f"{told}\t64 read, 64 zero\tby reading" in shown
    assert "root disk\tAAA1" in shown
    assert rackflow("host", host.name, "--json").json["wipes"] == [report]


def test_host_name_shows_and_host_add_registers(edge: FakeEdge, rackflow: Rackflow, host: HostRecord) -> None:
    edge.knows(host)
    edge.answers["POST /v1/hosts"] = (201, host.model_dump(mode="json"))

    assert rackflow("host", "web-01", "--json").json["serial"] == host.serial
    assert rackflow("host", "add", "web-01", "--mac", "52:54:00:00:00:01").code == 0
    assert edge.sent("POST /v1/hosts")[0]["mac"] == "52:54:00:00:00:01"


def test_the_password_of_a_bmc_is_asked_for_and_never_an_option(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    edge.answers["POST /v1/hosts"] = (201, host.model_dump(mode="json"))

    said = rackflow("host", "add", "web-01", "--bmc", "10.77.9.5", "--bmc-user", "ADMIN", stdin="s3cret\n")

    account = {"address": "10.77.9.5", "user": "ADMIN", "password": "s3cret"}
    assert edge.sent("POST /v1/hosts")[0]["bmc"] == account
    assert "s3cret" not in said.out + said.err
    assert rackflow("host", "add", "web-01", "--bmc", "10.77.9.5", "--bmc-password", "x").code == 2


def test_a_secret_is_read_from_standard_input_and_shown_by_reference(
    edge: FakeEdge, rackflow: Rackflow
) -> None:
    edge.answers["PUT /v1/secrets/ops-password"] = (200, {"name": "ops-password", "version": 4})

    said = rackflow("secret", "set", "ops-password", stdin="two words \n")

    assert edge.sent("PUT /v1/secrets/ops-password") == [{"value": "two words "}]
    assert (said.code, said.err) == (0, "secret:ops-password@4 is set\n")
    assert rackflow("secret", "set", "ops-password", stdin="").code == 2


def test_approve_consents_to_the_named_plan(edge: FakeEdge, rackflow: Rackflow) -> None:
    consent = {"host": "web-01", "plan": "f" * 64, "by": "me", "at": str(NOW), "expires": str(NOW)}
    edge.answers["POST /v1/consents"] = (201, consent)
    edge.answers["GET /v1/hosts/web-01/jobs"] = (200, {"items": []})

    assert rackflow("approve", "web-01", "--plan", "f" * 64).code == 0
    assert edge.sent("POST /v1/consents")[0]["plan"] == "f" * 64


def test_power_waits_for_its_job(edge: FakeEdge, rackflow: Rackflow, job: JobRecord) -> None:
    edge.ends(job.model_copy(update={"verb": "power", "message": "power off -> on"}))

    assert rackflow("power", "on", "web-01").out == "web-01: power off -> on\n"
    assert edge.sent("POST /v1/hosts/web-01/jobs")[0]["args"] == {"action": "on"}
    edge.ends(job.model_copy(update={"verb": "power", "state": "failed", "message": "no BMC"}))
    assert rackflow("power", "status", "web-01").code == 1


def test_an_image_is_sent_whole_and_waited_for(edge: FakeEdge, rackflow: Rackflow, tmp_path: Path) -> None:
    image = tmp_path / "debian-12.raw"
    image.write_text('{"a": "stand-in, in JSON"}')
    edge.answers["POST /v1/images"] = (201, {})
    edge.answers["PUT /v1/images/debian-12/blob"] = (202, {})
    edge.answers["GET /v1/images/debian-12"] = (200, {"state": "ready", "digest": "sha256:1"})
    argv = ("image", "add", "debian-12", "--file", str(image), "--format", "raw")

    assert rackflow(*argv, "--json").json == {"state": "ready", "digest": "sha256:1"}
    assert edge.sent("PUT /v1/images/debian-12/blob") == [{"a": "stand-in, in JSON"}]
    edge.answers["GET /v1/images/debian-12"] = (200, {"state": "failed", "error": "has a backing file"})
    said = rackflow(*argv)

    assert (said.code, "image debian-12 was refused: has a backing file" in said.err) == (1, True)


def test_a_console_without_a_boot_says_so_and_release_says_until_when(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    edge.answers["GET /v1/hosts/web-01/boots"] = (200, {"items": [], "next": None})

    assert rackflow("console", "web-01", "--no-follow").code == 2
    edge.answers["POST /v1/hosts/web-01/console/release"] = (200, {"released_until": "12:10"})
    assert "is free until 12:10" in rackflow("console", "web-01", "--release").err
