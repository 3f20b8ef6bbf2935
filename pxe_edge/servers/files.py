"""Files under one folder, opened so that no name leads out of it."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Missing = Literal["no-such-file", "not-inside", "not-a-file", "not-readable"]


@dataclass(frozen=True, slots=True)
class ServedFile:
    """An open regular file; whoever gets it closes it."""

    file: BinaryIO
    size_bytes: int
    etag: str


def open_inside(root: Path, name: str) -> ServedFile | Missing:
    """Open a file by its relative name; symbolic links count by where they lead, folders are no files."""
    if not name or "\0" in name:
        return "no-such-file"
    top = os.path.realpath(root)
    path = os.path.realpath(os.path.join(top, name.lstrip("/")))  # noqa: PTH118 - strings, as realpath is
    if path != top and not path.startswith(top + os.sep):
        return "not-inside"
    try:
        # O_NONBLOCK: a FIFO must not hold the loop; O_NOFOLLOW: a link that appeared since is not followed.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return "no-such-file"
    except OSError:
        return "not-readable"
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        return "not-a-file"
    file = os.fdopen(handle, "rb", buffering=0)
    return ServedFile(file, status.st_size, f'"{status.st_mtime_ns:x}-{status.st_size:x}"')
