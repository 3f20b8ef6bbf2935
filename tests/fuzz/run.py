"""`make fuzz [SECONDS=600] [TARGETS="dhcp-answer …"]`: each target under libFuzzer, then docs/edge-fuzz.md.

What was found stays in build/fuzz/TARGET/ as `crash-…`; `python -m tests.fuzz.run --again FILE TARGET` runs
it once more. Corpora stay there too: a later run goes on from them.
"""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.reach import reached
from tests.fuzz.seeds import CAPTURES, seeds
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "fuzz"
LIBRARY = ROOT / "build" / "tools" / "fuzz"
PAGE = ROOT / "docs" / "edge-fuzz.md"
MAX_BYTES = {"http-head": 16384, "report-in": 8192}
"""Longest inputs; 1500 where a datagram is meant."""
RSS_LIMIT_MB = 512
HANG_S = 10
DONE = re.compile(r"#(\d+)\s+DONE\s+cov: (\d+) ft: \d+ corp: (\d+)/")
RSS = re.compile(r"stat::peak_rss_mb:\s+(\d+)")
BEGIN, END = "<!-- results: made by make fuzz -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Result:
    """What one target's run came to."""

    target: str
    seconds: int
    runs: int = 0
    edges: int = 0
    corpus: int = 0
    peak_mb: int = 0
    lines: tuple[int, int] = (0, 0)
    found: tuple[str, ...] = ()
    ended: int = 0

    @property
    def good(self) -> bool:
        """Ran to its end and found nothing."""
        return self.ended == 0 and not self.found and self.runs > 0

    def row(self) -> str:
        """Its row of the table."""
        reach = f"{self.lines[0]}/{self.lines[1]} ({100 * self.lines[0] // max(1, self.lines[1])} %)"
        found = ", ".join(self.found) or ("none" if self.good else f"ended with {self.ended}")
        rate = self.runs // max(1, self.seconds)
        cells = (
            self.target,
            self.seconds,
            f"{self.runs:,}",
            f"{rate:,}",
            self.edges,
            reach,
            self.peak_mb,
            found,
        )
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


def folders(target: str) -> tuple[Path, Path]:
    """Corpus and seeds of a target, the seeds written anew."""
    corpus, first = WORK / target / "corpus", WORK / target / "seeds"
    for folder in (corpus, first):
        folder.mkdir(parents=True, exist_ok=True)
    for old in first.iterdir():
        old.unlink()
    for number, data in enumerate(seeds(target)):
        (first / f"{number:04}").write_bytes(data)
    return corpus, first


def run(target: str, seconds: int) -> Result:
    """One target for some seconds."""
    corpus, first = folders(target)
    before = findings(target)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES.get(target, 1500)}",
        f"-rss_limit_mb={RSS_LIMIT_MB}",
        f"-timeout={HANG_S}",
        f"-artifact_prefix={WORK / target}/",
        "-print_final_stats=1",
    )
    path = os.pathsep.join((str(ROOT), str(LIBRARY)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one", target, *options, str(corpus), str(first)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    (WORK / target / "log").write_text(done.stderr)
    told, rss = DONE.search(done.stderr), RSS.search(done.stderr)
    found = tuple(sorted(findings(target) - before))
    counts = tuple(int(each) for each in told.groups()) if told else (0, 0, 0)
    inputs = [file.read_bytes() for folder in (corpus, first) for file in sorted(folder.iterdir())]
    lines = reached(target, inputs) if not found else {}
    return Result(
        target,
        seconds,
        *counts,
        peak_mb=int(rss[1]) if rss else 0,
        lines=(sum(n for n, _ in lines.values()), sum(m for _, m in lines.values())),
        found=found,
        ended=done.returncode,
    )


def findings(target: str) -> set[str]:
    """Names of inputs that broke a promise, hung or ate memory."""
    kinds = ("crash-", "timeout-", "oom-", "leak-")
    return {file.name for file in (WORK / target).iterdir() if file.name.startswith(kinds)}


def write_page(results: list[Result]) -> None:
    """Put the table between its marks."""
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    captures = "yes" if CAPTURES.is_dir() else "no"
    table = (
        f"Run on {datetime.now(UTC):%Y-%m-%d}, one target at a time; captures as seeds: {captures}.",
        "",
        "| target | seconds | executions | per second | edges | lines reached | peak MiB | findings |",
        "|---|---|---|---|---|---|---|---|",
        *(result.row() for result in results),
    )
    PAGE.write_text(f"{head}{BEGIN}\n\n" + "\n".join(table) + f"\n\n{END}{tail}")


def main() -> int:
    """Exit 0 when no target found anything."""
    parser = argparse.ArgumentParser(description="Fuzz what the edge reads from the network.")
    parser.add_argument("--seconds", type=int, default=600, help="per target (default: %(default)s)")
    parser.add_argument("--again", type=Path, help="run this input once, without libFuzzer")
    parser.add_argument("--no-page", action="store_true", help="leave docs/edge-fuzz.md as it is")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    given = parser.parse_args()
    wanted = given.targets or list(TARGETS)
    if unknown := sorted(set(wanted) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}")
    if given.again is not None:
        TARGETS[wanted[0]](given.again.read_bytes())
        return 0
    results = []
    for target in wanted:
        results.append(run(target, given.seconds))
        print(results[-1].row(), flush=True)  # noqa: T201 - progress
        for name in results[-1].found:
            print(f"  python -m tests.fuzz.run {target} --again {WORK / target / name}")  # noqa: T201
    if set(wanted) == set(TARGETS) and not given.no_page:
        write_page(results)
    return 0 if all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
