"""`python -m pxe_edge.api.body_reader`: reads large bodies in a process of its own.

Parsing and checking a megabyte of JSON holds an interpreter for tens of milliseconds in one go. In the edge's
own process that would be the packets' interpreter; `body_process` starts this one and asks it.

Over standard input and output, for each body: its length and its octets in; the length of a JSON object and
that object out, and behind it the texts whose lengths the object tells. The object is an `Answer`: a checked
reading, or what is wrong with the body in the words that FastAPI would have found. The end of the input ends
the process.
"""

import json
import os
import resource
import struct
import sys
from datetime import datetime
from typing import BinaryIO, Final, Literal

from pydantic import BaseModel, ValidationError

from pxe_edge import allocator
from pxe_edge.api.observation_body import ObservationBody
from pxe_edge.registry.readings import Identities, Reading
from specs.facts import SeenFrom

LENGTH: Final = struct.Struct("!I")
MEMORY_BYTES: Final = 256 << 20
"""Address space. A reading of 1 MiB takes 75 MiB, one of the smallest disks 106. More is a body of which
nothing is right, where hundreds of thousands of findings would be made."""
FINDINGS: Final = 10
"""More are not told."""
POLITENESS: Final = 5
"""Nice value: facts can wait, packets can't."""


class Answer(BaseModel):
    """What was made of a body; `texts` are the lengths of head and parts, which follow."""

    result: Literal["reading", "no-json", "unreadable", "invalid"]
    findings: list[tuple[list[str | int], str]] = []
    """Where and what, as pydantic says it."""
    position: int = 0
    message: str = ""
    epoch: int | None = None
    at: datetime | None = None
    seen_from: SeenFrom | None = None
    identities: Identities | None = None
    texts: dict[str, int] = {}


def answer(body: bytes) -> tuple[Answer, list[bytes]]:
    """Check one body; any octets bring an answer."""
    try:
        given = json.loads(body)
    except json.JSONDecodeError as error:
        return Answer(result="no-json", position=error.pos, message=error.msg), []
    except (ValueError, RecursionError):  # no UTF-8, a number of thousands of digits; brackets without end
        return Answer(result="unreadable"), []
    if given is None:  # what FastAPI takes for no body
        return Answer(result="invalid", findings=[(["body"], "Field required")]), []
    try:
        checked = ObservationBody.model_validate(given, from_attributes=True)  # as FastAPI does
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        findings = [(["body", *one["loc"]], one["msg"]) for one in wrong[:FINDINGS]]
        return Answer(result="invalid", findings=findings), []
    del given  # a megabyte of text is ten of objects
    found = checked.observation
    texts = {name: text.encode() for name, text in {"head": found.head, **found.parts}.items()}
    told = Answer(
        result="reading",
        epoch=checked.epoch,
        at=found.at,
        seen_from=found.seen_from,
        identities=found.identities,
        texts={name: len(text) for name, text in texts.items()},
    )
    return told, list(texts.values())


def reading(told: Answer, texts: dict[str, bytes]) -> Reading:
    """The checked reading of an answer."""
    assert told.at is not None
    assert told.seen_from is not None
    parts = {name: text.decode() for name, text in texts.items()}
    return Reading(told.at, told.seen_from, parts.pop("head"), parts, told.identities)


def serve(given: BinaryIO, out: BinaryIO) -> None:
    """Answer body after body until there are no more."""
    while len(head := given.read(LENGTH.size)) == LENGTH.size:
        told, texts = answer(given.read(*LENGTH.unpack(head)))
        said = told.model_dump_json().encode()
        out.writelines((LENGTH.pack(len(said)), said, *texts))
        out.flush()


def main() -> None:
    """Serve within limits, behind the packets."""
    allocator.keep_little()
    os.nice(POLITENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
