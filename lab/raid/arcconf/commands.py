"""arcconf's commands that change things. Words that say why not are from general knowledge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lab.raid import model
from lab.raid.arcconf import forms
from lab.raid.model import MIB, Controller, Drive, Effect, Refusal

LEVELS = {
    "0": "raid0", "simple_volume": "raid0", "1": "raid1", "1triple": "raid1adm", "5": "raid5", "6": "raid6",
    "10": "raid10", "10triple": "raid10adm", "50": "raid50", "60": "raid60",
}  # fmt: skip
OPTIONS = ("stripesize", "legs", "name", "priority", "method", "rcache", "wcache")
MOST_NAME = 64
SURE = "Are you sure you want to continue?"
REFUSALS = {
    "space": "The specified size is larger than the space that is available.",
    "too-many-volumes": "The maximum number of logical devices is reached.",
    "level": "The RAID level is not supported.",
    "drive-count": "The number of drives is not valid for the RAID level.",
    "spans": "The number of legs is not valid for the RAID level.",
    "strip": "The stripe size is not supported.",
    "mixed-kinds": "Drives of different interfaces, types or block sizes can not be in one array.",
    "foreign": "The device holds a stale configuration; initialize it first. It can not be used.",
    "drive-state": "The device is not available for this command: its state is invalid.",
    "drive-twice": "A device can not be given twice.",
    "no-drive": "The specified device does not exist.",
    "no-volume": "Invalid logical device number.",
    "no-array": "Invalid array number.",
    "cache-same": "The cache of the logical device is already set so.",
    "no-jbod": "The command is not supported in this controller mode.",
}


class Usage(Exception):
    """The words make no command."""


@dataclass
class Done:
    """What a command did."""

    lines: list[str] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)


def devices_of(controller: Controller, words: Sequence[str]) -> list[Drive]:
    """Drives by channel and device. Raises Usage, Refusal `no-drive`."""
    if not words or len(words) % 2 or not all(word.isdecimal() for word in words):
        raise Usage
    found = []
    for channel, device in zip(words[::2], words[1::2], strict=True):
        place = int(device)
        if int(channel) != 0 or place >= len(controller.drives):
            raise Refusal("no-drive", f"{channel},{device}")
        drive = controller.drives[place]
        if drive.condition == "missing":
            raise Refusal("no-drive", f"{channel},{device}")
        found.append(drive)
    return found


def named(controller: Controller, drive: Drive) -> str:
    """A drive in a sentence."""
    return f"Channel 0, Device {forms.device_of(controller, drive)}"


def group_of(controller: Controller, text: str) -> int:
    """The group of an array's number. Raises Usage, Refusal `no-array`."""
    if not text.isdecimal():
        raise Usage
    for group, number in forms.arrays(controller).items():
        if number == int(text):
            return group
    raise Refusal("no-array", text)


def create_volume(controller: Controller, words: Sequence[str]) -> Done:
    """CREATE n LOGICALDRIVE [options] size level drives."""
    options, rest = _options(words)
    if len(rest) < 3 or rest[1].lower() not in LEVELS:
        raise Usage
    wanted = _wanted(controller, options, rest[0].lower(), LEVELS[rest[1].lower()])
    if rest[2].lower() == "array":
        return wanted.beside(controller, group_of(controller, rest[3] if len(rest) > 3 else ""))
    drives = devices_of(controller, rest[2:])
    shared = _shared(controller, drives)
    return wanted.on(controller, drives) if shared is None else wanted.beside(controller, shared)


def _wanted(controller: Controller, options: dict[str, str], size: str, level: str) -> "_Wanted":
    if size != "max" and not size.isdecimal():
        raise Usage
    name = options.get("name") or f"LogicalDrv {model.next_id(controller)}"
    if len(name) > MOST_NAME:
        raise Refusal("name")
    return _Wanted(
        level=level,
        name=name,
        size_bytes=None if size == "max" else int(size) * MIB,
        strip_bytes=int(options["stripesize"]) * 1024 if "stripesize" in options else None,
        spans=int(options.get("legs", "2")) if level in ("raid50", "raid60") else 1,
        write_cache="through" if options.get("wcache", "").lower() == "wt" else "back",
        read_cache="none" if options.get("rcache", "").lower() == "roff" else "ahead",
    )


@dataclass(frozen=True)
class _Wanted:
    """A volume as a line describes it."""

    level: str
    name: str
    size_bytes: int | None
    strip_bytes: int | None
    spans: int
    write_cache: Literal["back", "through"]
    read_cache: Literal["ahead", "none"]

    def beside(self, controller: Controller, group: int) -> Done:
        """Make it on drives that are in use."""
        _, effects = model.create_in(
            controller, group, self.level, name=self.name, size_bytes=self.size_bytes,
            strip_bytes=self.strip_bytes, spans=self.spans, write_cache=self.write_cache,
            read_cache=self.read_cache,
        )  # fmt: skip
        return Done([f"Creating logical device: {self.name}"], effects)

    def on(self, controller: Controller, drives: Sequence[Drive]) -> Done:
        """Make it on free drives, which spin up by themselves."""
        sleeping = [one for one in drives if one.spun_down]
        for one in sleeping:
            one.spun_down = False
        try:
            _, effects = model.create(
                controller, self.level, drives, name=self.name, size_bytes=self.size_bytes,
                strip_bytes=self.strip_bytes, spans=self.spans, write_cache=self.write_cache,
                read_cache=self.read_cache,
            )  # fmt: skip
        except Refusal:
            for one in sleeping:
                one.spun_down = True
            raise
        return Done([f"Creating logical device: {self.name}"], effects)


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Options with their values, and what follows them. Raises Usage."""
    found, rest = dict[str, str](), list(words)
    while rest and rest[0].lower() in OPTIONS:
        if len(rest) < 2:
            raise Usage
        key, value = rest[0].lower(), rest[1]
        if key in ("stripesize", "legs") and not value.isdecimal():
            raise Usage
        found[key] = value
        rest = rest[2:]
    return found, rest


def _shared(controller: Controller, drives: Sequence[Drive]) -> int | None:
    """The group whose drives these are, all of them; None where none is in use."""
    used = {one.group for one in drives if one.condition == "online"}
    if not used:
        return None
    group = drives[0].group
    if group is None or used != {group} or len(drives) != len(model.members(controller, group)):
        raise Refusal("drive-state", "online")
    if len({id(one) for one in drives}) < len(drives):
        raise Refusal("drive-twice")
    return group


def create_jbod(controller: Controller, words: Sequence[str]) -> Done:
    """CREATE n JBOD ch id."""
    return _pass_through(controller, devices_of(controller, words), "Created JBOD")


def each_a_volume(controller: Controller, words: Sequence[str]) -> Done:
    """CREATE n RAIDZEROARRAY ALL or drives."""
    everything = [word.lower() for word in words] == ["all"]
    free = [one for one in controller.drives if one.condition == "good" and not one.foreign]
    drives = free if everything else devices_of(controller, words)
    done = Done()
    for drive in drives:
        name = f"LogicalDrv {model.next_id(controller)}"
        _, effects = model.create(controller, "raid0", [drive], name=name)
        done.lines.append(f"Creating logical device: {name}")
        done.effects += effects
    return done


def delete_volume(controller: Controller, words: Sequence[str]) -> Done:
    """DELETE n LOGICALDRIVE numbers or ALL."""
    if [word.lower() for word in words] == ["all"]:
        numbers = [one.id for one in controller.volumes]
    elif words and all(word.isdecimal() for word in words):
        numbers = list(dict.fromkeys(int(word) for word in words))
    else:
        raise Usage
    found = [model.volume_of(controller, number) for number in numbers]
    done = Done()
    for volume in found:
        shown = model.volume_state(controller, volume) != "offline"
        effects = model.delete(controller, volume.id)
        done.effects += effects if shown else []
        done.lines.append(f'Deleting: logical device {volume.id} ("{volume.name}")')
    return done


def delete_array(controller: Controller, words: Sequence[str]) -> Done:
    """DELETE n ARRAY number or ALL, with all that lies on it."""
    everything = [word.lower() for word in words] == ["all"]
    if not everything and len(words) != 1:
        raise Usage
    groups = set(forms.arrays(controller)) if everything else {group_of(controller, words[0])}
    numbers = [str(one.id) for one in controller.volumes if one.group in groups]
    return delete_volume(controller, numbers) if numbers else Done()


def delete_jbod(controller: Controller, words: Sequence[str]) -> Done:
    """DELETE n JBOD ch id or ALL."""
    everything = [word.lower() for word in words] == ["all"]
    passed = [one for one in controller.drives if one.condition == "jbod"]
    drives = passed if everything else devices_of(controller, words)
    if any(one.condition != "jbod" for one in drives):
        raise Refusal("drive-state")
    return Done(["Deleted JBOD"], [effect for one in drives for effect in model.set_good(one)])


def task(controller: Controller, words: Sequence[str]) -> Done:
    """TASK START n DEVICE ALL or ch id, INITIALIZE or UNINITIALIZE: drives in use are never touched."""
    if len(words) < 2:
        raise Usage
    what, place = words[-1].lower(), words[:-1]
    everything = [word.lower() for word in place] == ["all"]
    if what not in ("initialize", "uninitialize"):
        raise Usage
    free = [one for one in controller.drives if one.condition in ("good", "jbod")]
    drives = free if everything else devices_of(controller, place)
    if any(one.condition not in ("good", "jbod") for one in drives):
        raise Refusal("drive-state")
    if what == "uninitialize":
        return _pass_through(controller, drives, "Uninitializing")
    done = Done()
    for one in drives:
        one.foreign = None
        done.effects += model.set_good(one)
        done.lines.append(f"Initializing {named(controller, one)}.")
    return Done([*done.lines, f"{len(drives)} device(s) initialized."], done.effects)


def _pass_through(controller: Controller, drives: Sequence[Drive], word: str) -> Done:
    if not controller.jbod_mode:
        raise Refusal("no-jbod")
    if any(one.condition not in ("good", "jbod") or one.foreign for one in drives):
        raise Refusal("drive-state")
    done = Done()
    for one in drives:
        one.spun_down = False
        done.effects += model.set_jbod(controller, one)
        done.lines.append(f"{word} {named(controller, one)}.")
    return done


def set_state(controller: Controller, words: Sequence[str]) -> Done:
    """SETSTATE n DEVICE ch id HSP, RDY or DDD, with arrays or logical devices that a spare is kept for."""
    if len(words) < 3:
        raise Usage
    (drive,) = devices_of(controller, words[:2])
    state, rest = words[2].lower(), words[3:]
    if state == "hsp":
        model.set_spare(drive, _kept_for(controller, rest))
    elif state == "rdy":
        if drive.condition == "failed" and drive.group is None:
            drive.condition = "bad"
        if drive.condition not in ("spare", "bad"):
            raise Refusal("drive-state")
        model.set_good(drive)
    elif state == "ddd":
        if drive.condition not in ("online", "rebuilding"):
            raise Refusal("drive-state")
        return Done([], model.fail(controller, drive))
    else:
        raise Usage
    return Done()


def _kept_for(controller: Controller, words: Sequence[str]) -> int | None:
    if not words:
        return None
    kind, numbers = words[0].lower(), [word for word in words[1:] if word.isdecimal()]
    if kind not in ("array", "logicaldrive") or len(numbers) != 1:
        raise Usage
    if kind == "array":
        return group_of(controller, numbers[0])
    return model.volume_of(controller, int(numbers[0])).group


def boot(controller: Controller, words: Sequence[str]) -> Done:
    """SETBOOT n LOGICALDRIVE number [TYPE Primary]."""
    if not words or not words[0].isdecimal():
        raise Usage
    chosen = model.volume_of(controller, int(words[0]))
    for volume in controller.volumes:
        volume.boot = volume is chosen
    return Done()


def set_name(controller: Controller, words: Sequence[str]) -> Done:
    """SETNAME n LOGICALDRIVE number name."""
    if len(words) != 2 or not words[0].isdecimal():
        raise Usage
    model.volume_of(controller, int(words[0])).name = words[1][:MOST_NAME]
    return Done()


def set_cache(controller: Controller, words: Sequence[str]) -> Done:
    """SETCACHE n LOGICALDRIVE number con|coff: one cache, as SmartRAID has it."""
    if len(words) != 2 or not words[0].isdecimal() or words[1].lower() not in ("con", "coff"):
        raise Usage
    volume = model.volume_of(controller, int(words[0]))
    wanted: Literal["back", "through"] = "back" if words[1].lower() == "con" else "through"
    if volume.write_cache == wanted:
        raise Refusal("cache-same", wanted)
    volume.write_cache = wanted
    return Done()


def set_mode(controller: Controller, words: Sequence[str]) -> Done:
    """SETCONTROLLERMODE n 0 to 5: only Mixed passes drives through here; not changed while some are."""
    if len(words) != 1 or words[0] not in ("0", "1", "2", "3", "4", "5"):
        raise Usage
    mixed = words[0] == "5"
    if (mixed and not controller.limits.jbod) or any(one.condition == "jbod" for one in controller.drives):
        raise Refusal("no-jbod")
    controller.jbod_mode = mixed
    return Done([f"Controller mode is changed to {forms.mode(controller)}."])
