"""ssacli, hpssacli and hpacucli over the model of a Smart Array controller.

A command is `ctrl TARGET… VERB WORDS`: the controller by slot, serial or chassis name, within it perhaps an
array, a logical drive or a physical drive. Whatever fails is printed on standard output with status 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from lab.raid.model import Controller, Drive, Limits, Refusal, Volume
from lab.raid.reply import Reply
from lab.raid.ssacli import changes, show
from lab.raid.ssacli.arrays import Array, arrays_of, free, settle
from lab.raid.ssacli.changes import Call, Question
from lab.raid.ssacli.words import (
    NO_CONTROLLERS,
    UNIDENTIFIED,
    Dialect,
    SsaError,
    address_of,
    is_address,
    unsupported,
)

FAMILY = "ssacli"
OBJECTS = {
    "array": "array", "ld": "ld", "logicaldrive": "ld", "pd": "pd", "physicaldrive": "pd",
}  # fmt: skip
VERBS = ("show", "create", "delete", "add", "remove", "modify", "rescan")
SELECTORS = {"slot": "index", "sn": "serial", "serialnumber": "serial", "ch": "model", "chassisname": "model"}
VERSION = "SSACLI Version: 4.15.6.0 2019\nSOULAPI Version: 4.15.6.0 2019"
GREETING = (
    "Smart Storage Administrator CLI 4.15.6.0\nDetecting Controllers...Done.\n"
    'Type "help" for a list of supported commands.\nType "exit" to close the console.\n\n=> '
)


@dataclass
class Target:
    """What a command is about; None where it names nothing of a kind."""

    controllers: list[Controller]
    every: bool = False
    arrays: list[Array] | None = None
    volumes: list[Volume] | None = None
    drives: list[Drive] | None = None
    single: bool = False
    """Whether the last thing was named and not meant by `all`: `show` then gives its details."""


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call; of the controllers those of this family are seen."""
    own = [one for one in controllers if one.family == FAMILY]
    dialect = Dialect(new=PurePosixPath(argv[0] if argv else FAMILY).name == FAMILY)
    words = [str(word) for word in argv[1:]]
    try:
        return _run(words, own, stdin, dialect)
    except SsaError as error:
        return Reply(f"\n{error}\n\n", status=1)
    except Refusal as refusal:
        return Reply(f"\n{changes.refused(refusal)}\n\n", status=1)
    except Question as question:
        return Reply(f"\n{question} ", asks=True)


def controller(
    drives: list[Drive],
    index: str = "0",
    *,
    model: str = "Smart Array P440ar",
    serial: str = "PDNLHRACK001",
    pci: str = "0000:03:00.0",
    mode: str = "raid",
    advanced: bool = True,
) -> Controller:
    """A controller with free drives: `mode` raid, mixed (Gen10, free drives are shown) or hba.

    Without `advanced` it lacks RAID 6 and spans, as an H240 or E208i does.
    """
    levels: tuple[str, ...] = ("raid0", "raid1", "raid5", "raid10")
    levels += ("raid1adm", "raid6", "raid10adm", "raid50", "raid60") if advanced else ()
    limits = Limits(
        () if mode == "hba" else levels,
        first_volume_id=1,
        strips=tuple(kib << 10 for kib in (256, 16, 32, 64, 128, 512, 1024)),
        unique_prefix="600508b1001c",
    )
    one = Controller(FAMILY, index, model, serial, "7.00", pci, limits, drives, jbod_mode=mode != "raid")
    settle(one, [])
    return one


def _run(words: list[str], own: list[Controller], stdin: str | None, dialect: Dialect) -> Reply:
    first = words[0].lower() if words else ""
    if first in ("version", "help", "?"):
        return Reply(f"\n{VERSION}\n\n")
    if not words:
        return Reply(GREETING, asks=True)
    if first == "rescan":
        return Reply("\n")
    if first not in ("ctrl", "controller"):
        raise SsaError(f'Error: Syntax error at "{words[0]}"')
    if not own:
        raise SsaError(NO_CONTROLLERS)
    target, rest = _target(words[1:], own)
    verb, rest = (rest[0].lower(), rest[1:]) if rest else ("", [])
    if verb not in VERBS:
        raise SsaError(f'Error: Syntax error at "{verb or words[-1]}"')
    if verb == "show":
        return Reply(_show(target, [one.lower() for one in rest], dialect) + "\n")
    if target.every or verb == "rescan":
        if verb == "rescan":
            return Reply("\n")
        raise SsaError(UNIDENTIFIED)
    return _change(target, verb, rest, stdin)


def _change(target: Target, verb: str, words: list[str], stdin: str | None) -> Reply:
    options: dict[str, str] = {}
    plain: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            options[key.lower()] = value if key.lower() == "logicaldrivelabel" else value.strip()
        else:
            plain.append(word.lower())
    forced = "forced" in plain
    plain = [one for one in plain if one not in ("forced", "override")]
    call = Call(target.controllers[0], options, forced, stdin)
    strange = plain[1:] if verb == "modify" else plain
    if strange:
        raise SsaError(f'Error: Syntax error at "{strange[0]}"')
    CHANGES[verb](call, target, plain)
    settle_effects = settle(call.controller, call.effects)
    said = "".join(f"\n{one}\n" for one in call.said)
    return Reply(said + ("\n" if said else ""), effects=tuple(settle_effects), takes_s=call.takes_s)


def _create(call: Call, target: Target, _: list[str]) -> None:
    if target.volumes is not None or target.drives is not None or len(target.arrays or [1]) != 1:
        raise SsaError('Error: Syntax error at "create"')
    changes.create(call, target.arrays[0] if target.arrays else None)


def _delete(call: Call, target: Target, _: list[str]) -> None:
    if target.drives is not None or call.options:
        raise SsaError('Error: Syntax error at "delete"')
    volumes = target.volumes
    if volumes is None:
        arrays = arrays_of(call.controller) if target.arrays is None else target.arrays
        volumes = [one for array in arrays for one in array.volumes]
    if not volumes:
        raise show.nothing("logical")
    changes.delete(call, volumes)


def _spares(call: Call, target: Target) -> list[Array]:
    """The arrays whose spares are meant. A volume's number stands for its array where it is alone there."""
    if set(call.options) != {"spares"}:
        raise SsaError('Error: Syntax error at "spares"')
    arrays = target.arrays or []
    if target.volumes is not None:
        arrays = [one for one in arrays_of(call.controller) if any(v in one.volumes for v in target.volumes)]
        if any(len(one.volumes) > 1 for one in arrays):
            raise unsupported("Array has several logical drives")  # no text seen
    if not arrays:
        raise SsaError('Error: Syntax error at "spares"')
    return arrays


def _add(call: Call, target: Target, _: list[str]) -> None:
    changes.add_spares(call, _spares(call, target))


def _remove(call: Call, target: Target, _: list[str]) -> None:
    changes.remove_spares(call, _spares(call, target))


def _modify(call: Call, target: Target, words: list[str]) -> None:
    if target.volumes is not None:
        if not call.options or words:
            raise SsaError('Error: Syntax error at "modify"')
        for volume in target.volumes:
            changes.modify_volume(call, volume)
    elif target.drives is not None:
        for drive in target.drives:
            changes.modify_drive(call, drive, words)
    elif target.arrays is not None or words:
        raise SsaError('Error: Syntax error at "modify"')
    else:
        changes.modify_controller(call)


CHANGES: dict[str, Callable[[Call, Target, list[str]], None]] = {
    "create": _create, "delete": _delete, "add": _add, "remove": _remove, "modify": _modify,
}  # fmt: skip


def _target(words: list[str], own: list[Controller]) -> tuple[Target, list[str]]:
    """What the words before the verb name."""
    if not words:
        raise SsaError(UNIDENTIFIED)
    key, equals, value = words[0].partition("=")
    if words[0].lower() == "all":
        target = Target(own, every=len(own) != 1)
    elif equals and key.lower() in SELECTORS:
        known = SELECTORS[key.lower()]
        found = [one for one in own if getattr(one, known).lower() == value.strip('"').lower()]
        if not found:
            raise SsaError(f'Error: The controller identified by "{words[0]}" was not detected.')
        target = Target(found[:1])
    else:
        raise SsaError(UNIDENTIFIED)
    rest = words[1:]
    while rest and rest[0].lower() in OBJECTS:
        if target.every:
            raise SsaError(UNIDENTIFIED)
        if len(rest) < 2:
            raise SsaError(f'Error: Syntax error at "{rest[0]}"')
        _narrow(target, OBJECTS[rest[0].lower()], rest[1])
        rest = rest[2:]
    return target, rest


def _narrow(target: Target, kind: str, name: str) -> None:
    """Take an array, volumes or drives, within an array where one was named before."""
    here = target.controllers[0]
    arrays = arrays_of(here) if target.arrays is None else target.arrays
    wanted = name.lower().split(",")
    target.single = name.lower() not in ("all", "allunassigned")
    if kind == "array":
        found = [one for one in arrays if name.lower() == "all" or one.letter.lower() in wanted]
        _found(found, "array", name, arrays)
        target.arrays = found
    elif kind == "ld":
        volumes = [one for array in arrays for one in array.volumes]
        chosen = [one for one in volumes if name.lower() == "all" or str(one.id) in wanted]
        _found(chosen, "logical", name, volumes)
        target.volumes = chosen
    else:
        inside = [one for array in arrays for one in (*array.drives, *array.spares)]
        every = inside if target.arrays is not None else _seen(here)
        if name.lower() == "allunassigned":
            drives = free(here)
        else:
            drives = [one for one in every if name.lower() == "all" or address_of(one).lower() in wanted]
        if target.single and not all(map(is_address, wanted)):
            raise SsaError(f'Error: Syntax error at "{name}"')
        _found(drives, "physical", name, every)
        target.drives = drives


def _seen(controller: Controller) -> list[Drive]:
    inside = {id(one) for array in arrays_of(controller) for one in array.drives}
    return [one for one in controller.drives if one.condition != "missing" or id(one) in inside]


def _found(chosen: Sequence[object], kind: str, name: str, every: Sequence[object]) -> None:
    if not every or (not chosen and name.lower() in ("all", "allunassigned")):
        raise show.nothing(kind)
    if not chosen:
        raise SsaError(f'Error: The specified device "{name}" was not found.')  # no text seen


def _show(target: Target, words: list[str], dialect: Dialect) -> str:
    how = " ".join(words)
    one = target.controllers[0]
    narrowed = [target.volumes, target.drives, target.arrays]
    if all(part is None for part in narrowed):
        if how not in ("", "detail", "status", "config", "config detail"):
            raise SsaError(f'Error: Syntax error at "{words[-1]}"')
        shown = show.controllers(target.controllers, how, dialect)
        return shown if how else f"\n{shown}\n"
    if how not in ("", "detail", "status"):
        raise SsaError(f'Error: Syntax error at "{words[-1]}"')
    how = how or ("detail" if target.single else "")
    if target.volumes is not None:
        return show.volumes(one, target.volumes, how, dialect)
    if target.drives is not None:
        return show.drives(one, target.drives, how, dialect)
    return show.arrays(one, target.arrays or [], how, dialect)
