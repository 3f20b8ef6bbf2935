"""`rackflow wipe` and `plan --wipe`: what is shown, asked, posted, and said at the end."""

from pathlib import Path
from typing import Any

import pytest

from metal.cli import plan_file
from metal.cli.waiting import DEADLINE_S, WIPE_DEADLINE_S
from specs.erasure import WipeWish
from specs.facts import Observation
from specs.phases import DEADLINE_S as PHASE_DEADLINE_S
from specs.phases import Phase
from specs.records import HostRecord, JobRecord
from tests.metal.cli.conftest import NOW, FakeEdge, Rackflow

JOBS = "POST /v1/hosts/web-01/jobs"
REPORT = {
    "identity": "D0", "method": "metadata", "how": "zeros at every place of a signature",
    "size_bytes": 8 << 30,
    "began": 1.0, "ended": 2.0, "samples": 7, "zero_samples": 7, "proven": True,
}  # fmt: skip


@pytest.fixture
def wiped(edge: FakeEdge, host: HostRecord, job: JobRecord) -> JobRecord:
    """A ready host without a spec, and a wipe of it that went well."""
    edge.knows(host.model_copy(update={"phase": Phase.READY}))
    told = {"result": "applied", "reason": "ok", "message": "1 disk erased: D0 (metadata)"}
    done = job.model_copy(update={"verb": "wipe", **told})
    edge.ends(done)
    row = {
        "no": 3, "job": 7, "epoch": 2, "step": "wipe:D0", "kind": "wipe", "phase": "done",
        "at": NOW.isoformat(), "detail": {"wipe": REPORT},
    }  # fmt: skip
    edge.answers["GET /v1/hosts/web-01/journal"] = (200, {"items": [row]})
    return done


@pytest.mark.usefixtures("wiped")
def test_it_shows_what_is_erased_posts_the_job_and_ends_with_the_reports(
    edge: FakeEdge, rackflow: Rackflow
) -> None:
    said = rackflow("wipe", "web-01", "--yes")

    assert said.code == 0
    assert "web-01: wipe in 1 step," in said.out
    assert "D0 8 GiB: ntfs labelled data" in said.out
    assert "D0 empty (metadata)" in said.out
    assert "7 read, 7 zero" in said.out
    assert "web-01: 1 disk erased: D0 (metadata)" in said.out
    (wish,) = edge.sent(JOBS)
    assert (wish["verb"], wish["args"]) == ("wipe", {"method": None, "disks": "all"})


@pytest.mark.usefixtures("wiped")
def test_method_and_disks_go_with_the_job(edge: FakeEdge, rackflow: Rackflow) -> None:
    rackflow("wipe", "web-01", "--yes", "--method", "overwrite", "--disk", "D0", "--disk", "D0")

    assert edge.sent(JOBS)[0]["args"] == {"method": "overwrite", "disks": ["D0", "D0"]}


@pytest.mark.usefixtures("wiped")
def test_json_has_the_result_with_the_reports(rackflow: Rackflow) -> None:
    (row,) = rackflow("wipe", "web-01", "--yes", "--json").json["hosts"]

    assert (row["name"], row["result"], row["wipes"]) == ("web-01", "applied", [REPORT])


@pytest.mark.usefixtures("wiped")
def test_without_anybody_to_answer_nothing_is_posted(edge: FakeEdge, rackflow: Rackflow) -> None:
    said = rackflow("wipe", "web-01")

    assert said.code == 2
    assert "Erase 1 disk of web-01: D0?" in said.err
    assert "--yes says it beforehand" in said.err
    assert edge.sent(JOBS) == []


@pytest.mark.parametrize(
    ("state", "result", "code"),
    [("done", "applied", 0), ("waiting-consent", "waiting-consent", 4), ("failed", "failed", 1)],
)
def test_it_exits_by_its_result(
    edge: FakeEdge, rackflow: Rackflow, wiped: JobRecord, state: Any, result: Any, code: int
) -> None:
    told = {"next_step": "rackflow approve NAME"} if code == 4 else {}
    edge.ends(wiped.model_copy(update={"state": state, "result": result, **told}))

    said = rackflow("wipe", "web-01", "--yes")

    assert said.code == code
    assert ("next: rackflow approve web-01" in said.out) == (code == 4)


@pytest.mark.usefixtures("wiped")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "shred"), "methods: metadata, discard, sanitize, overwrite"),
        (("--disk", "all", "--disk", "D0"), "--disk all names every disk already"),
        (("--disk", ""), "disks: "),
    ],
)
def test_what_could_be_misread_is_a_wrong_use(
    edge: FakeEdge, rackflow: Rackflow, options: tuple[str, ...], says: str
) -> None:
    said = rackflow("wipe", "web-01", "--yes", *options)

    assert said.code == 2
    assert says in said.err
    assert edge.sent(JOBS) == []


@pytest.mark.usefixtures("wiped")
def test_a_disk_that_is_not_there_is_shown_as_what_stands_in_the_way(rackflow: Rackflow) -> None:
    said = rackflow("wipe", "web-01", "--yes", "--disk", "NOPE")

    assert "refused before anything is touched: no-matching-disk" in said.out
    assert "{serial NOPE} matches no disk; seen: /dev/vda D0 8 GiB" in said.out


def test_a_host_that_may_not_be_wiped_is_told_so(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    edge.knows(host.model_copy(update={"phase": Phase.INSPECTING}))

    said = rackflow("wipe", "web-01", "--yes")

    assert (said.code, edge.sent(JOBS)) == (2, [])
    assert "a host that is inspecting is not wiped" in said.err


@pytest.mark.usefixtures("wiped")
@pytest.mark.parametrize("disks", [(), ("--disk", "D0")])
def test_a_host_whose_disks_no_reading_knows_is_wiped_all_the_same(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord, disks: tuple[str, ...]
) -> None:
    """Its system is dead, and only its BMC was read: the job starts the boot OS."""
    seen = Observation(at=NOW, seen_from="bmc", unknown={"hardware": "no route to host"})
    edge.knows(host.model_copy(update={"phase": Phase.ACTIVE, "observation": seen}))

    refused = rackflow("wipe", "web-01", *disks)
    assert (refused.code, edge.sent(JOBS)) == (2, [])
    which = "D0" if disks else "all of them"
    asks = (
        f"web-01: the disks of this host are not known: no route to host. Have them read, and erase {which}?"
    )
    assert asks in refused.err

    assert rackflow("wipe", "web-01", "--yes", *disks).code == 0
    assert edge.sent(JOBS)[0]["args"]["disks"] == (["D0"] if disks else "all")
    assert rackflow("plan", "web-01", "--wipe").code == 2, "there is nothing to show"


@pytest.mark.usefixtures("wiped")
def test_a_plan_of_a_wipe_starts_nothing_and_says_the_disks(edge: FakeEdge, rackflow: Rackflow) -> None:
    said = rackflow("plan", "web-01", "--wipe", "--method", "discard", "--json")

    assert said.code == 3
    (step,) = said.json["hosts"][0]["steps"]
    assert (step["new"], step["destroys"][0]["serial"]) == ("D0 empty (discard)", "D0")
    assert [what for what, _ in edge.asked if not what.startswith("GET")] == []


@pytest.mark.usefixtures("wiped")
def test_a_plan_of_a_wipe_in_a_file_is_carried_out_as_a_wipe(
    edge: FakeEdge, rackflow: Rackflow, tmp_path: Path
) -> None:
    path = tmp_path / "wipe.json"
    rackflow("plan", "web-01", "--wipe", "--disk", "D0", "--out", str(path))
    (plan,) = plan_file.read(path)
    assert plan.wipe == WipeWish(disks=("D0",))
    edge.answers[f"PUT /v1/plans/{plan.hash}"] = (204, None)
    args = {"plan": plan.hash, "method": None, "disks": ["D0"]}
    posted = edge.answers[JOBS][1] | {"args": args}
    edge.answers[JOBS] = (201, posted)

    assert rackflow("apply", str(path)).code == 0

    (wish,) = edge.sent(JOBS)
    assert (wish["verb"], wish["args"]) == ("wipe", args)


@pytest.mark.usefixtures("wiped")
@pytest.mark.parametrize("options", ["--wipe", "--wipe --method discard", "--wipe --disk D0 --disk D1"])
def test_a_plan_that_moved_is_asked_for_again_as_what_it_was(
    rackflow: Rackflow, tmp_path: Path, edge: FakeEdge, host: HostRecord, options: str
) -> None:
    """The command that is named must not turn a wipe into an installation."""
    path = tmp_path / "plan.json"
    rackflow("plan", "web-01", *options.split(), "--out", str(path))
    edge.knows(host.model_copy(update={"phase": Phase.READY, "observation": None}))

    said = rackflow("apply", str(path))

    assert said.code == 1
    assert f"rackflow plan web-01 {options} --refresh --out {path}" in said.err
    told = rackflow("apply", str(path), "--json").json["hosts"][0]
    assert told["next"] == f"rackflow plan web-01 {options} --refresh --out {path}"


@pytest.mark.usefixtures("wiped")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--method", "discard"), "--method and --disk are of a wipe"),
        (("--wipe", "--reinstall"), "installs nothing"),
    ],
)
def test_options_of_a_wipe_alone_are_a_wrong_use(
    rackflow: Rackflow, options: tuple[str, ...], says: str
) -> None:
    said = rackflow("plan", "web-01", *options)

    assert said.code == 2
    assert says in said.err


def test_a_wipe_is_waited_for_longer_than_the_edge_lets_it_take() -> None:
    assert WIPE_DEADLINE_S > PHASE_DEADLINE_S[Phase.WIPING] > DEADLINE_S
