"""Runs every rack scenario and writes docs/rack-results.md: `python tests/rack/run.py [-k EXPRESSION]`.

Resumable: what has passed at this commit is not run again, so that a run that was cut goes on where it
was. The page is written after each scenario, with its date, seconds and result.
"""

import argparse
import fcntl
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STATE = ROOT / "build" / "rack-results.json"
PAGE = ROOT / "docs" / "rack-results.md"
KILLS = ROOT / "build" / "reliability.json"
RELIABILITY = ROOT / "docs" / "reliability.md"
MARKS = ("<!-- measured: written by make test-rack -->\n", "<!-- end -->")


class Results:
    """Collects outcomes; knows what has passed at this commit."""

    def __init__(self, commit: str) -> None:
        self.commit = commit
        self.rows: dict[str, dict[str, Any]] = json.loads(STATE.read_text()) if STATE.exists() else {}
        self.setup_s: dict[str, float] = {}
        self.ran: set[str] = set()

    def passed(self, name: str) -> bool:
        """Whether the scenario has passed at this commit."""
        row = self.rows.get(name, {})
        return row.get("commit") == self.commit and row.get("result") == "passed"

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what has passed."""
        done = [item for item in items if self.passed(item.nodeid)]
        items[:] = [item for item in items if not self.passed(item.nodeid)]
        config.hook.pytest_deselected(items=done)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one scenario's end; the way there (its fixtures) is counted with it."""
        if report.when == "setup":
            self.setup_s[report.nodeid] = report.duration
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            seconds = report.duration + (
                self.setup_s.get(report.nodeid, 0.0) if report.when == "call" else 0.0
            )
            self.ran.add(report.nodeid)
            if report.outcome == "failed":  # now, not in an hour
                sys.stderr.write(f"\n{report.nodeid}\n{report.longreprtext[-3000:]}\n")
            self.rows[report.nodeid] = {
                "commit": self.commit,
                "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
                "seconds": round(seconds),
                "result": report.outcome,
            }
            self.write()

    def write(self) -> None:
        """State for the next run, page for people; another run beside this one keeps its rows."""
        STATE.parent.mkdir(parents=True, exist_ok=True)
        with STATE.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = json.loads(STATE.read_text()) if STATE.exists() else {}
            self.rows = there | {name: self.rows[name] for name in self.ran}
            STATE.write_text(json.dumps(self.rows, indent=1))
            self._pages()

    def _pages(self) -> None:
        rows = []
        for name, row in self.rows.items():
            shown = name.removeprefix("tests/rack/").removeprefix("tests/").replace("|", "\\|")
            cells = (shown, row["date"], row["commit"][:9], row["seconds"], row["result"])
            rows.append(f"| {' | '.join(str(cell) for cell in cells)} |")
        lines = [
            "# Rack scenarios",
            "",
            "Written by `make test-rack`. The first scenario of a session also counts the way there.",
            "",
            "| scenario | date (UTC) | commit | seconds | result |",
            "|---|---|---|---|---|",
            *with_older(PAGE.read_text() if PAGE.exists() else "", rows, 1),
        ]
        PAGE.write_text("\n".join(lines) + "\n")
        write_kills()


def with_older(page: str, rows: list[str], named_by: int) -> list[str]:
    """The rows of a table, and those of its page that were not measured again: each says its own commit.

    The first `named_by` cells are a row's name.
    """

    def named(lines: list[str]) -> dict[str, str]:
        return {"|".join(line.split(" | ")[:named_by]): line for line in lines}

    head, _, body = page.partition("|---|")
    older = [line for line in body.splitlines()[1:] if line.startswith("| ")] if head else []
    return [line for _, line in sorted((named(older) | named(rows)).items())]


def write_kills() -> None:
    """The table of kills in docs/reliability.md, from what the scenarios noted."""
    if not KILLS.exists():
        return
    rows = []
    for name, row in json.loads(KILLS.read_text()).items():
        at = row["noticed_s"]
        noticed = "goes on" if at is None else f"{at:.0f} s"
        rows.append(f"| {name} | {noticed} | {row['converged_s']:.0f} s | {row['written_bytes'] >> 20} MiB |")
    before, _, rest = RELIABILITY.read_text().partition(MARKS[0])
    table, _, after = rest.partition(MARKS[1])
    lines = ["| killed | during | noticed after | in sync after | written |", "|---|---|---|---|---|"]
    lines += with_older(table, rows, 2)
    RELIABILITY.write_text(before + MARKS[0] + "\n".join(lines) + "\n" + MARKS[1] + after)


def main() -> None:
    """Run; exit with pytest's code, and 0 when everything had passed before."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-k", dest="expression", default="")
    given = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    results = Results(commit)
    argv = ["-q", "-m", "rack", "-p", "no:cacheprovider", str(ROOT / "tests")]
    argv += ["-k", given.expression] if given.expression else []
    code = pytest.main(argv, plugins=[results])
    results.write()
    nothing_left = code == pytest.ExitCode.NO_TESTS_COLLECTED and any(map(results.passed, results.rows))
    sys.exit(0 if nothing_left else int(code))


if __name__ == "__main__":
    main()
