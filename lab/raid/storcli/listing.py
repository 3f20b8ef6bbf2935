"""storcli's `show`: the system, controllers, enclosures, drives, volumes, groups, foreign configurations."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from lab.raid import model
from lab.raid.model import Controller, Drive, Volume
from lab.raid.storcli import rows
from lab.raid.storcli.answer import Answer, Dialect, Objects, Part, Row, Table, Values
from lab.raid.storcli.facts import everything, product
from lab.raid.storcli.request import Malformed, Numbers, Request

_UNKNOWN: Final = "unexpected TOKEN_UNKNOWN"
_DRIVE_TASKS: Final = {
    "rebuild": "Rebuild",
    "copyback": "Copyback",
    "initialization": "Initialization",
    "erase": "Erase",
}
_VOLUME_TASKS: Final = {"init": "INIT", "bgi": "BGI", "cc": "CC", "migrate": "Migrate"}
CLI_ERROR: Final = 255


def overview(
    request: Request, dialect: Dialect, own: Sequence[Controller], hbas: Sequence[Controller]
) -> Answer:
    """`show` and `show ctrlcount`: a Success, also where there is no controller."""
    if request.words[1:] == ("ctrlcount",):
        return Answer(None, parts=[Values("", {"Controller Count": len(own) + len(hbas)})])
    values = {
        "Number of Controllers": len(own) + len(hbas),
        "Host Name": "rackflow",
        "Operating System ": dialect.system,
    }
    parts: list[Part] = [Values("", values)]
    if own:
        name = _overview_row2 if dialect.second else _overview_row
        parts.append(Table("System Overview", [name(one, number) for number, one in enumerate(own)]))
    if hbas:
        found = [_hba_row(one, number) for number, one in enumerate(hbas, start=len(own))]
        parts.append(Table("IT System Overview", found))
    return Answer(None, parts=parts)


def _groups_not_optimal(one: Controller) -> int:
    return len({v.group for v in one.volumes if model.volume_state(one, v) != "optimal"})


def _overview_row(one: Controller, number: int) -> Row:
    """The model is printed without its blanks."""
    broken = _groups_not_optimal(one)
    return {
        "Ctl": number,
        "Model": re.sub(r"\s", "", one.model),
        "Ports": 8,
        "PDs": len(rows.present(one)),
        "DGs": len(rows.group_numbers(one)),
        "DNOpt": broken,
        "VDs": len(one.volumes),
        "VNOpt": sum(model.volume_state(one, volume) != "optimal" for volume in one.volumes),
        "BBU": "Opt" if one.battery == "optimal" else "N/A" if one.battery == "missing" else "Fld",
        "sPR": "On",
        "DS": "1&2",
        "EHS": "Y",
        "ASOs": 3,
        "Hlth": "NdAtn" if broken else "Opt",
    }


def _overview_row2(one: Controller, number: int) -> Row:
    return {
        "Ctrl": number,
        "Product Name": one.model,
        "SASAddress": "0X500062B200000000",
        "Personality": "RAID",
        "Status": "Optimal",
        "PD(s)": len(rows.present(one)),
        "VD(s)": len(one.volumes),
        "VNOpt": sum(model.volume_state(one, volume) != "optimal" for volume in one.volumes),
        "EPack": "Optimal" if one.battery == "optimal" else "Failed",
        "SerialNumber": one.serial.ljust(32),
    }


def _hba_row(one: Controller, number: int) -> Row:
    ids: Row = {"VendId": "0x1000", "DevId": "0x97", "SubVendId": "0x1000", "SubDevId": "0x808"}
    head: Row = {"Ctl": number, "Model": one.model, "AdapterType": "SAS3008(C0)"}
    return head | ids | {"PCI Address": one.pci}


def show(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    """Answer a command that shows something. Raises Malformed."""
    by_kind: Mapping[str, Callable[[Request, Dialect, Controller, int], Answer]] = {
        "controller": _controller,
        "enclosure": _enclosures,
        "drive": _drives,
        "volume": _volumes,
        "group": _groups,
        "foreign": _foreign,
        "pack": _pack,
    }
    return by_kind[request.kind](request, dialect, one, index)


def _topic(request: Request, *known: str) -> str:
    """The one word after `show`, empty for none. Raises Malformed for others."""
    words = request.words[1:]
    if len(words) > 1 or (words and words[0] not in known):
        raise Malformed(_UNKNOWN)
    return words[0] if words else ""


def _controller(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    topic = _topic(request, "all", "preservedcache", "jbod", "bootdrive", "personality")
    if topic in ("", "all"):
        described = everything(one, dialect, index) if topic else [Values("", product(one, dialect))]
        return Answer(index, parts=[*described, *_lists(one, dialect)], summary=True, takes_s=2)
    if topic == "preservedcache":
        return _preserved(one, index)
    boot = next((f"VD:{volume.id}" for volume in one.volumes if volume.boot), "No Boot Drive")
    value = {
        "jbod": ("JBOD", "ON" if one.jbod_mode else "OFF"),
        "bootdrive": ("BootDrive", boot),
        "personality": ("Personality", "RAID-Mode "),
    }[topic]
    table: list[Row] = [{"Ctrl_Prop": value[0], "Value": value[1]}]
    return Answer(index, parts=[Table("Controller Properties", table)])


def _preserved(one: Controller, index: int) -> Answer:
    """Volumes whose cache is kept. No capture shows it; columns and words are those of MegaCli's list."""
    if not one.pinned:
        return Answer(index, "No Virtual Drive has Preserved Cache Data.")
    there = {volume.id for volume in one.volumes}
    found: list[Row] = [{"VD": vd, "State": "Offline" if vd in there else "Missing"} for vd in one.pinned]
    return Answer(index, parts=[Table("Preserved Cache", found)])


def _lists(one: Controller, dialect: Dialect) -> list[Part]:
    """Groups, volumes, drives and enclosures, each only where there are any."""
    parts: list[Part] = []
    groups = rows.group_numbers(one)
    if groups:
        parts.append(Values("", {"Drive Groups": len(groups)}))
        parts.append(Table("TOPOLOGY", rows.topology(one, dialect, groups), rows.TOPOLOGY_LEGEND))
        found = [rows.volume_row(one, volume, dialect) for volume in rows.volumes(one)]
        parts.append(Table("VD LIST", found, rows.VD_LEGEND, "Virtual Drives"))
    drives = [rows.drive_row(one, drive, dialect) for drive in rows.present(one)]
    if drives:
        parts.append(Table("PD LIST", drives, rows.PD_LEGEND, "Physical Drives"))
    enclosures = _enclosure_rows(one)
    if enclosures:
        title = "Enclosure List" if dialect.second else "Enclosure LIST"
        parts.append(Table(title, enclosures, count="Enclosures"))
    return [*parts, *_pack_tables(one, dialect)]


def _enclosure_rows(one: Controller) -> list[Row]:
    numbers = sorted({drive.enclosure for drive in one.drives if drive.enclosure is not None})
    return [
        {
            "EID": number,
            "State": "OK",
            "Slots": 16,
            "PD": sum(drive.enclosure == number for drive in rows.present(one)),
            "PS": 0,
            "Fans": 0,
            "TSs": 0,
            "Alms": 0,
            "SIM": 0,
            "ProdID": "VirtualSES",
        }
        for number in numbers
    ]


def _pack_tables(one: Controller, dialect: Dialect) -> list[Part]:
    if one.battery == "missing":
        return []
    state = "Optimal" if one.battery == "optimal" else "Failed"
    if dialect.second:
        row: Row = {"Type": "Supercap", "SubType": "FBU345", "Voltage(mV)": 8937, "Status": state}
        return [Table("Energy Pack Info", [row])]
    return [Table("Cachevault_Info", [{"Model": "CVPM05", "State": state, "Temp": "32C", "Mode": "-"}])]


def _pack(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    _topic(request, "all", "status")
    found = _pack_tables(one, dialect)
    if not found:
        return Answer(index, "Cachevault is absent!", ok=False, code=CLI_ERROR)
    return Answer(index, parts=found)


def _enclosures(request: Request, _: Dialect, one: Controller, index: int) -> Answer:
    _topic(request, "all", "status")
    wanted = request.enclosures
    found = [row for row in _enclosure_rows(one) if wanted is None or row["EID"] in wanted]
    if not found:
        return Answer(index, "No Enclosure found.", ok=False, code=CLI_ERROR)
    return Answer(index, parts=[Table("Properties", found)])


def drives_at(
    request: Request, dialect: Dialect, one: Controller, index: int
) -> tuple[list[Drive], list[Row]]:
    """The drives that an address means, and a failed row for each place that has none."""
    there = rows.present(one)
    enclosures: Sequence[int | None]
    if request.enclosures is None:
        enclosures = sorted({drive.enclosure for drive in there if drive.enclosure is not None})
    else:
        enclosures = request.enclosures or (None,)
    found: list[Drive] = []
    failed: list[Row] = []
    for enclosure in enclosures:
        here = {drive.slot: drive for drive in there if drive.enclosure == enclosure}
        for slot in sorted(here) if request.numbers is None else request.numbers:
            if slot in here:
                found.append(here[slot])
            else:
                failed.append(_no_drive(dialect, index, enclosure, slot))
    return found, failed


def _no_drive(dialect: Dialect, index: int, enclosure: int | None, slot: int) -> Row:
    if dialect.second:
        place = f"{'' if enclosure is None else enclosure}:{slot}"
        head: Row = {"EID:Slt": place, "PID": "-", "Status": "Failure", "ErrType": "CLI"}
    else:
        at = f"/c{index}" + ("" if enclosure is None else f"/e{enclosure}") + f"/s{slot}"
        head = {"Drive": at, "Status": "Failure"}
    return head | {"ErrCd": CLI_ERROR, "ErrMsg": "Drive not found"}


def no_drives(dialect: Dialect, index: int, failed: Sequence[Row]) -> Answer:
    """The answer where an address means no drive."""
    words = "No PD found." if dialect.second else "No drive found!"
    return Answer(index, words, ok=False, code=CLI_ERROR, rows=failed)


def _drives(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    topic = _topic(request, "all", *_DRIVE_TASKS, "jbod")
    found, failed = drives_at(request, dialect, one, index)
    if not found or failed:
        return no_drives(dialect, index, failed)
    if topic in _DRIVE_TASKS:
        table = [_progress(index, drive, topic) for drive in found]
        return Answer(index, f"Show Drive {_DRIVE_TASKS[topic]} Status Succeeded.", parts=[Table("", table)])
    words = "Show Drive Information Succeeded."
    if dialect.second:
        return Answer(index, words, parts=[_drive_objects(one, found, dialect, index, topic)], takes_s=2)
    if topic != "all":
        listed = [rows.drive_row(one, drive, dialect) for drive in found]
        return Answer(index, words, parts=[Table("Drive Information", listed, rows.PD_LEGEND)])
    parts: list[Part] = []
    for drive in found:
        at = rows.path(index, drive)
        parts.append(Table(f"Drive {at}", [rows.drive_row(one, drive, dialect)], rows.PD_LEGEND))
        details = rows.drive_details(one, drive, dialect, at)
        parts.append(Values(f"Drive {at} - Detailed Information", details))
    return Answer(index, words, parts=parts, takes_s=2)


def _progress(index: int, drive: Drive, task: str) -> Row:
    runs = task == "rebuild" and drive.condition == "rebuilding"
    return {
        "Drive-ID": rows.path(index, drive),
        "Progress%": int(drive.progress or 0) if runs else "-",
        "Status": "In progress" if runs else "Not in progress",
        "Estimated Time Left": "49 Minutes" if runs else "-",
    }


def _drive_objects(
    one: Controller, found: Sequence[Drive], dialect: Dialect, index: int, topic: str
) -> Objects:
    objects: list[Mapping[str, Any]] = []
    parts: list[Part] = []
    for drive in found:
        at = rows.path(index, drive)
        row = rows.drive_row(one, drive, dialect)
        objects.append({"Drive Information": row})
        parts.append(Table("Drive Information", [row], rows.PD_LEGEND))
        if topic == "all":
            details = rows.drive_details(one, drive, dialect, at)
            objects[-1] = {"Drive Information": row, "Drive Detailed Information": details}
            parts.append(Values(f"Drive {at} - Detailed Information", details))
    return Objects("Drives List", objects, parts)


def volumes_at(numbers: Numbers, one: Controller) -> tuple[list[Volume], list[int]]:
    """The volumes that an address means, and the ids of those that are not there."""
    if numbers is None:
        return rows.volumes(one), []
    there = {volume.id: volume for volume in one.volumes}
    return [there[number] for number in numbers if number in there], [n for n in numbers if n not in there]


def _no_volume(dialect: Dialect, number: int) -> Row:
    row: Row = {"VD": number, "Status": "Failed"}
    if dialect.second:
        row["ErrType"] = "CLI"
    return row | {"ErrCd": CLI_ERROR, "ErrMsg": "Invalid VD number"}


def _volumes(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    topic = _topic(request, "all", *_VOLUME_TASKS)
    found, absent = volumes_at(request.numbers, one)
    if absent:
        failed = [_no_volume(dialect, number) for number in absent]
        return Answer(index, ok=False, code=CLI_ERROR, rows=failed)
    if not found:
        return Answer(index, "No VD's have been configured.")
    if topic in _VOLUME_TASKS:
        return Answer(index, parts=[Table("VD Operation Status", [_task(one, topic) for one in found])])
    if dialect.second:
        return Answer(index, parts=[_volume_objects(one, found, dialect, topic)])
    if topic != "all":
        listed = [rows.volume_row(one, volume, dialect) for volume in found]
        return Answer(index, parts=[Table("Virtual Drives", listed, rows.VD_LEGEND)])
    parts: list[Part] = []
    for volume in found:
        parts.append(
            Table(f"/c{index}/v{volume.id}", [rows.volume_row(one, volume, dialect)], rows.VD_LEGEND)
        )
        parts += _below(one, volume, dialect)
    return Answer(index, parts=parts, takes_s=2)


def _members(one: Controller, volume: Volume, dialect: Dialect) -> list[Row]:
    alive = [drive for drive in model.members(one, volume.group) if drive.condition != "missing"]
    return [rows.drive_row(one, drive, dialect) for drive in alive]


def _below(one: Controller, volume: Volume, dialect: Dialect) -> list[Part]:
    return [
        Table(f"PDs for VD {volume.id}", _members(one, volume, dialect), rows.PD_LEGEND),
        Values(f"VD{volume.id} Properties", rows.volume_properties(one, volume, dialect)),
    ]


def _volume_objects(one: Controller, found: Sequence[Volume], dialect: Dialect, topic: str) -> Objects:
    objects: list[Mapping[str, Any]] = []
    parts: list[Part] = []
    for volume in found:
        row = rows.volume_row(one, volume, dialect)
        parts.append(Table("VD Info", [row], rows.VD_LEGEND))
        below = {
            "PDs": _members(one, volume, dialect),
            "VD Properties": rows.volume_properties(one, volume, dialect),
        }
        objects.append({"VD Info": row} | (below if topic == "all" else {}))
        if topic == "all":
            parts += _below(one, volume, dialect)
    return Objects("Virtual Drives", objects, parts)


def _task(volume: Volume, topic: str) -> Row:
    runs = topic in ("init", "bgi") and volume.initialising is not None
    return {
        "VD": volume.id,
        "Operation": _VOLUME_TASKS[topic],
        "Progress%": int(volume.initialising or 0) if runs else "-",
        "Status": "In progress" if runs else "Not in progress",
        "Estimated Time Left": "20 Minutes" if runs else "-",
    }


def _groups(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    _topic(request, "all")
    there = rows.group_numbers(one)
    wanted = there if request.numbers is None else [n for n in there if n in request.numbers]
    if not wanted:
        return Answer(index, "No DG found" if request.numbers is not None else "No Drive Groups", ok=False,
                      code=CLI_ERROR)  # fmt: skip
    table = Table("TOPOLOGY", rows.topology(one, dialect, wanted), rows.TOPOLOGY_LEGEND)
    return Answer(index, "Show Diskgroup Succeeded", parts=[table])


def _foreign(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    _topic(request, "all")
    found = rows.foreign_rows(one, dialect)
    if not found:
        nothing = Values("", {"Total Foreign PDs": 0})
        return Answer(index, "Couldn't find any foreign Configuration", parts=[nothing])
    table = Table("FOREIGN CONFIGURATION", found, "NoVDs - Number of VD in Drive Group")
    total = Values("", {"Total foreign Drive Groups": len(found)})
    return Answer(index, "Operation on foreign configuration Succeeded", parts=[table, total])
