"""A flow that needs a consent, over an edge that is one JSON file: started by test_consent_form."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from prefect import flow
from prefect.client.schemas.objects import State

from metal.planning.plan import Destroyed, Plan, Step
from specs.records import JobRecord, JournalRow, LeaseGrant
from tasks import held as module
from tasks.held import held

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DISK = Destroyed(serial="D0", size_bytes=8 << 30, found="ext4 <b>data</b>")
WIPE = Step(id="wipe", kind="wipe", field="disks", reason="r", destructive=True, destroys=(DISK,))
PLAN = Plan(
    host="web-01",
    host_id="id-1",
    specset=None,
    spec="web-01",
    observed_at=None,
    seen_from=None,
    steps=(WIPE,),
)


class FileEdge:
    """What of the edge's work the path through a consent needs; the file survives the process."""

    def __init__(self) -> None:
        self.file = Path(os.environ["CONSENTING_EDGE"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    @property
    def kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self.file.read_text())
        return kept

    def keep(self, call: str, **more: Any) -> None:
        kept = self.kept
        kept["calls"].append(call)
        self.file.write_text(json.dumps(kept | more))

    def job(self, name: str, number: int) -> JobRecord:
        told = {key: self.kept[key] for key in ("state", "plan", "run_id")}
        about: dict[str, Any] = {"host": name, "host_id": "id-1", "no": number, "verb": "apply", "by": "t"}
        return JobRecord(**about, **told, created_at=NOW, ask_in_ui=True)

    def lease(self, name: str, *, job: int, run_id: str, holder: str) -> LeaseGrant:
        self.keep("lease", lease=run_id)
        return LeaseGrant(epoch=1, ttl_s=90)

    def renew(self, name: str, *, epoch: int, run_id: str) -> LeaseGrant:
        return LeaseGrant(epoch=1, ttl_s=90)

    def journal_rows(self, name: str, *, job: int) -> list[JournalRow]:
        return []

    def plan(self, plan_hash: str) -> dict[str, Any]:
        return PLAN.model_dump(mode="json")

    def finish(self, name: str, number: int, **told: Any) -> JobRecord:
        state = "waiting-consent" if told["result"] == "waiting-consent" else "done"
        self.keep(f"finish {told['result']}", lease=None, state=state, plan=told["plan"])
        return self.job(name, number)

    def answer_form(self, name: str, number: int, *, run_id: str, plan: str, consents: bool) -> JobRecord:
        self.keep(f"answer {consents}", state="delivered" if consents else "cancelled", consented=consents)
        return self.job(name, number)


@flow(name="consenting")
def consenting(host: str, job: int) -> State[None]:
    """Wait for a consent, then say that it was there."""
    module.EdgeClient = FileEdge  # type: ignore[assignment,misc]
    module.flow_run = SimpleNamespace(id=FileEdge().kept["run_id"])  # type: ignore[assignment]
    with held(host, job, "apply") as run, run.stage("consent"):
        if run.edge.kept["consented"]:  # type: ignore[attr-defined]
            run.says("erased")
        else:
            run.waits_for_consent(PLAN)
    return run.ended()
