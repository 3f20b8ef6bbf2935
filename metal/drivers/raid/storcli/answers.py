"""What one storcli command answered, in one form for JSON and text.

An answer has a status block, and sections: titled groups of `key = value` and rows of tables, whose
columns have the same names in JSON and in text. All texts are the tool's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.raid.listing import Outcome
from metal.drivers.tool_text import number

TOOL: Final = "storcli"
Row = Mapping[str, str]

NO_CONTROLLER: Final = "no controller found"
_NONE_WORDS: Final = frozenset({"", "-", "none", "na", "n/a"})
_FAILURES: Final = frozenset({"failure", "failed", "fail"})
_NO_VOLUMES: Final = ("no vd's have been configured", "no vds have been configured", "no vd found")
_NO_FOREIGN: Final = ("couldn't find any foreign", "no foreign configuration")


@dataclass(frozen=True, slots=True)
class Section:
    """One titled part of an answer."""

    title: str
    values: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of one controller to one command; `command` is what a recorded session shows."""

    controller: str | None = None
    status: str | None = None
    description: str | None = None
    command: str | None = None
    sections: tuple[Section, ...] = ()

    @property
    def says(self) -> str:
        """The description in lower case, empty where there is none."""
        return (self.description or "").lower()

    @property
    def without_controller(self) -> bool:
        """`No Controller found`: nothing there, printed as Failure (perccli) or Success (storcli2)."""
        return self.says.startswith(NO_CONTROLLER)

    @property
    def without_volumes(self) -> bool:
        """`No VD's have been configured.`, a Success in 007 and a Failure elsewhere."""
        return self.says.startswith(_NO_VOLUMES)

    @property
    def without_foreign(self) -> bool:
        """`Couldn't find any foreign Configuration`."""
        return self.says.startswith(_NO_FOREIGN)


def stated(text: str | None) -> str | None:
    """A text that says something: not empty, "-", "None", "NA" or "N/A"."""
    plain = (text or "").strip()
    return None if plain.lower() in _NONE_WORDS else plain


def outcome(answers: Sequence[Answer]) -> Outcome | None:
    """All answers as one: the first failure with its code and message, else success."""
    told = [one for one in map(_outcome, answers) if one is not None]
    if not told:
        return None
    failed = next((one for one in told if not one.ok), None)
    return failed or Outcome(True, next((one.code for one in told if one.code is not None), None))


def _outcome(answer: Answer) -> Outcome | None:
    """One answer's outcome.

    `Status` alone lies both ways: a Success may hold failed rows, and "nothing there" may be a Failure.
    """
    if answer.status is None or answer.without_controller:
        return None
    rows = tuple(_result_rows(answer.sections))
    bad = [row for row in rows if _is_bad(row)]
    if answer.status.lower() == "success" and not bad:
        codes = (number(row.get("ErrCd")) for row in rows)
        return Outcome(True, next((code for code in codes if code is not None), None))
    if answer.without_volumes and not bad:
        return None
    codes = (number(row.get("ErrCd")) for row in bad or rows)
    messages = (stated(row.get("ErrMsg")) for row in bad or rows)
    return Outcome(
        False,
        next((code for code in codes if code is not None), None),
        next((message for message in messages if message), stated(answer.description)),
    )


def _result_rows(sections: Sequence[Section]) -> Iterator[Row]:
    for section in sections:
        for row in section.rows:
            if "ErrCd" in row or section.title == "Detailed Status":
                yield row


def _is_bad(row: Row) -> bool:
    return row.get("Status", "").lower() in _FAILURES or bool(number(row.get("ErrCd")))
