"""Observations: what was read of a machine comes in, small or large."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from pxe_edge.api.access import Reg, Worker
from pxe_edge.api.answers import JsonText
from pxe_edge.api.body_process import LARGE_BYTES, BodyProcess
from pxe_edge.api.observation_body import ObservationBody
from pxe_edge.registry import binding, hosts, leases, observations
from specs.records import HostRecord


class _Request(Request):
    """A request whose large body is read, and checked, in another process."""

    async def json(self) -> Any:
        """The body as JSON, or as what its check made of it; FastAPI takes both."""
        body = await self.body()
        if len(body) < LARGE_BYTES:
            return await super().json()
        reader: BodyProcess = self.app.state.body_process
        return await reader.read(body)


class _LargeBodies(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Handle requests as usual, but for how their bodies are read."""
        handle = super().get_route_handler()

        async def handle_large(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handle_large


router = APIRouter(prefix="/v1/hosts", tags=["hosts"], route_class=_LargeBodies)


@router.put("/{name}/observation", response_model=HostRecord)
def put_observation(name: str, body: ObservationBody, registry: Reg, _: Worker) -> JsonText:
    """Store a reading; parts that it lacks keep their newest value."""
    now = registry.now()
    with registry.db.write() as session:
        host = hosts.get(session, name)
        if body.epoch is not None:
            leases.require_epoch(session, host, body.epoch)
        observations.store(session, now, host, body.observation)
        binding.arrived(session, now, host, registry.current)
        return JsonText(registry.host_text(session, host))
