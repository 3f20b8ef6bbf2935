"""The control plane's application: made from a registry, or without one for its OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from pxe_edge.api import access, consoles, hosts, images, jobs, networks, observations, secret, site
from pxe_edge.api.body_process import BodyProcess
from pxe_edge.images.store import ImageStore
from pxe_edge.registry.courier import Courier
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.sweeper import Sweeper

DESCRIPTION = "The edge of one site: hosts, jobs, leases, journal, spec sets, images, secrets."


def create_app(
    registry: Registry | None = None, *, courier: Courier | None = None, sweeper: Sweeper | None = None
) -> FastAPI:
    """Make the application; the tasks of courier and sweeper run as long as it does."""
    body_process = BodyProcess()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(bool)  # loads what the first call would load, with packets waiting for it
        tasks = []
        if courier is not None and registry is not None:
            registry.db.on_commit(lambda _touched: courier.wake())
            tasks.append(asyncio.create_task(courier.run()))
        if sweeper is not None:
            tasks.append(asyncio.create_task(sweeper.run()))
        yield
        for task in tasks:
            task.cancel()
        await body_process.stop()

    app = FastAPI(
        title="rackflow edge",
        version="0.1.0",
        description=DESCRIPTION,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry = registry
    app.state.images = ImageStore(registry.data / "images") if registry is not None else None
    app.state.body_process = body_process
    access.install(app)
    for topic in (hosts, observations, jobs, secret, site, networks, images, consoles):
        app.include_router(topic.router)
    return app
