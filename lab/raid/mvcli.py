"""mvcli and mnv_cli over the model of a Marvell boot card with two disks.

Lists and the silence of a create are those of outputs seen. The line of a refusal begins with "Error:" and
the status says nothing, as scripts around the tools take it; its words, the questions and what a delete
prints are from general knowledge. A volume that another card made is a foreign one here, and is deleted
as any other. Disks in no volume are shown to the system.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lab.raid import exposing, model
from lab.raid.model import MIB, Controller, Drive, Effect, Limits, Refusal, Volume, members
from lab.raid.reply import Reply

FAMILY = "mvcli"
TOOLS = ("mvcli", "mnv_cli")
SATA_CARD = "1b4b-"
BANNER = "SG driver version 3.5.36.\n"
OBJECTS = ("hba", "pd", "vd", "blk")
FLAGS = {"--waiveconfirmation": "y", "-f": "f", "--force": "f"}
LONG = {
    "--object": "-o", "--id": "-i", "--pdid": "-d", "--raidmode": "-r", "--name": "-n", "--blocksize": "-b",
    "--gbrounding": "-g", "--action": "-a",
}  # fmt: skip
FIRST_FOREIGN_ID = 8
REFUSALS = {
    "level": "Specified RAID mode is not supported.",
    "drive-count": "Invalid number of PDs for this RAID mode.",
    "drive-state": "Specified PD is already in use.",
    "drive-twice": "Duplicated PD id.",
    "mixed-kinds": "Specified PDs are of different types.",
    "too-many-volumes": "Maximum number of VDs is reached.",
    "strip": "Specified stripe size is not supported.",
    "no-volume": "Specified VD does not exist.",
    "no-drive": "Specified PD does not exist.",
}
STATES = {"optimal": "functional", "offline": "offline"}


class MvError(Exception):
    """The tool refuses, with this text."""


@dataclass
class Call:
    """One command: the card it goes to, its options by their short letters, its flags."""

    card: Controller
    options: dict[str, str]
    flags: set[str]
    effects: list[Effect] = field(default_factory=list)


def run(argv: Sequence[str], controllers: Sequence[Controller], stdin: str | None = None) -> Reply:
    """Answer one call. mvcli sees the cards for SATA disks, mnv_cli those for NVMe ones."""
    tool = PurePosixPath(argv[0] if argv else "").name
    nvme = tool == TOOLS[1]
    cards = [
        one for one in controllers if one.family == FAMILY and one.model.startswith(SATA_CARD) is not nvme
    ]
    banner = "" if nvme else BANNER
    words = [str(one) for one in argv[1:]]
    if not words:
        return Reply(f"{banner}> ", asks=True)
    if not cards:
        return Reply(f"{banner}No Adapter Found\n", status=1)
    try:
        options, flags = _options(words[1:])
        chosen = next((one for one in cards if one.chosen), cards[0])
        return _answer(words[0], Call(chosen, options, flags), cards, banner, nvme=nvme, stdin=stdin)
    except MvError as error:
        return Reply(f"{banner}Error: {error}\n")
    except Refusal as refusal:
        return Reply(f"{banner}Error: {REFUSALS.get(refusal.code, 'Operation failed.')}\n")


def controller(
    drives: list[Drive],
    index: str = "0",
    *,
    model: str = "1b4b-9230",
    serial: str = "BOSS001",
    levels: tuple[str, ...] = ("raid1",),
    most_volumes: int = 1,
) -> Controller:
    """A BOSS-S1 with its disks; a model that does not begin with `1b4b-` is a card for NVMe disks."""
    strips = (65536, 32768) if model.startswith(SATA_CARD) else (131072, 262144, 524288)
    limits = Limits(levels, most_volumes=most_volumes, most_drives=2, strips=strips, whole_drives=True)
    one = Controller(FAMILY, index, model, serial, "2.5.13.1210", "0000:01:00.0", limits, drives)
    exposing.expose(one)
    return one


def _options(words: list[str]) -> tuple[dict[str, str], set[str]]:
    """`-o vd`, `-ovd` and `--object vd` alike."""
    options: dict[str, str] = {}
    flags: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in FLAGS:
            flags.add(FLAGS[word])
            continue
        short = LONG.get(word, word[:2])
        if short not in LONG.values():
            raise MvError(f"Invalid option {word}.")
        if word in LONG or len(word) == 2:
            if not rest:
                raise MvError(f"Option {word} needs a value.")
            options[short[1]] = rest.pop(0)
        else:
            options[short[1]] = word[2:]
    return options, flags


def _answer(
    verb: str, call: Call, cards: list[Controller], banner: str, *, nvme: bool, stdin: str | None
) -> Reply:
    if verb == "info":
        return Reply(banner + _info(call, cards, nvme=nvme))
    if verb == "adapter":
        found = next((one for one in cards if one.index == call.options.get("i")), None)
        if found is None:
            raise MvError("Specified adapter does not exist.")
        for one in cards:
            one.chosen = one is found
        return Reply(f"{banner}Current AdapterID:{found.index}\n")
    if verb in ("event", "smart", "help"):
        return Reply(f"{banner}Current AdapterID:{call.card.index}\n")
    return _change(verb, call, banner, nvme=nvme, stdin=stdin)


def _change(verb: str, call: Call, banner: str, *, nvme: bool, stdin: str | None) -> Reply:
    if verb not in CHANGES:
        raise MvError(f'Unknown command "{verb}".')
    if (verb, nvme) != ("create", True) and call.options.get("o", "vd" if verb == "rebuild" else "") != "vd":
        raise MvError("Invalid object.")
    asked = verb == "delete" or (verb == "create" and not nvme)
    if asked and "y" not in call.flags:
        answer = (stdin or "").strip().lower()[:1]
        if answer not in ("y", "n"):
            return Reply(f"{banner}Are you sure to {verb} this VD? (y or n): ", asks=True)
        if answer == "n":
            return Reply(banner)
    CHANGES[verb](call)
    effects = exposing.expose(call.card, call.effects)
    return Reply(banner, effects=tuple(effects), takes_s=5.0)


def _number(call: Call, letter: str) -> int:
    text = call.options.get(letter, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise MvError(f"Invalid value for -{letter}.")
    return int(text)


def _create(call: Call) -> None:
    words = call.options.get("d", "").split(",")
    if not all(one.isascii() and one.isdecimal() for one in words):
        raise MvError("Invalid PD id.")
    level = f"raid{call.options.get('r', '')}"
    drives = [model.drive_at(call.card, None, int(one[:6])) for one in words]
    if level not in ("raid0", "raid1", "raid10", "raid5", "raid1e"):
        raise MvError("Invalid RAID mode.")
    if level in call.card.limits.levels and len(drives) != 2:
        raise Refusal("drive-count")
    if any(one.foreign for one in drives):
        raise Refusal("drive-state")
    kib = _number(call, "b") if "b" in call.options else None
    name = call.options.get("n", "Logical raid")[:10]
    _, effects = exposing.create(
        call.card, level, drives, name=name, strip_bytes=None if kib is None else kib << 10
    )
    call.effects += effects


def _delete(call: Call) -> None:
    identity = _number(call, "i")
    foreign = _foreign(call.card).get(identity)
    if foreign is not None:
        for drive in foreign:
            drive.foreign = None
        return
    volume = model.volume_of(call.card, identity)
    if volume.has_data and "f" not in call.flags:
        raise MvError("VD has partitions; use -f to delete it.")
    dead = model.volume_state(call.card, volume) == "offline"
    effects = model.delete(call.card, identity)
    call.effects += [] if dead else effects


def _rebuild(call: Call) -> None:
    """A new disk takes the place of the lost one."""
    volume = model.volume_of(call.card, _number(call, "i"))
    drive = model.drive_at(call.card, None, _number(call, "d"))
    lost = [one for one in members(call.card, volume.group) if one.condition in ("failed", "missing")]
    if not lost or model.volume_state(call.card, volume) == "offline" or drive.foreign:
        raise MvError("VD can not be rebuilt.")
    if drive.condition not in ("good", "jbod"):
        raise Refusal("drive-state")
    call.effects += exposing.hide(drive)
    lost[0].group = None
    drive.condition, drive.group, drive.progress = "rebuilding", volume.group, 0.0


CHANGES: dict[str, Callable[[Call], None]] = {"create": _create, "delete": _delete, "rebuild": _rebuild}


def _info(call: Call, cards: list[Controller], *, nvme: bool) -> str:
    kind = call.options.get("o", "").lower()
    if kind not in OBJECTS:
        raise MvError("Invalid object.")
    if kind == "hba":
        shown = [one for one in cards if call.options.get("i") in (None, one.index)]
        if not shown:
            raise MvError("Specified adapter does not exist.")
        return "".join(_mnv_card(one) if nvme else _card(one) for one in shown)
    card = call.card
    wanted = _number(call, "i") if "i" in call.options else None
    if kind == "blk":
        return "\nBlock Information\n-----------------\n" + "".join(
            _keys(("Block id", 4 * place), ("PD id", drive.slot), ("VD id", volume.id),
                  ("Block status", "assigned"), ("Size", f"{drive.coerced_bytes >> 10} K"),
                  ("Starting offset", "0 K")) + "\n"
            for volume in card.volumes
            for place, drive in enumerate(members(card, volume.group))
        )  # fmt: skip
    if kind == "pd":
        drives = [one for one in card.drives if one.condition != "missing" and wanted in (None, one.slot)]
        if not drives and wanted is not None:
            raise Refusal("no-drive")
        blocks = "".join((_mnv_disk if nvme else _disk)(card, one) for one in drives)
        title = "" if nvme else "\nPhysical Disk Information\n----------------------------\n"
        return f"{title}{blocks}Total # of PD:       {len(drives)}\n"
    told = [_mnv_volume(card, one) if nvme else _volume(card, one) for one in card.volumes
            if wanted in (None, one.id)]  # fmt: skip
    told += [_foreign_volume(identity, drives, nvme=nvme) for identity, drives in _foreign(card).items()
             if wanted in (None, identity)]  # fmt: skip
    if not told and wanted is not None:
        raise Refusal("no-volume")
    title = "" if nvme else "\nVirtual Disk Information\n-------------------------\n"
    return f"{title}{''.join(told)}Total # of VD:       {len(told)}\n"


def _keys(*pairs: tuple[str, object]) -> str:
    return "".join(f"{key + ':':<20} {value}\n" for key, value in pairs)


def _foreign(card: Controller) -> dict[int, list[Drive]]:
    names = sorted({one.foreign for one in card.drives if one.foreign})
    return {
        FIRST_FOREIGN_ID + place: [one for one in card.drives if one.foreign == name]
        for place, name in enumerate(names)
    }


def _modes(card: Controller) -> str:
    return " ".join(one.upper() for one in card.limits.levels) + " "


def _card(card: Controller) -> str:
    strips = "".join(f"{one >> 10}K " for one in sorted(card.limits.strips))
    return "\n" + _keys(
        ("Adapter ID", card.index), ("Product", card.model), ("Sub Product", "1028-1fe2"),
        ("Chip revision", "A1"), ("slot number", 0), ("Rom version", "2.5.13.3016"),
        ("BIOS version", "1.0.13.1003"), ("Firmware version", card.firmware), ("# of ports", 3),
        ("Supported port type", "SATA "), ("Supported RAID mode", _modes(card)),
        ("Maximum disk in one VD", 2), ("Rebuild", "Supported"), ("Maximum supported disk", 2),
        ("Maximum supported VD", card.limits.most_volumes), ("Stripe size supported", strips),
        ("Image health", "Healthy"), ("Firmware image health", "Healthy"),
    )  # fmt: skip


def _in_use(drive: Drive) -> bool:
    return drive.foreign is not None or (
        drive.group is not None and drive.condition in ("online", "rebuilding")
    )


def _disk(card: Controller, drive: Drive) -> str:
    pairs: list[tuple[str, object]] = [
        ("Adapter", card.index), ("PD ID", drive.slot), ("Type", f"{drive.interface.upper()} PD"),
        ("Linked at", f"HBA port {drive.slot}"), ("Size", f"{drive.size_bytes >> 10} K"),
        ("Write cache", "not supported"), ("SMART", "supported (on)"), ("NCQ", "supported (on)"),
        ("Current speed", "6 Gb/s"), ("model", f"{drive.model:<40}"), ("Serial", drive.serial),
        ("Firmware version", f" {drive.firmware}"), ("Running OS", "no"),
        ("SSD Type", "SSD" if drive.medium == "ssd" else "Not SSD"),
        ("block ids", f"{4 * drive.slot} " if _in_use(drive) else ""),
        ("PD valid size", f"{drive.coerced_bytes >> 10} K"),
    ]  # fmt: skip
    if drive.condition in ("failed", "bad"):
        pairs.append(("PD status", "failed"))
    return _keys(*pairs) + "\n\n"


def _state(card: Controller, volume: Volume) -> tuple[str, list[tuple[str, object]]]:
    building = [one.progress or 0.0 for one in members(card, volume.group) if one.condition == "rebuilding"]
    state = STATES.get(model.volume_state(card, volume), "degraded")
    if building and state != "offline":
        return "degraded", [("BGA progress", f"rebuilding is {min(building):.0f}% done")]
    return state, []


def _there(card: Controller, volume: Volume) -> list[Drive]:
    return [one for one in members(card, volume.group) if one.condition in ("online", "rebuilding")]


def _volume(card: Controller, volume: Volume) -> str:
    state, task = _state(card, volume)
    drives = _there(card, volume)
    return _keys(
        ("id", volume.id), ("name", volume.name), ("status", state),
        ("Stripe size", volume.strip_bytes >> 10), ("RAID mode", volume.level.upper()),
        ("Cache mode", "Not Support"), ("size", f"{volume.size_bytes // MIB} M"),
        ("BGA status", "running" if task else "not running"),
        ("Block ids", "".join(f"{4 * one.slot} " for one in drives)), ("# of PDs", len(drives)),
        ("PD RAID setup", "".join(f"{one.slot} " for one in drives)), ("Running OS", "no"), *task,
    ) + "\n"  # fmt: skip


def _foreign_volume(identity: int, drives: list[Drive], *, nvme: bool) -> str:
    size = min(one.coerced_bytes for one in drives) // MIB
    places = "".join(f"{one.slot} " for one in drives)
    if nvme:
        return _keys(
            ("VD ID", identity), ("Name", "OLD"), ("Status", "Foreign"), ("Importable", "Yes"),
            ("RAID Mode", "RAID1"), ("size", f"{size >> 10} GB"), ("PD Count", len(drives)), ("PDs", places),
            ("Stripe Block Size", "128K"), ("Sector Size", "512 bytes"),
        ) + "\n"  # fmt: skip
    return _keys(
        ("id", identity), ("name", "old"), ("status", "foreign"), ("Stripe size", 64), ("RAID mode", "RAID1"),
        ("size", f"{size} M"), ("# of PDs", len(drives)), ("PD RAID setup", places), ("Running OS", "no"),
    ) + "\n"  # fmt: skip


def _mnv_card(card: Controller) -> str:
    bus = ":".join(card.pci.split(":")[1:]).replace(".", ".0")
    strips = "".join(f"{one >> 10}KB " for one in card.limits.strips)
    return f"NVMe Controller ID                   {card.index}\n" + _keys(
        ("Bus Device Fun", bus), ("Device", f"/dev/nvme{card.index}"), ("Firmware Version", card.firmware),
        ("VID", "0x1b4b"), ("DID", "0x2241"), ("Port Count", 2), ("Max PD of Per VD", 2),
        ("Max VD", card.limits.most_volumes), ("Max PD", 2), ("Supported RAID Mode", _modes(card)),
        ("Support Stripe Size", strips),
    ) + "\n"  # fmt: skip


def _mnv_disk(_: Controller, drive: Drive) -> str:
    broken = drive.condition in ("failed", "bad")
    return _keys(
        ("PD ID", drive.slot), ("Model", f"{drive.model:<40}"), ("Serial", f"{drive.serial:<20}"),
        ("Sector Size", f"{drive.sector_bytes} bytes"), ("LBA", drive.size_bytes // drive.sector_bytes),
        ("Size", f"{drive.size_bytes >> 30} GB"), ("SSD backend RC/Slot ID", drive.slot),
        ("Firmware version", drive.firmware), ("Status", "Failed" if broken else "Idle"),
        ("Assigned", "Yes" if _in_use(drive) else "No"), ("SMART Critical Warning", "No"),
    ) + "\n"  # fmt: skip


def _mnv_volume(card: Controller, volume: Volume) -> str:
    state, task = _state(card, volume)
    drives = _there(card, volume)
    word = {"functional": "Functional", "degraded": "Degrade"}.get(state, "Offline")
    return _keys(
        ("VD ID", volume.id), ("Name", volume.name), ("Status", word), ("Importable", "No"),
        ("RAID Mode", volume.level.upper()), ("size", f"{volume.size_bytes >> 30} GB"),
        ("PD Count", len(drives)), ("PDs", "".join(f"{one.slot} " for one in drives)),
        ("Stripe Block Size", f"{volume.strip_bytes >> 10}K"),
        ("Sector Size", "512 bytes"), *task,
    ) + "\n"  # fmt: skip
