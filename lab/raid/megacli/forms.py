"""What MegaCli 8 prints of adapters, drives and volumes; the widths and slips are those of its outputs."""

from collections.abc import Iterable

from lab.raid import model
from lab.raid.megacli import groups
from lab.raid.model import Controller, Drive, Volume

GIB = 1 << 30
STATES = {
    "good": "Unconfigured(good)",
    "online": "Online",
    "spare": "Hotspare",
    "jbod": "JBOD",
    "bad": "Unconfigured(bad)",
    "failed": "Failed",
    "rebuilding": "Rebuild",
}
VOLUME_STATES = {
    "optimal": "Optimal",
    "degraded": "Degraded",
    "rebuilding": "Degraded",
    "partially-degraded": "Partially Degraded",
    "offline": "Offline",
}
LEVELS = {"raid0": 0, "raid1": 1, "raid5": 5, "raid6": 6, "raid10": 1, "raid50": 5, "raid60": 6}
ERASER = " " * 37
"""What is left of a progress line that MegaCli wipes out before it answers."""


def size(count: int) -> str:
    """A size as of volumes: units are binary and called decimal, zeros at the end are left out."""
    for unit, name in ((1 << 40, "TB"), (GIB, "GB"), (1 << 20, "MB")):
        if count >= unit:
            whole, _, part = f"{count / unit:.3f}".partition(".")
            return f"{whole}.{part.rstrip('0') or '0'} {name}"
    return "0 KB" if count < 1024 else f"{count / 1024:.1f} KB"


def raw_size(count: int, sector: int) -> str:
    """A size as of drives, with three places and its sectors."""
    unit, name = ((1 << 40), "TB") if count >= 1 << 40 else (GIB, "GB")
    return f"{count / unit:.3f} {name} [{count // sector:#x} Sectors]"


def state(drive: Drive) -> str:
    """The firmware's state; a drive that failed and is in no group any more is a bad one."""
    if drive.condition == "failed" and drive.group is None:
        return STATES["bad"]
    text = STATES[drive.condition]
    if drive.condition in ("good", "online", "spare"):
        text += ", Spun down" if drive.spun_down else ", Spun Up"
    return text


def inquiry(drive: Drive) -> str:
    """Inquiry data in columns, which are others for ATA than for SCSI."""
    if drive.interface == "sata":
        return f"{drive.serial:>20.20}{drive.model:<40.40}{drive.firmware:<8.8}"
    return f"{drive.vendor:<8.8}{drive.model:<16.16}{drive.firmware:<4.4}{drive.serial:<20.20}"


def drive_lines(controller: Controller, drive: Drive) -> list[str]:
    """A drive as PDList prints it."""
    place = groups.place_of(controller, drive)
    where = "N/A" if drive.enclosure is None else str(drive.enclosure)
    coerced = drive.coerced_bytes // drive.sector_bytes
    lines = [f"Enclosure Device ID: {where}", f"Slot Number: {drive.slot}"]
    if place is not None:
        lines.append("Drive's position: DiskGroup: {}, Span: {}, Arm: {}".format(*place))
    lines += [
        f"Enclosure position: {'N/A' if drive.enclosure is None else 1}",
        f"Device Id: {controller.drives.index(drive)}",
        f"WWN: {drive.wwn.upper()}",
        "Sequence Number: 2",
        f"Media Error Count: {drive.media_errors}",
        "Other Error Count: 0",
        f"Predictive Failure Count: {int(drive.predictive_failure)}",
        "Last Predictive Failure Event Seq Number: 0",
        f"PD Type: {drive.interface.upper()}",
        *_spare_lines(controller, drive),
        "",
        f"Raw Size: {raw_size(drive.size_bytes, drive.sector_bytes)}",
        f"Non Coerced Size: {raw_size(drive.size_bytes, drive.sector_bytes)}",
        f"Coerced Size: {size(drive.coerced_bytes)} [{coerced:#x} Sectors]",
        f"Sector Size:  {drive.sector_bytes}",
        f"Logical Sector Size:  {drive.sector_bytes}",
        f"Firmware state: {state(drive)}",
        f"Device Firmware Level: {drive.firmware}",
        "Shield Counter: 0",
        "Successful diagnostics completion on :  N/A",
        f"Inquiry Data: {inquiry(drive)}",
        "FDE Capable: Not Capable",
        "FDE Enable: Disable",
        "Secured: Unsecured",
        "Locked: Unlocked",
        "Needs EKM Attention: No",
        f"Foreign State: {'Foreign' if drive.foreign else 'None'} ",
        "Device Speed: 6.0Gb/s ",
        "Link Speed: 6.0Gb/s ",
        f"Media Type: {'Solid State Device' if drive.medium == 'ssd' else 'Hard Disk Device'}",
        "Drive Temperature :30C (86.00 F)",
        f"Drive has flagged a S.M.A.R.T alert : {'Yes' if drive.predictive_failure else 'No'}",
        "", "", "",
    ]  # fmt: skip
    return lines


def _spare_lines(controller: Controller, drive: Drive) -> list[str]:
    """Which arrays a spare is kept for."""
    if drive.condition != "spare":
        return []
    if drive.group is None:
        return ["Hotspare Information: ", "Type: Global, is revertible"]
    kept = groups.arrays(controller).get(drive.group, [])
    told = ", ".join(map(str, kept))
    return ["Hotspare Information: ", "Type: Dedicated, is revertible", f"Array #: {told}"]


def policy(volume: Volume) -> str:
    """The cache policy's first words."""
    write = "WriteBack" if volume.write_cache == "back" else "WriteThrough"
    return f"{write}, {'ReadAhead' if volume.read_cache == 'ahead' else 'ReadAheadNone'}"


def volume_lines(controller: Controller, volume: Volume) -> list[str]:
    """A volume as LDInfo prints it; RAID 10 is a RAID 1 whose span depth tells."""
    drives = model.members(controller, volume.group)
    depth = max(1, volume.spans)
    primary = LEVELS[volume.level]
    level = f"Primary-{primary}, Secondary-{3 if depth > 1 else 0}, RAID Level Qualifier-"
    level += "3" if primary in (5, 6) else "0"
    count = f"Number Of Drives    : {len(drives)}"
    if depth > 1:
        count = f"Number Of Drives per span:{len(drives) // depth}"
    default = policy(volume)
    current = default if controller.battery == "optimal" else default.replace("WriteBack", "WriteThrough")
    shown = VOLUME_STATES[model.volume_state(controller, volume)]
    lines = [
        f"Virtual Drive: {volume.id} (Target Id: {volume.id})",
        f"Name                :{volume.name}",
        f"RAID Level          : {level}",
        f"Size                : {size(volume.size_bytes)}",
        f"Sector Size         : {drives[0].sector_bytes}",
        f"Mirror Data         : {size(volume.size_bytes)}" if primary == 1 else "Parity Size         : 0",
        f"State               : {shown}",
        f"Strip Size          : {volume.strip_bytes // 1024} KB",
        count,
        f"Span Depth          : {depth}",
        f"Default Cache Policy: {default}, Direct, No Write Cache if Bad BBU",
        f"Current Cache Policy: {current}, Direct, No Write Cache if Bad BBU",
        "Default Access Policy: Read/Write",
        "Current Access Policy: Read/Write",
        "Disk Cache Policy   : Disk's Default",
    ]
    if volume.initialising is not None:
        told = f"Completed {int(volume.initialising)}%, Taken 0 min."
        lines += ["Ongoing Progresses:", f"  Background Initialization: {told}"]
    return [*lines, "Encryption Type     : None", "Bad Blocks Exist: No", "Is VD Cached: No"]


def span_lines(controller: Controller, group: int) -> list[str]:
    """The drives of a group by span, as LdPdInfo prints them; of a missing one its number alone."""
    parts = groups.spans(controller, group)
    lines = [f"Number of Spans: {len(parts)}"]
    for number, drives in enumerate(parts):
        lines += [f"Span: {number} - Number of PDs: {len(drives)}", ""]
        for place, drive in enumerate(drives):
            gone = drive.condition == "missing"
            lines += [f"PD: {place} Information", *([""] if gone else drive_lines(controller, drive))]
    return lines


def group_lines(controller: Controller) -> list[str]:
    """All disk groups, as CfgDsply prints them."""
    rule = "=" * 78
    numbered = groups.arrays(controller)
    lines = [
        rule, f"Adapter: {controller.index}", f"Product Name: {controller.model}", "Memory: 1024MB",
        f"BBU: {'Absent' if controller.battery == 'missing' else 'Present'}",
        f"Serial No: {controller.serial}", rule, f"Number of DISK GROUPS: {len(numbered)}", "",
    ]  # fmt: skip
    for number, (group, arrays) in enumerate(numbered.items()):
        parts = groups.spans(controller, group)
        kept = sum(one.condition == "spare" and one.group == group for one in controller.drives)
        lines += [f"DISK GROUP: {number}", f"Number of Spans: {len(parts)}"]
        for span, (array, drives) in enumerate(zip(arrays, parts, strict=True)):
            lying = groups.volumes_in(controller, group)
            lines += [
                f"SPAN: {span}", f"Span Reference: 0x{array:02x}", f"Number of PDs: {len(drives)}",
                f"Number of VDs: {len(lying)}", f"Number of dedicated Hotspares: {kept}",
                "Virtual Drive Information:",
            ]  # fmt: skip
            lines += [line for one in lying for line in volume_lines(controller, one)]
            lines.append("Physical Disk Information:")
            for place, drive in enumerate(drives):
                gone = drive.condition == "missing"
                lines += [f"Physical Disk: {place}", *([] if gone else drive_lines(controller, drive)), ""]
    return lines


def adapter_lines(controller: Controller) -> list[str]:
    """The parts of AdpAllInfo that tell what a controller is and has."""
    present = [one for one in controller.drives if one.condition != "missing"]
    states = [model.volume_state(controller, one) for one in controller.volumes]
    levels = ", ".join(one.upper() for one in controller.limits.levels)
    return [
        f"Adapter #{controller.index}", "", "=" * 78,
        *_title("Versions"),
        f"Product Name    : {controller.model}",
        f"Serial No       : {controller.serial}",
        f"FW Package Build: {controller.firmware}", "",
        *_title("Image Versions In Flash:"),
        f"FW Version         : {controller.firmware}",
        "BIOS Version       : 5.42.00_4.12.05.00", "",
        *_title("PCI Info"),
        "Vendor Id       : 1000", "Device Id       : 005b", "",
        *_title("HW Configuration"),
        f"BBU             : {'Absent' if controller.battery == 'missing' else 'Present'}",
        "Memory Size     : 1024MB", "",
        *_title("Settings"),
        "Physical Drive Coercion Mode     : 128MB",
        f"Any Offline VD Cache Preserved   : {'Yes' if controller.pinned else 'No'}",
        f"Enable JBOD                      : {'Yes' if controller.jbod_mode else 'No'}", "",
        *_title("Capabilities"),
        f"RAID Level Supported             : {levels}",
        "Supported Drives                 : SAS, SATA", "",
        *_title("Limitations"),
        f"Max Arms Per VD         : {controller.limits.most_drives} ",
        "Max Spans Per VD        : 8 ",
        f"Max Number of VDs       : {controller.limits.most_volumes} ", "",
        *_title("Device Present"),
        f"Virtual Drives    : {len(states)} ",
        f"  Degraded        : {sum('degraded' in one or one == 'rebuilding' for one in states)} ",
        f"  Offline         : {states.count('offline')} ",
        f"Physical Devices  : {len(present) + 1} ",
        f"  Disks           : {len(present)} ",
        f"  Critical Disks  : {sum(one.predictive_failure for one in present)} ",
        f"  Failed Disks    : {sum(one.condition == 'failed' and one.group is not None for one in present)} ",
        "",
        *_title("Error Counters"),
        "Memory Correctable Errors   : 0 ", "Memory Uncorrectable Errors : 0 ",
    ]  # fmt: skip


def _title(text: str) -> Iterable[str]:
    return (f"                    {text}", "                ================")
