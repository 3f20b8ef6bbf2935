"""rf-exec's records: where this machine keeps them, files replaced whole, locks, refusals that say why.

Not a program: a part of the one file that is installed as rf-exec (`bootos.one_file`). Standard library only,
Python 3.9 or newer. No pathlib: its import is a tenth of the time that a call takes on an emulated CPU.
"""
# ruff: noqa: PTH105, PTH110, PTH120, PTH123

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

EXIT_USAGE, EXIT_EPOCH, EXIT_DISK, EXIT_RECORDS, EXIT_BUSY = 64, 75, 77, 78, 79


class Refused(Exception):
    """Nothing was started; carries the exit code and what to say."""

    def __init__(self, code: int, error: str, **facts: object) -> None:
        super().__init__(error)
        self.code = code
        self.line = json.dumps({"error": error, "exit": code, **facts}, sort_keys=True)


def number_of(fd: int) -> str:
    """The device number of an open block device, as sysfs spells it."""
    number = os.fstat(fd).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


class System(NamedTuple):
    """Where this machine's state lies; tests give folders of their own."""

    run: str = "/run/rackflow"
    lasting: str = "/var/lib/rackflow"
    sys: str = "/sys"
    udev: str = "/run/udev/data"
    dev: str = "/dev"
    proc: str = "/proc"
    console: str = "/dev/console"
    device_number: Callable[[int], str] = number_of

    def step(self, name: str) -> str:
        """The folder of a step."""
        return f"{self.run}/steps/{name}"

    def is_open(self, name: str) -> bool:
        """Whether a step has not ended."""
        return not os.path.exists(f"{self.step(name)}/status.json")


def read_bytes(path: str) -> bytes:
    """The first 64 KiB of a small file; b"" when it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return stream.read(65536)
    except OSError:
        return b""


def read(path: str) -> str:
    """The text of a small file, without white space around it; "" when it cannot be read."""
    return read_bytes(path).decode(errors="replace").strip("\0 \n\t")


def write_whole(path: str, text: str) -> None:
    """Replace a file so that a reader, or a power cut, sees the old or the new text."""
    partial = f"{path}.{os.getpid()}.new"
    with open(partial, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(path: str) -> dict[str, object]:
    """The JSON object in a file; {} when it is absent or broken."""
    try:
        value = json.loads(read(path) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def locked(path: str, wait_s: float, busy: Callable[[], dict[str, object]]) -> Iterator[int]:
    """An exclusive flock; it lives as long as the descriptor, so a supervisor that was forked keeps it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    message = f"{path} was not free within {wait_s:g} s"
                    raise Refused(
                        EXIT_BUSY, message, hint="read --status of the step named", **busy()
                    ) from None
                time.sleep(0.05)
        yield fd
    finally:
        os.close(fd)
