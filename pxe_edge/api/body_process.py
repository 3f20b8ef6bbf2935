"""Large bodies are read in another process: started when one comes, asked one at a time, ended when idle.

The edge answers packets with the same interpreter that its API runs in, and a megabyte of JSON would hold it
for tens of milliseconds. So octets go out to `body_reader`, and text and a few values come back. That process
may die or hang at any moment: the body is given to a new one, once, and then the request fails with a 503,
after which clients ask again.
"""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.exceptions import HTTPException

from pxe_edge.api import body_reader
from pxe_edge.api.body_reader import LENGTH, Answer
from pxe_edge.api.observation_body import ObservationBody
from pxe_edge.compiled import ROOT

LARGE_BYTES: Final = 64 << 10
"""From here on a body is read elsewhere: as much as holds the interpreter for some three milliseconds."""
TIME_LIMIT_S: Final = 60.0
"""For one body, by the clock. It takes a tenth of a second of processor time, and a process that starts half
a second more; where others took all but a fiftieth of the machine that was seen to be 30 s and more."""
IDLE_S: Final = 10.0
TRIES: Final = 2
ANSWER_BYTES: Final = 2 << 20
"""The object before the texts: identities of a machine with tens of thousands of NICs are below that."""
TEXT_BYTES: Final = 32 << 20
ARGV: Final = (sys.executable, "-m", "pxe_edge.api.body_reader")
log = logging.getLogger("edge.api")


class UnfitBodyError(HTTPException):
    """A large body that is no reading: `findings` are places and messages, as for a small one."""

    def __init__(self, findings: list[tuple[list[str | int], str]]) -> None:
        super().__init__(422)
        self.findings = findings


class _EndedError(Exception):
    """The process is not one that can be asked: it ended, hung, or said what it never says."""


class BodyProcess:
    """The process that reads large bodies; all calls come from one event loop."""

    def __init__(
        self,
        argv: tuple[str, ...] = ARGV,
        *,
        time_limit_s: float = TIME_LIMIT_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._argv = argv
        self._time_limit_s = time_limit_s
        self._idle_s = idle_s
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process, if there is one."""
        return self._process.pid if self._process is not None else None

    async def read(self, body: bytes) -> ObservationBody:
        """The checked body. JSONDecodeError, ValueError or UnfitBodyError say what is wrong with it."""
        async with self._turn, self._awake():
            for _ in range(TRIES):
                try:
                    return _body(*await self._ask(body))
                except _EndedError as error:
                    log.warning("event=body-reader-ended reason=%r", str(error))
        limit = body_reader.MEMORY_BYTES >> 20
        raise HTTPException(
            503, f"the process that reads large bodies ended twice over this one; it has {limit} MiB and"
            f" {self._time_limit_s:.0f} s"
        )  # fmt: skip

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        if self._idle is not None:
            self._idle.cancel()
        await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        await process.communicate()

    async def _end_later(self) -> None:
        await asyncio.sleep(self._idle_s)
        await self._end()

    @asynccontextmanager
    async def _awake(self) -> AsyncIterator[None]:
        if self._idle is not None:
            self._idle.cancel()
        try:
            yield
        finally:
            self._idle = asyncio.create_task(self._end_later())

    async def _ask(self, body: bytes) -> tuple[Answer, dict[str, bytes]]:
        try:
            async with asyncio.timeout(self._time_limit_s):
                return await self._exchange(body)
        except (OSError, ValueError, EOFError) as error:
            await self._end()
            raise _EndedError(str(error) or type(error).__name__) from error
        except BaseException:
            await self._end()  # its answer to this body must not become the answer to the next one
            raise

    async def _exchange(self, body: bytes) -> tuple[Answer, dict[str, bytes]]:
        process = self._process
        if process is None or process.returncode is not None:
            await self._end()
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(*self._argv, stdin=pipe, stdout=pipe, cwd=ROOT)
            self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(LENGTH.pack(len(body)))
        process.stdin.write(body)
        await process.stdin.drain()
        (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
        told = Answer.model_validate_json(await process.stdout.readexactly(_bounded(length, ANSWER_BYTES)))
        _bounded(sum(told.texts.values()), TEXT_BYTES)
        return told, {name: await process.stdout.readexactly(size) for name, size in told.texts.items()}


def _bounded(size: int, limit: int) -> int:
    if not 0 <= size <= limit:
        raise ValueError(f"an answer of {size} bytes")
    return size


def _body(told: Answer, texts: dict[str, bytes]) -> ObservationBody:
    if told.result == "no-json":
        raise json.JSONDecodeError(told.message, "", told.position)
    if told.result == "unreadable":
        raise ValueError("unreadable")
    if told.result == "invalid":
        raise UnfitBodyError(told.findings)
    return ObservationBody.model_construct(epoch=told.epoch, observation=body_reader.reading(told, texts))
