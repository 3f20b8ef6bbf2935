"""`spec check` and `spec publish`: findings with places, and only clean commits by default."""

import subprocess
from pathlib import Path

import pytest

from tests.metal.cli.conftest import NOW, FakeEdge, Rackflow

GOOD = "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: web-01}\nmatch: {serial: A}\n"
TWO_FINDINGS = GOOD + "rootDevise: {raid: x}\nmanagement: 5\n"


def git(folder: Path, *argv: str) -> str:
    """A git command in a folder."""
    who = ("-c", "user.name=T", "-c", "user.email=t@example.net")
    done = subprocess.run(["git", "-C", folder, *who, *argv], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    """Commit all of a folder; returns the commit."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "specs")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def specs(tmp_path: Path, edge: FakeEdge) -> Path:
    """A clone with one host, and an edge that accepts it."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "web-01.yaml").write_text(GOOD)
    git(tmp_path, "init", "-q")
    stored = {"id": "set-2", "commit": "c", "author": "T", "created_at": str(NOW)}
    edge.answers["POST /v1/specsets"] = (201, stored)
    edge.answers["PUT /v1/specsets/current"] = (200, stored)
    return folder


def test_check_shows_every_finding_with_its_line_and_exits_2(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    (specs / "web-01.yaml").write_text(TWO_FINDINGS)

    said = rackflow("spec", "check")

    assert said.code == 2
    assert said.out.splitlines() == [
        "web-01.yaml:5:1: rootDevise: unknown key 'rootDevise' (did you mean rootDevice?)",
        "web-01.yaml:6:1: management: expected true or false, got the number 5",
    ]
    assert edge.asked == []


def test_check_in_json_has_file_and_line(specs: Path, rackflow: Rackflow) -> None:
    (specs / "web-01.yaml").write_text(TWO_FINDINGS)

    found = rackflow("spec", "check", "--json").json["findings"]

    assert [(one["file"], one["line"]) for one in found] == [("web-01.yaml", 5), ("web-01.yaml", 6)]


def test_check_of_good_specs_exits_0_and_of_nothing_exits_2(specs: Path, rackflow: Rackflow) -> None:
    assert rackflow("spec", "check").code == 0
    assert rackflow("spec", "check", "elsewhere").code == 2


def test_publish_refuses_what_is_not_committed_unless_told(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    commit(specs.parent)
    (specs / "web-01.yaml").write_text(GOOD + "power: off\n")

    said = rackflow("spec", "publish")

    assert (said.code, edge.sent("POST /v1/specsets")) == (2, [])
    assert "has uncommitted changes" in said.err
    assert rackflow("spec", "publish", "--dirty").code == 0
    assert edge.sent("POST /v1/specsets")[0]["dirty"] is True


def test_publish_of_a_folder_outside_of_git_says_so(specs: Path, edge: FakeEdge, rackflow: Rackflow) -> None:
    said = rackflow("spec", "publish")

    assert (said.code, edge.asked) == (2, [])
    assert "is not in a git commit" in said.err


def test_publish_sends_commit_author_files_and_the_set_that_it_replaces(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    first = commit(specs.parent)
    (specs / "web-01.yaml").write_text(GOOD + "power: off\n")
    second = commit(specs.parent)
    current = {"id": "set-1", "commit": first, "author": "T", "created_at": str(NOW)}
    edge.answers["GET /v1/specsets/current"] = (200, current)

    assert rackflow("spec", "publish").code == 0

    (sent,) = edge.sent("POST /v1/specsets")
    assert (sent["commit"], sent["author"], sent["dirty"]) == (second, "T <t@example.net>", False)
    assert sent["files"] == {"web-01.yaml": GOOD + "power: off\n"}
    assert edge.sent("PUT /v1/specsets/current")[0]["expected_current"] == "set-1"


def test_a_commit_that_does_not_contain_the_current_one_is_refused(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    commit(specs.parent)
    current = {"id": "set-1", "commit": "f" * 40, "author": "T", "created_at": str(NOW)}
    edge.answers["GET /v1/specsets/current"] = (200, current)

    said = rackflow("spec", "publish")

    assert (said.code, edge.sent("POST /v1/specsets")) == (2, [])
    assert "is no ancestor" in said.err
    assert rackflow("spec", "publish", "--force").code == 0


def test_findings_of_the_edge_are_shown_with_their_places(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    commit(specs.parent)
    finding = {"file": "web-01.yaml", "line": 4, "path": "match", "message": "fits two machines"}
    problem = {"code": "findings", "detail": "1 finding", "findings": [finding]}
    edge.answers["POST /v1/specsets"] = (422, problem)

    said = rackflow("spec", "publish")

    assert said.code == 2
    assert "  web-01.yaml:4:1: match: fits two machines" in said.err.splitlines()


def test_apply_of_one_host_does_not_publish_what_changes_another(
    specs: Path, edge: FakeEdge, rackflow: Rackflow
) -> None:
    first = commit(specs.parent)
    (specs / "db-01.yaml").write_text(GOOD.replace("web-01", "db-01").replace("serial: A", "serial: B"))
    commit(specs.parent)
    files = {"web-01.yaml": GOOD}
    current = {"id": "set-1", "commit": first, "author": "T", "created_at": str(NOW), "files": files}
    edge.answers["GET /v1/specsets/current"] = (200, current)

    said = rackflow("apply", "web-01")

    assert (said.code, [what for what, _ in edge.asked if not what.startswith("GET")]) == (2, [])
    assert "also changes db-01" in said.err
