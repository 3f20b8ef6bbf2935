"""What TFTP gives out and is no file: made for the one who asks, as by HTTP, while the loop goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

from pxe_edge.servers.datagrams import Address, Arrived
from pxe_edge.servers.http import Request
from pxe_edge.servers.http_answer import Response
from pxe_edge.servers.http_wire import Head

MADE_WITHIN_S: Final = 30.0
"""Longer than any client goes on asking."""
log = logging.getLogger(__name__)

Made = Callable[[Request], Awaitable[Response] | None]
"""Content that is no file, for the one who asks; None: there is none of this name."""


def asked(name: str, arrived: Arrived) -> Request:
    """The same request as by HTTP; the address of ours stands in it without a port, for TFTP has one only."""
    local = str(arrived.local[0])
    return Request(
        Head("GET", name, {}, {}), ip_address(arrived.peer[0]), f"[{local}]" if ":" in local else local
    )


class Making:
    """Who waits for content that is being made, a request of each address and port."""

    def __init__(self) -> None:
        self._waiting: dict[Address, asyncio.Task[None]] = {}
        self._telling: set[asyncio.Future[None]] = set()

    def __contains__(self, peer: Address) -> bool:
        """Whether this one waits."""
        return peer in self._waiting

    def add(self, peer: Address, made: Awaitable[Response], then: Callable[[Response | None], None]) -> None:
        """Wait for it, and hand it on; None: there is none for the one who asks, or it took too long."""
        self._waiting[peer] = asyncio.get_running_loop().create_task(self._wait(peer, made, then))

    def tell(self, taken: Callable[[], Awaitable[None]]) -> None:
        """Say that a client has all of it."""
        task = asyncio.ensure_future(taken())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def close(self) -> None:
        """Forget who waits."""
        for task in self._waiting.values():
            task.cancel()

    async def _wait(
        self, peer: Address, made: Awaitable[Response], then: Callable[[Response | None], None]
    ) -> None:
        response: Response | None = None
        try:
            async with asyncio.timeout(MADE_WITHIN_S):
                response = await made
        except Exception:
            log.exception("tftp=not-made client=%s", peer[0])
        del self._waiting[peer]
        then(response if response is not None and response.status == HTTPStatus.OK else None)
