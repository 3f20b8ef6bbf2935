"""The sweeper: lets jobs go on whose runs are lost, whose wait is over, or whose time is up.

Thin: it reads what is known of each open job, asks Prefect once for all their runs, and carries out
what `pxe_edge.jobs.sweeping` decides. Each job is decided in a transaction of its own, on rows read in
it, so that what a run said meanwhile counts.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from pxe_edge.jobs import rules, sweeping
from pxe_edge.jobs.sweeping import PrefectState
from pxe_edge.jobs.timing import Timing
from pxe_edge.registry import jobs, leases, runs, timeline, waits
from pxe_edge.registry.database import Database
from pxe_edge.registry.prefect import NO_ANSWER, Prefect
from pxe_edge.registry.tables import HostRow, JobRow
from specs.phases import Phase

log = logging.getLogger("edge.sweeper")
TICK_S = 1.0
REACHABLE_FOR = timedelta(seconds=60)
_Job = tuple[str, int]


class Sweeper:
    """Ends waits each second and sweeps each `sweep_s`, as one task of the API loop."""

    def __init__(
        self,
        database: Database,
        prefect: Prefect,
        *,
        site: Callable[[], tuple[str, str | None] | None],
        timing: Timing,
    ) -> None:
        self._db = database
        self._prefect = prefect
        self._site = site
        self._timing = timing
        self._answered: datetime | None = None
        self._told: dict[str, str] = {}

    def reachable(self) -> bool:
        """Whether Prefect has answered of late."""
        return self._answered is not None and self._db.now() - self._answered < REACHABLE_FOR

    def told(self) -> dict[str, str]:
        """State type of each open job's run, as Prefect told it last."""
        return self._told

    async def run(self) -> None:
        """Sweep until cancelled; no failure of Prefect or of one job ends it."""
        swept_at = float("-inf")
        loop = asyncio.get_running_loop()
        while True:
            try:
                await asyncio.to_thread(self.end_waits)
                if loop.time() - swept_at >= self._timing.sweep_s:
                    swept_at = loop.time()
                    await self.sweep()
            except Exception:
                log.exception("event=sweep-failed")
            await asyncio.sleep(TICK_S)

    def end_waits(self) -> int:
        """Start the next run of each job whose wait is over by the clock; how many."""
        with self._db.read() as session:
            waiting = session.scalar(select(JobRow.no).where(JobRow.state == "waiting").limit(1))
        if waiting is None:
            return 0
        with self._db.write() as session:
            return waits.overdue(session, self._db.now())

    async def sweep(self) -> int:
        """One round over all open jobs and the site's fleet runs; how many jobs something was done about."""
        open_jobs = await asyncio.to_thread(self._open_jobs)
        states: dict[str, PrefectState] | None = None
        try:
            states = await self._prefect.states({run_id for run_id in open_jobs.values() if run_id})
            self._answered = self._db.now()
            self._told = {run_id: state.type for run_id, state in states.items()}
            await self._sweep_fleet()
        except NO_ANSWER as error:
            log.warning("event=prefect-away error=%s: %s", type(error).__name__, error)
        done = 0
        for job, run_id in open_jobs.items():
            state = states.get(run_id) if states is not None and run_id is not None else None
            try:
                done += await asyncio.to_thread(self._job, job, run_id, state)
            except Exception:
                log.exception("event=job-not-swept host=%s job=%s", *job)
        return done

    def _open_jobs(self) -> dict[_Job, str | None]:
        with self._db.read() as session:
            found = session.scalars(select(JobRow).where(JobRow.state.not_in(rules.FINAL)))
            return {(job.host_id, job.no): job.run_id for job in found}

    def _job(self, which: _Job, run_id: str | None, state: PrefectState | None) -> bool:
        now = self._db.now()
        with self._db.read() as session:
            if isinstance(self._decide(session, now, which, run_id, state), sweeping.Nothing):
                return False
        with self._db.write() as session:
            decision = self._decide(session, now, which, run_id, state)
            if isinstance(decision, sweeping.Nothing):
                return False
            host, job = session.get_one(HostRow, which[0]), session.get_one(JobRow, which)
            log.info("event=swept host=%s job=%s decision=%s", host.name, job.no, decision)
            carry_out(session, now, host, job, decision, self._timing)
        return True

    def _decide(
        self, session: Session, now: datetime, which: _Job, run_id: str | None, state: PrefectState | None
    ) -> sweeping.Decision:
        job = session.get(JobRow, which)
        if job is None:
            return sweeping.Nothing()
        # Prefect was asked about another run than the job has by now: that answer says nothing.
        told = state if job.run_id == run_id else None
        host = session.get_one(HostRow, job.host_id)
        return sweeping.decide(situation(session, now, host, job, told), self._timing, now)

    async def _sweep_fleet(self) -> None:
        where = self._site()
        if where is None:
            return
        for run_id, state in (await self._prefect.fleet_runs(where[0])).items():
            why = sweeping.fleet_is_stuck(state, self._timing, self._db.now())
            if why is not None:
                await self._prefect.set_state(run_id, "CRASHED", why)
                await asyncio.to_thread(self._note_fleet, run_id, why)

    def _note_fleet(self, run_id: str, why: str) -> None:
        with self._db.write() as session:
            said = f"fleet run {run_id} was set CRASHED: {why}"
            timeline.add(session, self._db.now(), "fleet", said)


def situation(
    session: Session, now: datetime, host: HostRow, job: JobRow, prefect: PrefectState | None
) -> sweeping.Situation:
    """All that is known of a job."""
    seen, run, wait = jobs.as_rule(job), runs.present(session, job), waits.of_job(job)
    return sweeping.Situation(
        state=seen.state,
        verb=seen.verb,
        run_id=job.run_id,
        run_at=(run.delivered_at or run.created_at) if run is not None else job.created_at,
        delivered=run is not None and run.state == "delivered",
        claimed_once=job.epoch is not None,
        lost_runs=job.lost_runs,
        lease=leases.of_job(session, host.id, job.no),
        prefect=prefect,
        wait_until=wait.deadline if wait is not None else None,
        waiting_since=job.waiting_since,
        phase=Phase(host.phase),
        phase_s=(now - host.phase_since).total_seconds() - host.phase_stood_s,
    )


def carry_out(
    session: Session, now: datetime, host: HostRow, job: JobRow, decision: sweeping.Decision, timing: Timing
) -> None:
    """Do what was decided about a job."""
    match decision:
        case sweeping.Lost(message, force):
            jobs.lost(session, now, host, job, message, timing, force=force)
        case sweeping.Replace(message):
            said = f"run {job.run_no} of job {job.no} is replaced: {message}"
            timeline.add(session, now, "run", said, host_id=host.id, detail={"run_id": job.run_id})
            runs.end(session, now, job, "crash", f"replaced: {message}")
            jobs.next_run(session, now, job)
        case sweeping.Cancelling():
            jobs.wind_down_anew(session, now, host, job)
        case sweeping.Cancel():
            said = "cancelled in Prefect's UI"
            jobs.end_cancelled(session, now, host, job, reason="cancelled", message=said)
        case sweeping.Resume():
            runs.tell(session, now, job, "resume", run_id=job.run_id)
        case sweeping.NextRun():
            jobs.next_run(session, now, job)
        case sweeping.PhaseDeadline(message):
            jobs.fail(session, now, host, job, "phase-deadline", message)
        case sweeping.ConsentExpired():
            jobs.expire(session, now, host, job)
        case sweeping.Nothing():
            pass
