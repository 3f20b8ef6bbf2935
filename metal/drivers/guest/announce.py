"""The program by which a freshly installed system tells the edge that it is up; runs once.

It stands in the deployed system as /usr/lib/rackflow/announce and is never imported by the worker's code.
A socket and five header lines instead of an HTTP library: imports are what costs under emulation. The
boot plane is plain HTTP on the site's own network; the token opens nothing but this one message.
"""

# pathlib's import costs time under emulation; the answer goes to stdout.
# ruff: noqa: PTH108, PTH123

from __future__ import annotations

import json
import os
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEADLINE_S = 900


def first_line(path: str) -> str:
    """Give a file's first line."""
    with open(path, encoding="utf-8") as source:
        return source.readline().strip()


def request(settings: dict[str, Any], token: str, key_path: str) -> bytes:
    """Give the message's bytes."""
    key = " ".join(first_line(key_path).split()[:2])
    boot_id = first_line("/proc/sys/kernel/random/boot_id")
    body = json.dumps({"host": settings["host"], "boot_id": boot_id, "ssh_host_key": key}).encode()
    head = (
        "POST {path} HTTP/1.1\r\nHost: {name}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
    return head.format(token=token, length=len(body), **settings).encode() + body


def send(settings: dict[str, Any], message: bytes) -> int:
    """Send once; give the status of the answer."""
    with socket.create_connection((settings["name"], settings["port"]), timeout=5) as link:
        link.sendall(message)
        status = link.makefile("rb").readline(256).split()
    return int(status[1]) if len(status) > 1 else 0


def deliver(settings: dict[str, Any], message: bytes, token_path: str) -> int:
    """Tell the edge until it has heard; then forget the token. 410 says that it was heard before."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            status = send(settings, message)
        except (OSError, ValueError):
            status = 0
        if 200 <= status < 300 or status in (401, 403, 409, 410):
            os.unlink(token_path)
            return 0 if status < 300 else 1
        time.sleep(0.5)
    return 1


def announce(folder: str) -> int:
    """Read settings and token, and deliver."""
    with open(f"{folder}/phone-home.json", encoding="utf-8") as source:
        settings = json.load(source)
    token_path = f"{folder}/phone-home.token"
    message = request(settings, first_line(token_path), "/etc/ssh/ssh_host_ed25519_key.pub")
    return deliver(settings, message, token_path)


if __name__ == "__main__":
    sys.exit(announce("/etc/rackflow"))
