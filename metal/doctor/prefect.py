"""Prefect as edge and workers need it: reachable, of a version that fits, with the site's pool and a worker.

Plain REST: importing Prefect costs seconds.
"""

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import httpx

from metal.doctor.clock import judge_skew
from metal.doctor.findings import Finding, failed, ok, skipped, warning, why
from metal.doctor.surroundings import Surroundings, clock_ahead_s

DEFAULT_URL: Final = "http://127.0.0.1:4200/api"
_TIMEOUT_S: Final = 10.0
_START: Final = "start it: rackflow up, or see journalctl -u rackflow-prefect"


def check_prefect(around: Surroundings, transport: httpx.BaseTransport | None = None) -> Iterator[Finding]:
    """Server, version, clock, pool, workers: each needs the one before."""
    url = os.environ.get("RACKFLOW_PREFECT_URL")
    if url is None and not around.on_edge_host:
        fix = "set RACKFLOW_PREFECT_URL, or run rackflow doctor on the edge's machine"
        yield skipped("Prefect", "it listens on the edge's machine only", fix)
        return
    base = (url or DEFAULT_URL).rstrip("/")
    with httpx.Client(
        base_url=base + "/", auth=_auth(around.data), timeout=_TIMEOUT_S, trust_env=False, transport=transport
    ) as client:
        yield from _ask(around, client, base)


def _auth(data: Path) -> tuple[str, str] | None:
    file = Path(os.environ.get("RACKFLOW_PREFECT_AUTH_FILE", data / "prefect" / "auth"))
    try:
        user, _, password = file.read_text().strip().partition(":")
    except OSError:
        return None
    return user, password


def _ask(around: Surroundings, client: httpx.Client, base: str) -> Iterator[Finding]:
    before = around.now()
    try:
        told = client.get("admin/version")
    except httpx.HTTPError as error:
        effect = "jobs wait at the edge, machines still boot"
        yield failed("Prefect", f"{base} does not answer ({why(error)}): {effect}", _START)
        return
    if told.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        yield failed("Prefect", f"{base} refuses us", "set RACKFLOW_PREFECT_AUTH_FILE to <data>/prefect/auth")
        return
    if not told.is_success:
        yield failed(
            "Prefect", f"{base} answers {told.status_code}: is it Prefect's API?", "end the URL with /api"
        )
        return
    yield judge_version(str(told.json()))
    yield judge_skew("Prefect's clock", clock_ahead_s(told.headers.get("Date"), before, around.now()))
    if around.site is None:
        yield skipped("work pool", "the site is not known")
        return
    yield from _pool(client, f"rackflow-{around.site.metadata.name}")


def judge_version(told: str) -> Finding:
    """Our flows are made for the version installed here; the REST API changes with its first number."""
    name = "Prefect's version"
    try:
        ours = version("prefect")
    except PackageNotFoundError:
        return skipped(name, f"{told}; none is installed here to compare with")
    fix = f"install prefect=={ours} there"
    if told.split(".", maxsplit=1)[0] != ours.split(".")[0]:
        return failed(
            name, f"the server is {told}, rackflow is made for {ours}", f"install prefect=={ours} there"
        )
    if told != ours:
        return warning(name, f"the server is {told}, the one installed here {ours}", fix)
    return ok(name, told)


def _pool(client: httpx.Client, pool: str) -> Iterator[Finding]:
    found = client.get(f"work_pools/{pool}")
    name = f"work pool {pool}"
    if found.status_code == httpx.codes.NOT_FOUND:
        yield failed(
            name, "it does not exist: no run of this site can start", "rackflow setup, or rackflow up"
        )
        return
    found.raise_for_status()
    if found.json().get("is_paused"):
        yield failed(name, "it is paused: runs stay scheduled", "resume it in Prefect's UI, under Work Pools")
        return
    yield ok(name, "it is there")
    workers = client.post(f"work_pools/{pool}/workers/filter", json={})
    workers.raise_for_status()
    yield judge_workers(pool, workers.json())


def judge_workers(pool: str, workers: list[dict[str, Any]]) -> Finding:
    """Whether anybody takes runs."""
    name = f"workers of {pool}"
    online = [str(w.get("name")) for w in workers if w.get("status") == "ONLINE"]
    if online:
        return ok(name, f"online: {', '.join(online)}")
    last = max((str(w.get("last_heartbeat_time") or "") for w in workers), default="")
    seen = f"the last sign of one is of {last[:19]} UTC" if last else "none was ever seen"
    fix = "rackflow worker, or systemctl start rackflow-worker"
    return failed(name, f"none is online, {seen}: runs stay scheduled", fix)
