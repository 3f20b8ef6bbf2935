"""Serial logs of boots: one file per boot, only ever appended to."""

from pathlib import Path

LOG_MAX_BYTES = 16 << 20
"""A machine in a crash loop must not fill the disk."""


def _path(data: Path, host_id: str, boot_no: int) -> Path:
    return data / "edge" / "consoles" / host_id / f"{boot_no}.log"


def size(data: Path, host_id: str, boot_no: int) -> int:
    """Bytes of a boot's log."""
    path = _path(data, host_id, boot_no)
    return path.stat().st_size if path.exists() else 0


def append(data: Path, host_id: str, boot_no: int, offset: int, block: bytes) -> int | None:
    """Append at the offset; the size that is there if it is another. Beyond the limit bytes are dropped."""
    there = size(data, host_id, boot_no)
    if there != offset:
        return there
    path = _path(data, host_id, boot_no)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        log.write(block[: max(0, LOG_MAX_BYTES - there)])
    return None


def read(data: Path, host_id: str, boot_no: int, offset: int, limit: int) -> bytes:
    """Bytes from an offset; empty when there are none."""
    path = _path(data, host_id, boot_no)
    if not path.exists():
        return b""
    with path.open("rb") as log:
        log.seek(offset)
        return log.read(limit)
