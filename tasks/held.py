"""A host held by this flow run: lease claimed at the first line, outcome reported at the last.

Every run of a job takes this path: first start, retry, next segment, answered form and crash are one.
What leaves the block becomes the job's outcome at the edge, which releases the lease with it, but for
three ends without an outcome: a wait, which stands at the edge and brings the next run; a lease that is
lost, because the host is another run's; and the end of this process (Prefect's cancel, a worker that is
stopped), which the edge sees at Prefect and answers with a run that winds down or goes on.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from prefect.runtime import flow_run

from metal.edge_client import EdgeClient
from metal.engine.cancel import clear_boot_flag, wind_down
from metal.engine.claim import Claim, LeaseKeeper, cancelled, claim_host
from metal.errors import Cancelled, JobWaits, LeaseLost, Unreachable, UnsafeChange
from metal.planning.plan import Plan
from specs.records import JobRecord, Verb
from tasks import form
from tasks.run import Run

ENDED: Final = frozenset({"done", "failed", "cancelled"})


@contextmanager
def held(host: str, job: int, verb: Verb, args: dict[str, Any] | None = None) -> Iterator[Run]:
    """Hold the host for the block. A run that a person started by hand (no job) claims one first."""
    run_id = str(flow_run.id)
    with EdgeClient() as edge:
        record = (
            edge.job(host, job) if job else edge.claim_job(host, run_id=run_id, verb=verb, args=args or {})
        )
        if record.state == "waiting-consent":
            record = answered(edge, record, run_id)
            if record.state == "cancelled":
                with suppress(Cancelled):
                    yield refused(edge, record, run_id)
                return
        if record.state in ENDED:
            return_early(record)
        claim = claim_host(edge, record.host, job=record.no, run_id=run_id)
        keeper = LeaseKeeper(edge, claim, clock=time.monotonic)
        run = Run(edge, claim, record, keeper=keeper)
        run.stopped = cancelled(claim) if claim.cancelling else None
        with keeper:
            run.recall(edge.journal_rows(claim.host, job=claim.job))
            try:
                yield run
            except Exception as error:
                if not ends_well(run, error):
                    raise
            else:
                run.finish()
        if run.asks is not None and record.ask_in_ui:
            ask(edge, record, run.asks)


def ends_well(run: Run, error: Exception) -> bool:
    """Make what left the block the job's outcome; whether the flow run itself ends well with it."""
    match error:
        case JobWaits():
            run.waits(error.wait)
            return True
        case Cancelled():
            run.failed(error, left_behind(run))
            run.finish()
            return True
        case UnsafeChange() if run.asks_again(error):
            run.finish()
            return True
    if not without_outcome(error):
        fail(run, error)
    return False


def without_outcome(error: Exception) -> bool:
    """Whether the job may still go on in another run: the lease is another's, or the edge is away.

    Only the edge's own silence bears no host (a machine's has one), and says nothing about the machine.
    """
    return isinstance(error, LeaseLost) or (isinstance(error, Unreachable) and error.host is None)


def answered(edge: EdgeClient, record: JobRecord, run_id: str) -> JobRecord:
    """Take the form's answer to the edge and give the job as it goes on; without an answer suspend again.

    Raises LeaseLost where the job waits without this run, Prefect's Pause while nobody has answered.
    """
    if not record.ask_in_ui or record.plan is None or record.run_id != run_id:
        return_early(record)
    plan = Plan.model_validate(edge.plan(str(record.plan)))
    consents = form.ask(plan, turn(record))
    return edge.answer_form(record.host, record.no, run_id=run_id, plan=plan.hash, consents=consents)


def refused(edge: EdgeClient, record: JobRecord, run_id: str) -> Run:
    """The run of a job that the form's answer has ended: it may do nothing, and says why."""
    run = Run(edge, Claim(record.host, record.no, run_id, 0), record)
    run.message = record.message or "a person refused the plan"
    run.stopped = Cancelled(run.message, host=record.host, reason="consent-refused")
    return run


def turn(record: JobRecord) -> int:
    """Number the question by when the job began to wait with it.

    A consent that expired is asked for anew, under the same plan and with nothing done since. The answer to
    the first question stands beside the run for good, and must not be taken for one to the second.
    """
    return int(record.consent_asked.timestamp() * 1000) if record.consent_asked else 0


def ask(edge: EdgeClient, record: JobRecord, plan: Plan) -> None:
    """Suspend this run with the form; where Prefect cannot, the job waits for `rackflow approve` alone."""
    try:
        form.ask(plan, turn(edge.job(record.host, record.no)))
    except Exception as error:  # noqa: BLE001 - whatever Prefect says, the job waits at the edge
        say(f"no form in the UI: {error}")


def left_behind(run: Run) -> str | None:
    """Wind the job down; why that failed must not hide that it was cancelled."""
    try:
        return wind_down(run.edge, run.claim, log=say)
    except LeaseLost:
        raise
    except Exception as error:  # noqa: BLE001 - the end of a job must not depend on its machine
        say(f"not wound down: {error}")
        return None


def fail(run: Run, error: Exception) -> None:
    """Report a failure, after what the job set for one boot is cleared; why that failed must not hide it."""
    run.failed(error)
    try:
        clear_boot_flag(run.edge, run.claim, log=say)
    except LeaseLost:
        raise
    except Exception as also:  # noqa: BLE001 - as above
        say(f"the boot flag was not looked at: {also}")
    run.finish()


def say(text: str) -> None:
    """Write to the run's log, or to ours where no run is."""
    try:
        get_run_logger().info(text)
    except MissingContextError:
        logging.getLogger(__name__).info(text)


def return_early(record: JobRecord) -> None:
    """Refuse to run for a job that has ended, or goes on without this run: an orphan must do nothing."""
    told = "has already ended as" if record.state in ENDED else "goes on without this run; it is"
    raise LeaseLost(
        f"job {record.no} {told} {record.state}",
        host=record.host,
        reason="lease-lost",
        hint=f"rackflow apply {record.host} makes a new one",
    )
