"""What TFTP gives out and is no file: made for the one who asks, as by HTTP, while the loop goes on.

Making is work of the event loop that the server was started on; TFTP's own thread hands it over and is
handed what came of it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
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
"""Content that is no file, for the one who asks; None: there is none of this name. Called in any thread."""
Then = Callable[[Response | None], None]
"""What to do with it; None: there is none for the one who asks, or it took too long."""


def asked(name: str, arrived: Arrived) -> Request:
    """The same request as by HTTP; the address of ours stands in it without a port, for TFTP has one only."""
    local = str(arrived.local[0])
    return Request(
        Head("GET", name, {}, {}), ip_address(arrived.peer[0]), f"[{local}]" if ":" in local else local
    )


class Making:
    """Who waits for content that is being made, a request of each address and port.

    `hand_back` has something done in TFTP's thread, where all but `close` is called.
    """

    def __init__(self, hand_back: Callable[[Callable[[], None]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._hand_back = hand_back
        self._waiting: set[Address] = set()
        self._tasks: set[asyncio.Future[None]] = set()

    def __contains__(self, peer: Address) -> bool:
        """Whether this one waits."""
        return peer in self._waiting

    def add(self, peer: Address, made: Awaitable[Response], then: Then) -> None:
        """Wait for it, and hand it on."""
        self._waiting.add(peer)
        self._loop.call_soon_threadsafe(self._begin, partial(self._wait, peer, made, then))

    def tell(self, taken: Callable[[], Awaitable[None]]) -> None:
        """Say that a client has all of it."""
        self._loop.call_soon_threadsafe(self._begin, taken)

    def close(self) -> None:
        """Forget who waits."""
        for task in self._tasks:
            task.cancel()

    def _begin(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, peer: Address, made: Awaitable[Response], then: Then) -> None:
        response: Response | None = None
        try:
            async with asyncio.timeout(MADE_WITHIN_S):
                response = await made
        except Exception:
            log.exception("tftp=not-made client=%s", peer[0])
        good = response is not None and response.status == HTTPStatus.OK
        self._hand_back(partial(self._ready, peer, then, response if good else None))

    def _ready(self, peer: Address, then: Then, response: Response | None) -> None:
        self._waiting.discard(peer)
        then(response)
