"""From a new machine's report-in to its flow run at a real Prefect server: single machines, and storms.

There is no worker: what is measured ends when the run exists. Prefect's own rate of making runs, one after
the other and with nothing else to do, stands beside it, because no storm can drain faster.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from bench.edge import ours
from bench.edge.results import Aim, Figure, Row
from bench.edge.run import Run
from bench.edge.testbed import SERVER, BenchError, Subject, Testbed
from metal.cli.up import parts
from metal.cli.up.command import make_auth

SINGLES, STORM, AT_A_TIME = 40, 1_000, 32
DOWN_S = 60.0
RATE_RUNS = 200
WAIT_S = 900.0
BASE = f"http://{SERVER}:{ours.BOOT_PORT}"
P95 = (Aim("value", "<=", 1.0),)
NONE = (Aim("value", "<=", 0),)
AS_FAST = (Aim("ratio", ">=", 0.8),)
"""As fast as Prefect takes them, when the edge and the machines share its processors."""


@dataclass(frozen=True)
class Outcome:
    """What became of some machines' reports."""

    delays_s: tuple[float, ...]
    lost: int
    doubled: int
    seconds: float
    """First report to last run."""

    @property
    def per_s(self) -> float:
        """Runs made per second."""
        return len(self.delays_s) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Delay that so many machines stayed below."""
        return sorted(self.delays_s)[min(len(self.delays_s) - 1, int(share * len(self.delays_s)))]


def outcome(machines: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> Outcome:
    """Match machines to runs by the host tag, which holds the MAC."""
    made: dict[str, float] = {}
    count: Counter[str] = Counter()
    for run in runs:
        host = next((tag.removeprefix("host:") for tag in run["tags"] if tag.startswith("host:")), "")
        at = datetime.fromisoformat(run["created"]).timestamp()
        count[host] += 1
        made[host] = min(at, made.get(host, at))
    names = [f"mac-{told['mac'].replace(':', '')}" for told in machines]
    delays = tuple(
        made[name] - told["reported_s"] for name, told in zip(names, machines, strict=True) if name in made
    )
    first = min(told["reported_s"] for told in machines)
    last = max((made[name] for name in names if name in made), default=first)
    lost = sum(name not in made for name in names)
    return Outcome(delays, lost, sum(count[name] > 1 for name in names), last - first)


def steps(_rounds: int) -> int:
    """How often `say` is called."""
    return 5


def measure(run: Run) -> list[Row]:
    """Everything on one site."""
    small = 10 if run.options.quick else 1
    site = lay_out(run.testbed)
    run.say("starting Prefect")
    with Prefect(run.testbed, site) as prefect:
        run.say("Prefect's own rate")
        alone = prefect.rate(RATE_RUNS // small)
        with ours.edge(run.testbed, env=parts.edge_env(site), keep=True):
            run.say(f"{SINGLES} single machines")
            single = after(run, prefect, 0, SINGLES, at_a_time=1, pause_s=0.5)
            run.say(f"a storm of {STORM // small:,}")
            storm = after(run, prefect, 10_000, STORM // small, at_a_time=AT_A_TIME)
            run.say(f"a storm of {STORM // small:,} with Prefect down for {DOWN_S / small:.0f} s")
            broken = through_a_stop(run, prefect, STORM // small, DOWN_S / small)
    return rows(single, storm, broken, alone, down_s=DOWN_S / small)


def rows(single: Outcome, storm: Outcome, broken: Outcome, alone: float, *, down_s: float) -> list[Row]:
    """The section's rows."""
    count = len(storm.delays_s) + storm.lost
    what, stopped = f"storm of {count:,}", f"storm of {count:,}, Prefect down for {down_s:.0f} s"
    slowest = f"the slowest of {len(single.delays_s)}: {single.quantile(1):.2f} s"
    wrong, later_wrong = (float(one.lost + one.doubled) for one in (storm, broken))
    rate, peak = Figure((storm.per_s,)), Figure((alone,))
    return [
        Row(
            "report-in to flow run, one at a time, median", "s", Figure((single.quantile(0.5),), note=slowest)
        ),
        Row("the same, p95", "s", Figure((single.quantile(0.95),)), aims=P95),
        Row(f"{what}: flow runs", "/s", rate, "Prefect alone", peak, "", AS_FAST),
        Row(f"{what}: lost or doubled", "", Figure((wrong,)), aims=NONE),
        Row(f"{stopped}: lost or doubled", "", Figure((later_wrong,)), aims=NONE),
        Row(f"{stopped}: first report to last run", "s", Figure((broken.seconds,))),
    ]


def lay_out(testbed: Testbed) -> parts.SiteRun:
    """A blank site with a boot folder that names a boot OS, so that machines are given boots."""
    _, data = ours.lay_out(testbed.folder)
    bootos = data / "boot" / "bootos"
    bootos.mkdir(parents=True, exist_ok=True)
    for name in ("vmlinuz", "initrd"):
        (bootos / name).write_text("not fetched here\n")
    current = {"kernel": "bootos/vmlinuz", "initrds": ["bootos/initrd"], "kernel_args": "console=ttyS0"}
    (bootos / "current.json").write_text(json.dumps(current))
    for left in (data / "prefect").glob("prefect.db*"):
        left.unlink()
    site = parts.SiteRun(data=data, site=ours.SITE_NAME)
    make_auth(site)
    return site


class Prefect:
    """A real Prefect server beside the edge, with our deployments; it can be stopped and started."""

    def __init__(self, testbed: Testbed, site: parts.SiteRun) -> None:
        self._testbed, self._site = testbed, site
        self._part = parts.server_part(site)
        self._running: Iterator[Subject] | None = None
        self._context: Any = None

    def __enter__(self) -> Self:
        self.start()
        env = parts.prefect_env(self._site)
        done = self._testbed.run("server", *parts.registration_argv(self._site), env=env)
        if done.returncode:
            raise BenchError(f"deployments could not be registered: {done.stderr.strip()[-600:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._context = self._subject()
        self._context.__enter__()

    def stop(self) -> None:
        """End it."""
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = None

    @contextmanager
    def _subject(self) -> Iterator[Subject]:
        def ready(started: Subject) -> bool:
            return started.listens("tcp", parts.PREFECT_PORT)

        with self._testbed.subject("prefect", self._part.argv, ready, env=self._part.env) as subject:
            yield subject

    def rate(self, count: int) -> float:
        """Runs per second that it makes with nothing else to do."""
        return float(self._ask("rate", f"discover/{ours.SITE_NAME}", str(count)))

    def count(self) -> int:
        """How many runs the edge had it make."""
        return int(self._ask("count"))

    def runs(self) -> list[dict[str, Any]]:
        """All of them."""
        told: list[dict[str, Any]] = json.loads(self._ask("list"))
        return told

    def _ask(self, *words: str) -> str:
        url = f"http://127.0.0.1:{parts.PREFECT_PORT}/api"
        module = ("-m", "bench.edge.prefect_runs")
        argv = (sys.executable, *module, url, str(self._site.auth_file), *words)
        done = self._testbed.run("server", *argv, timeout_s=WAIT_S + 60)
        if done.returncode:
            raise BenchError(f"Prefect could not be asked: {done.stderr.strip()[-400:]}")
        return done.stdout

    def wait_for(self, count: int) -> None:
        """Until it has made so many runs."""
        made = int(self._ask("wait", str(count), str(WAIT_S)))
        if made < count:
            raise BenchError(f"{made} of {count} runs were made within {WAIT_S:.0f} s")


def machines(run: Run, first: int, count: int, *, at_a_time: int, pause_s: float) -> list[dict[str, Any]]:
    """Let new machines boot and report in; what they tell."""
    argv = (
        sys.executable,
        "-m",
        "bench.edge.machines",
        BASE,
        str(first),
        str(count),
        str(at_a_time),
        str(pause_s),
    )
    done = run.testbed.run("load", *argv, timeout_s=WAIT_S)
    if done.returncode:
        raise BenchError(f"the machines failed: {done.stderr.strip()[-600:]}")
    told: list[dict[str, Any]] = json.loads(done.stdout)
    if unheard := sum(not one["heard"] for one in told):
        raise BenchError(f"{unheard} of {count} machines were not heard")
    return told


def after(
    run: Run, prefect: Prefect, first: int, count: int, *, at_a_time: int, pause_s: float = 0.0
) -> Outcome:
    """Machines report in, and their runs are awaited."""
    before = prefect.count()
    told = machines(run, first, count, at_a_time=at_a_time, pause_s=pause_s)
    prefect.wait_for(before + count)
    return outcome(told, prefect.runs())


def through_a_stop(run: Run, prefect: Prefect, count: int, down_s: float) -> Outcome:
    """A storm, in whose middle the Prefect server goes away."""
    before = prefect.count()
    with ThreadPoolExecutor(1) as pool:
        coming: Future[list[dict[str, Any]]] = pool.submit(
            machines, run, 20_000, count, at_a_time=AT_A_TIME, pause_s=0.0
        )
        prefect.wait_for(before + count // 4)
        prefect.stop()
        time.sleep(down_s)
        prefect.start()
        told = coming.result()
    prefect.wait_for(before + count)
    return outcome(told, prefect.runs())
