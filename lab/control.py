"""Client of a BMC's control socket: the front panel of a machine."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.errors import LabError

TIMEOUT_S = 90.0
"""Writing a large machine's memory is the longest there is."""


def ask(
    path: Path, what: str, more: Mapping[str, object] | None = None, *, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Send one word and what belongs to it, get the machine's status; OSError when nobody listens.

    Connects through a descriptor of the directory, for a socket's path may have 107 bytes only.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(f"/proc/self/fd/{directory}/{path.name}")
            connection.sendall(json.dumps({"do": what, **(more or {})}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
    finally:
        os.close(directory)
    if not line:
        raise ConnectionResetError(f"{path} hung up")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise LabError(f"{path}: {answer['error']}")
    return answer
