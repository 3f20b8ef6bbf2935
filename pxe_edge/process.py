"""The edge as a process: registry, API thread, packet thread, and their end.

Packets start when a set is current and follow it from then on; before the first publish only the API
serves. The main thread waits for a signal and ends both within five seconds.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from pxe_edge.api import app, server, tls
from pxe_edge.registry.boot_desk import BootDesk
from pxe_edge.registry.interfaces import own_addresses
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.prefect import Courier, Prefect
from pxe_edge.registry.registry import Registry

log = logging.getLogger("edge")
DEFAULT_PREFECT: Final = "http://127.0.0.1:4200/api"
STOP_S: Final = 5.0
FLUSH_EVERY_S: Final = 1.0
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


def courier_of(registry: Registry, settings: PrefectSettings) -> Courier:
    """The outbox's courier; lets the registry hand on expired leases only while Prefect answers."""
    client = httpx.AsyncClient(
        base_url=settings.url.rstrip("/") + "/",
        auth=FileAuth(settings.auth_file),
        timeout=PREFECT_TIMEOUT_S,
        trust_env=False,
    )
    courier = Courier(registry.db, Prefect(client), site=registry.where)
    registry.may_hand_on = courier.reachable
    return courier


class Edge:
    """One running edge."""

    def __init__(self, registry: Registry, settings: PrefectSettings, *, host: str = "0.0.0.0") -> None:
        self._registry = registry
        self.view = PacketView(registry)
        own = {str(a) for addresses in own_addresses().values() for a in addresses}
        certificate, key = tls.ensure(registry.data / "edge" / "tls", own, registry.now())
        application = app.create_app(registry, courier=courier_of(registry, settings))
        listening = server.bind(host, registry.ports.control)
        self._api = server.ApiThread(application, listening, certificate=certificate, key=key)
        self._desk = BootDesk(registry)
        self._leases = LeaseStore(registry.db)

    def run(self, stop: threading.Event) -> None:
        """Serve until told to stop. Raises what keeps the packet plane from starting."""
        self._api.start()
        log.info("event=api port=%s", self._registry.ports.control)
        looked_at = 0.0
        try:
            while not stop.wait(FLUSH_EVERY_S):
                self.view.flush()
                if time.monotonic() - looked_at >= LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    self.view.look_again()
                if not self._api.alive:
                    raise server.StartError("the API thread ended; its error stands above")
        finally:
            self._api.stop(STOP_S)
            self._registry.db.close()
