"""A server in a thread with a loop of its own.

Sixty-four image streams that are all ready hold a loop for tens of milliseconds per turn, inside
sendfile(2) and without the interpreter's lock; an OFFER must not wait for them.
"""

import asyncio
import threading
from concurrent.futures import Future
from typing import Protocol


class Server(Protocol):
    """What has a beginning and an end on a loop."""

    async def start(self) -> None:
        """Begin to serve; raises StartError."""

    async def close(self) -> None:
        """Stop."""


class Background:
    """Starts and stops a server on another thread's loop."""

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._began: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """Begin to serve; raises what the server's start raises."""
        self._thread.start()
        await asyncio.wrap_future(self._began)

    async def close(self) -> None:
        """Stop, and wait for the end."""
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        await asyncio.wrap_future(self._ended)

    def check(self) -> None:
        """Raise what ended the server by itself."""
        if self._ended.done() and (error := self._ended.exception()) is not None:
            raise error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed over: start() or check() raises it
            self._tell(error)
        else:
            self._tell(None)

    def _tell(self, error: BaseException | None) -> None:
        self._loop = None
        future = self._ended if self._began.done() else self._began
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(None)

    async def _serve(self) -> None:
        await self._server.start()
        self._loop = asyncio.get_running_loop()
        self._began.set_result(None)
        try:
            await self._stop.wait()
        finally:
            await self._server.close()
