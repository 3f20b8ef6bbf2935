"""Drives, volumes and drive groups as rows of storcli's tables, and the details of each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lab.raid import model
from lab.raid.model import Controller, Drive, Volume
from lab.raid.storcli.answer import Dialect, Row

_STATES: Final = {
    "good": ("UGood", "UConf", "Good"),
    "online": ("Onln", "Conf", "Online"),
    "rebuilding": ("Rbld", "Conf", "Rebuild"),
    "jbod": ("JBOD", "JBOD", "Online"),
    "bad": ("UBad", "UConf", "Bad"),
    "failed": ("UBad", "UConf", "Failed"),
    "missing": ("Msng", "-", "Missing"),
}
"""Condition -> storcli's State, storcli2's State and Status."""
_LOST: Final = ("Offln", "Conf", "Offline")
"""A failed drive that is still a member."""
_VOLUME_STATES: Final = {
    "optimal": "Optl",
    "rebuilding": "Dgrd",
    "degraded": "Dgrd",
    "partially-degraded": "Pdgd",
    "offline": "OfLn",
}
PD_LEGEND: Final = """\
EID=Enclosure Device ID|Slt=Slot No|DID=Device ID|DG=DriveGroup
DHS=Dedicated Hot Spare|UGood=Unconfigured Good|GHS=Global Hotspare
UBad=Unconfigured Bad|Sntze=Sanitize|Onln=Online|Offln=Offline|Intf=Interface
Med=Media Type|SED=Self Encryptive Drive|PI=PI Eligible
SeSz=Sector Size|Sp=Spun|U=Up|D=Down|T=Transition|F=Foreign
UGUnsp=UGood Unsupported|UGShld=UGood shielded|HSPShld=Hotspare shielded
CFShld=Configured shielded|Cpybck=CopyBack|CBShld=Copyback Shielded
UBUnsp=UBad Unsupported|Rbld=Rebuild"""
VD_LEGEND: Final = """\
VD=Virtual Drive| DG=Drive Group|Rec=Recovery
Cac=CacheCade|OfLn=OffLine|Pdgd=Partially Degraded|Dgrd=Degraded
Optl=Optimal|dflt=Default|RO=Read Only|RW=Read Write|HD=Hidden|TRANS=TransportReady
B=Blocked|Consist=Consistent|R=Read Ahead Always|NR=No Read Ahead|WB=WriteBack
AWB=Always WriteBack|WT=WriteThrough|C=Cached IO|D=Direct IO|sCC=Scheduled
Check Consistency"""
TOPOLOGY_LEGEND: Final = """\
DG=Disk Group Index|Arr=Array Index|Row=Row Index|EID=Enclosure Device ID
DID=Device ID|Type=Drive or RAID Type|Onln=Online|Rbld=Rebuild|Optl=Optimal
Dgrd=Degraded|Pdgd=Partially degraded|Offln=Offline|BT=Background Task Active
PDC=PD Cache|PI=Protection Info|SED=Self Encrypting Drive|Frgn=Foreign
DS3=Dimmer Switch 3|dflt=Default|Msng=Missing|FSpace=Free Space Present
TR=Transport Ready"""


def place(drive: Drive) -> str:
    """` :0` where there is no enclosure."""
    return f"{' ' if drive.enclosure is None else drive.enclosure}:{drive.slot}"


def path(index: int, drive: Drive) -> str:
    """`/c0/e252/s0`, and `/c0/s0` where there is no enclosure."""
    enclosure = "" if drive.enclosure is None else f"/e{drive.enclosure}"
    return f"/c{index}{enclosure}/s{drive.slot}"


def present(controller: Controller) -> list[Drive]:
    """Drives that are in their slots."""
    return [drive for drive in controller.drives if drive.condition != "missing"]


def device_number(controller: Controller, drive: Drive) -> int:
    """The number that firmware gives a drive; storcli2's start higher."""
    first = 292 if controller.family == "storcli2" else 8
    return first + next(n for n, one in enumerate(controller.drives) if one is drive)


def is_kept(drive: Drive) -> bool:
    """Whether it is a member of a group, alive or not."""
    return drive.group is not None and drive.condition not in ("spare", "good")


def drive_row(controller: Controller, drive: Drive, dialect: Dialect) -> Row:
    """A row of PD LIST."""
    row: Row = {"EID:Slt": place(drive), dialect.device: device_number(controller, drive)}
    size = drive.size_bytes if drive.condition == "jbod" else drive.coerced_bytes
    row |= _states(drive, dialect) | {
        "DG": _group(drive),
        "Size": dialect.size(size),
        "Intf": "NVMe" if drive.interface == "nvme" else drive.interface.upper(),
        "Med": drive.medium.upper(),
    }
    row |= {"SED_Type": "-"} if dialect.second else {"SED": "N", "PI": "N"}
    row |= {
        "SeSz": dialect.plain(drive.sector_bytes),
        "Model": drive.model.ljust(16),
        "Sp": "D" if drive.spun_down else "U",
    }
    return row | ({"LU/NS Count": 1, "Alt-EID": "-"} if dialect.second else {"Type": "-"})


def _group(drive: Drive) -> int | str:
    if drive.foreign:
        return "F"
    return drive.group if drive.group is not None and drive.condition != "good" else "-"


def _states(drive: Drive, dialect: Dialect) -> Row:
    if drive.condition == "spare":
        word = "GHS" if drive.group is None else "DHS"
        words = (word, word, "Good")
    elif drive.condition == "failed" and is_kept(drive):
        words = _LOST
    else:
        words = _STATES[drive.condition]
    return {"State": words[1], "Status": words[2]} if dialect.second else {"State": words[0]}


def drive_details(controller: Controller, drive: Drive, dialect: Dialect, at: str) -> Mapping[str, Any]:
    """What `show all` tells of a drive, below `Drive /c0/e252/s0 - Detailed Information`."""
    raw, coerced = (
        f"{dialect.size(size)} [{size // drive.sector_bytes:#x} Sectors]"
        for size in (drive.size_bytes, drive.coerced_bytes)
    )
    errors = {
        "Media Error Count": drive.media_errors,
        "Other Error Count": 0,
        "Predictive Failure Count": int(drive.predictive_failure),
    }
    if dialect.second:
        return {
            "Shield Counter": 0,
            "Temperature(C)": 31,
            "Serial Number": drive.serial,
            "Vendor": drive.vendor.ljust(8),
            "Model": drive.model.ljust(16),
            "WWN": drive.wwn.upper(),
            "Firmware Revision Level": drive.firmware,
            "Logical Sector Size": dialect.plain(drive.sector_bytes),
            "Physical Sector Size": "4 KiB",
            "Raw size": raw,
            "Coerced size": coerced,
            "Drive position": _position(controller, drive),
            "LU/NS Properties": errors,
        }
    state: dict[str, Any] = {"Shield Counter": 0} | errors
    state["S.M.A.R.T alert flagged by drive"] = "Yes" if drive.predictive_failure else "No"
    return {
        f"Drive {at} State": state,
        f"Drive {at} Device attributes": {
            "SN": drive.serial,
            "Manufacturer Id": drive.vendor.ljust(8),
            "Model Number": drive.model.ljust(16),
            "NAND Vendor": "NA",
            "WWN": drive.wwn.upper(),
            "Firmware Revision": drive.firmware,
            "Raw size": raw,
            "Coerced size": coerced,
            "Device Speed": "12.0Gb/s",
            "Link Speed": "12.0Gb/s",
            "Write Cache": "N/A",
            "Logical Sector Size": dialect.plain(drive.sector_bytes),
            "Physical Sector Size": "4 KB",
        },
        f"Drive {at} Policies/Settings": {
            "Drive position": _position(controller, drive),
            "Enclosure position": "1",
            "Sequence Number": 2,
            "Commissioned Spare": "No",
            "Emergency Spare": "No",
        },
    }


def _position(controller: Controller, drive: Drive) -> str:
    if not is_kept(drive):
        return "-"
    row = next(n for n, one in enumerate(model.members(controller, drive.group or 0)) if one is drive)
    return f"DriveGroup:{drive.group}, Span:0, Row:{row}"


def volumes(controller: Controller) -> list[Volume]:
    """All volumes in the order in which the tool lists them: by id."""
    return sorted(controller.volumes, key=lambda one: one.id)


def volume_row(controller: Controller, volume: Volume, dialect: Dialect) -> Row:
    """A row of VD LIST. Write-back without a battery is write-through, and nothing else says so."""
    back = volume.write_cache == "back" and controller.battery == "optimal"
    ahead = volume.read_cache == "ahead"
    row: Row = {
        "DG/VD": f"{volume.group}/{volume.id}",
        "TYPE": volume.level.upper(),
        "State": _VOLUME_STATES[model.volume_state(controller, volume)],
        "Access": "RW",
    }
    if dialect.second:
        read = "RA" if ahead else "NR"
        default = "WB" if volume.write_cache == "back" else "WT"
        row |= {"CurrentCache": f"{read},{'WB' if back else 'WT'}", "DefaultCache": f"{read},{default}"}
    else:
        cache = f"{'R' if ahead else 'NR'}{'WB' if back else 'WT'}D"
        consistent = "No" if volume.initialising is not None else "Yes"
        row |= {"Consist": consistent, "Cache": cache, "Cac": "-", "sCC": "ON"}
    return row | {"Size": dialect.size(volume.size_bytes), "Name": volume.name}


def volume_properties(controller: Controller, volume: Volume, dialect: Dialect) -> dict[str, Any]:
    """`VD0 Properties`."""
    drives = model.members(controller, volume.group)
    block = drives[0].sector_bytes if drives else 512
    values: dict[str, Any] = {"Strip Size": dialect.plain(volume.strip_bytes)}
    if dialect.second:
        values["Block Size"] = block
    values |= {"Number of Blocks": volume.size_bytes // block, "Span Depth": volume.spans}
    values["Number of Drives" if dialect.second else "Number of Drives Per Span"] = (
        len(drives) if dialect.second else len(drives) // volume.spans
    )
    percent = volume.initialising
    active = "None" if percent is None else f"Background Initialization ({percent:.0f}%)"
    kept = volume.id in controller.pinned
    cache = {"Cache Preserved": "Yes" if kept else "No"} if dialect.second else {}
    return values | {
        "Write Cache(initial setting)": "WriteBack" if volume.write_cache == "back" else "WriteThrough",
        "Disk Cache Policy": "Disk's Default",
        "Encryption": "None",
        "Data Protection": "None",
        "Active Operations": active,
        **cache,
        "Exposed to OS": "Yes",
        "Emulation type": "default",
        "Is LD Ready for OS Requests": "Yes",
        "SCSI NAA Id": volume.wwn,
    }


def topology(controller: Controller, dialect: Dialect, groups: Iterable[int]) -> list[Row]:
    """Groups, their arrays (spans) and their drives; one that is gone has no place (`Msng`)."""
    return [row for group in groups for row in _of_group(controller, dialect, group)]


def group_numbers(controller: Controller) -> list[int]:
    """All drive groups that there are."""
    return sorted({volume.group for volume in controller.volumes})


def _of_group(controller: Controller, dialect: Dialect, group: int) -> Iterator[Row]:
    lying = [one for one in controller.volumes if one.group == group]
    first = lying[0]
    drives = model.members(controller, group)
    whole = sum(volume.size_bytes for volume in lying)
    busy = "Y" if any(one.progress is not None for one in drives) else "N"
    state = _VOLUME_STATES[model.volume_state(controller, first)]
    space = "Y" if model.free_bytes(controller, group) >= model.MIB else "N"
    span = "Span" if dialect.second else "Arr"
    tail: Row = {"PDC": "dflt", "PI": "N", "SED": "N", "DS3": "none", "FSpace": space, "TR": "N"}
    if dialect.second:
        tail = {"PDC": "dflt", "Secured": "N", "FSpace": space}
    head: Row = {"State": "-", "Status": "-"} if dialect.second else {"State": state}

    def row(array: int | str, kind: str, size: int, **values: int | str) -> Row:
        where: Row = {"DG": group, span: array, "Row": "-", "EID:Slot": "-", dialect.device: "-"}
        what: Row = {"Type": kind} | head | {"BT": busy, "Size": dialect.size(size)}
        return where | what | tail | values

    yield row("-", first.level.upper(), whole)
    each = max(1, len(drives) // first.spans)
    kind = f"RAID{first.level[4]}" if first.spans > 1 else first.level.upper()
    for number, drive in enumerate(drives):
        array = number // each
        if number % each == 0:
            yield row(array, kind, whole // first.spans)
        gone = drive.condition == "missing"
        where: Row = {} if gone else {
            "EID:Slot": place(drive), dialect.device: device_number(controller, drive)
        }  # fmt: skip
        where |= {"Row": number % each} | _states(drive, dialect) | {"FSpace": "-"}
        yield row(array, "DRIVE", drive.coerced_bytes, **where)


def foreign_rows(controller: Controller, dialect: Dialect) -> list[Row]:
    """Configurations of other controllers: one row for each, without the drives that it lies on."""
    names = list(dict.fromkeys(drive.foreign for drive in present(controller) if drive.foreign))
    return [
        {
            "DG": number,
            "EID:Slot": "-",
            "Type": "RAID0" if sum(one.foreign == name for one in controller.drives) == 1 else "RAID1",
            "State": "Frgn",
            "Size": dialect.size(
                min(one.coerced_bytes for one in present(controller) if one.foreign == name)
            ),
            "NoVDs": 1,
        }
        for number, name in enumerate(names)
    ]
