"""Deterministic newc cpio archives: what the kernel unpacks as initramfs, written without root or cpio(1).

The same tree gives the same bytes on every machine: names sorted, owner root, one fixed mtime, inode numbers
counted from 1. Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAGIC = "070701"
TRAILER = "TRAILER!!!"
FIXED_MTIME = 1_700_000_000


class CpioWriter:
    """Writes members in the order given; `close` adds the trailer and pads the archive to 512 bytes."""

    def __init__(self, out: BinaryIO, *, mtime: int = FIXED_MTIME) -> None:
        self._out = out
        self._mtime = mtime
        self._inode = 0
        self._written = 0

    def file(self, name: str, data: bytes, *, mode: int = 0o644) -> None:
        """A regular file."""
        self._member(name, stat.S_IFREG | mode, data)

    def directory(self, name: str, *, mode: int = 0o755) -> None:
        """A directory; the kernel does not make missing parents, so parents come first."""
        self._member(name, stat.S_IFDIR | mode, links=2)

    def symlink(self, name: str, target: str) -> None:
        """A symbolic link, its target kept as given."""
        self._member(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, *, major: int, minor: int, mode: int = 0o600) -> None:
        """A character device node; only possible here because nothing is created on the build host."""
        self._member(name, stat.S_IFCHR | mode, device=(major, minor))

    def tree(self, root: Path, *, prefix: str = "") -> None:
        """All files, directories and links below root, sorted by path."""
        if prefix:
            self._parents(prefix)
        for path in _walk(root):
            name = f"{prefix}{path.relative_to(root).as_posix()}"
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                self.symlink(name, str(path.readlink()))
            elif stat.S_ISDIR(status.st_mode):
                self.directory(name, mode=stat.S_IMODE(status.st_mode))
            elif stat.S_ISREG(status.st_mode):
                self.file(name, path.read_bytes(), mode=stat.S_IMODE(status.st_mode))
            else:
                raise ValueError(f"cannot archive {path}: neither file, directory nor link")

    def close(self) -> None:
        """Trailer and padding; the stream itself stays open, so that archives can be concatenated."""
        self._member(TRAILER, 0)
        self._write(b"\0" * (-self._written % 512))

    def _parents(self, prefix: str) -> None:
        parts = prefix.strip("/").split("/")
        for depth in range(len(parts)):
            self.directory("/".join(parts[: depth + 1]))

    def _member(
        self, name: str, mode: int, data: bytes = b"", *, device: tuple[int, int] = (0, 0), links: int = 1
    ) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (
            self._inode, mode, 0, 0, links, self._mtime, len(data), 0, 0, *device, len(encoded), 0,
        )  # fmt: skip
        header = MAGIC + "".join(f"{value:08X}" for value in fields)
        self._padded(header.encode() + encoded)
        self._padded(data)

    def _padded(self, block: bytes) -> None:
        self._write(block + b"\0" * (-len(block) % 4))

    def _write(self, block: bytes) -> None:
        self._out.write(block)
        self._written += len(block)


def _walk(root: Path) -> Iterator[Path]:
    """Every path below root, parents before children, in one fixed order."""
    for path in sorted(root.iterdir(), key=lambda entry: entry.name):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
