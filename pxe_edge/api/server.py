"""The API thread: uvicorn on TLS with a loop of its own, started and stopped from the main thread."""

import asyncio
import errno
import logging
import socket
import threading
from pathlib import Path

import uvicorn
from fastapi import FastAPI

log = logging.getLogger("edge.api")


class StartError(Exception):
    """The control plane can't start: one sentence with the fix."""


def bind(host: str, port: int) -> socket.socket:
    """Bind the port now, so that a port in use is said at start and not in a log."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(
                f"TCP port {port} (API) is in use by another program; see which: ss -ltnp sport = :{port}"
            ) from error
        raise StartError(f"TCP port {port} (API) can't be bound on {host}: {error.strerror}") from error
    return listening


class ApiThread:
    """Serves an application until stopped."""

    def __init__(self, app: FastAPI, listening: socket.socket, *, certificate: Path, key: Path) -> None:
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
        asyncio.run(self._server.serve([self._listening]))
