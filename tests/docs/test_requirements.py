"""docs/edge.md: every requirement of the edge has a row, and every row names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "edge.md").read_text()
TABLE = PAGE.split("<!-- requirements -->\n")[1].split("<!-- end -->")[0]
ROWS = {
    cells[0]: cells[1:]
    for line in TABLE.splitlines()[2:]
    if (cells := [cell.strip() for cell in line.strip("|").split(" | ")])
}
ASKED = {
    f"{letter}{number}"
    for letter, last in {"D": 20, "R": 7, "P": 13, "V": 1, "T": 11, "H": 1}.items()
    for number in range(1, last + 1)
}


def functions_of(file: Path) -> set[str]:
    """The names of the test functions in a file."""
    return {
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_requirement_has_its_row() -> None:
    assert set(ROWS) == ASKED


@pytest.mark.parametrize("requirement", ROWS)
def test_a_row_names_tests_that_exist(requirement: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", ROWS[requirement][-1])

    assert named, "no proof"
    for file, test in named:
        assert (TESTS / file).is_file(), f"there is no tests/{file}"
        assert test in functions_of(TESTS / file), f"tests/{file} has no {test}"
