"""`python -m lab.sim soak|wipe|avalanche`: deaths among simulated machines, or of an edge in a boot storm."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from lab.cli import default_directory
from lab.demo import CLONE
from lab.errors import LabError
from lab.namespace import Namespace
from lab.sim.avalanche import EDGE, Avalanche, StormOptions, summary
from lab.sim.soak import Options, Soak, table
from lab.sim.wiping import WipeOptions, Wiping

Given = Options | StormOptions | WipeOptions
INSIDE = "RACKFLOW_SOAK_INSIDE"


def parse(argv: list[str]) -> Given:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lab.sim", description="Simulated machines.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    soak = verbs.add_parser("soak", help="kill at random; all machines must end in sync")
    folder = default_directory().parent
    default = Options(folder / "soak")
    soak.add_argument("--data", type=Path, default=default.data, help="data folder (default: %(default)s)")
    soak.add_argument("--kills", type=int, default=default.kills)
    soak.add_argument("--machines", type=int, default=default.machines)
    soak.add_argument("--seed", type=int, default=default.seed)
    soak.add_argument("--pace", type=float, default=default.pace_s, help="mean seconds between two kills")
    soak.add_argument(
        "--patience", type=float, default=default.patience_s, help="seconds that a kill waits for its stage"
    )
    soak.add_argument(
        "--settle", type=float, default=default.settle_s, help="seconds to be in sync after them"
    )
    storm = verbs.add_parser("avalanche", help="kill the edge in the middle of a boot storm")
    default_storm = StormOptions(folder / "avalanche")
    storm.add_argument(
        "--data", type=Path, default=default_storm.data, help="data folder (default: %(default)s)"
    )
    storm.add_argument("--kills", type=int, default=default_storm.kills)
    storm.add_argument("--clients", type=int, default=default_storm.clients, help="new clients per kill")
    storm.add_argument("--seed", type=int, default=default_storm.seed)
    storm.add_argument("--edge", default=shlex.join(EDGE), help="how the edge is started")
    wipe = verbs.add_parser("wipe", help="kill worker and edge while a machine is wiped")
    default_wipe = WipeOptions(folder / "wipe")
    wipe.add_argument(
        "--data", type=Path, default=default_wipe.data, help="data folder (default: %(default)s)"
    )
    wipe.add_argument(
        "--longest", type=float, default=default_wipe.longest_s, help="seconds from the site being up"
    )
    given = parser.parse_args(argv)
    if given.verb == "wipe":
        return WipeOptions(given.data.absolute(), given.longest)
    if given.verb == "avalanche":
        edge = tuple(shlex.split(given.edge))
        return StormOptions(given.data.absolute(), given.kills, given.clients, given.seed, edge)
    return Options(
        data=given.data.absolute(),
        kills=given.kills,
        machines=given.machines,
        seed=given.seed,
        pace_s=given.pace,
        patience_s=given.patience,
        settle_s=given.settle,
    )


def outside(options: Given, argv: list[str]) -> int:
    """Make the namespace and run this same command inside; its end ends everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the namespace must not outlive us
    options.data.mkdir(parents=True, exist_ok=True)
    namespace = Namespace(options.data)
    namespace.stop()
    namespace.start()
    try:
        command = [sys.executable, "-m", "lab.sim", *argv]
        environment = os.environ | {INSIDE: "1"}
        return subprocess.run(namespace.command(command), cwd=CLONE, env=environment, check=False).returncode
    finally:
        namespace.stop()


def inside(options: Given) -> int:
    """What was asked for, itself."""
    if isinstance(options, StormOptions):
        report = Avalanche(options, say).run()
        (options.data / "avalanche.json").write_text(json.dumps(report, indent=1) + "\n")
        print(summary(report), flush=True)
    elif isinstance(options, WipeOptions):
        report = Wiping(options, say).run()
        (options.data / "wipe.json").write_text(json.dumps(report, indent=1) + "\n")
        print(report["shown"], flush=True)
    else:
        (options.data / "witness.jsonl").unlink(missing_ok=True)
        report = Soak(options, say).run()
        (options.data / "soak.json").write_text(json.dumps(report, indent=1) + "\n")
        print(table(report), flush=True)
    return 0 if report["passed"] else 1


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Exit 0 only if everything was true."""
    options = parse(argv)
    try:
        return inside(options) if INSIDE in os.environ else outside(options, argv)
    except LabError as failure:
        print(failure, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
