"""The control plane's application: made from a registry, or without one for its OpenAPI document."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from pxe_edge.api import access, consoles, hosts, images, jobs, secret, site
from pxe_edge.images.store import ImageStore
from pxe_edge.registry.prefect import Courier
from pxe_edge.registry.registry import Registry

DESCRIPTION = "The edge of one site: hosts, jobs, leases, journal, spec sets, images, secrets."


def create_app(registry: Registry | None = None, *, courier: Courier | None = None) -> FastAPI:
    """Make the application; with a courier, its task runs as long as the application does."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        if courier is None or registry is None:
            yield
            return
        registry.db.on_commit(lambda _touched: courier.wake())
        task = asyncio.create_task(courier.run())
        yield
        task.cancel()

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
    access.install(app)
    for router in (hosts.router, jobs.router, secret.router, site.router, images.router, consoles.router):
        app.include_router(router)
    return app
