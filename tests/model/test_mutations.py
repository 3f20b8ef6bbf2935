"""The model can fail: each rule that is taken out of the code is missed by it, within a few examples.

RACKFLOW_MODEL_SHOW=1 prints after how many examples.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test

from metal.engine import plans, steps
from metal.planning.safety import ALLOWED
from pxe_edge.jobs import leases, sweeping
from pxe_edge.registry import consents, waits
from pxe_edge.registry.sweeper import Sweeper
from tests.model.faults import Faults
from tests.model.machine import Machine
from tests.model.processes import Violation
from tests.model.test_model import settings_for

Patch = pytest.MonkeyPatch
MOST = int(os.environ.get("RACKFLOW_MODEL_EXAMPLES", "40"))


def epoch_check_off(patch: Patch) -> None:
    """The edge takes writes of any epoch."""
    patch.setattr(leases, "check_epoch", lambda _lease, _epoch: None)
    patch.setattr(leases, "renew", lambda lease, **_: lease)


def fence_off(patch: Patch) -> None:
    """The machine takes commands of any epoch."""
    _machine(patch, "fence")


def step_ids_forgotten(patch: Patch) -> None:
    """The machine starts a step again that it has under this ID."""
    _machine(patch, "remembers")


def _machine(patch: Patch, rule: str) -> None:
    real = Machine.__init__

    def made(self: Machine, *args: Any) -> None:
        real(self, *args)
        setattr(self, rule, False)

    patch.setattr(Machine, "__init__", made)


def done_ignored(patch: Patch) -> None:
    """A run does not believe the journal that a step is done."""
    patch.setattr(steps, "any", lambda _done: False, raising=False)


def consent_not_asked(patch: Patch) -> None:
    """Every plan may run."""
    patch.setattr(plans, "consent_needed", lambda *_args, **_more: ALLOWED)


def consent_for_ever(patch: Patch) -> None:
    """A consent does not expire, and no wait for one ends."""
    real = consents.valid

    def valid(session: Any, now: datetime, *args: Any, **more: Any) -> Any:
        return real(session, now - timedelta(days=30), *args, **more)

    patch.setattr(consents, "valid", valid)


def prefect_not_asked(patch: Patch) -> None:
    """The sweeper hands an expired lease on although Prefect does not answer."""
    real = sweeping.decide

    def decide(job: sweeping.Situation, timing: Any, now: datetime) -> Any:
        guessed = sweeping.PrefectState("RUNNING", now - timedelta(hours=1))
        return real(job if job.prefect else replace(job, prefect=guessed), timing, now)

    patch.setattr(sweeping, "decide", decide)


def holder_ignored(patch: Patch) -> None:
    """Two processes of one run get one epoch."""
    real = leases.claim

    def claim(lease: leases.Lease, by: leases.Claimant, **more: Any) -> Any:
        return real(lease, replace(by, holder=lease.holder if lease.run_id else by.holder), **more)

    patch.setattr(leases, "claim", claim)


def epoch_not_raised(patch: Patch) -> None:
    """The next run of a job gets the epoch of the last one."""
    real = leases.claim

    def claim(lease: leases.Lease, by: leases.Claimant, **more: Any) -> Any:
        given = real(lease, by, **more)
        kept = lease.kept and isinstance(given, leases.Lease)
        return replace(given, epoch=lease.epoch) if kept else given

    patch.setattr(leases, "claim", claim)


def lost_runs_left(patch: Patch) -> None:
    """The sweeper sees that a run is lost and does nothing about it."""
    real = sweeping.decide

    def decide(*args: Any) -> Any:
        said = real(*args)
        return sweeping.Nothing() if isinstance(said, sweeping.Lost) else said

    patch.setattr(sweeping, "decide", decide)


def waits_never_end(patch: Patch) -> None:
    """Neither an event nor the clock starts the next run of a job that waits."""
    patch.setattr(Sweeper, "end_waits", lambda _sweeper: 0)
    patch.setattr(sweeping, "_for_event", lambda _job, _now: sweeping.Nothing())
    patch.setattr(waits, "wake", lambda *_args: False)


STEP, FAR = "newest_goes", "newest_goes_far"
FOUND: dict[Callable[[Patch], None], tuple[str, tuple[str, ...]]] = {
    epoch_check_off: ("of epoch .* was taken at epoch", ("stall", FAR)),
    fence_off: ("a fenced process writes|two writers|carried out again", ("stall",)),
    step_ids_forgotten: ("one ID is carried out twice", ("lose_answer", STEP)),
    done_ignored: ("is carried out again", ("kill", "round", "time_passes", FAR)),
    consent_not_asked: ("nobody consented", (FAR,)),
    consent_for_ever: ("has expired", ("consent_runs_out",)),
    prefect_not_asked: ("handed on while Prefect is away", ("kill", "prefect_away")),
    holder_ignored: ("was given to", ("retried_in_ui", STEP)),
    epoch_not_raised: ("was given to", ("kill", "round", "time_passes", FAR)),
    lost_runs_left: ("does not end", ("kill",)),
    waits_never_end: ("does not end", (FAR,)),
}
"""Mutation -> what the invariant that notices it says, and the rules of the model that lead there."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", FOUND, ids=lambda mutation: mutation.__name__)
def test_a_rule_that_is_missing_is_missed(
    mutation: Callable[[Patch], None], templates: Path, monkeypatch: Patch
) -> None:
    mutation(monkeypatch)
    said, rules = FOUND[mutation]
    Faults.templates, Faults.examples = templates, 0
    with pytest.raises(Violation, match=said):
        run_state_machine_as_test(Faults.focused(*rules), settings=settings_for(MOST, 6, Phase.generate))
    if os.environ.get("RACKFLOW_MODEL_SHOW"):
        sys.stderr.write(f"\n{mutation.__name__}: found in example {Faults.examples}\n")
