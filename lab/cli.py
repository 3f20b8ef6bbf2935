"""`python -m lab`: the rack's commands."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lab import cli_faults, relay, snapshots
from lab.definition import DEFAULT_RACK
from lab.errors import LabError
from lab.leases import REGISTRY
from lab.rack import BUTTONS, Rack, RackStatus

SYSTEM_DATA = Path("/var/lib/rackflow")


def default_directory() -> Path:
    """RACKFLOW_LAB, else `lab` in the data folder: RACKFLOW_DATA, or the usual place of the user."""
    explicit = os.environ.get("RACKFLOW_LAB")
    return Path(explicit) if explicit else default_data() / "lab"


def default_data() -> Path:
    """RACKFLOW_DATA, else the usual place of the user."""
    if data := os.environ.get("RACKFLOW_DATA"):
        return Path(data).absolute()
    return SYSTEM_DATA if os.geteuid() == 0 else Path.home() / ".local/share/rackflow"


def site_data() -> Path | None:
    """The data folder, if a site ever ran from it."""
    data = default_data()
    return data if (data / REGISTRY).exists() or "RACKFLOW_DATA" in os.environ else None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m lab", description="The virtual rack: machines, BMCs and networks."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir", type=Path, default=default_directory(), help="lab directory (default: %(default)s)"
    )
    verbs = top.add_subparsers(dest="verb", required=True)

    up = verbs.add_parser("up", parents=[common], help="bring the rack up; does nothing when it is")
    up.add_argument("--rack", type=Path, default=DEFAULT_RACK, help="rack file (default: %(default)s)")
    up.add_argument("--fresh", action="store_true", help="as delivered: blank disks, factory BMCs")
    verbs.add_parser("down", parents=[common], help="end everything; disks stay")
    status = verbs.add_parser("status", parents=[common], help="what runs")
    status.add_argument("--json", action="store_true")
    run = verbs.add_parser("exec", parents=[common], help="run a command inside the rack")
    run.add_argument(
        "--ns", default="edge", help="network namespace: edge, rtr, sw, bmc-NAME (default: %(default)s)"
    )
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD...")
    button = verbs.add_parser("button", parents=[common], help="press a button of a machine's front panel")
    button.add_argument("name")
    button.add_argument("what", choices=BUTTONS)
    fresh = verbs.add_parser("fresh", parents=[common], help="make one machine as delivered")
    fresh.add_argument("name")
    _snapshot_verbs(verbs, common)
    cli_faults.add_verbs(verbs, common)
    forward = verbs.add_parser("relay", parents=[common], help="relay ports of the host into the rack")
    relay.add_arguments(forward)
    return top


def _snapshot_verbs(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--data",
        type=Path,
        default=site_data(),
        help="data folder of the site in the rack, its parts stopped (default: %(default)s)",
    )
    folder.add_argument("--no-data", action="store_const", const=None, dest="data", help="the rack alone")
    snapshot = verbs.add_parser("snapshot", parents=[common, folder], help="keep the whole rack as it is now")
    snapshot.add_argument("name", nargs="?", help="without a name, list what there is")
    restore = verbs.add_parser(
        "restore", parents=[common, folder], help="make rack and data folder what they were"
    )
    restore.add_argument("name")
    for verb in (snapshot, restore):
        verb.add_argument("--json", action="store_true")
    restore.add_argument(
        "--from", type=Path, dest="source", metavar="DIR", help="lab directory that has the snapshot"
    )


def _snapshot(rack: Rack, options: argparse.Namespace) -> None:
    if options.name is None:
        found = snapshots.listed(rack.directory)
        print(json.dumps([asdict(info) for info in found]) if options.json else "\n".join(map(_about, found)))
        return
    began = time.monotonic()
    info = snapshots.take(rack, options.name, options.data)
    seconds = round(time.monotonic() - began, 1)
    print(
        json.dumps(asdict(info) | {"seconds": seconds}) if options.json else f"{_about(info)}, in {seconds} s"
    )


def _restore(rack: Rack, options: argparse.Namespace) -> None:
    began = time.monotonic()
    done = snapshots.restore(rack, options.name, options.data, source=options.source)
    seconds = round(time.monotonic() - began, 1)
    if options.json:
        print(json.dumps(asdict(done) | {"seconds": seconds}))
        return
    print(f"restored {_about(done.info)}, in {seconds} s; {done.leases} leases have a new epoch")
    for clock in done.clocks:
        if clock.behind_s is None:
            print(f"{clock.machine}: nobody could log in, its clock still shows the snapshot's time")
        else:
            print(f"{clock.machine}: clock set, it was {clock.behind_s:.0f} s behind")


def _about(info: snapshots.SnapshotInfo) -> str:
    taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info.taken_at))
    return f"{info.name}: {taken}, running: {', '.join(info.running) or 'none'}"


def _table(status: RackStatus) -> str:
    rows = [("MACHINE", "POWER", "FIRMWARE", "BMC ADDRESS", "SERIAL LOG")]
    for each in status.machines:
        power = each.power or ("BMC down" if status.up else "-")
        rows.append((each.name, power, each.firmware, each.bmc_address or "-", each.serial_log))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    faults = [f"{each.name}: {fault}" for each in status.machines for fault in each.faults]
    return "\n".join([f"rack {'up' if status.up else 'down'}: {status.directory}", *lines, *faults])


def _exec(rack: Rack, command: list[str], netns: str) -> int:
    argv = command[1:] if command[:1] == ["--"] else command
    if not argv:
        raise LabError("no command to run", "python -m lab exec -- CMD...")
    full = rack.command(argv, ns=netns)
    os.execv(full[0], full)  # noqa: S606 -- the command takes our place, with our terminal


def _up(rack: Rack, options: argparse.Namespace) -> None:
    changed = rack.up(options.rack, fresh=options.fresh)
    print(_table(rack.status()) if changed else f"the rack in {rack.directory} is up already")


def _status(rack: Rack, options: argparse.Namespace) -> None:
    status = rack.status()
    print(json.dumps(asdict(status)) if options.json else _table(status))


def _fresh(rack: Rack, options: argparse.Namespace) -> None:
    rack.fresh(options.name)
    print(f"{options.name} is as delivered")


RUN: Mapping[str, Callable[[Rack, argparse.Namespace], int | None]] = {
    "up": _up,
    "down": lambda rack, _: print(
        f"the rack in {rack.directory} is {'down' if rack.down() else 'down already'}"
    ),
    "status": _status,
    "exec": lambda rack, options: _exec(rack, options.command, options.ns),
    "button": lambda rack, options: rack.button(options.name, options.what),
    "fresh": _fresh,
    "relay": lambda rack, options: relay.run(rack.namespace, relay.forwards(options), options.ns),
    "snapshot": _snapshot,
    "restore": _restore,
    "fault": cli_faults.run_fault,
    "counters": cli_faults.run_counters,
}


def main(argv: Sequence[str]) -> int:
    """Exit code 0 done, 1 failed, 2 usage."""
    try:
        options = parser().parse_args(argv)
        return RUN[options.verb](Rack(options.dir), options) or 0
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except (OSError, subprocess.SubprocessError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
