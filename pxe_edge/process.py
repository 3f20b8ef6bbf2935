"""The edge as a process: registry, API thread, packet thread, and their end.

Packets start when a set is current and follow it from then on; before the first publish only the API
serves. The main thread waits for a signal and ends both within five seconds.
"""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy.exc import SQLAlchemyError

from pxe_edge.api import app, server, tls
from pxe_edge.images.store import ImageStore
from pxe_edge.registry import images
from pxe_edge.registry.boot_desk import BootDesk
from pxe_edge.registry.courier import Courier
from pxe_edge.registry.interfaces import own_addresses
from pxe_edge.registry.lease6_store import Lease6Store, server_duid
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.prefect import Prefect
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.sweeper import Sweeper
from pxe_edge.servers.loaders import publish_loaders
from pxe_edge.servers.notes import Notes
from pxe_edge.servers.packets import serve_packets

log = logging.getLogger("edge")
DEFAULT_PREFECT: Final = "http://127.0.0.1:4200/api"
STOP_S: Final = 5.0
SWITCH_S: Final = 0.0005
TURN_S: Final = 0.5
LOOK_EVERY_S: Final = 5.0
PREFECT_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class PrefectSettings:
    """Where Prefect is; the auth file holds `user:password` and is read at start."""

    url: str = DEFAULT_PREFECT
    auth_file: Path | None = None

    @classmethod
    def from_environment(cls) -> "PrefectSettings":
        """RACKFLOW_PREFECT_URL and RACKFLOW_PREFECT_AUTH_FILE."""
        file = os.environ.get("RACKFLOW_PREFECT_AUTH_FILE")
        return cls(os.environ.get("RACKFLOW_PREFECT_URL", DEFAULT_PREFECT), Path(file) if file else None)


class FileAuth(httpx.Auth):
    """Basic auth from a file that may appear or change after the edge started."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def auth_flow(self, request: httpx.Request):  # type: ignore[no-untyped-def]  # noqa: ANN201 - httpx's generator type
        """Add the header when the file is there."""
        if self._file is not None and self._file.exists():
            user, _, password = self._file.read_text().strip().partition(":")
            yield from httpx.BasicAuth(user, password).auth_flow(request)
        else:
            yield request


def prefect_tasks(registry: Registry, settings: PrefectSettings) -> tuple[Courier, Sweeper]:
    """The two tasks that speak with Prefect: the outbox's courier, and the sweeper."""
    client = httpx.AsyncClient(
        base_url=settings.url.rstrip("/") + "/",
        auth=FileAuth(settings.auth_file),
        timeout=PREFECT_TIMEOUT_S,
        trust_env=False,
    )
    prefect = Prefect(client)
    sweeper = Sweeper(registry.db, prefect, site=registry.where, timing=registry.timing)
    registry.may_hand_on = sweeper.reachable
    registry.run_states = sweeper.told
    return Courier(registry.db, prefect, site=registry.where), sweeper


class PacketThread:
    """The packet plane in a thread with a loop of its own; remembers what ended it."""

    def __init__(self, registry: Registry, view: PacketView, notes: Notes) -> None:
        self._registry = registry
        self._view = view
        self._notes = notes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.error: BaseException | None = None

    @property
    def started(self) -> bool:
        """Whether it was started, whatever came of it."""
        return self._thread is not None

    def start(self) -> None:
        """Start serving packets."""
        self._thread = threading.Thread(target=self._run, name="packets")
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """End within the time; whether it did."""
        if self._thread is None:
            return True
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which says it and ends
            self.error = error

    def _ready(self) -> None:
        prefer_packets()
        log.info("event=packets port=%s", self._registry.ports.boot)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        registry = self._registry
        await serve_packets(
            self._view,
            LeaseStore(registry.db),
            Lease6Store(registry.db),
            BootDesk(registry),
            boot_dir=registry.data / "boot",
            images_dir=registry.data / "images",
            http_port=registry.ports.boot,
            http_proxy=registry.ports.boot_proxy,
            stop=self._stop,
            on_ready=self._ready,
            notes=self._notes,
            duid=server_duid(registry.data / "edge"),
        )


def prefer_packets() -> None:
    """Have the interpreter turn to packets soon, whatever the API does."""
    # What was loaded so far lives as long as the process. A full collection looks at all of it and holds
    # every packet up for as long; frozen objects are not looked at again.
    gc.collect()
    gc.freeze()
    # A packet leaves next to nothing behind, so the youngest need not be looked at every hundred packets.
    gc.set_threshold(10_000, 20, 20)
    # Each time the packets' thread has spoken to the kernel it waits for the interpreter while a request of
    # the API holds it: five milliseconds each, unless told otherwise.
    sys.setswitchinterval(SWITCH_S)


class Edge:
    """One running edge."""

    def __init__(self, registry: Registry, settings: PrefectSettings, listening: list[socket.socket]) -> None:
        self._registry = registry
        publish_loaders(registry.data / "boot")
        self.view = PacketView(registry)
        ImageStore(registry.data / "images").clean()
        with registry.db.write() as session:
            images.interrupted(session, registry.now())
        own = {str(a) for addresses in own_addresses().values() for a in addresses}
        certificate, key = tls.ensure(registry.data / "edge" / "tls", own, registry.now())
        courier, sweeper = prefect_tasks(registry, settings)
        application = app.create_app(registry, courier=courier, sweeper=sweeper)
        self._api = server.ApiThread(application, listening, certificate=certificate, key=key)
        registry.notes = notes = Notes()
        self._packets = PacketThread(registry, self.view, notes)

    def run(self, stop: threading.Event) -> None:
        """Serve until told to stop. Raises what keeps a plane from serving."""
        self._api.start()
        log.info("event=api port=%s", self._registry.ports.control)
        try:
            looked_at = 0.0
            while True:
                if self._registry.current is not None and not self._packets.started:
                    self._packets.start()
                if time.monotonic() - looked_at >= LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self.view.look_again()
                self._note()
                self._registry.db.checkpoint()
                self._check()
                if stop.wait(TURN_S):
                    return
        finally:
            ends_at = time.monotonic() + STOP_S
            clean = self._packets.stop(STOP_S) and self._api.stop(max(0.1, ends_at - time.monotonic()))
            self._note()
            self._registry.db.close()
            log.info("event=stopped clean=%s", clean)
            if not clean:
                os._exit(0)

    def _note(self) -> None:
        try:
            self.view.flush()
        except SQLAlchemyError:
            # History is worth less than answers: a full disk must not end DHCP for who has a lease.
            log.exception("event=sightings-lost")

    def _check(self) -> None:
        if self._packets.error is not None:
            raise self._packets.error
        if not self._api.alive:
            raise server.StartError("the API ended by itself; its error stands above")
