"""Plan files: what is read back is what was reviewed, and what moved since is said before anything starts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.cli import plan_file
from metal.cli.plan_file import MAX_BYTES, MAX_DEPTH, PlanFileError
from metal.planning.plan import Plan
from specs.model import Host
from specs.records import HostRecord, JobRecord
from tests.metal.cli.conftest import NOW, SEEN, FakeEdge, Rackflow, Said

PLAN = Plan(host="web-01", host_id="id-1", specset="s", spec="web-01", observed_at=None, seen_from="boot-os")
Spoil = Callable[[dict[str, Any]], object]


@pytest.fixture
def written(edge: FakeEdge, rackflow: Rackflow, host: HostRecord, erasing: Host, tmp_path: Path) -> Path:
    """A plan that erases D0, in a file; the edge takes it and ends its job."""
    edge.knows(host, erasing)
    path = tmp_path / "erase.json"
    assert rackflow("plan", "web-01", "--out", str(path)).code == 3
    found = plan_file.read(path)[0].hash
    edge.answers[f"PUT /v1/plans/{found}"] = (204, None)
    return path


def apply(edge: FakeEdge, rackflow: Rackflow, path: Path, *more: str, job: JobRecord | None = None) -> Said:
    if job is not None:
        edge.ends(job.model_copy(update={"args": {"plan": plan_file.read(path)[0].hash}}))
    return rackflow("apply", str(path), *more)


def posted(edge: FakeEdge) -> list[str]:
    return [what for what, _ in edge.asked if not what.startswith("GET")]


def test_apply_carries_out_exactly_the_plan_of_the_file(
    edge: FakeEdge, rackflow: Rackflow, written: Path, job: JobRecord
) -> None:
    said = apply(edge, rackflow, written, job=job.model_copy(update={"result": "applied"}))

    (plan,) = plan_file.read(written)
    assert said.code == 0
    assert edge.sent(f"PUT /v1/plans/{plan.hash}") == [plan.model_dump(mode="json")]
    (wish,) = edge.sent("POST /v1/hosts/web-01/jobs")
    assert (wish["verb"], wish["args"]) == ("apply", {"plan": plan.hash})


def test_a_machine_that_moved_is_refused_with_the_difference_and_nothing_is_posted(
    edge: FakeEdge, rackflow: Rackflow, written: Path, host: HostRecord, erasing: Host
) -> None:
    assert SEEN.hardware is not None
    disk = SEEN.hardware.disks[0].model_copy(update={"found": ("ext4 labelled payroll",)})
    hardware = SEEN.hardware.model_copy(update={"disks": (disk,)})
    edge.knows(
        host.model_copy(update={"observation": SEEN.model_copy(update={"hardware": hardware})}), erasing
    )

    said = apply(edge, rackflow, written)

    assert (said.code, posted(edge)) == (1, [])
    moved = next(row for row in said.out.splitlines() if row.startswith("basis.hardware.disks.D0.found"))
    assert moved.split("\t")[1:] == ['["ntfs labelled data"]', '["ext4 labelled payroll"]']
    assert "nothing was started" in said.err
    told = apply(edge, rackflow, written, "--json").json["hosts"][0]
    assert (told["name"], told["reason"]) == ("web-01", "plan-moved")
    assert {"field", "was", "is"} == set(told["differences"][0])


def test_a_spec_that_moved_is_refused_too(
    edge: FakeEdge, rackflow: Rackflow, written: Path, host: HostRecord, erasing: Host
) -> None:
    renamed = erasing.model_copy(update={"hostname": "other.example.net"})
    edge.knows(host, renamed)

    said = apply(edge, rackflow, written)

    assert (said.code, posted(edge)) == (1, [])
    assert "other.example.net" in said.out


def test_another_hosts_change_and_the_age_of_the_reading_move_nothing(
    edge: FakeEdge, rackflow: Rackflow, written: Path, host: HostRecord, erasing: Host, job: JobRecord
) -> None:
    later = SEEN.model_copy(update={"at": NOW.replace(hour=13)})
    edge.knows(host.model_copy(update={"observation": later}), erasing)
    edge.answers["GET /v1/hosts/web-01/order"][1]["specset"] = "set-2"

    assert apply(edge, rackflow, written, job=job).code == 0


def test_an_open_job_without_the_plan_is_not_taken_for_it(
    edge: FakeEdge, rackflow: Rackflow, written: Path, job: JobRecord
) -> None:
    edge.ends(job)

    said = apply(edge, rackflow, written)

    assert said.code == 1
    assert "job 7 (apply) is open and was not given this plan" in said.err


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda body: body["plans"][0].update(host="db-01"), "the file was changed"),
        (lambda body: body["plans"][0].update(surprise=1), "surprise"),
        (lambda body: body["plans"][0].pop("hash"), "expected a plan with its hash"),
        (lambda body: body["plans"].append(body["plans"][0]), "two plans for web-01"),
        (lambda body: body.update(version=2), "version '2', expected 1"),
        (lambda body: body.update(plans=[]), "expected a list of 1 to"),
        (lambda body: body["plans"].__setitem__(0, None), "plans[0]"),
    ],
)
def test_a_file_that_was_changed_is_named_with_what_is_wrong(tmp_path: Path, spoil: Spoil, told: str) -> None:
    path = tmp_path / "plans.json"
    plan_file.write(path, [PLAN])
    body = json.loads(path.read_text())
    spoil(body)
    path.write_text(json.dumps(body))

    with pytest.raises(PlanFileError, match=r"plans\.json") as refused:
        plan_file.read(path)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[" * 100_000, "nested deeper"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b"\xff\xfe", "no JSON"),
        (b'{"version": NaN, "plans": []}', "no JSON"),
        (b"[]", "expected an object"),
    ],
)
def test_hostile_bytes_are_a_named_error(data: bytes, told: str) -> None:
    with pytest.raises(PlanFileError, match=told):
        plan_file.parse(data, Path("x"))


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    with path.open("wb") as long:
        long.truncate(MAX_BYTES + 1)

    with pytest.raises(PlanFileError, match="at most"):
        plan_file.read(path)


def test_no_file_is_a_wrong_use(edge: FakeEdge, rackflow: Rackflow, tmp_path: Path) -> None:
    said = rackflow("apply", str(tmp_path / "none.json"))

    assert (said.code, "No such file" in said.err) == (2, True)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(max_size=5), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_bytes_that_are_no_plans_are_a_named_error(data: bytes) -> None:
    with pytest.raises(PlanFileError):
        plan_file.parse(data, Path("x"))
