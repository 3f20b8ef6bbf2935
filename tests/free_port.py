"""A TCP port for a program that is started with its number."""

import random
import socket
from contextlib import suppress

PORTS = range(20_000, 32_768)
"""Below what Linux gives to whoever asks for any port, so that nobody gets it before the program has it."""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody has."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("all ports are taken")
