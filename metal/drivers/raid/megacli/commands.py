"""The commands of a recorded MegaCli session, and how each of them ended.

MegaCli ends each command with `Exit Code: 0xNN`. That number is no code where it counts controllers or
drives. Older versions, and people who publish an excerpt, leave the line out; then the sentences decide.
"""

import re
from dataclasses import dataclass
from typing import Final

from metal.drivers.raid.listing import Outcome
from metal.drivers.raid.megacli.vocabulary import FAILURE, NOTHING_THERE, SUCCESS
from metal.drivers.tool_text import Line

_EXIT = re.compile(r"^Exit Code\s*:\s*(0x[0-9a-f]{1,8}|\d{1,9})\s*$", re.IGNORECASE)
_PROMPT = re.compile(
    r"^(?:[^\s:]*[#$>%]\s*|\[[^\]]{1,100}\]\s*[#$>]?\s*|\S{1,100}[#$>]\s+)?(?:sudo\s+)?"
    r"\S*megacli\w*(?:\.exe)?\s+(?:-|(?:adp|ld|pd|cfg|enc|phy|show|fw|get|discard|help)\w)",
    re.IGNORECASE,
)
_SHELL = re.compile(r"^(?:\[[^\]]{1,100}\]|\S{1,60}@\S{1,60}?[:~]\S{0,60})\s?[#$](?:\s|$)|^[#$>]\s+\S")
_PROMPT_CHARACTERS: Final = 400
COUNT: Final = (
    r"(?:Controller Count|Number of (?:Virtual|Physical) (?:Drive|Disk)s?(?: Configured)? on Adapter \d{1,4}"
    r"|Number of Virtual Disks) ?: ?(\d{1,6})\.?$"
)
"""The line of -adpCount, -PDGetNum and -LDGetNum; -LdPdInfo and -EncInfo count, too."""
_COUNT = re.compile(COUNT, re.IGNORECASE)
_ADAPTER = re.compile(r"^Adapter\s*:?\s*\d{1,4}\s*:\s*", re.IGNORECASE)
_USAGE: Final = "-aN|"
"""In a line of the help, which begins like a command."""
_OWN: Final = re.compile(
    r"\bEncl(?:Id)? ?-\d|on Adapter \d|of Virtual Drive|Command Tool invoked|arrays must be specified"
    r"|Virtual Dis[ck] is associate|specified physical disk|controller is not present|FW error description",
    re.IGNORECASE,
)
_FW_ERROR: Final = "fw error description:"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the line that it was typed on, what it printed, and its number."""

    prompt: str | None
    lines: tuple[Line, ...]
    code: int | None


def is_prompt(line: Line) -> bool:
    """Whether it is a line that somebody typed: MegaCli with an option, or any command after a prompt."""
    if len(line.text) > _PROMPT_CHARACTERS:
        return False
    typed = _PROMPT.match(line.words) or _SHELL.match(line.words)
    return bool(typed) and _USAGE not in line.words


def split(lines: tuple[Line, ...]) -> tuple[Command, ...]:
    """Cut a session before each prompt and after each exit code."""
    found: list[Command] = []
    prompt: str | None = None
    said: list[Line] = []
    for line in lines:
        code = _EXIT.match(line.words)
        if code is not None:
            found.append(Command(prompt, tuple(said), int(code[1], 16 if "x" in code[1].lower() else 10)))
        elif is_prompt(line):
            if any(one.words for one in said):
                found.append(Command(prompt, tuple(said), None))
        else:
            said.append(line)
            continue
        prompt, said = (line.words if code is None else None), []
    if any(one.words for one in said):
        found.append(Command(prompt, tuple(said), None))
    return tuple(found)


def counts(command: Command) -> bool:
    """Whether its exit code is the number of things that it counted."""
    numbers = [int(match[1]) for line in command.lines if (match := _COUNT.match(line.words[:200]))]
    return bool(numbers) and command.code in {*numbers, sum(numbers), None}


def outcome_of(command: Command, statements: tuple[Line, ...], *, lists: bool) -> Outcome | None:
    """How a command ended; None where it does not say, or says only that there is nothing."""
    if counts(command) and not lists:
        return None
    texts = _texts(statements)
    nothing = any(NOTHING_THERE.search(text) for text in texts)
    if command.code == 0:
        return Outcome(ok=True, code=0)
    if command.code is not None:
        return None if nothing else Outcome(ok=False, code=command.code, message=_message(texts))
    if any(FAILURE.search(text) and not NOTHING_THERE.search(text) for text in texts):
        return Outcome(ok=False, message=_message(texts))
    if any(SUCCESS.search(text) for text in texts):
        return Outcome(ok=True)
    return None


def is_own(command: Command, statements: tuple[Line, ...]) -> bool:
    """Whether the sentences are MegaCli's: by its exit code, its command line or the words of one of them."""
    typed = "megacli" in (command.prompt or "").lower()
    return command.code is not None or typed or any(_OWN.search(line.words) for line in statements)


def together(outcomes: list[Outcome]) -> Outcome | None:
    """One outcome of several commands: the first failure, else success with the first number."""
    failed = next((one for one in outcomes if not one.ok), None)
    if failed is not None or not outcomes:
        return failed
    return Outcome(ok=True, code=next((one.code for one in outcomes if one.code is not None), None))


def _texts(statements: tuple[Line, ...]) -> tuple[str, ...]:
    """Sentences, those that were wrapped made whole, without the adapter's number."""
    found: list[str] = []
    last = 0
    for line in statements:
        words = " ".join(line.words.split())
        if found and line.number == last + 1 and words[:1].islower():
            found[-1] += f" {words}"
        else:
            found.append(_ADAPTER.sub("", words))
        last = line.number
    return tuple(text for text in found if text)


def _message(texts: tuple[str, ...]) -> str | None:
    """The first sentence that tells of a failure, with the firmware's reason where there is one."""
    first = next((text for text in texts if FAILURE.search(text)), texts[0] if texts else None)
    lowered = [text.lower() for text in texts]
    if first is None or _FW_ERROR not in lowered:
        return first
    reason = texts[lowered.index(_FW_ERROR) + 1 :][:1]
    if first.lower() == _FW_ERROR:
        return reason[0] if reason else None
    return f"{first.rstrip('.!')}. {reason[0]}" if reason else first
