"""The kernel's modules and firmware: chosen by path, closed over dependencies, checked for the required."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

from bootos.steps import BuildError, run

FIRST_STAGE_MODULES = ("drivers/block/loop.ko", "fs/squashfs/*", "fs/overlayfs/*")
_DEPMOD_TIMEOUT_S = 300


def version(stage: Path) -> str:
    """The one kernel that was extracted."""
    found = sorted(path.name for path in (stage / "usr/lib/modules").iterdir())
    if len(found) != 1:
        raise BuildError(f"expected one kernel in {stage}/usr/lib/modules, got {found}")
    return found[0]


def dependencies(stage: Path, kernel: str) -> dict[str, tuple[str, ...]]:
    """Module path -> paths of the modules it needs, from depmod's table."""
    run(["depmod", "-b", str(stage), kernel], timeout_s=_DEPMOD_TIMEOUT_S)
    table = {}
    for line in (stage / "usr/lib/modules" / kernel / "modules.dep").read_text().splitlines():
        module, _, needs = line.partition(":")
        table[module] = tuple(needs.split())
    return table


def choose(table: dict[str, tuple[str, ...]], patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The modules that the patterns name ("!" takes away), and all that these need."""
    keep = [pattern for pattern in patterns if not pattern.startswith("!")]
    drop = [pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")]

    def named(module: str) -> bool:
        path = module.removeprefix("kernel/")
        return any(fnmatch(path, pattern) for pattern in keep) and not any(
            fnmatch(path, pattern) for pattern in drop
        )

    todo, chosen = [module for module in table if named(module)], set[str]()
    while todo:
        module = todo.pop()
        if module not in chosen:
            chosen.add(module)
            todo += table[module]
    return tuple(sorted(chosen))


def missing(required: tuple[str, ...], chosen: tuple[str, ...], builtin: str) -> list[str]:
    """Required modules that are neither chosen nor built into the kernel; - and _ are the same in a name."""
    built = (line.strip() for line in builtin.splitlines())
    have = {Path(path).name.removesuffix(".ko").replace("-", "_") for path in (*chosen, *built)}
    return [name for name in required if name.replace("-", "_") not in have]


def install(stage: Path, root: Path, kernel: str, chosen: tuple[str, ...], *, folder: str) -> None:
    """Copy modules below `folder` of the root and write depmod's tables for exactly these."""
    source, target = stage / "usr/lib/modules" / kernel, root / folder / kernel
    for module in chosen:
        (target / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / module, target / module)
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copy2(source / name, target / name)
    run(["depmod", "-b", str(root), kernel], timeout_s=_DEPMOD_TIMEOUT_S)


def firmware_wanted(root: Path, kernel: str) -> tuple[str, ...]:
    """File names below /lib/firmware that the installed modules ask for; patterns stay patterns."""
    modules = sorted(str(path) for path in (root / "usr/lib/modules" / kernel).rglob("*.ko"))
    lines = run(["modinfo", "-F", "firmware", *modules], timeout_s=_DEPMOD_TIMEOUT_S)
    return tuple(sorted(set(lines.split())))


def install_firmware(stage: Path, target: Path, wanted: tuple[str, ...]) -> list[str]:
    """Copy the wanted firmware files that the extracted packages have; the names that they don't have."""
    source, absent = stage / "usr/lib/firmware", []
    for name in wanted:
        found = [path for path in source.glob(name) if path.is_file()]
        if not found:
            absent.append(name)
        for path in found:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # links become files: their targets may be of another name that no module asks for
            shutil.copyfile(path, copy)
    return absent
