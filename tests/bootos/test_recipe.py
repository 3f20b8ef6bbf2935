"""The builder's deciding parts: sources, packages, module closure, ELF, drop-ins, joined programs."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from bootos import kernel, one_file, overlay_tree, recipe
from bootos.apt_sources import Source, parse_targets, with_firmware
from bootos.elf import needed_libraries
from bootos.stage import parse_package_list, tar_key
from bootos.steps import BuildError

TARGETS = """\
http://mirror.test/debian/|bookworm|main|amd64|Debian
http://mirror.test/debian/|bookworm|contrib|amd64|Debian
http://mirror.test/debian/|bookworm|main|i386|Debian
http://mirror.test/debian/|bookworm-backports|main|amd64|Debian
http://mirror.test/security/|bookworm-security|main|amd64|$(ORIGIN)
http://other.test/repo/|bookworm|main|amd64|Somebody else
"""


def test_only_debian_s_own_main_of_this_release_and_architecture_is_used() -> None:
    sources = parse_targets(TARGETS, suite="bookworm")
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://mirror.test/debian/", "bookworm"),
        ("http://mirror.test/security/", "bookworm-security"),
    ]


def test_firmware_comes_from_the_same_archives() -> None:
    source = Source("http://mirror.test/debian/", "bookworm", "main", "amd64")
    lines = [added.line() for added in with_firmware((source,))]
    assert lines == [
        "deb [arch=amd64] http://mirror.test/debian/ bookworm main",
        "deb [arch=amd64] http://mirror.test/debian/ bookworm non-free-firmware",
    ]


def test_the_cached_tar_is_another_one_when_packages_or_sources_change() -> None:
    source = Source("http://mirror.test/debian/", "bookworm", "main", "amd64")
    keys = {
        tar_key(("a", "b"), (source,), "bookworm"),
        tar_key(("a b",), (source,), "bookworm"),
        tar_key(("a", "b"), (), "bookworm"),
        tar_key(("a", "b"), (source,), "trixie"),
    }
    assert len(keys) == 4


def test_versions_with_an_epoch_are_read_from_archive_names() -> None:
    text = "zlib1g_1%3a1.2.13.dfsg-1_amd64.deb\npartial\nudev_252.39-1~deb12u2_amd64.deb\n"
    assert parse_package_list(text) == {"udev": "252.39-1~deb12u2", "zlib1g": "1:1.2.13.dfsg-1"}


def test_modules_are_closed_over_dependencies_even_those_that_a_pattern_takes_away() -> None:
    table = {
        "kernel/drivers/net/a.ko": ("kernel/lib/crc.ko",),
        "kernel/lib/crc.ko": ("kernel/lib/deep.ko",),
        "kernel/lib/deep.ko": (),
        "kernel/drivers/net/test_a.ko": (),
        "kernel/sound/s.ko": (),
    }
    chosen = kernel.choose(table, ("drivers/net/*", "!*/test_*", "!lib/*"))
    assert chosen == ("kernel/drivers/net/a.ko", "kernel/lib/crc.ko", "kernel/lib/deep.ko")
    assert kernel.missing(("a", "crc", "built-in", "gone"), chosen, "kernel/x/built_in.ko\n") == ["gone"]


def test_needed_libraries_agree_with_the_dynamic_loader() -> None:
    program = Path(shutil.which("ls") or "/bin/ls").resolve()
    shown = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    needed = needed_libraries(program)
    assert any(name.startswith("libc.so") for name in needed)
    assert all(name in shown for name in needed)
    assert needed_libraries(Path(__file__)) == []


def test_vendor_tools_become_programs_and_a_wrong_digest_stops_the_build(tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    (vendor / "tree/opt").mkdir(parents=True)
    (vendor / "storcli64").write_bytes(b"tool")
    (vendor / "tree/opt/lib.so").write_bytes(b"library")
    digests = overlay_tree.assemble(tmp_path / "root", vendor)
    assert digests["storcli64"] == hashlib.sha256(b"tool").hexdigest()
    assert (tmp_path / "root/usr/local/sbin/storcli64").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "root/opt/lib.so").read_bytes() == b"library"
    assert (tmp_path / "root/etc/shadow").stat().st_mode & 0o777 == 0o600
    (vendor / "SHA256SUMS").write_text(f"{'0' * 64}  storcli64\n")
    with pytest.raises(BuildError, match=r"storcli64: sha256 .* says 0000"):
        overlay_tree.assemble(tmp_path / "root", vendor)


def test_every_recipe_line_is_used_once() -> None:
    lists = recipe.load()
    for entries in (lists.packages, lists.programs, lists.files, lists.modules, lists.python_left_out):
        assert len(set(entries)) == len(entries)


@pytest.mark.parametrize(
    ("name", "code"),
    [("rf-exec", 66), ("bring-up", None), ("rf-write", None), ("rf-wipe", None), ("rf-tpm2", None)],
)
def test_joined_programs_stand_alone(tmp_path: Path, name: str, code: int | None) -> None:
    text = one_file.program(name)
    assert "bootos." not in "\n".join(
        line for line in text.splitlines() if line.startswith(("import", "from"))
    )
    compile(text, name, "exec")
    if code is not None:
        path = tmp_path / name
        path.write_text(text)
        argv = ["/usr/bin/python3", "-IS", str(path), "--status", "no-such-step"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (done.returncode, '"no such step"' in done.stderr) == (code, True)
