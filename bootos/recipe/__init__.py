"""The recipe of the boot OS: lists of packages, programs, files and modules, and the first-stage script."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """The lists that say what goes into the boot OS; one line of a list file is one entry."""

    packages: tuple[str, ...]
    firmware_packages: tuple[str, ...]
    programs: tuple[str, ...]
    files: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    python_left_out: tuple[str, ...]
    modules: tuple[str, ...]
    modules_required: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    first_stage: str


def load(folder: Path = HERE) -> Recipe:
    """Read the list files."""
    return Recipe(
        packages=_entries(folder / "packages.txt"),
        firmware_packages=_entries(folder / "firmware-packages.txt"),
        programs=_entries(folder / "programs.txt"),
        files=_entries(folder / "files.txt"),
        links=_pairs(folder / "links.txt"),
        python_left_out=_entries(folder / "python.txt"),
        modules=_entries(folder / "modules.txt"),
        modules_required=_entries(folder / "modules-required.txt"),
        left_out=_pairs(folder / "left-out.txt"),
        first_stage=(folder / "first-stage.sh").read_text(),
    )


def digest(*parts: str | tuple[str, ...]) -> str:
    """One sha256 over texts and lists, unambiguous: every part is preceded by its length."""
    total = hashlib.sha256()
    for part in parts:
        entries = (part,) if isinstance(part, str) else part
        for entry in (str(len(entries)), *entries):
            encoded = entry.encode()
            total.update(len(encoded).to_bytes(8, "big") + encoded)
    return total.hexdigest()


def _entries(path: Path) -> tuple[str, ...]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def _pairs(path: Path) -> tuple[tuple[str, str], ...]:
    pairs = []
    for line in _entries(path):
        first, tab, second = line.partition("\t")
        if not tab:
            raise ValueError(f"{path}: expected NAME<tab>TEXT, got {line!r}")
        pairs.append((first, second.strip()))
    return tuple(pairs)
