"""The cpio writer: what the kernel's unpacker reads, the same bytes on every build host."""

import io
import os
from pathlib import Path

from bootos.cpio import CpioWriter


def members(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read newc as the kernel does: header of 13 hex fields, name and data padded to four bytes."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        fields = [int(archive[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        assert archive[at : at + 6] == b"070701"
        assert at % 4 == 0
        mode, size, name_bytes = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + name_bytes - 1].decode()
        data_at = (at + 110 + name_bytes + 3) // 4 * 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, archive[data_at : data_at + size])
        at = (data_at + size + 3) // 4 * 4


def write(root: Path, prefix: str = "") -> bytes:
    out = io.BytesIO()
    writer = CpioWriter(out)
    writer.tree(root, prefix=prefix)
    writer.close()
    return out.getvalue()


def make_tree(root: Path, names: list[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o755)
        path.write_text(f"content of {name}")
        path.chmod(0o644)
    (root / "link").symlink_to("etc/a")


def test_the_order_of_creation_and_the_times_do_not_reach_the_archive(tmp_path: Path) -> None:
    make_tree(tmp_path / "one", ["etc/a", "etc/b", "usr/lib/c"])
    make_tree(tmp_path / "two", ["usr/lib/c", "etc/b", "etc/a"])
    os.utime(tmp_path / "two/etc/a", (1, 1))
    first = write(tmp_path / "one")
    assert first == write(tmp_path / "two")
    assert len(first) % 512 == 0


def test_modes_links_data_and_the_folders_of_the_prefix(tmp_path: Path) -> None:
    make_tree(tmp_path, ["etc/a"])
    (tmp_path / "etc/a").chmod(0o600)
    found = members(write(tmp_path, prefix="overlay/deep/"))
    assert list(found) == [
        "overlay",
        "overlay/deep",
        "overlay/deep/etc",
        "overlay/deep/etc/a",
        "overlay/deep/link",
    ]
    assert found["overlay/deep/etc/a"] == (0o100600, b"content of etc/a")
    assert found["overlay/deep/link"] == (0o120777, b"etc/a")
    assert found["overlay"][0] == 0o040755
