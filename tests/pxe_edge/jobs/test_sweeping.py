"""What becomes of open jobs: one table row per case, and what holds for every case."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.jobs import sweeping as s
from pxe_edge.jobs.leases import Lease
from pxe_edge.jobs.rules import FINAL
from pxe_edge.jobs.timing import Timing
from specs.phases import DEADLINE_S, Phase
from specs.records import JobState

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TIMING = Timing()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def lease(renewed_s: float) -> Lease:
    return Lease(2, 1, "r", ago(renewed_s) + timedelta(seconds=TIMING.lease_ttl_s), "x")


KEPT = Lease(2, 1)
CLAIMED = s.Situation(
    state="claimed", verb="apply", run_id="r", run_at=ago(500), delivered=True, claimed_once=True,
    lost_runs=0, lease=lease(10), prefect=s.PrefectState("RUNNING", ago(400)),
)  # fmt: skip
ASKED = replace(CLAIMED, state="waiting-consent", lease=Lease(2), waiting_since=ago(9))
DELIVERED = replace(CLAIMED, state="delivered", claimed_once=False, lease=Lease(1))


def case(base: s.Situation, prefect: str | None, since_s: float = 5, **more: Any) -> s.Situation:
    return replace(base, prefect=s.PrefectState(prefect, ago(since_s)) if prefect else None, **more)


@pytest.mark.parametrize(
    ("job", "decision"),
    [
        (CLAIMED, s.Nothing),
        (case(CLAIMED, "PENDING", lease=lease(89)), s.Nothing),
        (case(CLAIMED, "COMPLETED"), s.Lost),
        (case(CLAIMED, "FAILED"), s.Lost),
        (case(CLAIMED, "CRASHED"), s.Lost),
        (case(CLAIMED, "CRASHED", 15), s.Nothing),
        (case(CLAIMED, "CRASHED", 500, lease=lease(90)), s.Lost),
        (case(CLAIMED, "RUNNING", 500, lease=lease(90)), s.Lost),
        (case(CLAIMED, s.UNKNOWN, lease=lease(89)), s.Nothing),
        (case(CLAIMED, s.UNKNOWN, lease=lease(90)), s.Lost),
        (case(CLAIMED, None, lease=lease(9000)), s.Nothing),
        (case(CLAIMED, "CANCELLING"), s.Cancelling),
        (case(CLAIMED, "CANCELLED"), s.Cancelling),
        (case(CLAIMED, "CANCELLING", state="cancelling"), s.Nothing),
        (case(CLAIMED, "CANCELLED", state="cancelling"), s.Lost),
        (case(CLAIMED, "RUNNING", state="cancelling", lease=lease(90)), s.Lost),
        (case(DELIVERED, "SCHEDULED", 9000, run_at=ago(9000)), s.Nothing),
        (case(DELIVERED, "PENDING", 119), s.Nothing),
        (case(DELIVERED, "PENDING", 120), s.Replace),
        (case(DELIVERED, "RUNNING", 120), s.Replace),
        (case(DELIVERED, "RUNNING", 9000, run_at=ago(60)), s.Nothing),
        (case(DELIVERED, s.UNKNOWN, run_at=ago(119)), s.Nothing),
        (case(DELIVERED, s.UNKNOWN, run_at=ago(120)), s.Replace),
        (case(DELIVERED, "CRASHED"), s.Lost),
        (case(DELIVERED, "PAUSED"), s.Resume),
        (case(DELIVERED, "CANCELLED"), s.Cancel),
        (case(DELIVERED, "CANCELLED", claimed_once=True), s.Cancelling),
        (case(DELIVERED, "CANCELLED", claimed_once=True, state="cancelling", lease=KEPT), s.Lost),
        (case(DELIVERED, "RUNNING", 9000, state="wanted", delivered=False, run_at=ago(119)), s.Nothing),
        (case(DELIVERED, "RUNNING", 9000, state="wanted", delivered=False, run_at=ago(120)), s.Replace),
        (case(DELIVERED, "PAUSED", 9000, state="wanted", delivered=False), s.Nothing),
        (case(DELIVERED, "CANCELLED", state="wanted", delivered=False, claimed_once=True), s.Cancelling),
        (case(DELIVERED, None, state="wanted", run_id=None, delivered=False), s.Nothing),
        (case(CLAIMED, "COMPLETED", state="waiting", lease=KEPT, wait_until=ago(-1)), s.Nothing),
        (case(CLAIMED, "CRASHED", state="waiting", lease=KEPT, wait_until=ago(-1)), s.Nothing),
        (case(CLAIMED, None, state="waiting", lease=KEPT, wait_until=ago(0)), s.NextRun),
        (case(CLAIMED, "CANCELLED", state="waiting", lease=KEPT, wait_until=ago(0)), s.Cancelling),
        (case(ASKED, "PAUSED", waiting_since=ago(604_799)), s.Nothing),
        (case(ASKED, None, waiting_since=ago(604_800)), s.ConsentExpired),
        (case(ASKED, "CANCELLED", waiting_since=ago(9)), s.Cancel),
        (case(ASKED, "COMPLETED", waiting_since=ago(9)), s.Nothing),
        (case(ASKED, "SCHEDULED", 9000, waiting_since=ago(9000)), s.Nothing),
        (case(ASKED, s.UNKNOWN, waiting_since=ago(9000)), s.Nothing),
        (case(ASKED, "CRASHED"), s.Lost),
        (case(ASKED, "FAILED"), s.Lost),
        (case(ASKED, "RUNNING", 9000, waiting_since=ago(119)), s.Nothing),
        (case(ASKED, "RUNNING", 119, waiting_since=ago(9000)), s.Nothing),
        (case(ASKED, "RUNNING", 120, waiting_since=ago(9000)), s.Lost),
        (case(ASKED, "PENDING", 120, waiting_since=ago(9000)), s.Lost),
        (case(CLAIMED, "RUNNING", phase=Phase.PROVISIONING, phase_s=5399), s.Nothing),
        (case(CLAIMED, "RUNNING", phase=Phase.PROVISIONING, phase_s=5400), s.PhaseDeadline),
        (case(CLAIMED, None, phase=Phase.INSPECTING, phase_s=1800), s.PhaseDeadline),
        (case(CLAIMED, None, state="waiting", phase=Phase.WIPING, phase_s=86_400), s.PhaseDeadline),
        (case(CLAIMED, "PAUSED", state="waiting-consent", phase=Phase.PROVISIONING, phase_s=9999), s.Nothing),
        (case(CLAIMED, "RUNNING", phase=Phase.PROVISIONING, phase_s=5400, verb="power"), s.Nothing),
        (case(CLAIMED, "RUNNING", phase=Phase.ACTIVE, phase_s=10**9), s.Nothing),
        (case(CLAIMED, "CRASHED", state="done", lease=Lease(2)), s.Nothing),
    ],
)  # fmt: skip
def test_decide(job: s.Situation, decision: type[s.Decision]) -> None:
    assert isinstance(s.decide(job, TIMING, NOW), decision)


@pytest.mark.parametrize(
    ("job", "force"),
    [
        (case(CLAIMED, "RUNNING", 500, lease=lease(90)), True),
        (case(CLAIMED, "COMPLETED"), True),
        (case(CLAIMED, "CRASHED"), False),
        (case(CLAIMED, "FAILED", 500, lease=lease(90)), False),
        (case(ASKED, "CRASHED"), False),
        (case(ASKED, "RUNNING", 120, waiting_since=ago(120)), True),
    ],
)
def test_prefect_is_told_of_a_loss_that_it_does_not_see(job: s.Situation, *, force: bool) -> None:
    decision = s.decide(job, TIMING, NOW)
    assert isinstance(decision, s.Lost)
    assert decision.force is force


SITUATIONS = st.builds(
    s.Situation,
    state=st.sampled_from(get_args(JobState)),
    verb=st.sampled_from(["apply", "discover", "power"]),
    run_id=st.sampled_from([None, "r"]),
    run_at=st.integers(0, 1000).map(ago),
    delivered=st.booleans(),
    claimed_once=st.booleans(),
    lost_runs=st.integers(0, 5),
    lease=st.one_of(st.just(Lease(2)), st.just(KEPT), st.integers(0, 200).map(lease)),
    prefect=st.one_of(
        st.none(),
        st.builds(
            s.PrefectState,
            st.sampled_from([*s.ENDED, *s.CANCELLED, "RUNNING", "PENDING", "SCHEDULED", "PAUSED", s.UNKNOWN]),
            st.integers(0, 1000).map(ago),
        ),
    ),
    wait_until=st.sampled_from([None, ago(-1), ago(1)]),
    waiting_since=st.sampled_from([None, ago(1), ago(10**6)]),
    phase=st.sampled_from(list(Phase)),
    phase_s=st.integers(0, 10**5).map(float),
)


@given(SITUATIONS)
def test_without_prefects_word_only_clocks_decide(job: s.Situation) -> None:
    decision = s.decide(replace(job, prefect=None), TIMING, NOW)
    assert isinstance(decision, s.Nothing | s.NextRun | s.PhaseDeadline | s.ConsentExpired)


@given(SITUATIONS)
def test_a_job_that_has_ended_stays_so(job: s.Situation) -> None:
    if job.state in FINAL:
        assert s.decide(job, TIMING, NOW) == s.Nothing()


@given(SITUATIONS)
def test_a_live_holder_is_never_lost_to_silence(job: s.Situation) -> None:
    """A run that renews in time is lost only when Prefect says so, or cancelled by a person."""
    alive = replace(job, lease=lease(0), phase_s=0.0, state="claimed", run_id="r")
    decision = s.decide(alive, TIMING, NOW)
    if isinstance(decision, s.Lost):
        assert alive.prefect is not None
        assert alive.prefect.type in s.ENDED
        assert alive.prefect.since >= NOW
    else:
        assert isinstance(decision, s.Nothing | s.Cancelling)


@given(SITUATIONS)
def test_no_open_job_is_left_alone_for_ever(job: s.Situation) -> None:
    """After every clock has run out, only what waits for a worker or for Prefect is left as it is."""
    late = NOW + timedelta(days=30)
    decision = s.decide(job, TIMING, late)
    if isinstance(decision, s.Nothing):
        stored = {"waiting": job.wait_until, "waiting-consent": job.waiting_since}.get(job.state, NOW)
        unheard = job.prefect is None or job.run_id is None
        word = job.prefect.type if job.prefect is not None else ""
        couriers = not job.delivered and word not in ("PENDING", "RUNNING")
        elsewhere = job.lease.run_id is None and (word == "SCHEDULED" or couriers)
        assert job.state in FINAL or unheard or elsewhere or stored is None


def test_attempts_double_their_distance_and_end() -> None:
    delays = [s.attempt_delay_s(lost, TIMING) for lost in range(7)]
    assert delays == [30.0, 60.0, 120.0, 240.0, 480.0, None, None]


def test_every_phase_with_a_deadline_is_watched() -> None:
    for phase, limit_s in DEADLINE_S.items():
        over = replace(CLAIMED, phase=phase, phase_s=limit_s)
        assert isinstance(s.decide(over, TIMING, NOW), s.PhaseDeadline)


@pytest.mark.parametrize(
    ("state", "seconds", "stuck"),
    [
        ("PENDING", 119, False),
        ("PENDING", 120, True),
        ("RUNNING", 1799, False),
        ("RUNNING", 1800, True),
        ("SCHEDULED", 10**6, False),
    ],
)
def test_a_stuck_fleet_run(state: str, seconds: int, *, stuck: bool) -> None:
    assert (s.fleet_is_stuck(s.PrefectState(state, ago(seconds)), TIMING, NOW) is not None) is stuck
