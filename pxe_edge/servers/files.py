"""The table of files that are served: names known beforehand, so that no name from the network is a path.

A folder is read into a table of relative names; a request is looked up there and nowhere else, so no
name leads out of the folder and no directory is listed. The table follows the folder: each look
compares the times of its directories, and only a change is read anew.

Files are published by renaming them into place, and a name that begins with a dot is one that is still
being written: it is not in the table. Who opened a file keeps that version of it until the transfer's
end, whatever is renamed over it meanwhile.
"""

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import BinaryIO, Final, Literal

Missing = Literal["no-such-file", "not-inside", "not-a-file", "not-readable"]
MAX_FILES: Final = 65536
MAX_DEPTH: Final = 16
_CLOCK_NS: Final = 20_000_000
"""The kernel stamps directories by a clock that ticks every 4 to 10 ms: younger ones may change unseen."""
_FEW: Final = 256
_PATIENCE_S: Final = 1.0
"""A folder of more directories than a few is not looked at for each request."""


@dataclass(frozen=True, slots=True)
class ServedFile:
    """An open regular file; whoever gets it closes it."""

    file: BinaryIO
    size_bytes: int
    etag: str
    name: str
    """Where it lies below the folder, links followed."""


@dataclass(frozen=True, slots=True)
class _Directory:
    path: str
    mtime_ns: int
    settled: bool


class FileTable:
    """The files below one folder by name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = ""
        self._paths: dict[str, str] = {}
        self._reasons: dict[str, Missing] = {}
        """Names that stand in the folder and are not served, and why."""
        self._directories: list[_Directory] = []
        self._looked_at = 0.0

    def open(self, name: str) -> ServedFile | Missing:
        """Open a file by its name relative to the folder; a leading slash does no harm."""
        wanted = normpath("./" + name)
        if wanted.startswith("../"):
            return "not-inside"
        if not self._current():
            self._read()
        path = self._paths.get(wanted)
        if path is None:
            return self._reasons.get(wanted, "no-such-file")
        return _open(path, path.removeprefix(self._top + os.sep))

    def names(self) -> frozenset[str]:
        """All names that are served now."""
        if not self._current():
            self._read()
        return frozenset(self._paths)

    def _current(self) -> bool:
        now = time.monotonic()
        if len(self._directories) > _FEW and now - self._looked_at < _PATIENCE_S:
            return True
        self._looked_at = now
        try:
            return bool(self._directories) and all(
                known.settled and _mtime_ns(known.path) == known.mtime_ns for known in self._directories
            )
        except OSError:
            return False

    def _read(self) -> None:
        self._paths, self._reasons, self._directories = {}, {}, []
        self._top = os.path.realpath(self._root)
        self._read_directory(self._top, "", MAX_DEPTH)

    def _read_directory(self, path: str, prefix: str, depth: int) -> None:
        try:
            mtime_ns = _mtime_ns(path)  # before it is listed, so that what comes later shows
            settled = not 0 <= time.time_ns() - mtime_ns < _CLOCK_NS
            self._directories.append(_Directory(path, mtime_ns, settled))
            with os.scandir(path) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and len(self._paths) < MAX_FILES:
                        self._note(entry, prefix, depth)
        except OSError:
            return  # it went away between two looks

    def _note(self, entry: os.DirEntry[str], prefix: str, depth: int) -> None:
        name = prefix + entry.name
        target = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if not target.startswith(self._top + os.sep):
            self._reasons[name] = "not-inside"
        elif entry.is_dir():
            self._reasons[name] = "not-a-file"
            if depth > 0:
                self._read_directory(target, name + "/", depth - 1)
        else:
            self._paths[name] = target


def _mtime_ns(path: str) -> int:
    return os.stat(path).st_mtime_ns  # noqa: PTH116 - asked for each directory at each request


def _open(path: str, name: str) -> ServedFile | Missing:
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
    return ServedFile(file, status.st_size, f'"{status.st_mtime_ns:x}-{status.st_size:x}"', name)
