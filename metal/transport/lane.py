"""One thread that does one thing at a time, each with a deadline.

pyghmi keeps its sessions in module-level tables served by a thread of its own, and some of its waits
are bounded only by what the BMC does. A call that has to end is made in a lane: when the deadline is
over the caller goes on, and the lane is given up.
"""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class Late(Exception):
    """The deadline is over, or an earlier one was: the lane does nothing any more."""


class Lane:
    """A daemon thread that runs calls in order; `run` raises Late once a call did not end in time."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._given_up = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], _T], timeout_s: float) -> _T:
        """Run the call in the lane and return what it returns, or raise what it raises."""
        if self._given_up:
            raise Late("an earlier call is still not over")
        future: Future[_T] = Future()
        self._work.put((future, call))
        try:
            return future.result(timeout_s)
        except TimeoutError as error:
            if future.done():
                raise
            self._given_up = True
            raise Late(f"no answer within {timeout_s:g} s") from error

    def close(self) -> None:
        """Let the thread end after what it does now."""
        self._given_up = True
        self._work.put(None)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            future, call = item
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                future.set_exception(error)
