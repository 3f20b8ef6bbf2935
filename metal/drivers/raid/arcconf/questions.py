"""What arcconf is asked for a whole view of its controllers, and its answers joined.

GETCONFIG names no controller, so each is asked for by its number, from 1. How many there are stands at the
head of every answer; as many must have answered whole, up to the line that says so.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.arcconf import parse
from metal.drivers.raid.listing import Controller, Drive
from metal.errors import Unparsable
from metal.protocols import Output

NO_LOGS: Final = "nologs"
TIMEOUT_S: Final = 60
MOST: Final = 4
"""Controllers that are asked for; more than two are in no machine that is sold."""
_FOUND = re.compile(r"^\s*Controllers found ?: ?(\d{1,4})\s*$", re.IGNORECASE | re.MULTILINE)
_COMPLETED: Final = "command completed successfully."


def queries(tool: str) -> tuple[Query, ...]:
    """All of each controller there may be; those that are not there answer with an error."""
    numbers = range(1, MOST + 1)
    return tuple(
        Query(f"arcconf-{number}", (tool, "GETCONFIG", str(number), "AL", NO_LOGS), TIMEOUT_S)
        for number in numbers
    )


def controllers(answers: Mapping[str, Output]) -> tuple[Controller, ...]:
    """Join the answers. Raises Unparsable where one is missing, cut off or refused."""
    count = _count(answers["arcconf-1"])
    if count > MOST:
        raise Unparsable(f"arcconf finds {count} controllers, of which {MOST} are asked for")
    return tuple(_controller(str(number), answers[f"arcconf-{number}"]) for number in range(1, count + 1))


def _count(answer: Output) -> int:
    match = _FOUND.search(answer.stdout)
    if match is None:
        head = next((line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()), "")
        raise Unparsable(f"arcconf does not count its controllers: {head.strip()[:200] or 'no answer'}")
    return int(match[1])


def _controller(number: str, answer: Output) -> Controller:
    asked = " ".join(answer.argv)
    last = next((line.strip() for line in reversed(answer.stdout.splitlines()) if line.strip()), "")
    if last.lower() != _COMPLETED:
        told = last[:100] or answer.stderr.strip()[:100] or "nothing"
        raise Unparsable(f"the answer to {asked} does not end as a whole one, but with: {told}")
    found = parse(answer.stdout).value.controllers
    if len(found) != 1 or found[0].model is None:
        raise Unparsable(f"{asked} tells of {len(found)} controllers, of one")
    drives = (replace(one, state="foreign") if is_stale(found[0], one) else one for one in found[0].drives)
    return replace(found[0], index=number, drives=tuple(drives))


def is_stale(controller: Controller, drive: Drive) -> bool:
    """Whether a drive that is ready holds a configuration of another controller ("stale RIS data")."""
    told = f"drive {drive.address}: configuration of another controller"
    stale = any(one.kind == "foreign-config" and one.text == told for one in controller.conditions)
    return stale and drive.state in ("unconfigured", "foreign", "jbod")
