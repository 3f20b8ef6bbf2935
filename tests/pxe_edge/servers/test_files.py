"""The table of served files: what is in it, what is not, and how it follows the folder."""

from pathlib import Path

import pytest

from pxe_edge.servers import files
from pxe_edge.servers.files import FileTable, ServedFile
from pxe_edge.servers.mapped import Mapped, Mappings


@pytest.fixture
def boot(tmp_path):
    folder = tmp_path / "boot"
    (folder / "bootos" / "1a").mkdir(parents=True)
    (folder / "bootos" / "1a" / "vmlinuz").write_bytes(b"kernel")
    (folder / "loader").write_bytes(b"loader")
    return folder


def read(table, name):
    served = table.open(name)
    if not isinstance(served, ServedFile):
        return served
    with served.file as file:
        return file.read()


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("loader", b"loader"),
        ("/loader", b"loader"),
        ("bootos//1a/./vmlinuz", b"kernel"),
        ("bootos/2b/../1a/vmlinuz", b"kernel"),
        ("bootos/1a", "not-a-file"),
        ("", "no-such-file"),
        ("..", "no-such-file"),
        ("../boot/loader", "not-inside"),
        ("loader\0", "no-such-file"),
        ("LOADER", "no-such-file"),
    ],
)
def test_names(boot, name, got):
    assert read(FileTable(boot), name) == got


def test_a_folder_that_is_not_there_serves_nothing_until_it_is(tmp_path):
    table = FileTable(tmp_path / "boot")
    assert read(table, "loader") == "no-such-file"
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot" / "loader").write_bytes(b"new")
    assert read(table, "loader") == b"new"


def test_what_is_published_shows_at_once_and_what_is_taken_away_is_gone(boot):
    table = FileTable(boot)
    assert read(table, "new") == "no-such-file"
    for number in range(50):  # faster than the clock that stamps directories
        (boot / f"new{number}").write_bytes(b"%d" % number)
        assert read(table, f"new{number}") == b"%d" % number
    (boot / "loader").unlink()
    assert read(table, "loader") == "no-such-file"
    (boot / "bootos" / "2b").mkdir()
    (boot / "bootos" / "2b" / "vmlinuz").write_bytes(b"other")
    assert read(table, "bootos/2b/vmlinuz") == b"other"


def test_a_file_that_is_being_written_is_not_served(boot):
    table = FileTable(boot)
    (boot / ".loader.17").write_bytes(b"ha")
    assert read(table, ".loader.17") == "no-such-file"
    assert read(table, "loader") == b"loader"
    (boot / ".loader.17").rename(boot / "loader")
    assert read(table, "loader") == b"ha"


def test_links_count_by_where_they_lead(boot, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    (boot / "leak").symlink_to("../secret")
    (boot / "way-out").symlink_to("../outside")
    (boot / "current").symlink_to("bootos/1a")
    (boot / "round").symlink_to(".")
    table = FileTable(boot)
    assert read(table, "leak") == "not-inside"
    assert read(table, "way-out/file") == "no-such-file"
    assert read(table, "current/vmlinuz") == b"kernel"
    assert read(table, "round/loader") == "no-such-file"


def test_a_link_that_takes_a_files_place_later_is_not_followed(boot, tmp_path):
    table = FileTable(boot)
    assert read(table, "bootos/1a/vmlinuz") == b"kernel"
    target = boot / "bootos" / "1a" / "vmlinuz"
    target.unlink()
    target.symlink_to(tmp_path / "secret")
    assert files._open(str(target), "vmlinuz") == "not-readable"
    assert read(table, "bootos/1a/vmlinuz") == "not-inside"


def test_the_table_is_bounded(boot, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILES", 10)
    for number in range(100):
        (boot / f"file{number}").write_bytes(b"")
    assert len(FileTable(boot).names()) <= 10


def test_one_version_is_mapped_once_and_let_go_by_the_last_user(boot):
    mappings = Mappings(FileTable(boot))
    first, second = mappings.take("loader"), mappings.take("loader")
    assert isinstance(first, Mapped)
    assert first is second
    assert bytes(first.view) == b"loader"
    before = len(list(Path("/proc/self/fd").iterdir()))
    (boot / ".new").write_bytes(b"another")
    (boot / ".new").rename(boot / "loader")
    third = mappings.take("loader")
    assert (bytes(third.view), bytes(first.view)) == (b"another", b"loader")
    for mapped in (first, second, third):
        mappings.give_back(mapped)
    assert not mappings._open
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
