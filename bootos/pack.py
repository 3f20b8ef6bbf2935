"""Packing: the squashfs, base.img and the small cpios; the same input gives the same bytes."""

import os
import shutil
from pathlib import Path

from bootos.cpio import FIXED_MTIME, CpioWriter
from bootos.steps import run

_PAGE = 4096
_FIRST_STAGE_FOLDERS = ("bin", "proc", "sys", "dev", "mnt", "mnt/ro", "mnt/rw", "mnt/new")


def squashfs(root: Path, out: Path, *, level: int) -> None:
    """The root as squashfs: owner root, fixed times, no extended attributes."""
    out.unlink(missing_ok=True)
    fixed = str(FIXED_MTIME)
    env = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    run(
        [
            *("mksquashfs", str(root), str(out), "-noappend", "-no-progress", "-quiet"),
            *("-all-root", "-no-xattrs", "-no-exports", "-mkfs-time", fixed, "-all-time", fixed),
            *("-comp", "zstd", "-Xcompression-level", str(level), "-b", "128K"),
        ],
        timeout_s=1800,
        env=env,
    )


def first_stage(root: Path, busybox: Path, script: str, modules: Path, out: Path) -> None:
    """The kernel's initramfs: busybox, three modules and the script, as one zstd-packed cpio."""
    shutil.rmtree(root, ignore_errors=True)
    for name in _FIRST_STAGE_FOLDERS:
        (root / name).mkdir(parents=True)
    shutil.copy2(busybox, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    shutil.copytree(modules, root / "lib")
    (root / "init").write_text(script)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.name in {"busybox", "init"} else 0o644)
    plain = out.with_suffix(".cpio")
    with plain.open("wb") as stream:
        writer = CpioWriter(stream)
        writer.tree(root)
        writer.device("dev/console", major=5, minor=1)
        writer.device("dev/null", major=1, minor=3, mode=0o666)
        writer.close()
    run(["zstd", "-q", "-f", "-19", "-T1", str(plain), "-o", str(out)], timeout_s=300)
    plain.unlink()


def base_image(first: Path, squash: Path, out: Path) -> None:
    """base.img: the packed first stage, padded to a page, then a plain cpio that holds the squashfs."""
    with out.open("wb") as stream:
        packed = first.read_bytes()
        stream.write(packed + b"\0" * (-len(packed) % _PAGE))
        writer = CpioWriter(stream)
        writer.file("root.squashfs", squash.read_bytes())
        writer.close()


def overlay(root: Path, out: Path, *, packed: bool = False) -> None:
    """A cpio whose content the first stage copies over the root; packed, the kernel unpacks it first."""
    plain = out.with_suffix(".plain")
    with plain.open("wb") as stream:
        writer = CpioWriter(stream)
        writer.tree(root, prefix="overlay/")
        writer.close()
    if not packed:
        plain.replace(out)
        return
    run(["zstd", "-q", "-f", "-3", "-T1", str(plain), "-o", str(out)], timeout_s=300)
    plain.unlink()
    with out.open("ab") as stream:
        stream.write(b"\0" * (-stream.tell() % _PAGE))
