"""storcli's commands that change a controller, but for `add vd`: volumes, drives, foreign configurations."""

from collections.abc import Callable, Mapping
from typing import Final

from lab.raid import model
from lab.raid.model import Controller, Drive, Effect, Refusal
from lab.raid.storcli.adding import add_volumes
from lab.raid.storcli.answer import Answer, Dialect, Row
from lab.raid.storcli.listing import CLI_ERROR, drives_at, no_drives, volumes_at
from lab.raid.storcli.request import Malformed, Request
from lab.raid.storcli.rows import device_number, path, place

WRONG_STATE: Final = (50, "device state doesn't support requested command")
_NOT_ALLOWED: Final = (CLI_ERROR, "Operation not allowed.")
_UNKNOWN: Final = "unexpected TOKEN_UNKNOWN"
_HIGHEST_ID: Final = 239
"""storcli tells an id that can't be from one that is not there; storcli2 does not."""

Handler = Callable[[Request, Dialect, Controller, int], Answer]
Verb = Callable[[Controller, Drive, Request], list[Effect]]


def change(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    """Do what is asked. Raises Malformed for what the grammar has not."""
    by_kind: Mapping[str, Handler] = {
        "controller": _controller,
        "drive": _drives,
        "volume": _volumes,
        "foreign": _foreign,
    }
    handler = by_kind.get(request.kind)
    if handler is None or not request.words:
        raise Malformed("unexpected $end" if not request.words else _UNKNOWN)
    return handler(request, dialect, one, index)


def _controller(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    if request.begins("add", "vd"):
        return add_volumes(request, dialect, one, index)
    if request.words[0] == "set" and len(request.words) > 1 and request.words[1].startswith("jbod="):
        return _set_jbod_mode(request, dialect, one, index)
    raise Malformed(_UNKNOWN)


def _set_jbod_mode(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    """`set jbod=on` passes through all drives that are unconfigured, too: what most firmwares do."""
    value = request.option("jbod")
    if dialect.second or value not in ("on", "off") or request.words[2:] not in ((), ("force",)):
        raise Malformed(_UNKNOWN)
    if not one.limits.jbod:
        return Answer(index, "Un-supported command", ok=False, code=CLI_ERROR)
    passed = [drive for drive in one.drives if drive.condition == "jbod"]
    effects: list[Effect] = []
    if value == "off" and passed and not request.begins("set", "jbod=off", "force"):
        words = "Controller has JBOD drives! Use force option to confirm."
        return Answer(index, words, ok=False, code=CLI_ERROR)
    if value == "off":
        effects = [effect for drive in passed for effect in model.set_good(drive)]
    elif not one.jbod_mode:
        free = [drive for drive in one.drives if drive.condition == "good" and _is_free(drive)]
        effects = [effect for drive in free for effect in model.set_jbod(one, drive)]
    one.jbod_mode = value == "on"
    row: Row = {"Ctrl_Prop": "JBOD", "Value": value.upper()}
    return Answer(index, rows=[row], effects=effects)


def _is_free(drive: Drive) -> bool:
    return drive.foreign is None and not drive.spun_down and drive.group is None


# Drives.


def _drives(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    verb, succeeded, failed = _drive_verb(request, dialect)
    found, absent = drives_at(request, dialect, one, index)
    if not found or absent:
        return no_drives(dialect, index, absent)
    rows: list[Row] = []
    effects: list[Effect] = []
    code = 0
    for drive in found:
        try:
            effects += verb(one, drive, request)
        except _No as no:
            code = code or no.code
            rows.append(_drive_row(dialect, one, index, drive, no))
        except Refusal as refusal:
            refused = _No(*_refused(refusal))
            code = code or refused.code
            rows.append(_drive_row(dialect, one, index, drive, refused))
    if rows:
        return Answer(index, failed, ok=False, code=code, rows=rows, effects=effects)
    return Answer(index, succeeded, effects=effects)


class _No(Exception):
    """A drive's error: code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def _refused(refusal: Refusal) -> tuple[int, str]:
    return _NOT_ALLOWED if refusal.code == "no-jbod" else WRONG_STATE


def _drive_row(dialect: Dialect, one: Controller, index: int, drive: Drive, no: _No) -> Row:
    if not dialect.second:
        return {"Drive": path(index, drive), "Status": "Failure", "ErrCd": no.code, "ErrMsg": no.text}
    code, text, kind = no.code, no.text, "CLI"
    if (code, text) == WRONG_STATE:
        where = f"Enclosure Persistent Id:{drive.enclosure}, Slot Number:{drive.slot}"
        text = f"The requested operation is not possible because the PD is in the wrong state. {where}"
        code, kind = 9, "DCMD"
    head: Row = {"EID:Slt": place(drive).strip(), "PID": device_number(one, drive), "Status": "Failure"}
    return head | {"ErrType": kind, "ErrCd": code, "ErrMsg": text}


def _drive_verb(request: Request, dialect: Dialect) -> tuple[Verb, str, str]:
    """What to do with each drive, and the descriptions of success and failure."""
    words = tuple("delete" if word == "del" else word for word in request.words)
    forced = words[:-1] if words[-1] == "force" else words
    table: Mapping[tuple[str, ...], tuple[Verb, str]] = {
        ("set", "jbod"): (_jbod, "Set PD JBOD" if dialect.second else "Set Drive JBOD"),
        ("set", "offline"): (_offline, "Set Drive Offline"),
        ("set", "online"): (_online, "Set Drive Online"),
        ("spinup",): (_spin_up, "Spin Up Drive"),
        ("spindown",): (_spin_down, "Spin Down Drive"),
        ("start", "locate"): (_nothing, "Start Drive Locate"),
        ("stop", "locate"): (_nothing, "Stop Drive Locate"),
        ("delete", "hotsparedrive"): (_unspare, "Delete Hot Spare"),
        **(
            {("set", "uconf"): (_good, "Set PD UConf")}
            if dialect.second
            else {
                ("set", "good"): (_good, "Set Drive Good"),
                ("delete", "jbod"): (_good, "Delete Drive JBOD"),
            }
        ),
    }
    found = table.get(forced)
    if found is None and words[:2] == ("add", "hotsparedrive") and _spare_options(words[2:]):
        found = (_spare, "Add Hot Spare")
    if found is None and dialect.second and words[:2] == ("delete", "jbod"):
        raise Malformed("unexpected TOKEN_JBOD, expecting TOKEN_HOTSPARE_DRIVE")
    if found is None:
        raise Malformed(_UNKNOWN)
    verb, what = found
    return verb, f"{what} Succeeded.", f"{what} Failed."


def _spare_options(words: tuple[str, ...]) -> bool:
    return all(word.startswith("dgs=") or word in ("enclaffinity", "nonrevertible") for word in words)


def _jbod(one: Controller, drive: Drive, request: Request) -> list[Effect]:
    """Where the controller has a JBOD mode (all before 39xx), it has to be on."""
    if not request.second and not one.jbod_mode:
        raise _No(*_NOT_ALLOWED)
    return model.set_jbod(one, drive)


def _good(_: Controller, drive: Drive, request: Request) -> list[Effect]:
    if drive.condition == "jbod" and "force" not in request.words and not request.second:
        raise _No(CLI_ERROR, "Drive is JBOD! Use -force option to confirm.")
    if drive.condition in ("good", "online", "rebuilding"):
        raise _No(*(WRONG_STATE if request.second else _NOT_ALLOWED))
    if drive.condition == "spare" or drive.group is not None:
        raise _No(*WRONG_STATE)
    if drive.condition == "failed":
        drive.condition = "bad"
    return model.set_good(drive)


def _offline(one: Controller, drive: Drive, _: Request) -> list[Effect]:
    if drive.condition == "jbod":
        raise _No(CLI_ERROR, "Drive not found")
    if drive.condition not in ("online", "rebuilding"):
        raise _No(*WRONG_STATE)
    return model.fail(one, drive)


def _online(one: Controller, drive: Drive, _: Request) -> list[Effect]:
    """A failed member comes back; so do the volumes that were lost without it."""
    if drive.condition != "failed" or drive.group is None:
        raise _No(*WRONG_STATE)
    before = {plug.key for plug in model.plugged(one)}
    drive.condition = "online"
    return [plug for plug in model.plugged(one) if plug.key not in before]


def _spin_up(_: Controller, drive: Drive, __: Request) -> list[Effect]:
    if not drive.spun_down:
        raise _No(*WRONG_STATE)
    drive.spun_down = False
    return []


def _spin_down(_: Controller, drive: Drive, __: Request) -> list[Effect]:
    if drive.condition != "good" or drive.spun_down:
        raise _No(*WRONG_STATE)
    drive.spun_down = True
    return []


def _nothing(_: Controller, __: Drive, ___: Request) -> list[Effect]:
    return []


def _spare(one: Controller, drive: Drive, request: Request) -> list[Effect]:
    value = request.option("dgs")
    group: int | None = None
    if value is not None:
        first = value.split(",")[0]
        group = int(first) if first.isdigit() and len(first) < 6 else -1
        if all(volume.group != group for volume in one.volumes):
            raise _No(CLI_ERROR, "Invalid Drive Group")
        if drive.coerced_bytes < min(member.coerced_bytes for member in model.members(one, group)):
            raise _No(13, "disk doesn't have enough capacity")
    model.set_spare(drive, group)
    return []


def _unspare(_: Controller, drive: Drive, __: Request) -> list[Effect]:
    if drive.condition != "spare":
        raise _No(*WRONG_STATE)
    return model.set_good(drive)


# Volumes.


def _volumes(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    words = tuple("delete" if word == "del" else word for word in request.words)
    if words[:2] == ("delete", "preservedcache") and words[2:] in ((), ("force",)):
        return _discard(request, one, index)
    if words[0] == "delete" and set(words[1:]) <= {"force", "discardcache"}:
        return _delete(request, dialect, one, index)
    if words[0] == "set" and len(words) > 1:
        return _set(request, dialect, one, index)
    if words[:2] == ("start", "init") and set(words[2:]) <= {"full", "force"}:
        return _initialise(request, dialect, one, index)
    if dialect.second and words[:2] == ("start", "migrate"):
        raise Malformed(
            "unexpected TOKEN_MIGRATE, expecting TOKEN_ERASE or TOKEN_INIT or TOKEN_CC or TOKEN_LOCATE"
        )
    raise Malformed(_UNKNOWN)


def _discard(request: Request, one: Controller, index: int) -> Answer:
    wanted = list(one.pinned) if request.numbers is None else list(request.numbers)
    failed: list[Row] = [
        {"VD": vd, "Status": "Failed", "ErrCd": CLI_ERROR, "ErrMsg": "No preserved cache"}
        for vd in wanted
        if vd not in one.pinned
    ]
    one.pinned[:] = [vd for vd in one.pinned if vd not in wanted]
    if failed:
        return Answer(index, "Delete Preserved Cache Failed.", ok=False, code=CLI_ERROR, rows=failed)
    return Answer(index, "Virtual Drive preserved Cache Data Cleared.")


def _delete(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    found, absent = volumes_at(request.numbers, one)
    if absent:
        if not dialect.second and max(absent) <= _HIGHEST_ID:
            return Answer(index, "Some of the specified VDs does not exist", ok=False, code=CLI_ERROR)
        gone = [_volume_row(dialect, vd, "Invalid VD number") for vd in absent]
        return Answer(index, "Delete VD failed", ok=False, code=CLI_ERROR, rows=gone)
    if not found:
        return Answer(index, "No VDs have been configured")
    forced = "force" in request.words
    refused = [
        _volume_row(dialect, one_of.id, "VD has OS/FS, use 'force' option")
        for one_of in found
        if one_of.has_data and not forced
    ]
    if refused:
        return Answer(index, "Delete VD failed", ok=False, code=CLI_ERROR, rows=refused)
    effects: list[Effect] = []
    for volume in found:
        shown = model.volume_state(one, volume) != "offline"
        gone_now = model.delete(one, volume.id, forced=forced)
        effects += gone_now if shown else []
        if "discardcache" in request.words and volume.id in one.pinned:
            one.pinned.remove(volume.id)
    return Answer(index, "Delete VD succeeded", effects=effects, takes_s=2)


def _volume_row(dialect: Dialect, vd: int, text: str) -> Row:
    between: Row = {"ErrType": "CLI"} if dialect.second else {}
    head: Row = {"VD": vd} if dialect.second else {"VD": vd, "Operation": "Delete"}
    return head | {"Status": "Failed"} | between | {"ErrCd": CLI_ERROR, "ErrMsg": text}


_SETTINGS: Final[Mapping[str, tuple[str, str, Mapping[str, str]]]] = {
    "wrcache": ("wrCache", "Write Cache Policy", {"wb": "back", "awb": "back", "wt": "through"}),
    "rdcache": ("rdCache", "Read Cache Policy", {"ra": "ahead", "nora": "none"}),
    "iopolicy": ("IoPolicy", "", {"direct": "", "cached": ""}),
    "pdcache": ("PdCac", "Drive Write Cache Policy", {"on": "", "off": "", "default": ""}),
    "bootdrive": ("Boot Drive", "Boot Drive", {"on": "", "off": ""}),
}
"""Option -> what each tool calls it in its answer, and what its values mean for a volume."""


def _set(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    options = [word.partition("=")[::2] for word in request.words[1:]]
    _check_settings(options, dialect)
    found, absent = volumes_at(request.numbers, one)
    rows = [_setting_row(dialect, vd, options[0][0], "-", "Invalid VD number") for vd in absent]
    for volume in found:
        for name, value in options:
            if name == "name":
                volume.name = (request.option("name") or "")[:15]
            elif name == "wrcache":
                volume.write_cache = "through" if value == "wt" else "back"
            elif name == "rdcache":
                volume.read_cache = "ahead" if value == "ra" else "none"
            elif name == "bootdrive":
                for other in one.volumes:
                    other.boot = (other.boot or other is volume) and (value == "on") == (other is volume)
            rows.append(_setting_row(dialect, volume.id, name, value, ""))
    return Answer(index, ok=not absent, code=CLI_ERROR if absent else 0, rows=rows)


def _check_settings(options: list[tuple[str, str]], dialect: Dialect) -> None:
    """storcli2 takes one option a call, and none for the way of I/O."""
    if dialect.second and len(options) > 1:
        raise Malformed(f"unexpected TOKEN_{options[1][0].upper()}, expecting $end")
    for name, value in options:
        known = _SETTINGS.get(name)
        wrong = known is None or value not in known[2] or (dialect.second and not known[1])
        if wrong and not (name == "name" and value):
            raise Malformed(_UNKNOWN)


def _setting_row(dialect: Dialect, vd: int, name: str, value: str, error: str) -> Row:
    told = _SETTINGS.get(name, ("Name", "Name", {}))
    row: Row = {"VD": vd, "Property": told[1] if dialect.second else told[0], "Value": value.upper()}
    row["Status"] = "Failed" if error else "Success"
    if dialect.second:
        return row | {
            "ErrType": "CLI" if error else "-",
            "ErrCd": CLI_ERROR if error else "-",
            "ErrMsg": error or "-",
        }
    return row | {"ErrCd": CLI_ERROR if error else 0, "ErrMsg": error or "-"}


def _initialise(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    found, absent = volumes_at(request.numbers, one)
    rows = [_volume_row(dialect, vd, "Invalid VD number") for vd in absent]
    rows += [
        _volume_row(dialect, volume.id, "VD has OS/FS, use 'force' option")
        for volume in found
        if volume.has_data and "force" not in request.words
    ]
    if rows:
        return Answer(index, "Start INIT Operation Failed", ok=False, code=CLI_ERROR, rows=rows)
    for volume in found:
        volume.initialising, volume.has_data = 0.0, False
    return Answer(index, "Start INIT Operation Success")


def _foreign(request: Request, _: Dialect, one: Controller, index: int) -> Answer:
    """All foreign configurations: the grammar has no word for one of them."""
    if request.numbers is not None or request.words[0] not in ("del", "delete", "import"):
        raise Malformed(_UNKNOWN)
    if request.words[0] == "import":
        words = "Incomplete foreign configuration"
        return Answer(index, words, ok=not any(drive.foreign for drive in one.drives), code=59)
    if len(request.words) > 1 and not request.words[1].startswith("securitykey="):
        raise Malformed(_UNKNOWN)
    cleared = model.clear_foreign(one)
    words = "Successfully deleted foreign configuration"
    return Answer(index, words if cleared else "Couldn't find any foreign Configuration")
