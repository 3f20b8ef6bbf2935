"""Prefect as the edge sees it: make a flow run, look up states of runs. Plain httpx, no Prefect import.

Serial on purpose: a SQLite-backed server answers 503 to four of five creates from four clients at
once (measured). Everything here may fail at any time; the outbox keeps what was not taken.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx

from pxe_edge.jobs.rules import PREFECT_TERMINAL
from pxe_edge.registry import outbox
from pxe_edge.registry.database import Database

log = logging.getLogger("edge.outbox")

WATCH_EVERY_S = 15.0
REACHABLE_FOR_S = 60
_FILTER_MAX = 200


@dataclass(frozen=True, slots=True)
class Offered:
    """What Prefect said to a delivery; `busy` is worth another try, `refused` is not."""

    outcome: Literal["taken", "ended", "busy", "refused"]
    run_id: str = ""
    error: str = ""


class Prefect:
    """A thin client of the REST calls that the edge needs; remembers deployment ids."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._deployments: dict[tuple[str, str], str] = {}

    async def offer(self, delivery: outbox.Delivery) -> Offered:
        """Make the flow run of a delivery, exactly once whatever the answer's fate."""
        try:
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
        except httpx.HTTPError as error:
            return Offered("busy", error=f"{type(error).__name__}: {error}")
        return self._judge(delivery, answer)

    def _judge(self, delivery: outbox.Delivery, answer: httpx.Response) -> Offered:
        if answer.status_code in (200, 201):
            run = answer.json()
            kind = (run.get("state") or {}).get("type") or run.get("state_type")
            # 200 is an existing run: the key is kept for ever, also by a run that has failed since.
            ended = answer.status_code == 200 and kind in PREFECT_TERMINAL
            return Offered("ended" if ended else "taken", run_id=str(run["id"]))
        if answer.status_code == 404:
            self._deployments.pop((delivery.flow, delivery.deployment), None)
        error = f"{answer.status_code} {answer.text[:300]}"
        return Offered("refused" if answer.status_code in (409, 422) else "busy", error=error)

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

    async def states(self, run_ids: Iterable[str]) -> dict[str, str]:
        """State type of each of these runs that Prefect knows."""
        wanted = list(run_ids)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), _FILTER_MAX):
            body: dict[str, Any] = {
                "flow_runs": {"id": {"any_": wanted[start : start + _FILTER_MAX]}},
                "limit": _FILTER_MAX,
            }
            answer = await self._client.post("flow_runs/filter", json=body)
            answer.raise_for_status()
            found.update({str(run["id"]): str(run["state_type"]) for run in answer.json()})
        return found


class Courier:
    """Delivers the outbox and watches the runs, as one task of the API loop."""

    def __init__(
        self, database: Database, prefect: Prefect, *, site: Callable[[], tuple[str, str | None] | None]
    ) -> None:
        self._db = database
        self._prefect = prefect
        self._site = site
        self._wake = asyncio.Event()
        self._seen: datetime | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Something may be due: look at once. From any thread; nothing happens while the task is idle."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    def reachable(self) -> bool:
        """Whether Prefect has answered within the last minute."""
        return self._seen is not None and self._db.now() - self._seen < timedelta(seconds=REACHABLE_FOR_S)

    async def run(self) -> None:
        """Deliver and watch until cancelled; no failure of Prefect or of one row ends it."""
        watched_at = 0.0
        self._loop = loop = asyncio.get_running_loop()
        while True:
            try:
                await self.deliver()
                if loop.time() - watched_at >= WATCH_EVERY_S:
                    watched_at = loop.time()
                    await self.watch()
            except Exception:
                log.exception("event=outbox-round-failed")
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=1.0)
            except TimeoutError:
                continue

    async def deliver(self) -> int:
        """Offer what is due, one after the other; how many Prefect took."""
        where = self._site()
        if where is None:
            return 0
        due = await asyncio.to_thread(self._due, *where)
        taken = 0
        for delivery in due:
            offered = await self._prefect.offer(delivery)
            if offered.outcome != "busy":
                self._seen = self._db.now()
            await asyncio.to_thread(self._note, delivery, offered)
            taken += offered.outcome == "taken"
        return taken

    def _due(self, site: str, specset: str | None) -> list[outbox.Delivery]:
        with self._db.read() as session:
            return outbox.due(session, self._db.now(), site=site, specset=specset)

    def _note(self, delivery: outbox.Delivery, offered: Offered) -> None:
        log.info(
            "event=offer key=%s outcome=%s run=%s error=%s",
            delivery.key, offered.outcome, offered.run_id, offered.error or "-",
        )  # fmt: skip
        now = self._db.now()
        with self._db.write() as session:
            match offered.outcome:
                case "taken":
                    outbox.delivered(session, now, delivery.row, offered.run_id)
                case "ended":
                    outbox.stale(session, now, delivery.row, offered.run_id)
                case "refused":
                    outbox.refused(session, now, delivery.row, offered.error)
                case "busy":
                    outbox.failed_try(session, now, delivery.row, offered.error, random.random())

    async def watch(self) -> int:
        """Ask Prefect for the states of open jobs' runs; how many jobs were found dead."""
        runs = await asyncio.to_thread(self._watched)
        try:
            states = await self._prefect.states(runs or ["00000000-0000-0000-0000-000000000000"])
        except httpx.HTTPError as error:
            log.warning("event=watch-failed error=%s", error)
            return 0
        self._seen = self._db.now()
        dead = 0
        for run_id, state in states.items():
            if state in PREFECT_TERMINAL and run_id in runs:
                dead += await asyncio.to_thread(self._ended, run_id, runs[run_id], state)
        return dead

    def _watched(self) -> dict[str, tuple[str, int]]:
        with self._db.read() as session:
            return outbox.watched(session)

    def _ended(self, run_id: str, job: tuple[str, int], state: str) -> bool:
        with self._db.write() as session:
            return outbox.ended(session, self._db.now(), job[0], job[1], run_id, state)
