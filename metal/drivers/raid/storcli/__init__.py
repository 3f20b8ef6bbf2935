"""storcli and its relatives (perccli, storcli2, perccli2): MegaRAID and its HBAs, as JSON or as text.

Both forms are read into answers, answers into drives and volumes; the words of states and levels are in
`states`.
"""

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import Listing
from metal.drivers.raid.session import without_placeholders
from metal.drivers.raid.storcli.answers import TOOL, outcome
from metal.drivers.raid.storcli.json_form import json_answers
from metal.drivers.raid.storcli.merge import controllers
from metal.drivers.raid.storcli.text_form import text_answers
from metal.drivers.tool_text import json_documents, lines_of

__all__ = ["parse"]


def parse(text: str) -> Parsed[Listing]:
    """All controllers of one output or of a recorded session; raises Unparsable with the line."""
    if any(line.words.startswith("{") for line in lines_of(TOOL, text)):
        answers, ignored = json_answers(json_documents(TOOL, text, opening="{"))
    else:
        answers, ignored = text_answers(text)
    found, placeholders = without_placeholders(controllers(answers))
    return Parsed(Listing(TOOL, outcome(answers), found), ignored, placeholders)
