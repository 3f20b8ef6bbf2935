"""What every parser of a tool's text must hold against: any text, and any damage to a sample."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from metal.errors import Unparsable


def value_or_refusal(tool, parse, text):
    """Parse; the only error there may be names the tool. Give the value as JSON, or None."""
    try:
        return json.loads(json.dumps(parse(text).as_json()))
    except Unparsable as error:
        message = error.message
    assert message.startswith(f"{tool}: ")
    return None


def damaged(samples):
    """Samples with lines dropped, doubled, shuffled and cut, and with foreign lines between."""

    @st.composite
    def texts(draw):
        lines = draw(st.sampled_from(samples)).split("\n")
        keep = draw(st.lists(st.integers(0, len(lines) - 1), max_size=len(lines) + 3))
        if draw(st.booleans()):
            keep = sorted(set(range(len(lines))) - set(keep))
        chosen = [lines[place] for place in keep]
        if draw(st.booleans()):
            chosen.insert(draw(st.integers(0, len(chosen))), draw(st.text(max_size=40)))
        text = "\n".join(chosen)
        return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text

    return texts()


def never_anything_else(tool, parse, samples):
    """The property as a test: any text and any damaged sample gives a value or a refusal."""

    @settings(deadline=None)  # the machine may be busy with other things
    @given(st.one_of(st.text(), damaged(samples)))
    def test(text):
        value_or_refusal(tool, parse, text)

    return test
