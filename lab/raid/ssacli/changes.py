"""What create, delete, add, remove and modify do, and how firmware refuses.

Nothing is printed of a success, except that array letters have shifted. A question is asked where the
word `forced` is missing and data or much time is at stake.
"""

from dataclasses import dataclass, field

from lab.raid import exposing, model
from lab.raid.model import MIB, Controller, Drive, Effect, Refusal, Volume
from lab.raid.ssacli.arrays import Array, arrays_of, free, mode_of
from lab.raid.ssacli.words import (
    DELETING,
    LEVELS,
    PROVISIONING,
    REASONS,
    RENAMED,
    SPELLINGS,
    SsaError,
    drives_in,
    unsupported,
)

PARITY = ("raid5", "raid6", "raid50", "raid60")
LICENSED = ("raid6", "raid50", "raid60")
CREATE_WORDS = {
    "type", "drives", "raid", "size", "stripsize", "ss", "stripesize", "caching", "aa", "arrayaccelerator",
    "drivetype", "numberparitygroups", "parityinitializationmethod", "ssdoverprovisioningoptimization",
    "logicaldrivelabel", "sectors", "ssdsmartpath", "legacydisk",
}  # fmt: skip
CONTROLLER_SETTINGS = {
    "dwc", "drivewritecache", "nbwc", "nobatterywritecache", "cacheratio", "cr", "rp", "rebuildpriority",
    "ep", "expandpriority", "surfacescandelay", "ssd", "queuedepth", "spareactivationmode", "led",
}  # fmt: skip


class Question(Exception):
    """The tool asks, and nobody answers."""


@dataclass
class Call:
    """One command: its options, whether it is forced, what stands on standard input, and what it says."""

    controller: Controller
    options: dict[str, str]
    forced: bool
    stdin: str | None
    said: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    takes_s: float = 0.0

    def confirm(self, question: str) -> bool:
        """Whether to go on. Raises Question where standard input says nothing."""
        if self.forced:
            return True
        answer = (self.stdin or "").strip().lower()[:1]
        if answer not in ("y", "n"):
            raise Question(question)
        self.said.append(question)
        return answer == "y"


def option_error(call: Call, key: str, choices: list[str]) -> SsaError:
    """A value that the configuration does not allow, with those that it does."""
    listed = "\n".join(f"       {one}" for one in choices)
    told = f'Error: "{key}={call.options.get(key, "")}" is not a valid option'
    return SsaError(f"{told} for this device\n\nAvailable options are:\n{listed}")


def levels_for(call: Call, drives: list[Drive]) -> list[str]:
    """The words of levels that these drives can be given."""
    return [
        LEVELS[one]
        for one in LEVELS
        if one in call.controller.limits.levels and len(drives) >= model.LEAST[one]
    ]


def create(call: Call, array: Array | None) -> None:
    """Make a volume of free drives, or a further one in an array."""
    strange = sorted(set(call.options) - CREATE_WORDS)
    if strange or call.options.get("type", "").lower() not in ("ld", "logicaldrive"):
        raise SsaError(f'Error: Syntax error at "{(strange or ["create"])[0]}"')
    if mode_of(call.controller) == "HBA":
        raise unsupported("Controller is in HBA mode")  # no text seen
    drives = list(array.drives) if array else _wished(call)
    array = array or next(
        (one for one in arrays_of(call.controller) if set(map(id, one.drives)) == set(map(id, drives))), None
    )
    for key in ("raid", "size"):
        if call.options.get(key) == "?":
            call.said.append(_available(call, key, drives, array))
            return
    level = _level(call, drives)
    values = _values(call, level, drives)
    if array is None and any(one.medium == "ssd" for one in drives) and not call.confirm(PROVISIONING):
        return
    before = {one.group: one.letter for one in arrays_of(call.controller)}
    volume = _made(call, level, drives, array, values)
    volume.name = call.options.get("logicaldrivelabel") or _label(call.controller, volume)
    volume.initialising = 0.0 if level in PARITY else None
    after = {one.group: one.letter for one in arrays_of(call.controller)}
    if any(after[group] != letter for group, letter in before.items()):
        call.said.append(RENAMED)
    call.takes_s = 5.0


def _wished(call: Call) -> list[Drive]:
    every = [one for one in call.controller.drives if one.condition != "missing"]
    drives = drives_in(call.options.get("drives", "allunassigned"), free(call.controller), every)
    if not drives:
        raise unsupported(REASONS["space"])
    return drives


def _level(call: Call, drives: list[Drive]) -> str:
    count = len(drives)
    word = call.options.get("raid", "0" if count == 1 else "1" if count == 2 else "5").lower()
    level = SPELLINGS.get(word)
    if level == "raid10" and count == 2:
        level = "raid1"
    if level is None or (level not in call.controller.limits.levels and level not in LICENSED):
        raise option_error(call, "raid", levels_for(call, drives))
    if level not in call.controller.limits.levels:
        raise unsupported(REASONS["license"])
    if (level, count) != (level, {"raid1": 2, "raid1adm": 3}.get(level, count)):
        raise unsupported(REASONS["drive-count"])
    return level


@dataclass(frozen=True)
class _Values:
    size_bytes: int | None
    strip_bytes: int | None
    spans: int


def _values(call: Call, level: str, drives: list[Drive]) -> _Values:
    size = call.options.get("size", "max").lower()
    named = {"max": None, "maxmbr": None, "min": 16 * MIB}
    if size not in named and not (size.isascii() and size.isdecimal() and 0 < len(size) < 12 and int(size)):
        raise SsaError(f'Error: "size={call.options["size"]}" is not a valid option')
    size_bytes = named[size] if size in named else int(size) * MIB
    word = next((key for key in ("stripsize", "ss", "stripesize") if key in call.options), None)
    strip = call.options[word] if word else "default"
    choices = [str(one >> 10) for one in call.controller.limits.strips]
    if word and strip not in (*choices, "default"):
        raise option_error(call, word, choices)
    spans = call.options.get("numberparitygroups", "2" if level in ("raid50", "raid60") else "1")
    fits = spans.isascii() and spans.isdecimal() and 0 < int(spans[:4]) <= len(drives)
    if not fits or (level not in ("raid50", "raid60") and spans != "1"):
        raise option_error(call, "numberparitygroups", ["2"] if level in ("raid50", "raid60") else ["1"])
    for key in ("caching", "aa", "arrayaccelerator"):
        if call.options.get(key, "enable") not in ("enable", "disable"):
            raise option_error(call, key, ["enable", "disable"])
    return _Values(size_bytes, None if strip == "default" else int(strip) << 10, int(spans))


def _made(call: Call, level: str, drives: list[Drive], array: Array | None, values: _Values) -> Volume:
    cache = next(
        (call.options[key] for key in ("caching", "aa", "arrayaccelerator") if key in call.options), None
    )
    back = cache == "enable" or (cache is None and call.controller.battery == "optimal")
    if array is not None:
        volume, effects = model.create_in(
            call.controller, array.group, level, size_bytes=values.size_bytes, strip_bytes=values.strip_bytes,
            spans=values.spans, write_cache="back" if back else "through",
        )  # fmt: skip
        call.effects += effects
        return volume
    volume, effects = exposing.create(
        call.controller, level, drives, size_bytes=values.size_bytes, strip_bytes=values.strip_bytes,
        spans=values.spans, write_cache="back" if back else "through",
    )  # fmt: skip
    call.effects += effects
    return volume


def _label(controller: Controller, volume: Volume) -> str:
    """What firmware calls a volume: hexadecimal digits around the controller's serial."""
    number = controller.made * 0x1F3D5B79 % (1 << 32)
    return f"{number:08X}{controller.serial}{number >> 16:04X}{volume.id % 256:02X}"


def _available(call: Call, key: str, drives: list[Drive], array: Array | None) -> str:
    if key == "raid":
        return "Available options are:\n" + "\n".join(f"       {one}" for one in levels_for(call, drives))
    level = _level(call, drives)
    share = model.data_share(level, len(drives), 1)
    room = (
        model.free_bytes(call.controller, array.group)
        if array
        else min(one.coerced_bytes for one in drives) * len(drives)
    )
    most = int(room * share) // MIB
    return f"Available options are:\n   Max: {most} (Units in MB)\n   Min: 16 (Units in MB)"


def delete(call: Call, volumes: list[Volume]) -> None:
    """Delete volumes; the last of an array takes the array and its spares' duty with it."""
    if not call.confirm(DELETING):
        return
    for volume in volumes:
        dead = model.volume_state(call.controller, volume) == "offline"
        effects = model.delete(call.controller, volume.id)
        call.effects += [] if dead else effects
    call.takes_s = 3.0


def add_spares(call: Call, targets: list[Array]) -> None:
    """Keep free drives as spares of arrays. Only one array, or all of them."""
    every = [one for one in call.controller.drives if one.condition != "missing"]
    drives = drives_in(call.options["spares"], free(call.controller), every)
    usable = [one for one in targets if one.redundant]
    if len(usable) < len(targets) or not drives:
        raise unsupported(REASONS["spares"])
    for drive in drives:
        fits = all(
            drive.kind == one.kind and drive.coerced_bytes >= one.coerced_bytes
            for array in targets
            for one in array.drives
            if one.condition != "missing"
        )
        if drive.condition not in ("good", "jbod") or not fits:
            raise unsupported(REASONS["spares"])
    for drive in drives:
        call.effects += exposing.hide(drive)
        model.set_spare(drive, targets[0].group if len(targets) == 1 else None)


def remove_spares(call: Call, targets: list[Array]) -> None:
    """Let drives be no spares of these arrays any more; each must have them."""
    word = call.options["spares"]
    every = [one for one in call.controller.drives if one.condition != "missing"]
    kept = {id(one): one for array in targets for one in array.spares}
    drives = drives_in(word, list(kept.values()), every)
    serving = {
        id(one): [array for array in arrays_of(call.controller) if one in array.spares] for one in drives
    }
    for drive in drives:
        lacking = word.lower() != "all" and any(drive not in array.spares for array in targets)
        if lacking or id(drive) not in kept or len(serving[id(drive)]) - len(targets) > 1:
            raise unsupported(REASONS["spares"])
    for drive in drives:
        rest = [one for one in serving[id(drive)] if one not in targets]
        if rest:
            drive.group = rest[0].group
        else:
            call.effects += model.set_good(drive)


def modify_volume(call: Call, volume: Volume) -> None:
    """Settings of a volume: what it boots, its cache, its label."""
    for key, value in call.options.items():
        if key == "bootvolume" and value in ("primary", "secondary", "none"):
            if value == "primary":
                for one in call.controller.volumes:
                    one.boot = one is volume
            elif value == "none":
                volume.boot = False
        elif key in ("caching", "aa", "arrayaccelerator") and value in ("enable", "disable"):
            volume.write_cache = "back" if value == "enable" else "through"
        elif key == "logicaldrivelabel" and value.strip():
            volume.name = value.strip().strip('"')[:64]
        else:
            raise option_error(call, key, ["primary", "secondary", "none"] if key == "bootvolume" else [])


def modify_drive(call: Call, drive: Drive, words: list[str]) -> None:
    """Erase a free drive, or enable one that was erased."""
    if words[:1] == ["enableeraseddrive"]:
        if drive.condition != "bad":
            raise unsupported("Drive has not been erased")  # no text seen
        call.effects += model.set_good(drive)
    elif words[:1] == ["erase"]:
        if drive.condition not in ("good", "jbod", "bad"):
            raise unsupported("Drive is part of an array")  # no text seen
        if call.confirm("Warning: All data on the physical drive will be lost. Continue? (y/n)"):
            call.effects += exposing.hide(drive)
            drive.condition = "bad"
    elif call.options.get("led") not in ("on", "off"):
        raise SsaError(f'Error: Syntax error at "{(words or list(call.options) or ["modify"])[0]}"')


def modify_controller(call: Call) -> None:
    """Settings of the controller, none of which this model has; a change of mode needs a restart."""
    if "hbamode" in call.options:
        call.confirm("Warning: Changing the mode will result in data being lost. Continue? (y/n)")
        raise unsupported("Feature not supported")  # a pending mode is no state of the model
    strange = [one for one in call.options if one not in CONTROLLER_SETTINGS]
    if strange or not call.options:
        raise SsaError(f'Error: Syntax error at "{(strange or ["modify"])[0]}"')


def refused(refusal: Refusal) -> SsaError:
    """A refusal of the model in the tool's words."""
    return unsupported(REASONS.get(refusal.code, "Operation not supported"))
