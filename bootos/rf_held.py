"""What rf-exec hands to rf-write and rf-wipe: the verified disk, the pipe for progress; and how they refuse.

Not a program: a part of the files that are installed as rf-write and rf-wipe (`bootos.one_file`).
"""

import argparse
import fcntl
import json
import os
import stat
import struct
from collections.abc import Callable
from typing import NoReturn

from bootos.rf_target import BLKGETSIZE64, Target, WriteError

EXIT_USAGE, EXIT_IO, EXIT_DISK = 64, 74, 77


class Parser(argparse.ArgumentParser):
    """Argument parser that ends with 64 on wrong usage."""

    def error(self, message: str) -> NoReturn:
        """Usage is a failure like the others."""
        raise WriteError(EXIT_USAGE, message)


def verified_disk(environment: dict[str, str], disk: str, size_bytes: int) -> Target:
    """The disk that rf-exec opened and checked, if it is the one asked for."""
    identity, number = environment.get("RF_DISK_IDENTITY_0"), environment.get("RF_DISK_FD_0", "")
    if not number.isdigit():
        raise WriteError(EXIT_DISK, "no RF_DISK_FD_0: run under rf-exec with --disk and --disk-open hold")
    if identity != disk:
        raise WriteError(
            EXIT_DISK, f"rf-exec verified disk {identity!r}, --disk says {disk!r}; nothing was erased"
        )
    fd = int(number)
    if not stat.S_ISBLK(os.fstat(fd).st_mode):
        raise WriteError(EXIT_DISK, f"descriptor {fd} is no block device")
    (got_bytes,) = struct.unpack("Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))
    if got_bytes != size_bytes:
        message = f"disk {disk}: expected {size_bytes} bytes, got {got_bytes}; nothing was erased"
        raise WriteError(EXIT_DISK, message)
    return Target(fd, got_bytes)


def progress_to(environment: dict[str, str]) -> Callable[[dict[str, object]], None]:
    """Progress lines for rf-exec and for whoever follows."""
    number = environment.get("RF_PROGRESS_FD", "")

    def note(progress: dict[str, object]) -> None:
        line = (json.dumps(progress) + "\n").encode()
        for fd in (2, int(number)) if number.isdigit() else (2,):
            os.write(fd, line)

    return note


def failed(error: WriteError) -> int:
    """Say it as rf-exec says its own refusals; the exit code."""
    os.write(2, (json.dumps({"error": str(error), "exit": error.code}) + "\n").encode())
    return error.code
