"""The edge's REST calls against Prefect's own application: the double of the other tests is no witness."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pxe_edge.registry.outbox import Delivery
from pxe_edge.registry.prefect import FLEET_FLOW, Offered, Prefect
from pxe_edge.registry.runs import Kind

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(300)]

STRANGER = "00000000-0000-0000-0000-000000000001"


def start(key: str, flow: str = "discover") -> Delivery:
    return Delivery(1, "start", flow, "t1", key, "discover a", ("rackflow",), {"host": "a", "job": 1})


class Patient(httpx.AsyncBaseTransport):
    """Asks again where the server's database was busy (503), as every client of Prefect's does."""

    TRIES = 20

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(self.TRIES):
            answer = await self._inner.handle_async_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            await asyncio.sleep(0.1)
        return answer


class Server:
    """The calls, and what a worker or a person would do."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http, self.edge = http, Prefect(http)

    async def deploy(self, flow: str) -> None:
        made = (await self.http.post("flows/", json={"name": flow})).json()
        answer = await self.http.post("deployments/", json={"name": "t1", "flow_id": made["id"]})
        assert answer.status_code == 201, answer.text

    async def put(self, run_id: str, state: str, **more: object) -> None:
        body = {"state": {"type": state, **more}, "force": True}
        answer = await self.http.post(f"flow_runs/{run_id}/set_state", json=body)
        assert answer.status_code == 201, answer.text

    async def tell(self, kind: Kind, run_id: str) -> str:
        delivery = Delivery(1, kind, "", "", "", "", (), run_id=run_id, message="lost: x")
        return (await self.edge.offer(delivery)).outcome

    async def state(self, run_id: str) -> str:
        return (await self.edge.states([run_id]))[run_id].type


async def check_starts(server: Server) -> None:
    first = await server.edge.offer(start("k1"))
    assert first.outcome == "taken"
    assert await server.edge.offer(start("k1")) == first
    assert await server.state(first.run_id) == "SCHEDULED"
    await server.put(first.run_id, "RUNNING")
    assert await server.tell("resume", first.run_id) == "busy"
    assert await server.tell("crash", first.run_id) == "taken"
    assert await server.state(first.run_id) == "CRASHED"
    assert await server.tell("resume", first.run_id) == "ended"
    assert await server.edge.offer(start("k1")) == Offered("ended", first.run_id)
    assert (await server.edge.offer(start("k9", flow="nothing"))).outcome == "busy"


async def check_ends(server: Server) -> None:
    run = (await server.edge.offer(start("k2"))).run_id
    await server.put(run, "PAUSED", name="Suspended", state_details={"pause_reschedule": True})
    for _ in range(2):  # the answer to the first got lost
        assert await server.tell("resume", run) == "taken"
        assert await server.state(run) == "SCHEDULED"
    await server.put(run, "PAUSED", name="Suspended")
    assert await server.tell("cancel", run) == "taken"
    assert await server.state(run) == "CANCELLED"
    await server.put(run, "COMPLETED")
    assert await server.tell("cancel", run) == "taken"
    assert await server.state(run) == "COMPLETED"
    assert await server.tell("crash", run) == "taken"
    assert await server.state(run) == "CRASHED"
    for kind in ("resume", "cancel", "crash"):
        assert await server.tell(kind, STRANGER) == ("ended" if kind == "resume" else "taken")
    assert await server.state(STRANGER) == "UNKNOWN"


async def check_fleet(server: Server) -> None:
    run = (await server.edge.offer(start("k3", flow=FLEET_FLOW))).run_id
    assert await server.edge.fleet_runs("t1") == {}
    await server.put(run, "PENDING")
    assert list(await server.edge.fleet_runs("t1")) == [run]
    assert await server.edge.fleet_runs("t2") == {}


async def check_all() -> None:
    from prefect.server.api.server import create_app  # noqa: PLC0415 - reads its settings when imported

    app = create_app(ephemeral=True)
    async with app.router.lifespan_context(app):
        transport = Patient(httpx.ASGITransport(app, raise_app_exceptions=False))
        async with httpx.AsyncClient(transport=transport, base_url="http://p/api/", timeout=60) as http:
            server = Server(http)
            for flow in ("discover", FLEET_FLOW):
                await server.deploy(flow)
            for check in (check_starts, check_ends, check_fleet):
                await check(server)


def test_prefect_answers_as_the_edge_expects(tmp_path: Path) -> None:
    """In a process of its own, because Prefect reads where its database is once, when it is imported."""
    settings = {
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path}/prefect.db",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    done = subprocess.run(
        [sys.executable, __file__], env={**os.environ, **settings}, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    asyncio.run(check_all())
