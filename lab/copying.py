"""Copies of files and folders as they are: holes stay holes, times stay, what is equal is not touched.

Equal means the same size and the same modification time. That holds because a copy gets its source's time and
every later write gives a newer one, so that a disk nobody wrote to since the last restore costs nothing.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path


def copy_file(source: Path, target: Path) -> bool:
    """Make `target` equal to `source`; whether anything had to be copied."""
    want = source.stat()
    with contextlib.suppress(FileNotFoundError):
        have = target.stat(follow_symlinks=False)
        if stat.S_ISREG(have.st_mode) and _same(want, have):
            return False
    fresh = target.with_name(f"{target.name}.new")
    with source.open("rb") as reader, fresh.open("wb") as writer:
        os.fchmod(writer.fileno(), stat.S_IMODE(want.st_mode))
        _copy_data(reader.fileno(), writer.fileno(), want.st_size)
    os.utime(fresh, ns=(want.st_atime_ns, want.st_mtime_ns))
    fresh.replace(target)
    return True


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns, one.st_mode) == (other.st_size, other.st_mtime_ns, other.st_mode)


def _copy_data(reader: int, writer: int, size_bytes: int) -> None:
    """Only the parts that hold data (lseek(2) SEEK_DATA); the kernel copies, or shares them where it can."""
    os.truncate(writer, size_bytes)
    offset = 0
    while offset < size_bytes:
        try:
            offset = os.lseek(reader, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(reader, offset, os.SEEK_HOLE)
        while offset < end:
            copied = os.copy_file_range(reader, writer, end - offset, offset, offset)
            if not copied:
                raise OSError(errno.EIO, "the file shrank while it was copied")
            offset += copied


def copy_tree(source: Path, target: Path, *, leave: Callable[[Path], bool] = lambda _path: False) -> None:
    """Make a folder equal to another one; what `leave` says of either is neither copied nor removed.

    Sockets and pipes are left out: they belong to processes.
    """
    target.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name for entry in os.scandir(source) if not leave(source / entry.name)}
    for entry in list(os.scandir(target)):
        if entry.name not in wanted and not leave(target / entry.name):
            _remove(target / entry.name)
    for name in sorted(wanted):
        _copy_any(source / name, target / name, leave)
    shutil.copystat(source, target)


def _copy_any(source: Path, target: Path, leave: Callable[[Path], bool]) -> None:
    mode = source.stat(follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            target.unlink()
        copy_tree(source, target, leave=leave)
    elif stat.S_ISLNK(mode):
        _remove(target)
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(mode):
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        copy_file(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
