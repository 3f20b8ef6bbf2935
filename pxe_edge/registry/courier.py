"""The courier: takes the outbox to Prefect, one delivery after the other, as one task of the API loop."""

import asyncio
import logging
import random
from collections.abc import Callable

from pxe_edge.registry import outbox
from pxe_edge.registry.database import Database
from pxe_edge.registry.prefect import Offered, Prefect

log = logging.getLogger("edge.outbox")

EVERY_S = 1.0


class Courier:
    """Delivers what is due, at once when something was written, else each second."""

    def __init__(
        self, database: Database, prefect: Prefect, *, site: Callable[[], tuple[str, str | None] | None]
    ) -> None:
        self._db = database
        self._prefect = prefect
        self._site = site
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """Something may be due: look at once. From any thread; nothing happens while the task is idle."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Deliver until cancelled; no failure of Prefect or of one row ends it."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()  # before a look: what is written during it is seen by the next one
            taken = 0
            try:
                taken = await self.deliver()
            except Exception:
                log.exception("event=outbox-round-failed")
            if taken:  # a round has an upper limit, and a storm more to tell
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), timeout=EVERY_S)
            except TimeoutError:
                continue

    async def deliver(self) -> int:
        """Offer what is due; how many Prefect took."""
        where = self._site()
        if where is None:
            return 0
        due = await asyncio.to_thread(self._due, *where)
        taken = 0
        for delivery in due:
            offered = await self._prefect.offer(delivery)
            await asyncio.to_thread(self._note, delivery, offered)
            taken += offered.outcome == "taken"
        return taken

    def _due(self, site: str, specset: str | None) -> list[outbox.Delivery]:
        with self._db.read() as session:
            return outbox.due(session, self._db.now(), site=site, specset=specset)

    def _note(self, delivery: outbox.Delivery, offered: Offered) -> None:
        log.info(
            "event=offer kind=%s key=%s outcome=%s run=%s error=%s",
            delivery.kind, delivery.key, offered.outcome, offered.run_id, offered.error or "-",
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
