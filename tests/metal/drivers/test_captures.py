"""Our parsers over outputs of real servers, where the collection is at hand."""

import json
import os
import re
from pathlib import Path

import pytest

from metal.drivers.bmc.ipmitool import parse_lan, parse_mc_info, parse_users
from metal.drivers.identity.dmi import parse_dmidecode
from metal.errors import Unparsable

CAPTURES = Path(os.environ.get("RACKFLOW_CAPTURES", "../shared/captures"))

pytestmark = pytest.mark.skipif(
    not (CAPTURES / "expected").is_dir(),
    reason=f"no captured outputs in {CAPTURES}: set RACKFLOW_CAPTURES to their folder",
)

IPMITOOL = {"ipmitool-mc": parse_mc_info, "ipmitool-lan": parse_lan, "ipmitool-user": parse_users}


def cases(tool: str):
    path = CAPTURES / "expected" / f"{tool}.json"
    return sorted(json.loads(path.read_text()).items()) if path.is_file() else []


def fits(expected, got) -> bool:
    """The rules of the collection: one of several readings, lists in any order, ids without punctuation."""
    if isinstance(expected, dict) and "__any__" in expected:
        return any(fits(one, got) for one in expected["__any__"])
    if isinstance(expected, dict) and "__items__" in expected:
        some = [any(fits(item, each) for each in got) for item in expected["__items__"]]
        return all(some) and len(got) == expected.get("__len__", len(got))
    if isinstance(expected, dict):
        return all(fits(value, getattr(got, key)) for key, value in expected.items() if hasattr(got, key))
    if isinstance(expected, str) and isinstance(got, str):
        return re.sub(r"[\s:.-]", "", expected.lower()) == re.sub(r"[\s:.-]", "", got.lower())
    return expected == got


@pytest.mark.parametrize(("path", "case"), cases("dmidecode"))
def test_machines_are_recognised(path, case):
    got = parse_dmidecode((CAPTURES / path).read_text(errors="replace"))
    assert fits(case["expect"].get("system") or {}, got)
    assert got.memory_bytes == (case["expect"].get("memory") or {}).get("total_bytes")


@pytest.mark.parametrize(("path", "case"), [c for c in cases("ipmitool") if c[1]["tool"] in IPMITOOL])
def test_bmcs_are_understood_or_refused(path, case):
    text = (CAPTURES / path).read_text(errors="replace")
    parse = IPMITOOL[case["tool"]]
    if case["unparsable"]:
        with pytest.raises(Unparsable):
            parse(text)
    elif case["tool"] == "ipmitool-user":
        assert fits(case["expect"]["users"], parse(text))
    else:
        assert fits(case["expect"], parse(text))
