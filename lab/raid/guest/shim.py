#!/usr/bin/python3 -IS
# rackflow-lab-only: an emulated vendor's tool. It drives no hardware and is never part of a real boot OS.
"""Stands for a RAID tool in a machine of the virtual rack, under the tool's name.

It sends its arguments over a virtio-serial port to the rack, whose controllers answer. A call that was
killed leaves half a line behind: each request begins on a new line, and an answer that does not carry the
request's id is passed over. Standard input is read only when the tool asks, as a tool does.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
import uuid
from pathlib import Path

NAME = "rack.raid"
PORTS = Path("/sys/class/virtio-ports")
LOCK = "/run/rack-raid.lock"
ANSWER_S = 120.0
PIECE_BYTES = 65536


def port() -> str:
    """The device of the rack's port."""
    for entry in sorted(PORTS.glob("*")):
        with contextlib.suppress(OSError):
            if (entry / "name").read_text().strip() == NAME:
                return f"/dev/{entry.name}"
    raise OSError(f"this machine has no port {NAME}: is it one of the virtual rack?")


def ask(descriptor: int, stdin: str | None) -> dict[str, object]:
    """One request and its answer."""
    number = uuid.uuid4().hex
    argv = [os.path.basename(sys.argv[0]), *sys.argv[1:]]  # noqa: PTH119 - argv is no path
    request = b"\n" + json.dumps({"id": number, "argv": argv, "stdin": stdin}).encode() + b"\n"
    while request:
        request = request[os.write(descriptor, request) :]
    deadline = time.monotonic() + ANSWER_S
    received = b""
    while time.monotonic() < deadline:
        if not select.select([descriptor], [], [], 1.0)[0]:
            continue
        piece = os.read(descriptor, PIECE_BYTES)
        if not piece:
            time.sleep(0.1)
        *lines, received = (received + piece).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                answer = json.loads(line)
                if answer.get("id") == number:
                    return dict(answer)
    raise OSError(f"the rack did not answer within {ANSWER_S:.0f} s")


def call() -> dict[str, object]:
    """The tool's call, one at a time; asked again with standard input where the tool asks."""
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    descriptor = os.open(port(), os.O_RDWR | os.O_CLOEXEC)
    answer = ask(descriptor, None)
    if answer.get("asks"):
        typed = sys.stdin.read()
        answer = ask(descriptor, typed) if typed else answer
    return answer


def main() -> int:
    """Print what the tool prints, and end as it does; one that asks in vain never ends."""
    try:
        answer = call()
    except OSError as error:
        sys.stderr.write(f"{sys.argv[0]}: {error}\n")
        return 1
    sys.stdout.write(str(answer["stdout"]))
    sys.stderr.write(str(answer["stderr"]))
    sys.stdout.flush()
    while answer.get("asks"):
        signal.pause()
    return int(str(answer["status"]))


if __name__ == "__main__":
    sys.exit(main())
