"""storcli and its relatives (perccli, storcli2, perccli2): MegaRAID and its HBAs, as JSON or as text.

Both forms are read into answers, answers into drives and volumes; the words of states and levels are in
`states`. What to ask and how its answers are joined is in `asking`, what changes a controller in `commands`.
"""

from metal.drivers.parsed import Parsed
from metal.drivers.raid.listing import Listing
from metal.drivers.raid.session import without_placeholders
from metal.drivers.raid.storcli.answers import TOOL, outcome
from metal.drivers.raid.storcli.forms import answers_of
from metal.drivers.raid.storcli.merge import controllers

__all__ = ["parse"]


def parse(text: str) -> Parsed[Listing]:
    """All controllers of one output or of a recorded session; raises Unparsable with the line."""
    answers, ignored = answers_of(text)
    found, placeholders = without_placeholders(controllers(answers))
    return Parsed(Listing(TOOL, outcome(answers), found), ignored, placeholders)
