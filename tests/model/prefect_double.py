"""Prefect as a table of flow runs, with the ways to fail that were measured in it.

A run may stay PENDING for ever, say RUNNING long after its process died, be called CRASHED while its process
lives, be started a second time, be cancelled from the UI, or be suspended and resumed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import httpx

from tests.model.clock import Clock

TERMINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


@dataclass
class FlowRun:
    """One flow run."""

    id: str
    key: str
    parameters: dict[str, Any]
    since: datetime
    state: str = "SCHEDULED"
    input: dict[str, Any] | None = None
    starts: int = 0


@dataclass
class PrefectDouble:
    """Prefect's REST as far as the edge speaks it."""

    clock: Clock
    runs: dict[str, FlowRun] = field(default_factory=dict)
    down: bool = False
    lose_answers: int = 0
    """So many answers from now on get lost after the call took effect."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        answer = self._answer(request)
        if self.lose_answers and request.method == "POST" and not request.url.path.endswith("/filter"):
            self.lose_answers -= 1
            raise httpx.ReadTimeout("lost")
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:  # noqa: PLR0911 - one per route
        path = request.url.path.removeprefix("/api/")
        words = path.split("/")
        body = httpx.Response(200, content=request.content).json() if request.content else {}
        if path.startswith("deployments/name/"):
            return httpx.Response(200, json={"id": path.removeprefix("deployments/name/")})
        if path.endswith("/create_flow_run"):
            return self._create(body)
        if path == "flow_runs/filter":
            ids = set((body["flow_runs"].get("id") or {}).get("any_") or [])
            found = [run for run in self.runs.values() if run.id in ids]
            return httpx.Response(200, json=[self._shown(run) for run in found])
        run = self.by_id(words[1]) if words[0] == "flow_runs" and len(words) > 1 else None
        if run is None:
            return httpx.Response(404, json={"detail": "not found"})
        if words[2:] == ["set_state"]:
            return self._set_state(run, body)
        if words[2:] == ["resume"]:
            return self._resume(run, body)
        return httpx.Response(200, json=self._shown(run))

    def by_id(self, run_id: str) -> FlowRun | None:
        return next((run for run in self.runs.values() if run.id == run_id), None)

    def says(self, run: FlowRun, state: str) -> None:
        """The run is in this state from now on."""
        if run.state != state:
            run.state, run.since = state, self.clock.now

    def _shown(self, run: FlowRun) -> dict[str, Any]:
        state = {"type": run.state, "name": run.state.title(), "timestamp": run.since.isoformat()}
        return {"id": run.id, "state_type": run.state, "state": state, "parameters": run.parameters}

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        known = self.runs.get(body["idempotency_key"])
        name = str(uuid5(NAMESPACE_OID, body["idempotency_key"]))
        run = known or FlowRun(name, body["idempotency_key"], body["parameters"], self.clock.now)
        self.runs[run.key] = run
        return httpx.Response(200 if known else 201, json=self._shown(run))

    def _set_state(self, run: FlowRun, body: dict[str, Any]) -> httpx.Response:
        wanted = body["state"]["type"]
        if run.state in TERMINAL and not body.get("force"):
            return httpx.Response(200, json={"status": "ABORT", "state": self._shown(run)["state"]})
        self.says(run, wanted)
        return httpx.Response(201, json={"status": "ACCEPT", "state": self._shown(run)["state"]})

    def _resume(self, run: FlowRun, body: dict[str, Any]) -> httpx.Response:
        if run.state != "PAUSED":
            details = {"reason": "Cannot resume a flow run that is not paused."}
            return httpx.Response(200, json={"status": "ABORT", "state": None, "details": details})
        given = body.get("run_input") or {}
        if set(given) != {"answer"} or given["answer"] not in ("consent", "refuse"):
            details = {"reason": "the input does not fit the form"}
            return httpx.Response(200, json={"status": "REJECT", "state": None, "details": details})
        run.input = given
        self.says(run, "SCHEDULED")
        return httpx.Response(201, json={"status": "ACCEPT", "state": self._shown(run)["state"]})
