"""Makes leases durable in groups, in a thread of its own; the answers that rest on them leave afterwards.

The loop never waits for the disk. What gathers while one group is being synced is the next group, so
idle costs one sync per ACK, and a boot storm one per some thirty. (Syncing in the loop after each drain
costs less CPU time but lets the socket overflow meanwhile; a timer is slower than both, measured.)
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Final, Generic, Protocol, TypeVar

MAX_WAITING: Final = 8192
"""Answers that wait for their commit; beyond it packets are dropped and the clients ask again."""
log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Row(Protocol):
    """A lease of either family."""

    @property
    def address(self) -> Hashable:
        """What it is refused by."""


AnyRow = TypeVar("AnyRow", bound=Row)
AnyRow_contra = TypeVar("AnyRow_contra", contravariant=True)


class Store(Protocol[AnyRow_contra]):
    """What `LeaseStore` and `Lease6Store` of `ports` have in common."""

    def commit(self, rows: Sequence[AnyRow_contra], /) -> frozenset[Hashable]:
        """Make these rows durable; says which addresses it refused."""


class LeaseWriter(Generic[AnyRow, Answer]):
    """Takes rows with the answer that waits for them; hands the answers back when they may leave."""

    def __init__(
        self, store: Store[AnyRow], send: Callable[[Answer], None], refused: Callable[[Answer], None]
    ) -> None:
        """`send` and `refused` run on the loop: the rows are durable, or could not be made so."""
        self._store = store
        self._send = send
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._gathered: list[tuple[tuple[AnyRow, ...], Answer | None]] = []
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._groups: SimpleQueue[list[tuple[tuple[AnyRow, ...], Answer | None]] | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._run, name="lease-writer", daemon=True)
        self._worker.start()

    @property
    def is_full(self) -> bool:
        """Whether no more answers may wait."""
        return len(self._gathered) >= MAX_WAITING

    def add(self, rows: tuple[AnyRow, ...], answer: Answer | None) -> None:
        """Store rows with the next group, then send the answer; None: nothing waits for them."""
        self._gathered.append((rows, answer))
        if not self._busy:
            # Handed over when the drain that called this has ended, so that its rows are one group.
            self._busy = True
            self._idle.clear()
            self._loop.call_soon(self._hand_over)

    async def close(self) -> None:
        """Store what has gathered, send what waits for it, end the thread."""
        await self._idle.wait()
        self._groups.put(None)
        await self._loop.run_in_executor(None, self._worker.join)

    def _hand_over(self) -> None:
        if not self._gathered:
            self._busy = False
            self._idle.set()
            return
        group, self._gathered = self._gathered, []
        self._groups.put(group)

    def _run(self) -> None:
        while (group := self._groups.get()) is not None:
            refused: frozenset[Hashable] | None
            try:
                refused = self._store.commit([row for rows, _ in group for row in rows])
            except Exception:
                # Not durable, so not acknowledged (RFC 2131 section 4.3.1); the clients ask again.
                log.exception("leases=uncommitted answers=%d effect='no ACK is sent'", len(group))
                refused = None
            self._loop.call_soon_threadsafe(self._done, group, refused)

    def _done(
        self, group: list[tuple[tuple[AnyRow, ...], Answer | None]], refused: frozenset[Hashable] | None
    ) -> None:
        for rows, answer in group:
            if answer is None:
                continue
            if refused is None or (refused and any(row.address in refused for row in rows)):
                self._refused(answer)
            else:
                self._send(answer)
        self._hand_over()
