"""A whole edge without sockets: registry, application, boot desk, and a Prefect that is a function."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from pxe_edge.api.app import create_app
from pxe_edge.registry.boot_desk import BootDesk
from pxe_edge.registry.courier import Courier
from pxe_edge.registry.prefect import Prefect
from pxe_edge.registry.registry import Registry, open_registry
from pxe_edge.registry.sweeper import Sweeper

SITE = """
apiVersion: rackflow/v1
kind: Site
metadata: {name: t1}
discovery: register
networks:
  - {name: prov, purpose: provisioning, subnet: 10.77.1.0/24, pool: [10.77.1.50-10.77.1.99]}
  - {name: bmc, purpose: bmc, subnet: 10.77.9.0/24, gateway: 10.77.9.1, pool: [10.77.9.50-10.77.9.59]}
bmc: {user: rackflow, network: bmc}
"""
MAC = "52:54:00:00:00:0a"
HOST = "mac-52540000000a"
UUID = "11111111-2222-3333-4444-555555555555"
PEER = IPv4Address("10.77.1.50")


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FakePrefect:
    """Prefect's REST as far as the edge speaks it; `down` and `busy` make it fail as it was seen to."""

    clock: Clock = field(default_factory=Clock)
    deployments: set[str] = field(
        default_factory=lambda: {"discover/t1", "reconcile-host/t1", "wipe-host/t1", "power/t1"}
    )
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    busy: int = 0
    down: bool = False
    told: list[str] = field(default_factory=list)
    """Each state set and each run woken, in order."""
    created: Callable[[], None] = lambda: None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        path = request.url.path.removeprefix("/api/")
        if path.startswith("deployments/name/"):
            name = path.removeprefix("deployments/name/")
            return httpx.Response(200, json={"id": name}) if name in self.deployments else httpx.Response(404)
        if path.endswith("/create_flow_run"):
            return self._create(path.split("/")[1], _json(request))
        if path.startswith("flow_runs/") and path.endswith(("/set_state", "/resume")):
            _, run_id, what = path.split("/")
            run = self.find(run_id)
            if run is None:
                return httpx.Response(404 if what == "set_state" else 500)  # as Prefect 3.8 does
            return self._resume(run) if what == "resume" else self._set_state(run, _json(request))
        return httpx.Response(200, json=[_seen(run) for run in self._filter(_json(request))])

    def find(self, run_id: str) -> dict[str, Any] | None:
        return next((run for run in self.runs.values() if run["id"] == run_id), None)

    def says(self, run_id: str, state: str) -> None:
        """Put a run into a state, now."""
        run = self.find(run_id)
        assert run is not None, run_id
        run.update(state_type=state, since=self.clock.now.isoformat())

    def newest(self) -> str:
        """The id of the run that was made last."""
        return str(list(self.runs.values())[-1]["id"])

    def _filter(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        if "flows" in body:
            flows = body["flows"]["name"]["any_"]
            states = body["flow_runs"]["state"]["type"]["any_"]
            return [r for r in self.runs.values() if r.get("flow") in flows and r["state_type"] in states]
        wanted = set(body["flow_runs"]["id"]["any_"])
        return [run for run in self.runs.values() if run["id"] in wanted]

    def _create(self, deployment: str, body: dict[str, Any]) -> httpx.Response:
        if self.busy:
            self.busy -= 1
            return httpx.Response(503, text="database is locked")
        known = self.runs.get(body["idempotency_key"])
        made = {"id": str(uuid4()), "state_type": "SCHEDULED", "since": self.clock.now.isoformat()}
        run = known or {**made, "flow": deployment, **body}
        self.runs[body["idempotency_key"]] = run
        self.created()
        return httpx.Response(200 if known else 201, json=_seen(run))

    def _set_state(self, run: dict[str, Any], body: dict[str, Any]) -> httpx.Response:
        assert body["force"] is True
        self.told.append(f"{body['state']['type']} {run['id']}")
        self.says(run["id"], body["state"]["type"])
        return httpx.Response(201, json={"status": "ACCEPT"})

    def _resume(self, run: dict[str, Any]) -> httpx.Response:
        if run["state_type"] != "PAUSED":
            reason = "Cannot resume a flow run that is not paused."
            return httpx.Response(200, json={"status": "ABORT", "details": {"reason": reason}})
        self.told.append(f"resume {run['id']}")
        self.says(run["id"], "SCHEDULED")
        return httpx.Response(201, json={"status": "ACCEPT"})


def _seen(run: dict[str, Any]) -> dict[str, Any]:
    return {**run, "state": {"type": run["state_type"], "timestamp": run.get("since")}}


def _json(request: httpx.Request) -> Any:
    return httpx.Response(200, content=request.content).json()


@dataclass
class Site:
    """What a test drives."""

    registry: Registry
    app: FastAPI
    prefect: FakePrefect
    courier: Courier
    sweeper: Sweeper
    prefect_client: Prefect
    desk: BootDesk
    clock: Clock

    def token(self, scope: str) -> dict[str, str]:
        text = (self.registry.data / "edge" / "tokens" / scope).read_text().strip()
        return {"Authorization": f"Bearer {text}"}

    def call(self, method: str, path: str, *, scope: str = "worker", expect: int = 200, **kwargs: Any) -> Any:
        headers = {**self.token(scope), **kwargs.pop("headers", {})}
        answer = self.raw(method, path, headers=headers, **kwargs)
        assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None

    def job(self, no: int = 1, name: str = HOST) -> Any:
        return self.call("GET", f"/v1/hosts/{name}/jobs/{no}")

    def host(self, name: str = HOST) -> Any:
        return self.call("GET", f"/v1/hosts/{name}")

    def claim(self, run_id: str | None = None, *, job: int = 1, **more: Any) -> Any:
        """Claim the host for a run, by default the newest; the answer."""
        expect = more.pop("expect", 200)
        body = {"job": job, "run_id": run_id or self.prefect.newest(), **more}
        return self.call("POST", f"/v1/hosts/{HOST}/lease", expect=expect, json=body)

    def start(self, phase: str | None = None) -> int:
        """Have the newest run claim the host a second later and enter a phase; its epoch."""
        self.clock.forward(1)
        epoch = int(self.claim()["epoch"])
        self.prefect.says(self.prefect.newest(), "RUNNING")
        if phase is not None:
            body = {"epoch": epoch, "phase": phase}
            self.call("POST", f"/v1/hosts/{HOST}/phase", json=body)
        return epoch

    def finish(self, epoch: int, result: str, *, expect: int = 200, **more: Any) -> Any:
        """Report the newest run's outcome of job 1."""
        body = {"epoch": epoch, "run_id": self.prefect.newest(), "result": result, **more}
        return self.call("POST", f"/v1/hosts/{HOST}/jobs/1/finish", expect=expect, json=body)

    def step(self, epoch: int, phase: str, *, expect: int = 201) -> Any:
        """Write a journal row of job 1."""
        body = {"epoch": epoch, "job": 1, "step": "s", "kind": "k", "phase": phase}
        return self.call("POST", f"/v1/hosts/{HOST}/journal", expect=expect, json=body)

    def wait(self, epoch: int, event: str = "boot-os", *, expect: int = 200, **more: Any) -> Any:
        """Register a wait of the newest run, from now on and for two minutes."""
        body = {
            "epoch": epoch,
            "run_id": self.prefect.newest(),
            "event": event,
            "since": self.clock.now.isoformat(),
            "deadline": (self.clock.now + timedelta(seconds=120)).isoformat(),
            "message": f"waits for {event}",
            **more,
        }
        return self.call("PUT", f"/v1/hosts/{HOST}/jobs/1/wait", expect=expect, json=body)

    def report_in(self, token: str, boot_no: int, **changed: Any) -> tuple[int, str | None]:
        """Report in as the boot OS does, with some fields changed: status, and the problem's code."""
        body = {
            "boot_no": boot_no,
            "mac": MAC,
            "uuid": UUID,
            "serial": "SN-A",
            "addresses": ["10.77.1.50/24"],
            "ssh_host_key": "ssh-ed25519 AAAA",
            "arch": "x86_64",
            "firmware": "bios",
            "mem_bytes": 1 << 30,
        }
        status, problem = self.desk.report_in(token, {**body, **changed}, PEER)
        return status, problem.code if problem else None

    def raw(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(base_url="http://edge", transport=transport) as client:
                return await client.request(method, path, **kwargs)

        return asyncio.run(send())

    def deliver(self) -> int:
        return asyncio.run(self.courier.deliver())

    def sweep(self) -> int:
        return asyncio.run(self.sweeper.sweep())

    def end_waits(self) -> int:
        return self.sweeper.end_waits()

    def boot(self, mac: str = MAC, uuid: str | None = UUID) -> tuple[int, str]:
        """Boot the boot OS: the boot's number and the token out of its seed."""
        plan = self.desk.boot_begin(mac, uuid, 0, PEER)
        assert plan is not None
        nonce = plan.seed_url.removeprefix("/seed/")
        seed = self.desk.seed(nonce, PEER, peek=False)
        assert seed is not None
        self.desk.seed_done(nonce)
        return plan.boot_no, seed.split(b'"token": "')[1].split(b'"')[0].decode()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock = Clock()
    prefect = FakePrefect(clock)
    registry = open_registry(tmp_path, clock=clock)
    registry.publish_files({"site.yaml": SITE}, author="test")
    yield _assemble(registry, prefect, clock)
    registry.db.close()


def _assemble(registry: Registry, prefect: FakePrefect, clock: Clock) -> Site:
    """An edge on a registry, as after a start."""
    client = Prefect(
        httpx.AsyncClient(base_url="http://prefect/api/", transport=httpx.MockTransport(prefect))
    )
    courier = Courier(registry.db, client, site=registry.where)
    sweeper = Sweeper(registry.db, client, site=registry.where, timing=registry.timing)
    registry.may_hand_on = sweeper.reachable
    registry.run_states = sweeper.told
    return Site(registry, create_app(registry), prefect, courier, sweeper, client, BootDesk(registry), clock)


@pytest.fixture
def assemble() -> Callable[[Registry, FakePrefect, Clock], Site]:
    return _assemble


@pytest.fixture
def reported(site: Site) -> Site:
    """A site whose one machine has reported in; its run is with Prefect."""
    boot_no, token = site.boot()
    assert site.report_in(token, boot_no) == (204, None)
    assert site.deliver() == 1
    return site
