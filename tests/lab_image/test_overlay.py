"""The files laid over the packages, and the names under which results are kept."""

import dataclasses
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab.image import overlay
from lab.image.recipe import Recipe

RECIPE = Recipe()


def test_the_installers_file_is_read_after_the_defaults_and_before_the_kernel_line() -> None:
    lines = [line.strip() for line in overlay.grub_cfg(RECIPE).splitlines()]
    default = lines.index(f'set rackflow_root="UUID={RECIPE.root_uuid}"')
    override = lines.index(f"source {overlay.OVERRIDE_PATH}")
    (linux,) = (number for number, line in enumerate(lines) if line.startswith("linux "))
    assert default < override < linux


def test_the_kernel_speaks_on_the_serial_console_and_takes_the_installers_arguments() -> None:
    (linux,) = (line.split() for line in overlay.grub_cfg(RECIPE).splitlines() if line.startswith("  linux "))
    assert "console=ttyS0,115200" in linux
    assert "quiet" not in linux
    assert "root=$rackflow_root" in linux
    assert linux[-1] == "$rackflow_args"


def test_fstab_names_no_root() -> None:
    rows = [line.split() for line in overlay.fstab(RECIPE).splitlines() if not line.startswith("#")]
    assert [row[1] for row in rows] == ["/boot/efi"]
    assert rows[0][0] == "UUID=D3B1-A212"


def test_the_archive_is_roots_and_masks_the_slow_units() -> None:
    with tarfile.open(fileobj=io.BytesIO(overlay.archive(RECIPE))) as tar:
        members = {member.name: member for member in tar}
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert members["./etc/systemd/system/e2scrub_reap.service"].linkname == "/dev/null"
    assert members["./etc/initramfs-tools/hooks/zz-rackflow"].mode == 0o755


def test_the_archive_is_the_same_each_time() -> None:
    assert overlay.archive(RECIPE) == overlay.archive(RECIPE)


def test_the_initramfs_hook_strikes_the_other_personalities_and_keeps_raid1(tmp_path: Path) -> None:
    modules = tmp_path / "conf" / "modules"
    modules.parent.mkdir()
    modules.write_text("raid0\nraid1\nraid10\nraid456\nefivarfs\n")
    script = overlay.initramfs_hook(RECIPE)
    subprocess.run(
        ["sh", "-c", script, "hook"], env={"DESTDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True
    )
    assert modules.read_text().split() == ["raid1", "efivarfs"]


def test_the_key_follows_recipe_and_program_text() -> None:
    assert RECIPE.key(b"a") == Recipe().key(b"a")
    other = dataclasses.replace(RECIPE, packages=(*RECIPE.packages, "vim-tiny"))
    assert len({RECIPE.key(b"a"), RECIPE.key(b"b"), RECIPE.key(b"a", b""), other.key(b"a")}) == 4


def test_the_key_keeps_program_texts_apart() -> None:
    assert RECIPE.key(b"ab", b"c") != RECIPE.key(b"a", b"bc")


@pytest.mark.parametrize("package", ["openssh-server", "python3", "mdadm", "sudo"])
def test_what_the_installer_builds_upon_is_in_the_image(package: str) -> None:
    assert package in RECIPE.packages
