"""MegaCli's commands that change things."""

import contextlib
from collections.abc import Callable
from typing import Literal

from lab.raid import model
from lab.raid.megacli import groups
from lab.raid.megacli.answers import (
    ATTRIBUTES,
    SPANS,
    USAGE,
    Answer,
    Handler,
    drives_of,
    failed,
    ids_of,
    where,
)
from lab.raid.megacli.forms import policy
from lab.raid.megacli.grammar import Line
from lab.raid.megacli.lists import boot_drive, volume_progress
from lab.raid.model import MIB, Controller, Drive, Effect, Refusal, Volume

PLAIN = {"0": "raid0", "1": "raid1", "5": "raid5", "6": "raid6"}
SPANNED = {"10": "raid10", "50": "raid50", "60": "raid60"}
MOST_NAME = 15
MOST_SPANS = 8


def add_plain(controller: Controller, line: Line) -> Answer:
    """CfgLdAdd; a RAID 1 of more than two drives is laid out as a RAID 10 in one span."""
    level = PLAIN.get(line.values.get("level", ""))
    if level is None or "drives" not in line.values:
        return failed(USAGE)
    drives = drives_of(controller, line.values["drives"])
    if level == "raid1" and len(drives) > 2:
        level = "raid10"
    return _add(controller, line, level, drives, 1)


def add_spanned(controller: Controller, line: Line) -> Answer:
    """CfgSpanAdd: each -ArrayN is a span, all of one size."""
    level = SPANNED.get(line.values.get("level", ""))
    if level is None:
        return failed(USAGE)
    if len(line.arrays) < 2:
        return failed(SPANS, code=0x1E)
    parts = [drives_of(controller, text) for text in line.arrays]
    if len({len(part) for part in parts}) > 1 or len(parts) > MOST_SPANS:
        raise Refusal("spans")
    return _add(controller, line, level, [one for part in parts for one in part], len(parts))


def _add(controller: Controller, line: Line, level: str, drives: list[Drive], spans: int) -> Answer:
    size = int(line.values["size"]) * MIB if "size" in line.values else None
    strip = int(line.values["strip"]) * 1024 if "strip" in line.values else None
    spares = drives_of(controller, line.values["spares"]) if "spares" in line.values else []
    write: Literal["back", "through"] = "through" if "wt" in line.words else "back"
    read: Literal["ahead", "none"] = "ahead" if line.words & {"ra", "adra"} else "none"
    used = {one.group for one in drives if one.condition == "online"}
    if used:
        group = _whole_group(controller, drives, spans)
        if controller.pinned:
            raise Refusal("preserved-cache")
        volume, effects = model.create_in(
            controller, group, level, size_bytes=size, strip_bytes=strip, spans=spans,
            write_cache=write, read_cache=read,
        )  # fmt: skip
    else:
        volume, effects = model.create(
            controller, level, drives, size_bytes=size, strip_bytes=strip, spans=spans, spares=spares,
            write_cache=write, read_cache=read,
        )  # fmt: skip
    index = controller.index
    kept = [f"Adapter: {index}: Set Physical Drive at {where(one)} as Hot Spare Success." for one in spares]
    told = [f"Adapter {index}: Created VD {volume.id}", *(kept if not used else [])]
    return Answer([*told, "", f"Adapter {index}: Configured the Adapter!!"], 0, effects)


def _whole_group(controller: Controller, drives: list[Drive], spans: int) -> int:
    """The group whose free room is meant. Raises Refusal where the drives are not just all of one."""
    group = drives[0].group
    if group is None or {one.group for one in drives} != {group}:
        raise Refusal("drive-state", "used")
    members = model.members(controller, group)
    if sorted(map(id, members)) != sorted(map(id, drives)) or any(
        one.condition != "online" for one in members
    ):
        raise Refusal("drive-state", "used")
    if len(groups.spans(controller, group)) != spans:
        raise Refusal("spans")
    return group


def each_a_volume(controller: Controller, _line: Line) -> Answer:
    """CfgEachDskRaid0: every drive that is free becomes a volume."""
    told, effects = [], list[Effect]()
    for drive in controller.drives:
        with contextlib.suppress(Refusal):
            volume, made = model.create(controller, "raid0", [drive])
            effects += made
            told.append(f"Adapter {controller.index}: Created VD {volume.id}")
    return Answer([*told, "", f"Adapter {controller.index}: Configured the Adapter!!"], 0, effects)


def delete(controller: Controller, line: Line) -> Answer:
    """CfgLdDel: one after the other, up to the first that is refused."""
    lines, effects = list[str](), list[Effect]()
    for number in ids_of(controller, line):
        try:
            effects += _delete(controller, model.volume_of(controller, number), forced="force" in line.words)
        except Refusal as refusal:
            if not lines:
                raise
            lines.append(
                f"Adapter {controller.index}: Virtual Drive {number} is not deleted ({refusal.code})."
            )
            return Answer(lines, 1, effects)
        lines.append(f"Adapter {controller.index}: Deleted Virtual Drive-{number}(target id-{number})")
    return Answer(lines, 0, effects) if lines else failed(USAGE)


def _delete(controller: Controller, volume: Volume, *, forced: bool) -> list[Effect]:
    shown = model.volume_state(controller, volume) != "offline"
    effects = model.delete(controller, volume.id, forced=forced)
    return effects if shown else []


def clear(controller: Controller, line: Line) -> Answer:
    """CfgClr: everything goes."""
    if "force" not in line.words and any(one.has_data for one in controller.volumes):
        raise Refusal("has-data")
    effects = list[Effect]()
    for volume in list(controller.volumes):
        effects += _delete(controller, volume, forced=True)
    return Answer([f"Adapter {controller.index}: Configuration is Cleared."], 0, effects)


def set_properties(controller: Controller, line: Line) -> Answer:
    """LDSetProp: the name, and how the cache is used."""
    lines = []
    for number in ids_of(controller, line):
        volume = model.volume_of(controller, number)
        place = f"on Adapter {controller.index}, VD {number} (target id: {number}) success"
        if line.name is not None:
            if len(line.name) > MOST_NAME:
                return failed(f"Adapter {controller.index}: Failed to set VD name.", code=0x03)
            volume.name = line.name
            lines.append(f"Set VD name to {line.name} {place}")
        if line.words & {"wb", "wt"}:
            volume.write_cache = "through" if "wt" in line.words else "back"
            lines.append(f"Set Write Policy to {policy(volume).split(', ')[0]} {place}")
        if line.words & {"ra", "adra", "nora"}:
            volume.read_cache = "none" if "nora" in line.words else "ahead"
            lines.append(f"Set Read Policy to {policy(volume).split(', ')[1]} {place}")
    return Answer(lines) if lines else failed(USAGE)


def hot_spare(controller: Controller, line: Line) -> Answer:
    """PDHSP: make a spare of all groups or of one, or make it none."""
    lines = list[str]()
    for drive in drives_of(controller, line.values.get("drives")):
        told = f"Adapter: {controller.index}: {{}} Physical Drive at {where(drive)} as Hot Spare {{}}."
        if "rmv" in line.words:
            if drive.condition != "spare":
                return failed(*lines, told.format("Remove", "Failed"))
            model.set_good(drive)
            lines.append(told.format("Remove", "Success"))
            continue
        try:
            model.set_spare(drive, _kept_for(controller, line))
        except Refusal:
            return failed(
                *lines, told.format("Set", "Failed"), "", "FW error description: ", ATTRIBUTES, code=0x26
            )
        lines.append(told.format("Set", "Success"))
    return Answer(lines)


def _kept_for(controller: Controller, line: Line) -> int | None:
    """The group whose arrays are named; a dedicated spare of no or of several groups is refused here."""
    if "dedicated" not in line.words:
        return None
    wanted = set(line.numbers("arrays") or ())
    meant = [group for group, numbers in groups.arrays(controller).items() if wanted & set(numbers)]
    known = {number for numbers in groups.arrays(controller).values() for number in numbers}
    if len(meant) != 1 or not wanted <= known:
        raise Refusal("drive-state", "array")
    return meant[0]


def make_good(controller: Controller, line: Line) -> Answer:
    """PDMakeGood: fails on a drive that is good already."""
    return _change_state(controller, line, _make_good, "Unconfigured-Good")


def _make_good(_controller: Controller, drive: Drive) -> list[Effect]:
    if drive.condition == "failed" and drive.group is None:
        drive.condition = "bad"
    if drive.condition not in ("jbod", "bad"):
        raise Refusal("drive-state", drive.condition)
    return model.set_good(drive)


def make_jbod(controller: Controller, line: Line) -> Answer:
    """PDMakeJBOD: only where the controller passes drives through at all."""
    return _change_state(controller, line, _make_jbod, "JBOD")


def _make_jbod(controller: Controller, drive: Drive) -> list[Effect]:
    if not controller.jbod_mode or drive.condition != "good":
        raise Refusal("no-jbod")
    return model.set_jbod(controller, drive)


def offline(controller: Controller, line: Line) -> Answer:
    """PDOffline: a member is taken out as if it had failed."""
    return _change_state(controller, line, _offline, "OffLine")


def _offline(controller: Controller, drive: Drive) -> list[Effect]:
    if drive.condition not in ("online", "rebuilding"):
        raise Refusal("drive-state", drive.condition)
    return model.fail(controller, drive)


def spin(controller: Controller, line: Line) -> Answer:
    """PDPrpRmv: stop a free drive, or with -UnDo start it again."""
    lines = list[str]()
    for drive in drives_of(controller, line.values.get("drives")):
        down = "undo" not in line.words
        if drive.condition not in ("good", "bad", "spare") or drive.spun_down == down:
            return failed(
                *lines, f"Adapter: {controller.index}: Failed to change PD state at {where(drive)}."
            )
        drive.spun_down = down
        lines.append("Prepare for removal Success" if down else "Undo Prepare for removal Success")
    return Answer(lines)


def _change_state(
    controller: Controller, line: Line, change: Callable[[Controller, Drive], list[Effect]], name: str
) -> Answer:
    lines, effects = list[str](), list[Effect]()
    for drive in drives_of(controller, line.values.get("drives")):
        try:
            effects += change(controller, drive)
        except Refusal:
            lines.append(f"Adapter: {controller.index}: Failed to change PD state at {where(drive)}.")
            return Answer(lines, 1, effects)
        lines.append(f"Adapter: {controller.index}: {where(drive)} state changed to {name}.")
    return Answer(lines, 0, effects)


def discard(controller: Controller, line: Line) -> Answer:
    """DiscardPreservedCache."""
    numbers = line.numbers("volumes")
    lines = [f"Adapter #{controller.index}", ""]
    for number in list(controller.pinned) if numbers is None else numbers:
        if number not in controller.pinned:
            return failed(*lines, f"Virtual Drive(Target ID {number:02d}): Failed.", code=0x03)
        controller.pinned.remove(number)
        lines.append(f"Virtual Drive(Target ID {number:02d}): Preserved Cache Data Cleared.")
    return Answer(lines)


def set_adapter(controller: Controller, line: Line) -> Answer:
    """AdpSetProp EnableJBOD; it is not turned off while drives are passed through."""
    on = line.values.get("number") == "1"
    used = any(one.condition == "jbod" for one in controller.drives)
    if "enablejbod" not in line.words or not controller.limits.jbod or (used and not on):
        return failed(f"Adapter {controller.index}: Failed to Set Adapter Properties.")
    controller.jbod_mode = on
    return Answer([f"Adapter {controller.index}: Set JBOD to {'Enable' if on else 'Disable'} success."])


def boot(controller: Controller, line: Line) -> Answer:
    """AdpBootDrive: which volume the BIOS starts from."""
    if "set" not in line.words:
        return boot_drive(controller, line)
    numbers = line.numbers("volumes")
    if not numbers or len(numbers) != 1:
        return failed(USAGE)
    chosen = model.volume_of(controller, numbers[0])
    for volume in controller.volumes:
        volume.boot = volume is chosen
    told = f"Boot Virtual Drive is set to #{chosen.id} (target id #{chosen.id}) on Adapter {controller.index}"
    return Answer([told])


def initialise(controller: Controller, line: Line) -> Answer:
    """LDInit: start one, or show how far it is."""
    if "showprog" in line.words:
        return volume_progress(controller, line)
    lines = []
    for number in ids_of(controller, line) if "start" in line.words else []:
        volume = model.volume_of(controller, number)
        volume.initialising, volume.has_data = 0.0, False
        lines.append(f"Adapter {controller.index}: Start Initialization of VD {number} Success.")
    return Answer(lines) if lines else failed(USAGE)


HANDLERS: dict[str, Handler] = {
    "cfgldadd": add_plain,
    "cfgspanadd": add_spanned,
    "cfgeachdskraid0": each_a_volume,
    "cfglddel": delete,
    "cfgclr": clear,
    "ldsetprop": set_properties,
    "pdhsp": hot_spare,
    "pdmakegood": make_good,
    "pdmakejbod": make_jbod,
    "pdoffline": offline,
    "pdprprmv": spin,
    "discardpreservedcache": discard,
    "adpsetprop": set_adapter,
    "adpbootdrive": boot,
    "ldinit": initialise,
}
