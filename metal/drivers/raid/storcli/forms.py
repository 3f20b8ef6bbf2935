"""Which form a text of storcli has: JSON where a line begins with an object, else tables."""

from metal.drivers.raid.storcli.answers import TOOL, Answer
from metal.drivers.raid.storcli.json_form import json_answers
from metal.drivers.raid.storcli.text_form import text_answers
from metal.drivers.tool_text import json_documents, lines_of


def answers_of(text: str) -> tuple[tuple[Answer, ...], tuple[str, ...]]:
    """All answers of a text, and what was read past. Raises Unparsable."""
    if any(line.words.startswith("{") for line in lines_of(TOOL, text)):
        return json_answers(json_documents(TOOL, text, opening="{"))
    return text_answers(text)
