"""What a failed job is told to do next: by the error that ended it, else by the code of that error."""

from datetime import UTC, datetime
from typing import Any

import pytest

from metal.engine.claim import Claim
from metal.errors import RackflowError, SpecError, Unreachable
from specs.reasons import REASONS
from specs.records import JobRecord, Verb
from tasks.run import Run

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class FakeEdge:
    """Keeps what a run reports at its end."""

    told: dict[str, Any]

    def finish(self, host: str, job: int, **told: Any) -> JobRecord:
        self.told = {"host": host, "job": job, **told}
        return JobRecord(
            host=host, host_id="id-1", no=job, verb="apply", state="failed", by="t", created_at=NOW
        )


def next_of(error: RackflowError, verb: Verb = "reinstall") -> str:
    job = JobRecord(host="web-01", host_id="id-1", no=7, verb=verb, state="claimed", by="t", created_at=NOW)
    edge: Any = FakeEdge()
    run = Run(edge, Claim("web-01", 7, "run", 1), job)
    run.failed(error)
    run.finish()
    return str(edge.told["next_step"])


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("reinstall", "rackflow plan web-01 --refresh, then rackflow apply web-01"),
        ("wipe", "rackflow plan web-01 --wipe, then rackflow wipe web-01"),
    ],
)
def test_an_error_that_names_a_next_step_knows_more_than_its_code(verb: Verb, step: str) -> None:
    hint = "rackflow plan web-01 --refresh, then rackflow apply web-01"
    assert next_of(SpecError("not known", reason="unreachable", hint=hint), verb) == step


def test_where_the_error_knows_no_host_its_next_step_is_told_of_this_one() -> None:
    error = SpecError("gone", reason="image-mismatch", hint="rackflow plan NAME --refresh")
    assert next_of(error) == "rackflow plan web-01 --refresh"


def test_an_error_without_a_next_step_has_that_of_its_code() -> None:
    assert next_of(Unreachable("silent", reason="unreachable")) == REASONS["unreachable"].next_step
