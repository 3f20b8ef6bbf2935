"""`python -m lab fault` and `counters`: the command line of what breaks machines and of what they wrote."""

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from lab.bmc.counters import Counts
from lab.definition import load
from lab.errors import LabError
from lab.faults import KINDS, Kind, make
from lab.processes import write_atomically
from lab.rack import Rack


def add_verbs(verbs: Any, common: argparse.ArgumentParser) -> None:
    """Add fault and counters."""
    fault = verbs.add_parser("fault", parents=[common], help="break something of a machine, or mend it")
    fault.add_argument("name", help="machine")
    fault.add_argument("--clear", action="store_true", help="mend: everything, or all of a kind")
    kinds = fault.add_subparsers(dest="kind", metavar="KIND")
    for name, kind in KINDS.items():
        _add_kind(kinds.add_parser(name, help=kind.help, description=f"{kind.help}."), kind)
    counters = verbs.add_parser("counters", parents=[common], help="what machines wrote to their disks")
    counters.add_argument("name", nargs="?", help="machine (default: all)")
    counters.add_argument("--json", action="store_true")
    counters.add_argument("--mark", metavar="WORD", help="remember the counts under a word")
    counters.add_argument("--since", metavar="WORD", help="count from that mark on")


def _add_kind(parser: argparse.ArgumentParser, kind: Kind) -> None:
    for option in kind.options:
        if option.default is False:
            parser.add_argument(
                f"--{option.name}",
                dest=option.name,
                action="store_true",
                default=argparse.SUPPRESS,
                help=option.help,
            )
        else:
            parser.add_argument(
                f"--{option.name}", dest=option.name, default=argparse.SUPPRESS, help=option.help
            )
    parser.add_argument("--clear", action="store_true", default=argparse.SUPPRESS, help="mend instead")


def run_fault(rack: Rack, options: argparse.Namespace) -> None:
    """Break or mend."""
    if options.clear:
        rack.mend(options.name, options.kind)
        print(f"{options.name}: mended {options.kind or 'everything'}")
        return
    if options.kind is None:
        raise LabError("no fault named", f"python -m lab fault {options.name} KIND, or --clear")
    names = {option.name for option in KINDS[options.kind].options}
    fault = make(options.kind, {name: value for name, value in vars(options).items() if name in names})
    rack.fault(options.name, fault)
    print(f"{options.name}: {fault}")


def run_counters(rack: Rack, options: argparse.Namespace) -> None:
    """Show, or remember."""
    names = [machine.name for machine in load(rack.definition_path).machines]
    found = {name: rack.counters(name) for name in ([options.name] if options.name else names)}
    marks = rack.directory / "marks"
    if options.mark:
        marks.mkdir(exist_ok=True)
        raw = {name: {disk: asdict(counts) for disk, counts in rows.items()} for name, rows in found.items()}
        write_atomically(marks / f"{options.mark}.json", json.dumps(raw))
    if options.since:
        raw = json.loads((marks / f"{options.since}.json").read_text())
        for name, rows in found.items():
            before = {disk: Counts(**row) for disk, row in raw.get(name, {}).items()}
            found[name] = {disk: counts - before.get(disk, Counts()) for disk, counts in rows.items()}
    shown = {name: {disk: asdict(counts) for disk, counts in rows.items()} for name, rows in found.items()}
    if options.json:
        print(json.dumps({"at": time.time(), "machines": shown}))
        return
    for name, disks in shown.items():
        for disk, row in disks.items():
            told = ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in row.items())
            print(f"{name}  {disk}  {told}")
