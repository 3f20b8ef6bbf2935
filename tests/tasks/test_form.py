"""What a person is asked for: the disks, also those of which a plan destroys a part."""

from datetime import UTC, datetime
from typing import Any

from metal.engine.claim import Claim
from metal.planning.plan import Destroyed, Plan, Step
from specs.records import JobRecord
from tasks.form import question
from tasks.run import Run

JOB = JobRecord(
    host="web-01", host_id="h1", no=7, verb="apply", state="claimed", by="ann",
    created_at=datetime(2026, 11, 25, 12, tzinfo=UTC),
)  # fmt: skip
ERASED = (Destroyed(serial="D0", size_bytes=1, found="ext4"),)


def plan(kind: str, disk: str, **more: Any) -> Plan:
    args = {"target": {"identity": disk, "size_bytes": 1}}
    fields = {"id": kind, "kind": kind, "field": "disks", "reason": "r", "destructive": True, "args": args}
    about: dict[str, Any] = {"host": "web-01", "host_id": "h1", "specset": None, "spec": "web-01"}
    return Plan(**about, observed_at=None, seen_from=None, steps=(Step.model_validate(fields | more),))


def asked(asks: Plan) -> tuple[str, str | None]:
    """The form's text, and the job's message."""
    run = Run(None, Claim("web-01", 7, "run-1", 4), JOB)  # type: ignore[arg-type]  # nothing is told
    run.waits_for_consent(asks)
    return question(asks), run.message


def test_a_disk_that_is_erased_is_named_once_with_what_is_on_it() -> None:
    form, message = asked(plan("wipe", "D0", destroys=ERASED))
    assert "- `D0`, 1 B: ext4" in form
    assert form.count("`D0`") == 1
    assert message == "waits for consent to erase D0"


def test_a_plan_that_destroys_a_part_of_a_disk_does_not_ask_to_erase_nothing() -> None:
    form, message = asked(plan("mkfs", "D1"))
    assert "- `D1`: " in form
    assert "nothing" not in form
    assert message == "waits for consent to erase D1"
