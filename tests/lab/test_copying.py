"""Copies: what is equal afterwards, what is left alone, what is not read at all."""

import os
import socket

import pytest

from lab.copying import copy_file, copy_tree


def shape(folder):
    """Everything that a copy must keep."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns if path.is_file() and not path.is_symlink() else None,
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "secret").write_text("x")
    (folder / "inner" / "secret").chmod(0o600)
    (folder / "link").symlink_to("inner/secret")
    (folder / "empty").touch()
    return folder


def test_a_folder_becomes_equal_whatever_was_there(tree, tmp_path):
    target = tmp_path / "target"
    (target / "empty").mkdir(parents=True)
    (target / "inner").write_text("a file where a folder goes")
    (target / "link").mkdir()
    (target / "old" / "deep").mkdir(parents=True)

    copy_tree(tree, target)

    assert shape(target) == shape(tree)


def test_holes_stay_holes(tmp_path):
    source, target = tmp_path / "disk", tmp_path / "copy"
    with source.open("wb") as stream:
        stream.truncate(1 << 30)
        stream.seek(1 << 29)
        stream.write(b"in the middle")

    copy_file(source, target)

    assert target.stat().st_size == 1 << 30
    assert target.stat().st_blocks * 512 < 1 << 20
    with target.open("rb") as stream:
        stream.seek(1 << 29)
        assert stream.read(13) == b"in the middle"


def test_what_is_equal_is_not_copied_again_and_what_was_written_is(tmp_path):
    source, target = tmp_path / "disk", tmp_path / "copy"
    source.write_bytes(b"kept")

    assert copy_file(source, target)
    assert not copy_file(source, target)
    target.write_bytes(b"lost")
    assert copy_file(source, target)
    assert target.read_bytes() == b"kept"


def test_what_is_left_alone_is_neither_copied_nor_removed_and_sockets_are_no_state(tree, tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("stays")
    here = os.open(tree, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/sock")
    os.close(here)

    copy_tree(tree, target, leave=lambda path: path.name in ("mine", "empty"))

    assert (target / "mine").read_text() == "stays"
    assert not (target / "empty").exists()
    assert not (target / "sock").exists()
