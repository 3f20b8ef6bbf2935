"""sas2ircu and sas3ircu over the model of an adapter with Integrated RAID, or with IT firmware.

Outputs of LIST, DISPLAY, STATUS and BOOTIR are those of sessions seen, as are STATUS without volumes and
LIST without an adapter. Of CREATE, DELETEVOLUME and HOTSPARE none was found: their lines follow the form
of the others, the questions and the texts of refusals are from general knowledge.

A configuration that another adapter left on drives is a volume here, an inactive one, and is deleted as
such. Free drives are shown to the system; spares serve all volumes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lab.raid import exposing, model
from lab.raid.ircu import show
from lab.raid.model import MIB, Controller, Drive, Effect, Limits, Refusal, Volume
from lab.raid.reply import Reply

FAMILIES = ("sas2ircu", "sas3ircu")
BANNERS = {
    "sas2ircu": (
        "LSI Corporation SAS2 IR Configuration Utility.\nVersion 20.00.00.00 (2014.09.18) \n"
        "Copyright (c) 2008-2014 LSI Corporation. All rights reserved. \n\n"
    ),
    "sas3ircu": (
        "Avago Technologies SAS3 IR Configuration Utility.\nVersion 16.00.00.00 (2017.04.26) \n"
        "Copyright (c) 2009-2017 Avago Technologies. All rights reserved. \n\n"
    ),
}
HEAD = """

         Adapter      Vendor  Device                       SubSys  SubSys
 Index    Type          ID      ID    Pci Address          Ven ID  Dev ID
 -----  ------------  ------  ------  -----------------    ------  ------
"""
LEVELS = {"RAID0": "raid0", "RAID1": "raid1", "RAID1E": "raid1e", "RAID10": "raid10"}
COUNTS = {"raid0": range(2, 11), "raid1": range(2, 3), "raid1e": range(3, 11), "raid10": range(4, 11, 2)}
MOST_DISKS, MOST_SPARES = 14, 2
PREFIX = "600508e000000000"
FIRST_ID = 322
QUESTIONS = {
    "CREATE": "You are about to create an IR volume.\n\nWARNING: Proceeding with this operation may cause"
    " data loss or data\n         corruption. Are you sure you want to proceed (YES/NO)? ",
    "DELETEVOLUME": "You are about to delete an IR volume.\n\nWARNING: All data on this volume will be lost!"
    " Are you sure you want\n         to proceed (YES/NO)? ",
    "DELETE": "You are about to delete all RAID volumes and hot spares.\n\nWARNING: All data on all RAID"
    " volumes will be lost! Are you sure you\n         want to proceed (YES/NO)? ",
}
WAIT = "Please wait, may take up to a minute...\n"


class IrError(Exception):
    """The tool refuses: what it says, and its status."""

    def __init__(self, told: str, status: int = 1) -> None:
        super().__init__(told)
        self.told, self.status = told, status


class Question(Exception):
    """The tool asks, and nobody answers."""


@dataclass
class Call:
    """One command on one adapter; `word` as it was typed."""

    tool: str
    controller: Controller
    word: str
    words: list[str]
    stdin: str | None
    effects: list[Effect] = field(default_factory=list)
    takes_s: float = 0.0

    def confirm(self) -> None:
        """Both questions, of which the second is asked the other way round. Raises where not answered so."""
        if "NOPROMPT" in map(str.upper, self.words):
            self.words = [one for one in self.words if one.upper() != "NOPROMPT"]
            return
        answers = (self.stdin or "").upper().split()
        if len(answers) < 2:
            raise Question(QUESTIONS[self.word.upper()])
        if answers[0] not in ("Y", "YES") or answers[1] not in ("N", "NO"):
            raise IrError("Command was aborted by the user.")


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call; the program's name says which generation of adapters is seen."""
    tool = PurePosixPath(argv[0] if argv else "").name.lower()
    tool = tool if tool in FAMILIES else FAMILIES[0]
    own = [one for one in controllers if one.family == tool]
    words = [str(one) for one in argv[1:]]
    prefix = tool.upper()
    if not words:
        return Reply(BANNERS[tool] + _usage(prefix), status=1)
    if words[0].upper() == "LIST" and len(words) == 1:
        return _list(tool, own)
    if not words[0].isdecimal() or len(words) < 2 or words[1].upper() not in COMMANDS:
        return Reply(BANNERS[tool] + f"{prefix}: Invalid command.\n" + _usage(prefix), status=1)
    found = next((one for one in own if one.index == words[0]), None)
    if found is None:
        return Reply(f"{BANNERS[tool]}{prefix}: No Controller Found at index {words[0]}.\n", status=2)
    call = Call(tool, found, words[1], words[2:], stdin)
    return _answer(call)


def controller(
    drives: list[Drive],
    index: str = "0",
    *,
    family: str = "sas3ircu",
    model: str = "SAS3008",
    serial: str = "IR00001",
    pci: str = "0000:01:00.0",
    raid: bool = True,
) -> Controller:
    """An adapter with free drives; without `raid` it runs IT firmware. Octets of its ids are of `serial`."""
    limits = Limits(
        tuple(LEVELS.values()) if raid else (),
        most_volumes=2,
        most_drives=10,
        first_volume_id=FIRST_ID,
        strips=(65536,),
        unique_prefix=PREFIX,
    )
    one = Controller(family, index, model, serial, "16.00.10.00", pci, limits, drives)
    exposing.expose(one)
    return one


def _answer(call: Call) -> Reply:
    banner, prefix = BANNERS[call.tool], call.tool.upper()
    word = call.word.upper()
    try:
        said = COMMANDS[word](call)
    except Question as question:
        return Reply(f"{banner}{question}", asks=True)
    except (IrError, Refusal) as error:
        told = error.told if isinstance(error, IrError) else REFUSALS.get(error.code, "Operation failed.")
        failed = f"{prefix}: {told}\n{prefix}: Error executing command {word}.\n"
        return Reply(banner + failed, status=error.status if isinstance(error, IrError) else 1)
    named = call.word if word in ("BOOTIR", "ALTBOOTIR") else word
    closing = f"{prefix}: Command {named} Completed Successfully.\n"
    closing += f"{prefix}: Utility Completed Successfully.\n"
    effects = exposing.expose(call.controller, call.effects)
    return Reply(banner + said + closing, effects=tuple(effects), takes_s=call.takes_s)


def _usage(prefix: str) -> str:
    return f"{prefix} <controller #> <command> <parameters> ...\n    where <controller #> is:\n"


def _list(tool: str, own: list[Controller]) -> Reply:
    prefix = tool.upper()
    if not own:
        return Reply(f"{BANNERS[tool]}{prefix}: MPTLib2 Error 1\n", status=1)
    rows = ""
    for one in own:
        domain, bus, rest = one.pci.split(":")
        device, _, function = rest.partition(".")
        place = f"{int(domain, 16):02x}h:{bus}h:{device}h:{int(function, 16):02x}h"
        rows += f"{one.index:>4}     {one.model:<10}  1000h    97h   {place}      1028h   1f53h \n"
    return Reply(f"{BANNERS[tool]}{HEAD}{rows}{prefix}: Utility Completed Successfully.\n")


def _display(call: Call) -> str:
    return show.display(call.controller)


def _status(call: Call) -> str:
    one = call.controller
    if not one.limits.levels:
        raise IrError(
            f"The STATUS command is not supported by the firmware currently loaded on controller {one.index}."
        )
    if not one.volumes and not show.foreign(one):
        raise IrError("there are no IR volumes on the controller!")
    return show.status(one)


def _disk(one: Controller, text: str) -> Drive:
    for drive in one.drives:
        if drive.condition != "missing" and show.place_of(drive) == text:
            return drive
    raise IrError(f"The disk at {text} was not found.")


def _create(call: Call) -> str:
    call.confirm()
    one, words = call.controller, call.words
    if not one.limits.levels:
        raise IrError("The CREATE command is not supported by the firmware currently loaded on controller.")
    level = LEVELS.get(words[0].upper()) if words else None
    if level is None or len(words) < 3:
        raise IrError("Invalid RAID level or parameters.")
    size = words[1].upper()
    if size != "MAX" and not (size.isascii() and size.isdecimal() and 0 < len(size) < 12 and int(size)):
        raise IrError(f"Invalid volume size {words[1]}.")
    places = [word for word in words[2:] if ":" in word]
    rest = words[2 + len(places) :]
    if words[2 : 2 + len(places)] != places or len(rest) > 1 or any(len(name) > 15 for name in rest):
        raise IrError("Invalid parameters.")
    drives = [_disk(one, place) for place in places]
    if len(drives) not in COUNTS[level] or _used(one) + len(drives) > MOST_DISKS:
        raise Refusal("drive-count")
    if any(drive.foreign for drive in drives):
        raise Refusal("drive-state")
    volume, effects = exposing.create(
        one,
        level,
        drives,
        name=rest[0] if rest else "",
        size_bytes=None if size == "MAX" else int(size) * MIB,
    )
    volume.initialising = None if level == "raid0" else 0.0
    call.effects += effects
    call.takes_s = 40.0
    return f"{WAIT}{call.tool.upper()}: Volume created successfully.\n"


def _used(one: Controller) -> int:
    return sum(drive.condition in ("online", "spare", "rebuilding") for drive in one.drives)


def _delete_all(call: Call) -> str:
    call.confirm()
    one = call.controller
    for volume in list(one.volumes):
        _delete(call, volume)
    for drive in one.drives:
        drive.foreign = None
        if drive.condition == "spare":
            call.effects += model.set_good(drive)
    return f"{WAIT}{call.tool.upper()}: Volumes deleted successfully.\n"


def _delete(call: Call, volume: Volume) -> None:
    dead = model.volume_state(call.controller, volume) == "offline"
    effects = model.delete(call.controller, volume.id)
    call.effects += [] if dead else effects
    call.takes_s = 10.0


def _delete_volume(call: Call) -> str:
    call.confirm()
    identity = _number(call)
    inactive = show.foreign(call.controller).get(identity)
    if inactive is not None:
        for drive in inactive:
            drive.foreign = None
    else:
        _delete(call, model.volume_of(call.controller, identity))
    return f"{WAIT}{call.tool.upper()}: Volume deleted successfully.\n"


def _number(call: Call) -> int:
    if len(call.words) != 1 or not (call.words[0].isascii() and call.words[0].isdecimal()):
        raise IrError("Invalid volume ID.")
    return int(call.words[0][:9])


def _hotspare(call: Call) -> str:
    one, words = call.controller, list(call.words)
    deleting = bool(words) and words[0].upper() == "DELETE"
    words = words[1:] if deleting else words
    if len(words) != 1:
        raise IrError("Invalid parameters.")
    drive = _disk(one, words[0])
    if deleting:
        if drive.condition != "spare":
            raise IrError(f"The disk at {words[0]} is not a hot spare.")
        call.effects += model.set_good(drive)
        return f"{call.tool.upper()}: Hot Spare disk deleted successfully.\n"
    mirrors = [volume for volume in one.volumes if volume.level != "raid0"]
    kept = sum(each.condition == "spare" for each in one.drives)
    members = [each for volume in mirrors for each in model.members(one, volume.group)]
    fits = all(each.kind == drive.kind and drive.coerced_bytes >= each.coerced_bytes for each in members)
    if not mirrors or kept >= MOST_SPARES or not fits or _used(one) >= MOST_DISKS:
        raise IrError("Hot spare cannot be created with this disk.")
    if drive.condition not in ("good", "jbod") or drive.foreign:
        raise Refusal("drive-state")
    call.effects += exposing.hide(drive)
    model.set_spare(drive)
    return f"{call.tool.upper()}: Hot Spare disk created successfully.\n"


def _bootir(call: Call) -> str:
    volume = model.volume_of(call.controller, _number(call))
    if call.word.upper() == "BOOTIR":
        for one in call.controller.volumes:
            one.boot = one is volume
    return ""


def _on_volume(call: Call) -> str:
    """CONSTCHK and ACTIVATE: nothing that this model shows."""
    model.volume_of(call.controller, _number(call))
    return ""


def _locate(call: Call) -> str:
    if len(call.words) != 2 or call.words[1].upper() not in ("ON", "OFF"):
        raise IrError("Invalid parameters.")
    _disk(call.controller, call.words[0])
    return f"{call.tool.upper()}: LOCATE Command completed successfully.\n"


REFUSALS = {
    "no-volume": "The specified volume was not found.",
    "drive-count": "Invalid number of disks for this RAID level.",
    "drive-state": "A specified disk is not available for use in a volume.",
    "drive-twice": "A disk was specified more than once.",
    "mixed-kinds": "Disks of different types cannot be in one volume.",
    "space": "The specified volume size is too large.",
    "too-many-volumes": "The maximum number of volumes already exists.",
}
COMMANDS: dict[str, Callable[[Call], str]] = {
    "DISPLAY": _display, "STATUS": _status, "CREATE": _create, "DELETE": _delete_all,
    "DELETEVOLUME": _delete_volume, "HOTSPARE": _hotspare, "BOOTIR": _bootir, "ALTBOOTIR": _bootir,
    "CONSTCHK": _on_volume, "ACTIVATE": _on_volume, "LOCATE": _locate,
}  # fmt: skip
