"""Client of QEMU's machine protocol.

One JSON object per line, answers matched by id, events handed to a callback.
"""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any

ANSWER_TIMEOUT_S = 10.0


class QmpError(Exception):
    """QEMU refused a command, is gone, or did not answer in time."""


class QmpClient:
    """A connection to one QEMU; ends when QEMU does (`on_close`)."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None], on_close: Callable[[], None]) -> None:
        self._on_event = on_event
        self._on_close = on_close
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def connect(self, path: str, *, timeout_s: float) -> None:
        """Connect as soon as the socket is there, and leave the greeting mode."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                reader, self._writer = await asyncio.open_unix_connection(path)
                break
            except OSError as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise QmpError(f"no answer at {path} within {timeout_s:.0f} s: {error}") from error
                await asyncio.sleep(0.02)
        self._reading = asyncio.create_task(self._read(reader))
        await self.execute("qmp_capabilities")

    async def execute(self, command: str, **arguments: object) -> Any:
        """Run one command and return what it returns."""
        if self._writer is None:
            raise QmpError(f"{command}: not connected")
        number = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        request = {"execute": command, "arguments": arguments, "id": number}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            answer = await asyncio.wait_for(future, ANSWER_TIMEOUT_S)
        except TimeoutError as error:
            raise QmpError(f"{command}: no answer within {ANSWER_TIMEOUT_S:.0f} s") from error
        finally:
            self._waiting.pop(number, None)
        if "error" in answer:
            raise QmpError(f"{command}: {answer['error'].get('desc', answer['error'])}")
        return answer.get("return")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                message = json.loads(line)
                if "event" in message:
                    self._on_event(message)
                elif (future := self._waiting.get(message.get("id"))) and not future.done():
                    future.set_result(message)
        except (OSError, ValueError):
            pass
        finally:
            self._closed()

    def _closed(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(QmpError("QEMU is gone"))
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._on_close()

    async def close(self) -> None:
        """Hang up."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
