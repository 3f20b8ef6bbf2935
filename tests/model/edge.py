"""The real edge without sockets: registry on a file, application, courier, boot desk; it can be restarted.

Calls go through the application under an event loop of their own, one at a time. What a run writes is looked
at on its way: nothing may be taken from a run whose epoch is not the newest.
"""

import asyncio
import json
import shutil
import sqlite3
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from pxe_edge.api.app import create_app
from pxe_edge.registry.boot_desk import BootDesk
from pxe_edge.registry.courier import Courier
from pxe_edge.registry.prefect import Prefect
from pxe_edge.registry.registry import Registry, open_registry
from pxe_edge.registry.sweeper import Sweeper
from tests.model.clock import Clock
from tests.model.machine import DISK, IMAGE_KEY, Plane
from tests.model.prefect_double import PrefectDouble
from tests.model.processes import Violation

MAC = "52:54:00:00:00:0a"
UUID = "11111111-2222-3333-4444-555555555555"
PEER = IPv4Address("10.77.1.50")
HOST = "web-01"
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
SPEC = """
apiVersion: rackflow/v1
kind: Host
metadata: {name: web-01}
match: {serial: SN-A}
lifecycle: {destroy: %s}
"""


@cache
def application() -> FastAPI:
    """The API; made once, because to make it costs more than an example. It takes any registry."""
    return create_app()


class EdgePart(Plane):
    """One edge over a data folder."""

    def __init__(self, data: Path, clock: Clock, prefect: PrefectDouble) -> None:
        self.data, self.clock, self.prefect = data, clock, prefect
        self.loop = asyncio.new_event_loop()
        self.registry: Registry | None = None
        self.epochs: list[int] = [0]
        self.granted: dict[int, object] = {}
        self.up()
        self.file = sqlite3.connect(f"file:{data}/edge/registry.sqlite?mode=ro", uri=True)
        self.file.row_factory = sqlite3.Row

    @property
    def running(self) -> bool:
        return self.registry is not None

    def up(self) -> None:
        """Start: the registry is read from its file, all else is new."""
        if self.registry is not None:
            return
        registry = open_registry(self.data, clock=self.clock)
        client = httpx.AsyncClient(
            base_url="http://prefect/api/", transport=httpx.MockTransport(self.prefect)
        )
        self.courier = Courier(registry.db, Prefect(client), site=registry.where)
        self.sweeper = Sweeper(registry.db, Prefect(client), site=registry.where, timing=registry.timing)
        registry.may_hand_on = self.sweeper.reachable
        application().state.registry = registry
        self.transport = httpx.ASGITransport(application())
        self.desk = BootDesk(registry)
        self.registry = registry

    def down(self) -> None:
        """Die: what was committed stays."""
        if self.registry is not None:
            self.registry.db.close()
            self.registry = None

    def close(self) -> None:
        self.down()
        self.file.close()
        self.loop.close()

    # --- what is in the registry, read past the API ---

    @property
    def reg(self) -> Registry:
        assert self.registry is not None
        return self.registry

    @property
    def host_id(self) -> str:
        return str(self.rows("select id from hosts")[0][0])

    def lease(self) -> tuple[int, int | None, str | None]:
        """Epoch, job and run of the host's lease."""
        found = self.rows("select epoch, job, run_id from host_leases")
        return (found[0][0], found[0][1], found[0][2]) if found else (0, None, None)

    def rows(self, query: str, *given: Any) -> list[Any]:
        """Ask the registry's file itself: it answers while the edge is away, and is nobody's opinion."""
        return self.file.execute(query, given).fetchall()

    def done_steps(self, job: int) -> set[str]:
        return {row[0] for row in self.rows("select step from journal where job = ? and phase = 'done'", job)}

    def spent(self, plan: str, job: int) -> bool:
        query = "select 1 from consents where plan = ? and spent_by_job = ?"
        return bool(self.rows(query, plan, job))

    def job_row(self, job: int) -> Any:
        return self.rows("select * from jobs where no = ?", job)[0]

    # --- REST ---

    def token(self, scope: str) -> Path:
        return self.data / "edge" / "tokens" / scope

    def call(self, method: str, path: str, body: Any = None, *, scope: str = "worker") -> Any:
        """One call by the test; its JSON, or the problem."""
        headers = {"Authorization": f"Bearer {self.token(scope).read_text().strip()}"}
        request = httpx.Request(method, f"http://edge{path}", json=body, headers=headers)
        return self._send(request).json()

    def serve(self, request: httpx.Request, caller: object) -> httpx.Response:
        """One call of a run. Raises ConnectError without an edge, Violation where it may not answer so."""
        if self.registry is None:
            raise httpx.ConnectError("refused", request=request)
        before = self.lease()[0]
        answer = self._send(request)
        self._watch(request, answer, before, caller)
        return answer

    def _send(self, request: httpx.Request) -> httpx.Response:
        async def send() -> httpx.Response:
            answer = await self.transport.handle_async_request(request)
            content = await answer.aread()
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=content, request=request
            )

        return self.loop.run_until_complete(send())

    def _watch(self, request: httpx.Request, answer: httpx.Response, before: int, caller: object) -> None:
        if not answer.is_success or request.method == "GET":
            return
        told = json.loads(request.content) if request.content.startswith(b"{") else {}
        path = request.url.path
        epoch = told.get("epoch", request.url.params.get("epoch"))
        if path.endswith("/lease") and request.method == "POST":
            self._granted(answer.json()["epoch"], caller)
        elif epoch is not None and int(epoch) < before and not path.endswith("/finish"):
            raise Violation(f"{request.method} {path} of epoch {epoch} was taken at epoch {before}")

    def _granted(self, epoch: int, caller: object) -> None:
        other = self.granted.setdefault(epoch, caller)
        if other is not caller:
            raise Violation(f"epoch {epoch} was given to {caller} and before to {other}")

    def check(self) -> None:
        """The lease's epoch never falls."""
        epoch = self.lease()[0]
        if epoch < self.epochs[-1]:
            raise Violation(f"the epoch fell from {self.epochs[-1]} to {epoch}")
        self.epochs.append(epoch)

    # --- boot plane ---

    def boot(self) -> tuple[int, str, int] | None:
        if self.registry is None:
            return None
        plan = self.desk.boot_begin(MAC, UUID, 0, PEER)
        if plan is None:
            return None
        nonce = plan.seed_url.removeprefix("/seed/")
        seed = self.desk.seed(nonce, PEER, peek=False)
        assert seed is not None
        self.desk.seed_done(nonce)
        floor = seed.split(b'"epoch_floor": ')[1].split(b",")[0].split(b"}")[0]
        return plan.boot_no, seed.split(b'"token": "')[1].split(b'"')[0].decode(), int(floor)

    def report_in(self, token: str, boot_no: int, host_key: str) -> int:
        if self.registry is None:
            return 0
        body = {
            "boot_no": boot_no, "mac": MAC, "uuid": UUID, "serial": "SN-A", "addresses": ["10.77.1.50/24"],
            "ssh_host_key": host_key, "arch": "x86_64", "firmware": "bios", "mem_bytes": 1 << 30,
        }  # fmt: skip
        return self.desk.report_in(token, body, PEER)[0]

    def phone_home(self, token: str, boots: int, host_key: str) -> int:
        if self.registry is None:
            return 0
        body = {"host": self.host_id, "boot_id": f"b{boots}", "ssh_host_key": host_key}
        return self.desk.phone_home(token, body, PEER)[0]


def ready_host(data: Path, destroy: str) -> None:
    """Make a data folder with one host that is `ready`, in its boot OS, with a BMC and a spec."""
    clock = Clock()
    prefect = PrefectDouble(clock)
    edge = EdgePart(data, clock, prefect)
    edge.reg.publish_files({"site.yaml": SITE, "web.yaml": SPEC % destroy}, author="test")
    given = edge.boot()
    assert given is not None
    assert edge.report_in(given[1], given[0], "ssh-ed25519 AAAAboot1") == 204
    edge.loop.run_until_complete(edge.courier.deliver())
    run = next(iter(prefect.runs.values())).id
    base = f"/v1/hosts/{HOST}"
    epoch = edge.call("POST", f"{base}/lease", {"job": 1, "run_id": run})["epoch"]
    edge.call("POST", f"{base}/phase", {"epoch": epoch, "phase": "inspecting"})
    edge.call("GET", f"{base}/order")
    account = {"epoch": epoch, "address": "10.77.9.50", "user": "rackflow"}
    edge.call("POST", f"{base}/bmc-credential", account)
    edge.call("POST", f"{base}/bmc-credential/promote", {"epoch": epoch, "user": "rackflow"})
    edge.call("POST", f"{base}/phase", {"epoch": epoch, "phase": "ready"})
    edge.call("POST", f"{base}/jobs/1/finish", {"epoch": epoch, "run_id": run, "result": "applied"})
    assert edge.call("GET", base)["phase"] == "ready"
    edge.close()


def copied(template: Path, to: Path) -> Path:
    """A folder of its own for one example."""
    shutil.copytree(template, to)
    return to


__all__ = ["DISK", "HOST", "IMAGE_KEY", "EdgePart", "copied", "ready_host"]
