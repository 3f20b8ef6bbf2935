"""The API thread: uvicorn on TLS with a loop of its own, started and stopped from the main thread."""

import asyncio
import errno
import logging
import socket
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from pxe_edge.servers.peers import NO_IPV6

log = logging.getLogger("edge.api")


class StartError(Exception):
    """The control plane can't start: one sentence with the fix."""


def bind(port: int) -> list[socket.socket]:
    """Bind the port now, so that a port in use is said at start and not in a log; IPv6 where there is any."""
    bound = [_bind(socket.AF_INET, "0.0.0.0", port)]
    try:
        bound.append(_bind(socket.AF_INET6, "::", bound[0].getsockname()[1]))
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
    except StartError:
        bound[0].close()
        raise
    return bound


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if family == socket.AF_INET6 and error.errno in NO_IPV6:
            raise
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"TCP port {port} (API) is in use by another program; see which: ss -ltnp sport = :{port}"
            ) from error
        raise StartError(f"TCP port {port} (API) can't be bound on {host}: {error.strerror}") from error
    return listening


class ApiThread:
    """Serves an application until stopped."""

    def __init__(self, app: FastAPI, listening: list[socket.socket], *, certificate: Path, key: Path) -> None:
        config = uvicorn.Config(
            app,
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)
        self._listening = listening
        self._thread = threading.Thread(target=self._run, name="api")

    def start(self) -> None:
        """Start serving."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> bool:
        """End within the time; whether it did."""
        self._server.should_exit = True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(self._server.serve(self._listening))
