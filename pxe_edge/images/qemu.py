"""qemu-img in a process with limits: it parses what a stranger made.

`prlimit` bounds memory, CPU time and the size of what it writes; `setpriv` takes away new privileges
and ends it with us.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from pxe_edge.images.formats import UnfitImageError

MEMORY_BYTES: Final = 2 << 30
"""Address space. Up to 64 threads reserve 8 MiB of stack each, and glibc an arena per few threads: with
1 GiB a conversion was seen to end with "qemu_thread_create: Resource temporarily unavailable"."""
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "MALLOC_ARENA_MAX": "2"}
INFO_CPU_S: Final = 30
CONVERT_CPU_S: Final = 1800
_SLACK_BYTES: Final = 16 << 20


def _limited(argv: list[str], *, cpu_s: int, file_bytes: int) -> list[str]:
    return [
        *("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"),
        *("prlimit", f"--as={MEMORY_BYTES}", f"--cpu={cpu_s}", f"--fsize={file_bytes}", "--core=0", "--"),
        *argv,
    ]


def _run(argv: list[str], *, cpu_s: int, file_bytes: int, folder: Path) -> str:
    try:
        done = subprocess.run(
            _limited(argv, cpu_s=cpu_s, file_bytes=file_bytes),
            capture_output=True,
            cwd=folder,
            env=ENVIRONMENT,
            timeout=cpu_s * 4,
            check=False,
        )
    except FileNotFoundError as error:
        raise UnfitImageError(
            f"{error.filename} is not installed: apt-get install qemu-utils util-linux"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UnfitImageError(f"{argv[0]} {argv[1]} took longer than {cpu_s * 4} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-400:]
        raise UnfitImageError(f"{argv[0]} {argv[1]} ended with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def check(image: Path) -> None:
    """Let qemu-img itself say that a qcow2 image stands alone; UnfitImageError when it does not."""
    argv = ["qemu-img", "info", "-f", "qcow2", "--output=json", image.name]
    try:
        info: dict[str, Any] = json.loads(_run(argv, cpu_s=INFO_CPU_S, file_bytes=0, folder=image.parent))
    except ValueError as error:
        raise UnfitImageError(f"qemu-img info said no JSON: {error}") from error
    specific = (info.get("format-specific") or {}).get("data") or {}
    named = info.get("backing-filename") or info.get("full-backing-filename") or specific.get("data-file")
    if named or info.get("format") != "qcow2" or info.get("encrypted"):
        raise UnfitImageError(
            f"qemu-img says that the image does not stand alone: {named or info.get('format')}"
        )


def to_raw(image: Path, raw: Path, *, virtual_bytes: int) -> None:
    """Convert a checked qcow2 image into a sparse raw file in the same folder."""
    argv = ["qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-t", "writeback", image.name, raw.name]
    _run(argv, cpu_s=CONVERT_CPU_S, file_bytes=virtual_bytes + _SLACK_BYTES, folder=image.parent)
    if raw.stat().st_size != virtual_bytes:
        raise UnfitImageError(f"expected {virtual_bytes} bytes after conversion, got {raw.stat().st_size}")


def has_file(raw: Path, start_bytes: int, path: str) -> bool | None:
    """Whether an ext4 file system at an offset has a file; None when debugfs cannot say."""
    argv = ["debugfs", "-R", f"stat {path}", f"{raw.name}?offset={start_bytes}"]
    try:
        said = subprocess.run(
            _limited(argv, cpu_s=INFO_CPU_S, file_bytes=0),
            capture_output=True, cwd=raw.parent, timeout=INFO_CPU_S * 2, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = (said.stdout + said.stderr).decode(errors="replace")
    if "Inode:" in text:
        return True
    return False if "File not found" in text else None
