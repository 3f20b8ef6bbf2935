"""`make demo`: two machines from power-on to the system that their committed specs declare, live.

Everything runs as an operator would run it: the CLI publishes specs, sets a secret, adds an image; the
power buttons are pressed; the rest happens by itself and is watched through the edge's API.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.live import Live
from rich.table import Table

from metal.cli.job_words import run_url
from metal.cli.up.command import LAST_LINE
from metal.edge_client import EdgeClient
from metal.edge_client.wire import EdgeAddress, data_dir
from metal.errors import RackflowError, Unreachable
from specs.phases import Phase
from specs.records import HostRecord

CLONE: Final = Path(__file__).resolve().parent.parent
MACHINES: Final = {"db-01": "m1", "web-01": "m2"}
"""Host spec -> machine of lab/racks/demo.yaml."""
FIRMWARE: Final = {"db-01": "bios", "web-01": "uefi"}
IMAGE: Final = "demo-debian-12"
STAGES: Final = ("dhcp", "boot OS", "ready", "written", "OS up", "in sync")
POWER_STAGGER_S: Final = 2.0
DEADLINE_S: Final = 900
OPS_PASSWORD: Final = "rack-flow-demo"  # noqa: S105 - a demo's password, printed so that one can log in

console = Console(stderr=True, highlight=False)


@dataclass
class Machine:
    """One machine's way: when its button was pressed, and the seconds at which each stage was seen."""

    host: str
    pressed_at: datetime | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    record: HostRecord | None = None
    text: str = "off"

    @property
    def done(self) -> bool:
        """In sync and active."""
        return self.record is not None and self.record.phase == Phase.ACTIVE and "in sync" in self.seconds

    @property
    def failed(self) -> bool:
        """In a failed phase."""
        return self.record is not None and self.record.phase.value.endswith("-failed")


@dataclass(frozen=True)
class Demo:
    """Folders of the demo: its own data folder inside the user's, so that a real site is never touched."""

    root: Path

    @property
    def data(self) -> Path:
        """The demo's own RACKFLOW_DATA."""
        return self.root / "demo"

    @property
    def environment(self) -> dict[str, str]:
        """Environment of every command of the demo."""
        return os.environ | {"RACKFLOW_DATA": str(self.data), "RACKFLOW_LAB": str(self.data / "lab")}

    def rackflow(self, *argv: str, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """Run the CLI; its stdout. Raises RackflowError with what it said."""
        return self.python("-m", "metal.cli", *argv, stdin=stdin, ok=ok)

    def python(self, *argv: str, stdin: str | None = None, ok: tuple[int, ...] = (0,)) -> str:
        """Run one of our modules; its messages go to the screen, its stdout comes back."""
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=CLONE,
            env=self.environment,
            input=stdin,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode not in ok:
            raise RackflowError(f"{' '.join(argv)} ended with {done.returncode}: {done.stdout[-400:]}")
        return done.stdout

    def edge(self, scope: Literal["admin", "worker"] = "admin") -> EdgeClient:
        """A client of the demo's edge, through the relay."""
        edge = self.data / "edge"
        return EdgeClient(
            EdgeAddress("https://127.0.0.1:8443", edge / "tls" / "ca.pem", edge / "tokens" / scope)
        )


def build(demo: Demo, name: str = IMAGE) -> Path:
    """Boot OS and an image, side by side; seconds when both are cached. Returns the image."""
    console.print("building boot OS and image (cached after the first time)")
    commands = {
        "boot OS": ["-m", "bootos", "build", "--data", str(demo.data)],
        "image": ["-m", "lab.image", "build", "--data", str(demo.data), "--name", name],
    }
    running = {
        what: subprocess.Popen(
            [sys.executable, *argv], cwd=CLONE, env=demo.environment, stdout=subprocess.DEVNULL
        )
        for what, argv in commands.items()
    }
    failed = [what for what, process in running.items() if process.wait() != 0]
    if failed:
        raise RackflowError(f"building failed: {', '.join(failed)}")
    return demo.data / "images-src" / f"{name}.qcow2"


def forget(demo: Demo) -> None:
    """End an earlier demo and forget its registry: blank machines must not be known."""
    demo.python("-m", "lab", "down", ok=(0, 1))
    for part in ("edge", "prefect", "logs"):
        if (demo.data / part).exists():
            shutil.rmtree(demo.data / part)


@contextlib.contextmanager
def running_site(demo: Demo) -> Iterator[subprocess.Popen[bytes]]:
    """`rackflow up` inside the rack, until the block ends."""
    log = (demo.data / "up.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "metal.cli", "up", "--rack"],
        cwd=CLONE,
        env=demo.environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        wait_up(demo, process)
        yield process
    finally:
        log.close()


def wait_up(demo: Demo, process: subprocess.Popen[bytes]) -> None:
    """Until all parts answer; raises with the end of the log when they do not."""
    ends_at = time.monotonic() + 180
    log = demo.data / "up.log"
    while log.read_text(errors="replace").count(LAST_LINE) < 1:
        if process.poll() is not None or time.monotonic() > ends_at:
            raise Unreachable(f"rackflow up did not come up: {log.read_text(errors='replace')[-800:]}")
        time.sleep(0.2)


def prepare(demo: Demo, image: Path) -> None:
    """What an operator does once per site: a secret, an image, the specs."""
    demo.rackflow("secret", "set", "ops-password", stdin=OPS_PASSWORD)
    demo.rackflow("image", "add", "debian-12", "--file", str(image))
    demo.rackflow("spec", "publish", "specs", "--dirty")


def press_buttons(demo: Demo, machines: list[Machine]) -> None:
    """Power on, one after the other."""
    for number, machine in enumerate(machines):
        if number:
            time.sleep(POWER_STAGGER_S)
        machine.pressed_at = datetime.now().astimezone()
        demo.python("-m", "lab", "button", MACHINES[machine.host], "on")


def watch(demo: Demo, machines: list[Machine]) -> None:
    """Show both machines until they are in sync; raises when one fails or the deadline passes."""
    ends_at = time.monotonic() + DEADLINE_S
    with demo.edge() as edge, Live(console=console, refresh_per_second=4) as live:
        while not all(machine.done for machine in machines):
            for machine in machines:
                if not machine.done:
                    look(edge, machine)
            live.update(table(machines))
            for machine in machines:
                if machine.failed:
                    assert machine.record is not None
                    raise RackflowError(
                        f"{machine.host} is {machine.record.phase}: {machine.record.message}",
                        hint=f"RACKFLOW_DATA={demo.data} rackflow why {machine.host}",
                    )
            if time.monotonic() > ends_at:
                raise Unreachable(f"not in sync after {DEADLINE_S} s: see {demo.data}/up.log")
            time.sleep(0.5)
        live.update(table(machines))


def look(edge: EdgeClient, machine: Machine) -> None:
    """Read one host and its timeline."""
    found = [host for host in edge.hosts() if host.name == machine.host]
    machine.text = "firmware"
    if not found:
        return
    machine.record = found[0]
    timeline = edge.timeline(machine.host)
    seen = [(entry.at, stage_of(entry.kind, entry.text)) for entry in timeline]
    journal = edge.journal_rows(machine.host)
    seen += [(row.at, "written") for row in journal if row.kind == "write-image" and row.phase == "done"]
    assert machine.pressed_at is not None
    for at, stage in seen:
        if stage and at >= machine.pressed_at:
            machine.seconds.setdefault(stage, (at - machine.pressed_at).total_seconds())
    if timeline:
        newest = timeline[-1]
        machine.text = f"{newest.kind}: {newest.text}"
    if journal and timeline and journal[-1].at > timeline[-1].at:
        machine.text = f"step {journal[-1].step}: {journal[-1].phase}"


def stage_of(kind: str, text: str) -> str | None:
    """Which stage a line of the timeline marks."""
    if kind == "phase":
        after = text.partition(" -> ")[2].partition(":")[0].strip()
        return {"ready": "ready", "active": "in sync"}.get(after)
    ways = {"sighting": "dhcp", "dhcp": "dhcp", "boot": "dhcp", "report-in": "boot OS", "phone-home": "OS up"}
    return ways.get(kind)


def table(machines: list[Machine]) -> Table:
    """The live table: seconds since the power button per stage."""
    shown = Table("machine", "firmware", *STAGES, "now", header_style="bold")
    for machine in machines:
        cells = [f"{machine.seconds[s]:.0f} s" if s in machine.seconds else "" for s in STAGES]
        shown.add_row(machine.host, FIRMWARE[machine.host], *cells, machine.text[:48])
    return shown


def summary_line(machine: Machine, again: dict[str, Any]) -> str:
    """One machine's last line; `again` is its row of the second apply, which says whether it is in sync."""
    ways = {
        "dhcp": "power→dhcp",
        "boot OS": "→boot OS",
        "ready": "→ready",
        "written": "→written",
        "OS up": "→OS up",
    }
    steps = "  ".join(f"{ways[s]} {machine.seconds[s]:.0f}s" for s in ways if s in machine.seconds)
    told = f"{again['result'].replace('-', ' ')} ({again['changes']} changes)"
    run = run_url(machine.record.last_run) if machine.record else None
    return f"{machine.host}  {FIRMWARE[machine.host]}  {steps}  run {run}  {told}"


def second_apply(demo: Demo) -> dict[str, dict[str, Any]]:
    """Apply again, a row per host: a converged host is a run with zero writes."""
    answer = json.loads(demo.rackflow("apply", "--all", "--json", "--no-publish"))
    rows = answer["hosts"]
    if len(rows) != len(MACHINES) or any(row["result"] != "in-sync" for row in rows):
        raise RackflowError(f"the second apply was not in sync: {rows}")
    return {row["name"]: row for row in rows}


def totals(again: dict[str, dict[str, Any]]) -> dict[str, int]:
    """What the second apply did in all."""
    return {key: sum(row[key] for row in again.values()) for key in ("changes", "writes")}


def stop(demo: Demo, site: subprocess.Popen[bytes]) -> None:
    """End the site, then the rack."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(site.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        site.wait(60)
    demo.python("-m", "lab", "down")


def report(
    demo: Demo, machines: list[Machine], again: dict[str, dict[str, Any]], total_s: float
) -> dict[str, int]:
    """The summary on stdout and as demo.json; what the second apply did in all."""
    done = totals(again)
    lines = [summary_line(machine, again[machine.host]) for machine in machines]
    lines.append(f"second apply: {done['changes']} changes, {done['writes']} writes")
    lines.append(f"total {int(total_s) // 60}m{int(total_s) % 60:02d}s")
    facts = {
        "machines": [
            {
                "name": m.host,
                "firmware": FIRMWARE[m.host],
                "seconds": m.seconds,
                "run": m.record and m.record.last_run,
            }
            for m in machines
        ],
        "second_apply": done,
        "total_s": round(total_s, 1),
        "lines": lines,
    }
    (demo.root / "demo.json").write_text(json.dumps(facts, indent=2) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return done


def show(demo: Demo, image: Path, started: float) -> dict[str, int]:
    """From secrets to summary, with the site running; what the second apply did."""
    prepare(demo, image)
    auth = (demo.data / "prefect" / "auth").read_text().strip()
    console.print(f"Prefect UI http://127.0.0.1:4200 (log in with {auth})", markup=False)
    machines = [Machine(host) for host in MACHINES]
    press_buttons(demo, machines)
    watch(demo, machines)
    again = second_apply(demo)
    return report(demo, machines, again, time.monotonic() - started)


def run(demo: Demo, *, keep: bool) -> bool:
    """The whole demo; whether the second apply changed nothing."""
    started = time.monotonic()
    demo.data.mkdir(parents=True, exist_ok=True)
    image = build(demo)
    forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/demo.yaml", "--fresh")
    with running_site(demo) as site:
        done = False
        try:
            again = show(demo, image, started)
            done = True
        finally:
            if not (keep and done):
                stop(demo, site)
    if keep:
        down = f"kill {site.pid}; RACKFLOW_LAB={demo.data}/lab {sys.executable} -m lab down"
        sys.stdout.write(f"running: UI http://127.0.0.1:4200; stop it with: {down}\n")
    else:
        sys.stdout.write("stopped; KEEP=1 make demo leaves it running (UI http://127.0.0.1:4200)\n")
    return not any(again.values())


def main() -> None:
    """Exit 0 only if all of it is true."""
    keep = os.environ.get("KEEP", "") not in ("", "0")
    try:
        unchanged = run(Demo(data_dir()), keep=keep)
    except RackflowError as error:
        console.print(f"demo failed: {error}", style="bold red", markup=False)
        sys.exit(1)
    sys.exit(0 if unchanged else "demo failed: the second apply changed something")


if __name__ == "__main__":
    main()
