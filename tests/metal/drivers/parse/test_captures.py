"""Every parser over outputs of real servers, whole and damaged, where the collection is at hand."""

import json
import random
import zlib

import pytest

from metal.drivers.tools import find_tool
from metal.errors import Unparsable
from tests.metal.drivers.parse.collection import ABSENT, CAPTURES, Case, cases, differences

ALL = cases()
COUNTED = [case for case in ALL if not case.skipped]

pytestmark = pytest.mark.skipif(not (CAPTURES / "expected").is_dir(), reason=ABSENT)


def by_path(case: Case) -> str:
    return case.path


@pytest.mark.parametrize("case", COUNTED, ids=by_path)
def test_it_is_read_as_expected(case):
    if case.unparsable:
        with pytest.raises(Unparsable):
            find_tool(case.tool).parse(case.text)
        return
    # Through JSON, as `rackflow parse` prints it.
    got = json.loads(json.dumps(find_tool(case.tool).parse(case.text).as_json()))
    assert differences(case.expect, got) == []


def damaged(case: Case):
    """Cut, doubled, mixed, re-wrapped and poisoned versions of a text, the same in each run."""
    text = case.text
    dice = random.Random(zlib.crc32(case.path.encode()))
    lines = text.split("\n")
    for quarter in (1, 2, 3):
        yield f"cut at {quarter}/4", text[: len(text) * quarter // 4]
    for _ in range(3):
        yield "cut at a line", "\n".join(lines[: dice.randrange(len(lines))])
        place = dice.randrange(len(lines))
        yield "a line twice", "\n".join([*lines[:place], lines[place], *lines[place:]])
        gone = dice.randrange(len(lines))
        yield "a line gone", "\n".join(lines[:gone] + lines[gone + 1 :])
    yield "twice", text + "\n" + text
    yield "mixed", text + "\n" + dice.choice(ALL).text
    width = dice.choice((40, 72, 80))
    yield (
        "wrapped",
        "\n".join(line[at : at + width] for line in lines for at in range(0, len(line) or 1, width)),
    )
    poison = "".join(
        chr(dice.randrange(0x110000 - 0x800)) if dice.random() < 0.3 else "\0" for _ in range(40)
    )
    poison = poison.encode("utf-8", "replace").decode("utf-8", "replace")
    place = dice.randrange(len(text) + 1)
    yield "poisoned", text[:place] + poison + text[place:]
    yield "carriage returns", text.replace("\n", "\r\n")


@pytest.mark.parametrize("case", ALL, ids=by_path)
def test_damaged_it_is_read_or_refused(case):
    tool = find_tool(case.tool)
    refusals = [refusal(tool, text) for _, text in damaged(case)]
    assert [told for told in refusals if told and not told.startswith(tool.name)] == []


def refusal(tool, text):
    """What a parser says against a text; None where it reads it. Any other exception is a defect."""
    try:
        json.dumps(tool.parse(text).as_json())
    except Unparsable as error:
        return error.message
    return None
