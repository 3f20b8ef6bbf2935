"""storcli64, perccli64 and storcli2, emulated: MegaRAID controllers, and what they say of mpt3sas HBAs.

    request   a command line, taken apart
    answer    what a controller answers, as text and as JSON
    rows      drives, volumes and groups as rows of tables, in the words of each tool
    listing   the commands that show something
    changes   the commands that change something
    hba       what storcli shows of HBAs, on which it makes no volumes
    sample    controllers to begin with

Forms, texts and codes are those of captures and of transcripts in public runbooks; what is from neither is
told where it stands. storcli ends with the error's code, storcli2 with 0 also where it failed.
"""

from collections.abc import Sequence

from lab.raid.model import Controller
from lab.raid.reply import Reply
from lab.raid.storcli.answer import Answer, Dialect, reply, syntax_error
from lab.raid.storcli.changes import change
from lab.raid.storcli.hba import answer_of_hba, is_hba
from lab.raid.storcli.listing import overview, show
from lab.raid.storcli.request import Malformed, Request, parse
from lab.raid.storcli.sample import controller

__all__ = ["controller", "run"]

_HELP = "     StorCli SAS Customization Utility Ver {version}\n\nstorcli -v\nstorcli show\nstorcli /cx show\n"
_NOT_FOUND = "Controller {index} not found"


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call, changing the controllers' state. Never raises, whatever is asked."""
    try:
        request = parse(argv)
    except Malformed as error:
        second = bool(argv) and str(argv[0]).lower().endswith("cli2")
        return syntax_error(Dialect(second), f"syntax error, {error}")
    dialect = Dialect(request.second)
    seen = _seen(controllers, second=request.second)
    if request.kind == "system":
        return _of_system(request, dialect, seen)
    if request.begins("flasherase") and request.kind == "controller":
        return _erase(dialect, stdin)
    if not seen:
        answer = Answer(None, "No Controller found", ok=request.second, code=255)
        return reply([answer], dialect, as_json=request.as_json)
    wanted = range(len(seen)) if request.controllers is None else request.controllers
    try:
        answers = [_of_controller(request, dialect, seen, index) for index in wanted]
    except Malformed as error:
        return syntax_error(dialect, f"syntax error, {error}")
    return reply(answers, dialect, as_json=request.as_json)


def _seen(controllers: Sequence[Controller], *, second: bool) -> list[Controller]:
    """What a tool lists, by its own numbers: HBAs come after the controllers that it works with."""
    if second:
        return [one for one in controllers if one.family == "storcli2"]
    own = [one for one in controllers if one.family == "storcli"]
    return [*own, *(one for one in controllers if is_hba(one))]


def _of_system(request: Request, dialect: Dialect, seen: Sequence[Controller]) -> Reply:
    if not request.words or request.words[0] in ("help", "-h", "-help", "?", "-?", "-v", "version", "ver"):
        return Reply(_HELP.format(version=dialect.version))
    if request.words[0] != "show" or request.words[1:] not in ((), ("all",), ("ctrlcount",)):
        return syntax_error(dialect, "syntax error, unexpected TOKEN_UNKNOWN")
    answer = overview(request, dialect, [one for one in seen if not is_hba(one)], list(filter(is_hba, seen)))
    return reply([answer], dialect, as_json=request.as_json)


def _of_controller(request: Request, dialect: Dialect, seen: Sequence[Controller], index: int) -> Answer:
    if index >= len(seen):
        return Answer(index, _NOT_FOUND.format(index=index), ok=False, code=255)
    one = seen[index]
    if is_hba(one):
        return answer_of_hba(request, dialect, one, index)
    if request.begins("show"):
        return show(request, dialect, one, index)
    return change(request, dialect, one, index)


def _erase(dialect: Dialect, stdin: str | None) -> Reply:
    """Erase the flash: the one command that asks. It is never done here, whatever is answered."""
    question = "This operation will erase the flash. Please type 'Yes' to continue: "
    if stdin is None:
        return Reply(question, asks=True)
    return syntax_error(dialect, "Operation aborted by the user")
