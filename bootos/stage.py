"""Packages -> one cached tar -> an unpacked tree with merged /usr; nothing of the packages is ever executed.

mmdebstrap's `extract` variant unpacks the listed packages and their dependencies without running maintainer
scripts, as root or in a user namespace; the versions it took are written into the tar itself.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import unquote

from bootos import recipe
from bootos.apt_sources import Source
from bootos.steps import run

PACKAGE_LIST = "rackflow-packages.txt"
_FETCH_TIMEOUT_S = 1800
_SKIPPED = (
    "./dev/*",
    "./usr/share/locale",
    "./usr/share/man",
    "./usr/share/doc",
    "./usr/share/perl*",
    "./home",
)
_MERGED = ("bin", "sbin", "lib", "lib64")
_MERGED_PATTERN = r"\|".join(_MERGED)


def tar_key(packages: tuple[str, ...], sources: tuple[Source, ...], suite: str) -> str:
    """Names the cached tar: same packages from the same sources, same file."""
    return recipe.digest("stage-1", packages, tuple(source.line() for source in sources), suite)


def fetch(
    packages: tuple[str, ...], sources: tuple[Source, ...], suite: str, cache: Path, *, refresh: bool
) -> Path:
    """The tar of the extracted packages, from the cache when it is there."""
    tar = cache / f"stage-{tar_key(packages, sources, suite)[:16]}.tar"
    if tar.exists() and not refresh:
        return tar
    partial = tar.with_suffix(f".{os.getpid()}.partial.tar")
    try:
        run(
            [
                "mmdebstrap",
                f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
                "--variant=extract",
                "--include=" + ",".join(packages),
                # the archive folder is emptied right after this hook
                f'--extract-hook=ls "$1"/var/cache/apt/archives > "$1"/{PACKAGE_LIST}',
                suite,
                str(partial),
                "-",
            ],
            timeout_s=_FETCH_TIMEOUT_S,
            stdin="\n".join(source.line() for source in sources) + "\n",
        )
        partial.replace(tar)
    finally:
        partial.unlink(missing_ok=True)
    return tar


def unpack(tar: Path, into: Path) -> dict[str, str]:
    """Unpack with /bin, /sbin, /lib, /lib64 moved below /usr; the versions of the packages by name."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    run(
        [
            "tar",
            *("-x", "-f", str(tar), "-C", str(into), "--no-same-owner", "--no-same-permissions"),
            "--delay-directory-restore",
            *(f"--exclude={pattern}" for pattern in _SKIPPED),
            # S: targets of symbolic links stay; they reach the same files through the links made below
            f"--transform=s,^\\./\\({_MERGED_PATTERN}\\)/,./usr/\\1/,S",
        ],
        timeout_s=600,
    )
    for name in _MERGED:
        link = into / name
        (into / "usr" / name).mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            link.rmdir()
        if not link.is_symlink():
            link.symlink_to(f"usr/{name}")
    return parse_package_list((into / PACKAGE_LIST).read_text())


def parse_package_list(text: str) -> dict[str, str]:
    """Package versions from archive names: NAME_VERSION_ARCH.deb, with the colon of an epoch escaped."""
    versions = {}
    for line in text.split():
        if line.endswith(".deb"):
            name, version, _architecture = line.removesuffix(".deb").split("_")
            versions[name] = unquote(version)
    return dict(sorted(versions.items()))
