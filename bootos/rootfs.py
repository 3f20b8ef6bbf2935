"""From the unpacked packages to the root of the boot OS: listed programs with their closure, nothing else."""

import os
import shutil
from fnmatch import fnmatch
from pathlib import Path

from bootos.elf import data_symbol, needed_libraries
from bootos.recipe import Recipe
from bootos.steps import BuildError, run

_LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu/systemd",
    "usr/lib/systemd",
    "usr/lib",
    "usr/lib64",
)
_MERGED = ("bin", "sbin", "lib", "lib64")
_FOLDERS = ("proc", "sys", "dev", "run", "tmp", "root", "etc", "mnt", "var/log", "var/lib", "var/tmp")
# Rules that would assemble arrays, activate volume groups or connect fabrics by themselves: the worker
# decides that. 80-net-setup-link would rename NICs while bring-up uses them; the 85s call absent scripts.
# What systemd and tpm-udev bring speaks of a manager, seats and a user that are not there.
_RULES_LEFT_OUT = (
    "60-tpm-udev.rules",
    "64-md-raid-assembly.rules",
    "69-lvm.rules",
    "69-md-clustered-confirm-device.rules",
    "70-nvmf-autoconnect.rules",
    "70-uaccess.rules",
    "71-seat.rules",
    "73-seat-late.rules",
    "80-net-setup-link.rules",
    "85-hdparm.rules",
    "85-hwclock.rules",
    "96-e2scrub.rules",
    "99-systemd.rules",
)
_PYTHON = "usr/lib/python3.11"
_ZSTANDARD = "usr/lib/python3/dist-packages/zstandard"


def assemble(stage: Path, root: Path, recipe: Recipe) -> None:
    """Fill `root` from the unpacked packages in `stage`."""
    shutil.rmtree(root, ignore_errors=True)
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "var/run").symlink_to("/run")
    located = {pattern: _locate(stage, pattern) for pattern in (*recipe.programs, *recipe.files)}
    absent = [pattern for pattern, names in located.items() if not names]
    if absent:
        raise BuildError(f"no extracted package has {', '.join(absent)}: correct the lists in bootos/recipe")
    python = _python_files(stage, recipe.python_left_out)
    _copy_closure(stage, root, [*(name for names in located.values() for name in names), *python])
    (root / "usr/bin/python3").symlink_to("python3.11")
    _compile_python(stage, root)
    _empty_icu_data(root)
    _link_names(root, recipe.links)
    _fill_from_busybox(root)


def normalise_tree(root: Path) -> None:
    """Modes that depend on nothing but the content: the build host's umask must not reach the image."""
    root.chmod(0o755)
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder) / name
            if path.is_symlink():
                continue
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def normalise_modes(root: Path) -> None:
    """The modes of the whole root, with the few folders that differ."""
    normalise_tree(root)
    for name, mode in (("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700)):
        (root / name).chmod(mode)


def _locate(stage: Path, pattern: str) -> list[str]:
    """What a recipe line names; bin and sbin stand for each other, since packages move between them."""
    for folder in ("", "usr/bin/", "usr/sbin/"):
        name = folder + pattern.rsplit("/", 1)[1] if folder else pattern
        if folder and not pattern.startswith(("usr/bin/", "usr/sbin/")):
            continue
        found = _matches(stage, name)
        if found:
            return [name for name in found if Path(name).name not in _RULES_LEFT_OUT]
    return []


def _matches(stage: Path, pattern: str) -> list[str]:
    """Files and links; an absolute link must not be followed, it would be looked up on the build host."""
    if not any(sign in pattern for sign in "*?["):
        return [pattern] if os.path.lexists(stage / pattern) else []
    paths = (path for path in stage.glob(pattern) if path.is_symlink() or path.is_file())
    return sorted(path.relative_to(stage).as_posix() for path in paths)


def _python_files(stage: Path, left_out: tuple[str, ...]) -> list[str]:
    """The standard library without the parts left out, and zstandard's C extension."""
    base = stage / _PYTHON
    names = [
        path.relative_to(base).as_posix()
        for path in sorted(base.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
    kept = [name for name in names if not any(fnmatch(name, pattern) for pattern in left_out)]
    backend = sorted(path.name for path in (stage / _ZSTANDARD).glob("backend_c.*.so"))
    if not backend:
        raise BuildError(f"{stage / _ZSTANDARD} has no C backend: is python3-zstandard in the package list?")
    return [f"{_PYTHON}/{name}" for name in kept] + [
        f"{_ZSTANDARD}/{name}" for name in ("__init__.py", *backend)
    ]


def _copy_closure(stage: Path, root: Path, names: list[str]) -> None:
    """Copy files, what their links point to, and the libraries they ask for, to the end."""
    todo, seen = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        source, target = stage / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
        if source.is_symlink():
            todo.append(_link_target(name, str(source.readlink())))
            continue
        todo += [_library(stage, library, name) for library in needed_libraries(source)]


def _link_target(name: str, target: str) -> str:
    """The path below the stage that a link reaches, with merged /usr."""
    full = os.path.normpath(target.lstrip("/") if target.startswith("/") else Path(name).parent / target)
    first, _, rest = full.partition("/")
    return f"usr/{first}/{rest}" if first in _MERGED else full


def _library(stage: Path, library: str, wanted_by: str) -> str:
    for folder in _LIBRARY_FOLDERS:
        if os.path.lexists(stage / folder / library):
            return f"{folder}/{library}"
    raise BuildError(f"{wanted_by} needs {library}, which no extracted package has")


def _empty_icu_data(root: Path) -> None:
    """Zero ICU's tables: lldpcli's libxml2 links them, nothing here reads them; 30 MB, 11 packed.

    A library without the tables starts and says U_FILE_ACCESS_ERROR to who asks for a converter.
    """
    for path in sorted((root / "usr/lib/x86_64-linux-gnu").glob("libicudata.so.*")):
        if path.is_symlink():
            continue
        start, length = data_symbol(path, prefix="icudt")
        with path.open("r+b") as stream:
            stream.seek(start)
            stream.write(bytes(length))


def _compile_python(stage: Path, root: Path) -> None:
    """Byte code for the whole library with the boot OS's own interpreter: a start under emulation halves.

    `unchecked-hash` keeps time stamps out of the files.
    """
    loader = stage / "usr/lib64/ld-linux-x86-64.so.2"
    real = stage / _link_target("usr/lib64/ld-linux-x86-64.so.2", str(loader.readlink()))
    run(
        [
            *(str(real), "--library-path", str(stage / "usr/lib/x86_64-linux-gnu")),
            *(str(stage / "usr/bin/python3.11"), "-S", "-B", "-m", "compileall"),
            *("-q", "-s", str(root), "-p", "/", "--invalidation-mode", "unchecked-hash"),
            *(str(root / _PYTHON), str(root / _ZSTANDARD)),
        ],
        timeout_s=300,
        env={"PYTHONHOME": str(stage / "usr"), "PYTHONHASHSEED": "0", "PATH": os.environ["PATH"]},
    )


def _link_names(root: Path, links: tuple[tuple[str, str], ...]) -> None:
    for target, names in links:
        for name in names.split():
            link = root / "usr/sbin" / name
            if not os.path.lexists(link):
                link.symlink_to(target)


def _fill_from_busybox(root: Path) -> None:
    """Busybox answers to every name that no real program took."""
    for applet in run([str(root / "usr/bin/busybox"), "--list"], timeout_s=60).split():
        if not any(os.path.lexists(root / folder / applet) for folder in ("usr/bin", "usr/sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
