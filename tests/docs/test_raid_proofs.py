"""The table of what is proven of each RAID family: its tests are there, and no family is left out."""

import ast
from pathlib import Path

import pytest

from lab.raid.proofs import PROOFS
from metal.drivers.raid import FAMILIES as DRIVERS
from metal.planning.raid.families import FAMILIES, SOFTWARE
from tests.metal.engine.raid_machine import KINDS
from tests.rack.test_raid import CASES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("test", sorted({one.test for one in PROOFS}))
def test_a_proof_is_a_test_that_is_there(test):
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}


def test_every_family_is_read_from_captures_and_walked_whole():
    names = {family.name for family in DRIVERS}
    assert names | {SOFTWARE} == set(FAMILIES) == {name for one in PROOFS for name in one.families}
    walked = {name for one in PROOFS if "whole installation" in one.operation for name in one.families}
    assert walked == names == set(KINDS)
    assert {name for one in PROOFS if one.how == "capture" for name in one.families} == names | {SOFTWARE}


def test_levels_are_those_that_the_planner_may_choose():
    for one in PROOFS:
        for family in one.families:
            known = FAMILIES[family]
            assert set(one.levels) <= {*known.levels, *known.newer_levels}, one


def test_what_the_rack_walks_is_in_the_table():
    walked = {
        name for one in PROOFS if one.test.startswith("tests/rack/test_raid.py") for name in one.families
    }
    assert walked == {SOFTWARE if case.tool is None else name for name, case in CASES.items()}
