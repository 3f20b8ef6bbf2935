"""Waiting for jobs over restarts of the edge, and never for ever."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from metal.cli.waiting import SILENCE_S, wait_for_jobs
from metal.edge_client import EdgeClient
from metal.errors import Unreachable
from specs.records import JobRecord, JournalRow


@dataclass
class Clock:
    """Time that passes by sleeping."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Edge:
    """An edge that is away between two moments and whose job ends at a third."""

    clock: Clock
    job_record: JobRecord
    away: tuple[float, float] = (1e9, 1e9)
    ends_at: float = 1e9
    asked: list[float] = field(default_factory=list)

    def job(self, host: str, no: int) -> JobRecord:
        assert (host, no) == (self.job_record.host, self.job_record.no)
        self.asked.append(self.clock.now)
        if self.away[0] <= self.clock.now < self.away[1]:
            raise Unreachable("the edge does not answer")
        state = "done" if self.clock.now >= self.ends_at else "claimed"
        return self.job_record.model_copy(update={"state": state})

    def journal_rows(self, host: str, *, job: int) -> list[JournalRow]:
        assert (host, job) == (self.job_record.host, self.job_record.no)
        return []


def wait(edge: Edge, **more: Any) -> list[JobRecord]:
    open_job = edge.job_record.model_copy(update={"state": "wanted"})
    client = cast("EdgeClient", edge)
    return wait_for_jobs(client, [open_job], clock=edge.clock, sleep=edge.clock.sleep, **more)


def test_a_restart_of_the_edge_is_waited_out_and_said_once(
    job: JobRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    edge = Edge(Clock(), job, away=(5, SILENCE_S), ends_at=70)

    (ended,) = wait(edge)

    assert ended.state == "done"
    assert capsys.readouterr().err.count("asking on") == 1


def test_an_edge_that_stays_away_ends_the_wait(job: JobRecord) -> None:
    edge = Edge(Clock(), job, away=(5, 1e9))

    with pytest.raises(Unreachable, match="does not answer"):
        wait(edge)
    assert SILENCE_S < edge.clock.now < SILENCE_S + 10


def test_the_deadline_names_the_job_and_the_next_step(job: JobRecord) -> None:
    edge = Edge(Clock(), job)

    with pytest.raises(Unreachable, match=r"not finished after 30 s: web-01 \(claimed\)") as late:
        wait(edge, deadline_s=30)
    assert late.value.hint == "rackflow why web-01"
