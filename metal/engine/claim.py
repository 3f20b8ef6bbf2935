"""The right to change a host: its lease's epoch, kept alive by a thread, asked for before every step.

The thread keeps the lease while a step takes long; whether a step may start is asked of the edge anew
(`check`), so that a run that lost its lease, or whose job is being cancelled, stops between steps.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from metal.edge_client.runs import RunCalls
from metal.errors import Cancelled, LeaseLost, RackflowError

HOLDER: Final = secrets.token_hex(8)
"""This process's word: Prefect may start one run twice, and the later process gets a higher epoch."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One run's claim of one host; plain data, so that tasks can pass it on."""

    host: str
    job: int
    run_id: str
    epoch: int
    ttl_s: float = 90.0
    """How long the lease lives after a renewal, as the edge said."""
    cancelling: bool = False
    """Whether the job was being cancelled when this run claimed it."""

    @property
    def renew_every_s(self) -> float:
        """When to renew: three renewals may fail before the run must stop."""
        return self.ttl_s * 2 / 9

    @property
    def stop_after_s(self) -> float:
        """CONTRACTS 2: a run that could not renew for that long stops before its next step."""
        return self.ttl_s * 2 / 3


def claim_host(edge: RunCalls, host: str, *, job: int, run_id: str, holder: str = HOLDER) -> Claim:
    """Take the host's lease for this process of a run. Raises LeaseLost naming the holder.

    A job that is being cancelled gives its lease too: somebody has to wind it down (`cancel.wind_down`).
    """
    grant = edge.lease(host, job=job, run_id=run_id, holder=holder)
    return Claim(host, job, run_id, grant.epoch, float(grant.ttl_s), grant.cancelling)


def check(edge: RunCalls, claim: Claim) -> None:
    """Renew the lease and raise if this run must stop: LeaseLost, Cancelled; Unreachable without the edge."""
    if edge.renew(claim.host, epoch=claim.epoch, run_id=claim.run_id).cancelling:
        raise cancelled(claim)


class LeaseKeeper:
    """Renews the lease as long as the block runs; `must_stop` says whether the run still may go on."""

    def __init__(
        self,
        edge: RunCalls,
        claim: Claim,
        *,
        clock: Callable[[], float],
        every_s: float | None = None,
    ) -> None:
        self._edge, self._claim, self._clock = edge, claim, clock
        self._every_s = claim.renew_every_s if every_s is None else every_s
        self._renewed_at = clock()
        self._stopped: RackflowError | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease-{claim.host}", daemon=True)

    def __enter__(self) -> Self:
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop renewing; the lease itself is given back by `finish` or `release`."""
        self._end.set()
        self._thread.join(timeout=5)

    def must_stop(self) -> None:
        """Raise LeaseLost or Cancelled if this run may not start another step."""
        if self._stopped is not None:
            raise self._stopped
        silent_s = self._clock() - self._renewed_at
        if silent_s > self._claim.stop_after_s:
            raise LeaseLost(
                f"the lease could not be renewed for {silent_s:.0f} s",
                host=self._claim.host,
                reason="lease-lost",
                hint="the edge does not answer; another run may hold the host by now",
            )

    def renew(self) -> None:
        """Renew once; what stops the run is kept for `must_stop`, a silent edge is not an answer."""
        try:
            check(self._edge, self._claim)
        except (LeaseLost, Cancelled) as error:
            self._stopped = error
            if isinstance(error, Cancelled):
                self._renewed_at = self._clock()
        except Exception:  # noqa: BLE001 - an answer that makes no sense is none; the thread must live
            return
        else:
            self._renewed_at = self._clock()

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            if not isinstance(self._stopped, LeaseLost):
                self.renew()


def cancelled(claim: Claim) -> Cancelled:
    """What stops a run whose job is being cancelled."""
    return Cancelled(f"job {claim.job} was cancelled", host=claim.host, reason="cancelled")
