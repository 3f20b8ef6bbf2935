"""Prefect as the edge sees it: make, wake and end flow runs, look up their states. Plain httpx.

Serial on purpose: a SQLite-backed server answers 503 to four of five creates from four clients at
once (measured). Everything here may fail at any time; the outbox keeps what was not taken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import httpx

from pxe_edge.jobs.rules import NOT_YET, PREFECT_TERMINAL
from pxe_edge.jobs.sweeping import UNKNOWN, PrefectState
from pxe_edge.registry import outbox

_FILTER_MAX = 200
FLEET_FLOW: Final = "reconcile-fleet"
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
NO_ANSWER: Final = (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError)
"""Nothing came, or what came (of a proxy, say) makes no sense: tried again, and nobody is held up by it."""
CONSENTED: Final = {"answer": "consent"}
"""What a run is woken with whose plan was consented to at the edge: the form's field, filled in."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What Prefect said to a delivery; `busy` is worth another try, `refused` is not.

    `ended`: the run of this number is over, so the job needs one with a new number.
    """

    outcome: Literal["taken", "ended", "busy", "refused"]
    run_id: str = ""
    error: str = ""


class Prefect:
    """A thin client of the REST calls that the edge needs; remembers deployment ids."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._deployments: dict[tuple[str, str], str] = {}

    async def offer(self, delivery: outbox.Delivery) -> Offered:
        """Tell Prefect of a delivery; told twice, whatever became of the first answer, it is done once."""
        try:
            match delivery.kind:
                case "start":
                    return await self._start(delivery)
                case "resume":
                    return await self._resume(delivery)
                case "cancel":
                    return await self._end(delivery, "CANCELLED", unless=PREFECT_TERMINAL)
                case "crash":
                    return await self._end(delivery, "CRASHED", unless=PREFECT_TERMINAL - {"COMPLETED"})
        except NO_ANSWER as error:
            return Offered("busy", run_id=delivery.run_id, error=f"{type(error).__name__}: {error}")

    async def _start(self, delivery: outbox.Delivery) -> Offered:
        deployment = await self._deployment(delivery.flow, delivery.deployment)
        if deployment is None:
            return Offered("busy", error=f"no deployment {delivery.flow}/{delivery.deployment} yet")
        body = {
            "parameters": delivery.parameters,
            "idempotency_key": delivery.key,
            "tags": list(delivery.tags),
            "name": delivery.name,
            "state": {"type": "SCHEDULED"},
        }
        answer = await self._client.post(f"deployments/{deployment}/create_flow_run", json=body)
        if answer.status_code in (200, 201):
            run = answer.json()
            kind = (run.get("state") or {}).get("type") or run.get("state_type")
            # 200 is an existing run: the key is kept for ever, also by a run that has failed since.
            ended = answer.status_code == 200 and kind in PREFECT_TERMINAL
            return Offered("ended" if ended else "taken", run_id=str(run["id"]))
        if answer.status_code == 404:
            self._deployments.pop((delivery.flow, delivery.deployment), None)
        return _not_taken(answer)

    async def _resume(self, delivery: outbox.Delivery) -> Offered:
        """Wake a suspended run. One that is about to suspend itself is not suspended yet.

        One that is scheduled was woken before: the answer got lost, or a person answered the form meanwhile.
        Its state is asked for first: Prefect 3.8 answers 500 to a resume of a run that it does not know.
        """
        run_id = delivery.run_id
        now = (await self.states([run_id]))[run_id].type
        if now in PREFECT_TERMINAL or now == UNKNOWN:
            return Offered("ended", run_id=run_id, error=f"the run is {now}")
        if now == "SCHEDULED":
            return Offered("taken", run_id=run_id)
        if now != "PAUSED":
            return Offered("busy", run_id=run_id, error=f"the run is {now}, {NOT_YET}")
        answer = await self._client.post(f"flow_runs/{run_id}/resume", json={"run_input": CONSENTED})
        if answer.status_code not in (200, 201):
            return _not_taken(answer, run_id)
        said = answer.json()
        if said["status"] == "ACCEPT":
            return Offered("taken", run_id=run_id)
        reason = (said.get("details") or {}).get("reason") or said["status"]
        return Offered("ended", run_id=run_id, error=str(reason)[:300])

    async def _end(
        self, delivery: outbox.Delivery, state: Literal["CANCELLED", "CRASHED"], *, unless: frozenset[str]
    ) -> Offered:
        now = (await self.states([delivery.run_id]))[delivery.run_id].type
        if now == UNKNOWN or now in unless:
            return Offered("taken", run_id=delivery.run_id)
        answer = await self.set_state(delivery.run_id, state, delivery.message)
        if answer.status_code in (200, 201, 404):
            return Offered("taken", run_id=delivery.run_id)
        return _not_taken(answer, delivery.run_id)

    async def set_state(
        self, run_id: str, state: Literal["CANCELLED", "CRASHED"], message: str
    ) -> httpx.Response:
        """Set a run's state by force: Prefect's rules would ask a process that may be dead."""
        body = {"state": {"type": state, "name": state.capitalize(), "message": message}, "force": True}
        return await self._client.post(f"flow_runs/{run_id}/set_state", json=body)

    async def _deployment(self, flow: str, deployment: str) -> str | None:
        known = self._deployments.get((flow, deployment))
        if known is not None:
            return known
        answer = await self._client.get(f"deployments/name/{flow}/{deployment}")
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found = str(answer.json()["id"])
        self._deployments[flow, deployment] = found
        return found

    async def states(self, run_ids: Iterable[str]) -> dict[str, PrefectState]:
        """The state of each of these runs; UNKNOWN of one that Prefect does not know. Raises HTTPError."""
        wanted = list(run_ids)
        found: dict[str, PrefectState] = {}
        for start in range(0, max(1, len(wanted)), _FILTER_MAX):
            batch = wanted[start : start + _FILTER_MAX] or ["00000000-0000-0000-0000-000000000000"]
            runs = await self._filter({"flow_runs": {"id": {"any_": batch}}})
            found.update({str(run["id"]): _state(run) for run in runs})
        return {run_id: found.get(run_id, PrefectState(UNKNOWN, LONG_AGO)) for run_id in wanted}

    async def fleet_runs(self, site: str) -> dict[str, PrefectState]:
        """The site's fleet runs that have a process, or are about to. Raises HTTPError."""
        runs = await self._filter(
            {
                "flows": {"name": {"any_": [FLEET_FLOW]}},
                "deployments": {"name": {"any_": [site]}},
                "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}},
            }
        )
        return {str(run["id"]): _state(run) for run in runs}

    async def _filter(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        answer = await self._client.post("flow_runs/filter", json={**body, "limit": _FILTER_MAX})
        answer.raise_for_status()
        runs: list[dict[str, Any]] = answer.json()
        return runs


def _state(run: Mapping[str, Any]) -> PrefectState:
    state = run.get("state") or {}
    since = state.get("timestamp")
    at = datetime.fromisoformat(since) if isinstance(since, str) else LONG_AGO
    return PrefectState(str(run["state_type"]), at if at.tzinfo else at.replace(tzinfo=UTC))


def _not_taken(answer: httpx.Response, run_id: str = "") -> Offered:
    error = f"{answer.status_code} {answer.text[:300]}"
    return Offered("refused" if answer.status_code in (409, 422) else "busy", run_id=run_id, error=error)
