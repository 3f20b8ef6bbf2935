"""The tree as a whole: map, import contracts, sizes, and words that do not belong into a repository."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS_IN = ("pxe_edge", "metal")
"""Packages whose map has a row per room."""
FILE_LINES, FUNCTION_LINES = 500, 60
# Put together here, so that this file is not its own finding.
FORBIDDEN = tuple(
    "".join(parts)
    for parts in (
        ("/wo", "rk/"),
        ("py", "pi."),
        ("python", "hosted"),
        ("deb.", "debian"),
        ("TO", "DO"),
        ("FIX", "ME"),
        ("NotImplemented", "Error"),
    )
)


def tracked(*patterns: str) -> list[str]:
    """Files under version control that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def mapped() -> set[str]:
    """Folders in the first column of the map in ARCHITECTURE.md."""
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    table = page.split("## The map", 1)[1].split("\n## ", 1)[0]
    first = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name.rstrip("/") for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def test_the_map_names_the_folders_that_exist() -> None:
    folders = {str(parent) for name in tracked() for parent in Path(name).parents}
    rooms = {
        "/".join(parts[: 2 if parts[0] in ROOMS_IN else 1])
        for name in tracked("*.py")
        if len(parts := Path(name).parts) > (2 if name.split("/")[0] in ROOMS_IN else 1)
    }

    assert mapped() - folders == set(), "the map names folders that are not there"
    assert rooms - mapped() == set(), "the map lacks rooms"


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_tests_are_no_packages_and_everything_else_is() -> None:
    """A tests/specs/__init__.py would make tests/specs become specs."""
    packages = {str(Path(name).parent) for name in tracked("*/__init__.py")}
    code = {str(Path(name).parent) for name in tracked("*.py") if "/" in name}
    loose = ("tests", "docs", "bench", "scripts", "pxe_edge/registry/migrations")

    assert {name for name in packages if name.startswith("tests")} == set()
    assert {name for name in code - packages if not name.startswith(loose)} == set()


def test_no_file_or_function_is_too_long_to_be_read() -> None:
    long = []
    for name in tracked("*.py"):
        text = (ROOT / name).read_text()
        if (lines := len(text.splitlines())) > FILE_LINES:
            long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{name}: {node.name}: {lines} lines")

    assert long == []


def test_no_file_names_an_index_a_local_path_or_an_open_end() -> None:
    found = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        found += [f"{name}: {word}" for word in FORBIDDEN if word in text]

    assert found == []


def test_every_locked_version_has_its_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if re.match(r"[a-z0-9]", line)]

    assert len(pinned) > 50
    assert [line for line in pinned if "==" not in line or not line.endswith("\\")] == []
