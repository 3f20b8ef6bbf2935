"""`python -m bench.edge [--only …] [--quick]`: the PXE edge against its peers, in namespaces, as ratios."""

import argparse
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.edge import page, results, table
from bench.edge.run import Options, Run
from bench.edge.testbed import CLONE, BenchError, Testbed
from lab.errors import LabError
from lab.namespace import Namespace

SECTIONS = ("exchanges", "leases", "avalanche", "tftp", "http", "reports", "stall", "memory")
GROUPS = {"dhcp": ("exchanges", "leases", "avalanche")}
INSIDE = "RACKFLOW_BENCH_INSIDE"
FOLDER = CLONE / "build" / "bench"
RESULTS = FOLDER / "edge.json"
WIDTH = 170
"""Of the table where there is no terminal to ask."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.edge", description=__doc__)
    names = ", ".join((*SECTIONS, *GROUPS))
    parser.add_argument("--only", metavar="NAME,…", help=f"these sections: {names}")
    parser.add_argument("--quick", action="store_true", help="one round of short measurements")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison (default: 3, quick: 1)")
    parser.add_argument("--exchanges", type=int, help="exchanges of the memory section (default: 1000000)")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what was measured")
    parser.add_argument("--write", action="store_true", help="also write the table of docs/performance.md")
    given = parser.parse_args(argv)
    given.sections = chosen(given.only, parser)
    return given


def chosen(only: str | None, parser: argparse.ArgumentParser) -> list[str]:
    """Names of sections, groups taken apart."""
    wanted = only.split(",") if only else list(SECTIONS)
    names = [name for word in wanted for name in GROUPS.get(word, (word,))]
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join((*SECTIONS, *GROUPS))}")
    return names


def options(given: argparse.Namespace) -> Options:
    """What the sections are told."""
    rounds = given.rounds or (1 if given.quick else 3)
    exchanges = given.exchanges or (50_000 if given.quick else 1_000_000)
    return Options(quick=given.quick, rounds=rounds, exchanges=exchanges)


def outside(argv: Sequence[str]) -> int:
    """Make the namespace and run this same command inside; its end ends everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the namespace must not outlive us
    FOLDER.mkdir(parents=True, exist_ok=True)
    namespace = Namespace(FOLDER)
    namespace.stop()
    namespace.start()
    try:
        command = namespace.command([sys.executable, "-m", "bench.edge", *argv])
        return subprocess.run(command, cwd=CLONE, env=os.environ | {INSIDE: "1"}, check=False).returncode
    finally:
        namespace.stop()


def inside(given: argparse.Namespace) -> int:
    """All sections that were asked for; the number of those that failed."""
    console = Console(stderr=True)
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for name in given.sections:
            try:
                keep(measured(name, options(given), progress))
            except (BenchError, subprocess.SubprocessError, OSError) as error:
                failed.append(name)
                console.print(f"[red]{name} failed:[/red] {error}", highlight=False)
    show(given.sections, write=given.write)
    return 1 if failed else 0


def measured(name: str, wanted: Options, progress: Progress) -> results.Section:
    """One section from its namespaces to its rows."""
    module: ModuleType = importlib.import_module(f"bench.edge.{name}")
    task = progress.add_task(name, total=module.steps(wanted.rounds))
    begun = 0

    def say(text: str) -> None:
        nonlocal begun
        progress.update(task, completed=begun, description=f"{name}: {text}")
        begun += 1

    folder = FOLDER / "data"
    folder.mkdir(exist_ok=True)
    testbed = Testbed(folder)
    try:
        testbed.up()
        run = Run(testbed, wanted, say)
        rows = tuple(module.measure(run))
    finally:
        testbed.down()
    progress.update(task, completed=begun, total=begun, description=name)
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return results.Section(name, rows, commit(), at, machine(), str(wanted), tuple(run.notes))


def commit() -> str:
    """What is measured: the clone's commit, and whether files differ from it."""
    argv = ["git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    done = subprocess.run(argv, cwd=CLONE, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Processors, memory, kernel, Python."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "?")
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    release = platform.release().partition("-")[0]
    return f"{os.cpu_count()} x {model}, {gib:.0f} GiB, Linux {release}, Python {platform.python_version()}"


def stored() -> dict[str, results.Section]:
    """What was measured so far, by section."""
    told = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    return {one["name"]: results.decode(one) for one in told}


def keep(section: results.Section) -> None:
    """Put a section into the file, in the place of its last measurement."""
    every = stored() | {section.name: section}
    listed = [results.encode(every[name]) for name in SECTIONS if name in every]
    RESULTS.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")


def show(names: Sequence[str], *, write: bool) -> None:
    """The table on stdout, and into the page if asked for."""
    every = stored()
    chosen_ones = [every[name] for name in names if name in every]
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(table.rich_table(chosen_ones))
    console.print("\n".join(table.circumstances(chosen_ones)), highlight=False, markup=False)
    print(f"also in {RESULTS.relative_to(CLONE)}")
    if write:
        page.write([every[name] for name in SECTIONS if name in every])


def main(argv: Sequence[str]) -> int:
    """Exit 0 only if every section could be measured."""
    given = parse(argv)
    if given.show:
        show(given.sections, write=given.write)
        return 0
    try:
        return inside(given) if INSIDE in os.environ else outside(argv)
    except LabError as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
