"""Large bodies are read in another process: the same answers, nothing of it in the edge's own, its deaths."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from starlette.exceptions import HTTPException

from pxe_edge.api import body_reader
from pxe_edge.api.body_process import LARGE_BYTES, BodyProcess
from pxe_edge.api.body_reader import LENGTH, Answer
from pxe_edge.registry import readings
from specs.facts import Disk, Hardware, Nic, Observation

SEEN = {"at": "2026-11-25T12:00:00Z", "seen_from": "boot-os", "hardware": {"serial": "SN-A", "disks": []}}
PAD = b" " * LARGE_BYTES
"""Makes any body large, and means nothing in JSON."""
GOOD = json.dumps({"observation": SEEN}).encode()
T = TypeVar("T")

BODIES = [
    GOOD,
    b'{"observation": {"at": "2026-11-25T12:00:00Z", "seen_from": "bmc", "unknown": {"hardware": "off"}}}',
    b'{"observation": {"at": "yesterday", "seen_from": "moon", "hardware": {"disks": [{"device": 1}]}}}',
    b'{"observation": {}, "obervation": {}}',
    b'{"observation": {"at": "2026-11-25T12:00:00Z", "seen_from": "bmc", "unknown": {"a": "\\ud800"}}}',
    b'{"epoch": NaN, "observation": {}}',
    b'{"epoch": 36893488147419103232, "observation": {"at": "2026-11-25T12:00:00Z", "seen_from": "bmc"}}',
    b'{"epoch": ' + b"9" * 5000 + b"}",
    b'{"observation": x',
    b'{"observation": "\xff"}',
    b"[" * 100_000,
    b'{"observation": ' + b"[" * 70 + b"]" * 70 + b"}",
    b"[]",
    b"null",
]


def together(
    site: Any, *bodies: bytes, reader: BodyProcess | None = None, **headers: str
) -> list[httpx.Response]:
    """PUT these as observations of host a, in one event loop, and end the process."""

    async def send() -> list[httpx.Response]:
        site.app.state.body_process = process = reader or BodyProcess()
        transport = httpx.ASGITransport(site.app, raise_app_exceptions=False)
        asked = {**site.token("worker"), "content-type": "application/json", **headers}
        try:
            async with httpx.AsyncClient(
                base_url="http://edge", transport=transport, headers=asked
            ) as client:
                return [await client.put("/v1/hosts/a/observation", content=body) for body in bodies]
        finally:
            await process.stop()

    return asyncio.run(send())


def asked(reader: BodyProcess, ask: Callable[[BodyProcess], Awaitable[T]]) -> T:
    async def run() -> T:
        try:
            return await ask(reader)
        finally:
            await reader.stop()

    return asyncio.run(run())


def program(folder: Path, text: str) -> tuple[str, ...]:
    """A reader of the test's own."""
    file = folder / "reader.py"
    file.write_text(text)
    return sys.executable, str(file)


@pytest.fixture
def host(site: Any) -> Any:
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "a", "serial": "SN-A"})
    return site


def test_large_bodies_are_answered_as_small_ones_are(host: Any) -> None:
    large = together(host, *(body + PAD for body in BODIES))
    small = together(host, *BODIES)
    told = [(one.status_code, one.json()) for one in large]
    assert told == [(one.status_code, one.json()) for one in small]
    assert {status for status, _ in told} == {200, 400, 409, 422}


def test_what_is_stored_is_what_the_process_said(host: Any, tmp_path: Path) -> None:
    """So the edge itself neither parsed nor checked the body: this reader does not even look at it."""
    said = readings.of(Observation.model_validate({**SEEN, "unknown": {"all": "said elsewhere"}}))
    texts = {"head": said.head, **said.parts}
    told = Answer(
        result="reading", at=said.at, seen_from=said.seen_from, identities=said.identities,
        texts={name: len(text) for name, text in texts.items()},
    ).model_dump_json()  # fmt: skip
    out = LENGTH.pack(len(told)) + told.encode() + "".join(texts.values()).encode()
    argv = program(
        tmp_path, f"import sys\nsys.stdout.buffer.write({out!r})\nsys.stdout.flush()\nsys.stdin.read()\n"
    )
    (answer,) = together(host, b"no JSON at all" + PAD, reader=BodyProcess(argv))
    assert answer.status_code == 200
    assert answer.json()["observation"]["unknown"] == {"all": "said elsewhere"}
    assert host.host("a")["observation"] == answer.json()["observation"]


def test_a_large_body_needs_a_token_before_it_is_read(host: Any) -> None:
    reader = BodyProcess(("/nonexistent",))
    for headers in ({"authorization": ""}, {"authorization": "Bearer x"}):
        (answer,) = together(host, GOOD + PAD, reader=reader, **headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "token")


def test_a_killed_process_costs_the_request_another_one(tmp_path: Path) -> None:
    once = tmp_path / "died"
    text = f"""
import os, pathlib, sys
sys.path.insert(0, "")
from pxe_edge.api import body_reader
once = pathlib.Path({str(once)!r})
if not once.exists():
    once.touch()
    sys.stdin.buffer.read(100)
    os.kill(os.getpid(), 9)
body_reader.main()
"""

    async def ask(reader: BodyProcess) -> None:
        assert (await reader.read(GOOD)).observation.seen_from == "boot-os"
        first = reader.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)  # between two bodies
        assert (await reader.read(GOOD)).observation.identities is not None
        assert reader.pid not in (None, first)

    asked(BodyProcess(program(tmp_path, text)), ask)
    assert once.exists()


@pytest.mark.parametrize(
    "text",
    [
        "import os; os.kill(os.getpid(), 9)",
        "import time; time.sleep(60)",
        "import sys; sys.stdout.write('x' * 100); sys.stdout.flush(); sys.stdin.read()",
        "import sys; sys.stdout.buffer.write(bytes(4)); sys.stdout.flush(); sys.stdin.read()",
    ],
    ids=["dies", "hangs", "too-much", "nonsense"],
)
def test_a_process_that_always_fails_is_a_503_and_is_ended(host: Any, tmp_path: Path, text: str) -> None:
    reader = BodyProcess(program(tmp_path, text), time_limit_s=1.0)
    (answer,) = together(host, GOOD + PAD, reader=reader)
    assert (answer.status_code, answer.json()["code"]) == (503, "not-now")
    assert reader.pid is None


def test_a_program_that_can_not_be_started_is_a_503() -> None:
    with pytest.raises(HTTPException) as refused:
        asked(BodyProcess(("/nonexistent",)), lambda reader: reader.read(GOOD))
    assert refused.value.status_code == 503


def test_an_idle_process_ends_and_the_next_body_starts_another() -> None:
    async def ask(reader: BodyProcess) -> None:
        await reader.read(GOOD)
        assert reader.pid is not None
        for _ in range(100):
            if reader.pid is None:
                break
            await asyncio.sleep(0.1)
        assert reader.pid is None
        await reader.read(GOOD)
        assert reader.pid is not None

    asked(BodyProcess(idle_s=0.2), ask)


def test_a_request_that_is_given_up_leaves_no_answer_for_the_next() -> None:
    other = GOOD.replace(b"boot-os", b"running-os")

    async def ask(reader: BodyProcess) -> None:
        await reader.read(GOOD)
        given_up = asyncio.create_task(reader.read(GOOD))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        assert (await reader.read(other)).observation.seen_from == "running-os"

    asked(BodyProcess(), ask)


def test_a_reading_comes_back_as_it_would_have_been_made_here() -> None:
    seen = Observation(
        at="2026-11-25T12:00:00Z", seen_from="boot-os",
        hardware=Hardware(
            manufacturer="Ünbekannt", serial="SN-1", uuid="7f3c1a52-6b0e-4d7a-9c11-0a5d31c0de02",
            nics=(Nic(name="a", mac="52:54:00:00:00:0a"),), disks=(Disk(device="/dev/sda", size_bytes=1),),
        ),
    )  # fmt: skip
    body = json.dumps({"observation": seen.model_dump(mode="json")}, ensure_ascii=False).encode()
    told, texts = body_reader.answer(body)
    again = Answer.model_validate_json(told.model_dump_json())
    assert body_reader.reading(again, dict(zip(again.texts, texts, strict=True))) == readings.of(seen)
