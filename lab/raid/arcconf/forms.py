"""What arcconf 3 prints of SmartRAID controllers: GETCONFIG with its parts, LIST and GETSTATUS.

Sections, keys and widths are those of captured outputs; how a spare names its array, and what a lost drive
leaves in a table, are from general knowledge.
"""

from collections.abc import Iterable

from lab.raid import model
from lab.raid.model import MIB, Controller, Drive, Volume

RULE = "-" * 70
INNER = "   " + "-" * 56
LEVELS = {
    "raid0": "0", "raid1": "1", "raid1adm": "1Triple", "raid5": "5", "raid6": "6", "raid10": "10",
    "raid10adm": "10Triple", "raid50": "50", "raid60": "60",
}  # fmt: skip
VOLUME_STATES = {
    "optimal": "Optimal",
    "rebuilding": "Rebuilding",
    "degraded": "Interim Recovery",
    "partially-degraded": "Interim Recovery",
    "offline": "Failed",
}
DRIVE_STATES = {
    "good": "Ready",
    "online": "Online",
    "jbod": "Raw (Pass Through)",
    "bad": "Failed",
    "failed": "Failed",
    "rebuilding": "Rebuilding",
}
SEGMENT_STATES = {"failed": "Failed", "rebuilding": "Rebuilding"}
GROUPED = {"raid10", "raid50", "raid60", "raid10adm"}


def title(text: str) -> list[str]:
    """A section's title between rules."""
    return [RULE, text, RULE]


def part(text: str) -> list[str]:
    """A title inside of a section."""
    return [INNER, f"   {text}", INNER]


def pairs(indent: int, fields: Iterable[tuple[str, object]]) -> list[str]:
    """Keys and values, the colons in one column."""
    return [f"{' ' * indent}{key:<{46 - indent}}: {value}".rstrip() for key, value in fields]


def mib(count: int) -> int:
    """A size in what arcconf calls MB."""
    return count // MIB


def device_of(controller: Controller, drive: Drive) -> int:
    """The number of a device, which is its id on channel 0, too."""
    return next(place for place, one in enumerate(controller.drives) if one is drive)


def arrays(controller: Controller) -> dict[int, int]:
    """Group -> number of the array; firmware gives the lowest free one, here they follow the groups."""
    return {group: place for place, group in enumerate(sorted({one.group for one in controller.volumes}))}


def place(drive: Drive) -> str:
    """Where a drive sits, as a table says it."""
    if drive.enclosure is None:
        return f"Connector:0, Device:{drive.slot}"
    return f"Connector:CN0, Enclosure:{drive.enclosure}, Slot:{drive.slot}"


def row(name: str, drive: Drive, state: str) -> str:
    """A drive in a table."""
    told = f"{mib(drive.size_bytes)}MB, {drive.interface.upper()}, {drive.medium.upper()}, {place(drive)}"
    text = state if drive.condition == "missing" else f"{state} ({told}) {drive.serial}"
    return f"   {name:<43}: {text}"


def controller_lines(controller: Controller) -> list[str]:
    """The controller's section."""
    domain, bus, rest = controller.pci.split(":")
    slot, _, function = rest.partition(".")
    states = [model.volume_state(controller, one) for one in controller.volumes]
    degraded = sum(one not in ("optimal", "offline") for one in states)
    booting = next((one for one in controller.volumes if one.boot), None)
    start = "None" if booting is None else f"Logical device {booting.id}({booting.name})"
    backup = {"optimal": "Ok", "missing": "Not Installed", "failed": "Failed"}[controller.battery]
    address = ":".join(f"{int(one, 16):x}" for one in (domain, bus, slot, function))
    return [
        *title("Controller information"),
        *pairs(3, (
            ("Controller Status", "Optimal"),
            ("Controller Mode", mode(controller)),
            ("Channel description", "SCSI"),
            ("Controller Model", controller.model),
            ("Vendor ID", "0x9005"),
            ("Device ID", "0x028F"),
            ("Controller Serial Number", controller.serial),
            ("Physical Slot", controller.index),
            ("Temperature", "56 C/ 132 F (Normal)"),
            ("Host bus type", "PCIe 3.0"),
            ("PCI Address (Domain:Bus:Device:Function)", address),
            ("Defunct disk drive count", 0),
            ("Primary Boot Volume", start),
            ("Driver Name", "smartpqi"),
        )),
        *part("Cache Properties"),
        *pairs(3, (("Cache Status", "Ok"), ("Cache memory", "3856 MB"))),
        *part("Green Backup Information"),
        *pairs(3, (("Backup Power Status", backup), ("Hardware Error", "No Error"))),
        *part("RAID Properties"),
        *pairs(3, (
            ("Logical devices/Failed/Degraded", f"{len(states)}/{states.count('offline')}/{degraded}"),
            ("Spare Activation Mode", "Failure"),
        )),
        *part("Controller Version Information"),
        *pairs(3, (("Firmware", controller.firmware), ("Driver", "Linux 1.1.4-130"))),
        *part("Connector information"),
        "   Connector #0",
        *pairs(6, (("Connector Name", "CN0"), ("Functional Mode", mode(controller)))),
        "",
    ]  # fmt: skip


def mode(controller: Controller) -> str:
    """How the controller deals with drives that have no configuration."""
    return "Mixed" if controller.jbod_mode else "RAID (Hide RAW)"


def array_lines(controller: Controller) -> list[str]:
    """All arrays with their volumes, drives and spares."""
    lines = title("Array Information")
    numbered = arrays(controller)
    if not numbered:
        return [*lines, "   No arrays configured", ""]
    for group, number in numbered.items():
        drives = model.members(controller, group)
        lying = [one for one in controller.volumes if one.group == group]
        spares = [one for one in controller.drives if one.condition == "spare" and one.group == group]
        room = sum(one.coerced_bytes for one in drives)
        lines += [
            f"Array Number {number}",
            *pairs(3, (
                ("Name", chr(ord("A") + number % 26)),
                ("Status", "Ok"),
                ("Interface", drives[0].interface.upper()),
                ("Total Size", f"{mib(room)} MB"),
                ("Unused Size", f"{mib(model.free_bytes(controller, group))} MB"),
                ("Block Size", f"{drives[0].sector_bytes} Bytes"),
                ("Type", "Data"),
                ("Spare Rebuild Mode", "Dedicated"),
            )),
            *part("Array Logical Device Information"),
            *(
                f"   {f'Logical {one.id}':<43}: {state_of(controller, one)} "
                f"({LEVELS[one.level]}, Data, {mib(one.size_bytes)} MB) {one.name}"
                for one in lying
            ),
            *part("Array Physical Device Information"),
            *(
                row(f"Device {device_of(controller, one)}", one, segment_state(one))
                for one in drives
            ),
            *(row(f"Device {device_of(controller, one)}", one, "Dedicated Hot-Spare") for one in spares),
            "", "",
        ]  # fmt: skip
    return lines


def state_of(controller: Controller, volume: Volume) -> str:
    """The status of a logical device."""
    return VOLUME_STATES[model.volume_state(controller, volume)]


def segment_state(drive: Drive) -> str:
    """How a drive stands in its array."""
    return "Missing" if drive.condition == "missing" else SEGMENT_STATES.get(drive.condition, "Present")


def volume_lines(controller: Controller, volumes: Iterable[Volume]) -> list[str]:
    """Logical devices with their drives."""
    lines = title("Logical device information")
    found = list(volumes)
    if not found:
        return [*lines, "   No logical devices configured", ""]
    shown = {plug.key: number for number, plug in enumerate(model.plugged(controller))}
    for volume in found:
        drives = model.members(controller, volume.group)
        number = shown.get(f"v{volume.wwn}")
        caching = "Enabled" if volume.write_cache == "back" else "Disabled"
        lines += [
            f"Logical Device number {volume.id}",
            *pairs(3, (
                ("Logical Device name", volume.name),
                ("Disk Name", "Not Available" if number is None else f"/dev/{device_name(number)}"),
                ("Block Size of member drives", f"{drives[0].sector_bytes} Bytes"),
                ("Array", arrays(controller)[volume.group]),
                ("RAID level", LEVELS[volume.level]),
                ("Status of Logical Device", state_of(controller, volume)),
                ("Size", f"{mib(volume.size_bytes)} MB"),
                ("Stripe-unit size", f"{volume.strip_bytes // 1024} KB"),
                ("Interface Type", drives[0].interface.upper()),
                ("Device Type", "Data"),
                ("Boot Type", "Primary" if volume.boot else "None"),
                ("Caching", caching),
                ("Mount Points", "Not Mounted"),
                ("Volume Unique Identifier", volume.wwn.upper()),
            )),
            *part("Logical Device segment information" if volume.level in GROUPED
                  else "Array Physical Device Information"),
            *segment_lines(controller, volume, drives),
            "", "",
        ]  # fmt: skip
    return lines


def segment_lines(controller: Controller, volume: Volume, drives: list[Drive]) -> list[str]:
    """The drives of a volume; levels of several legs group them."""
    if volume.level not in GROUPED:
        names = (f"Device {device_of(controller, one)}" for one in drives)
    else:
        each = max(1, len(drives) // (volume.spans if volume.spans > 1 else 2))
        names = (f"Group {number // each}, Segment {number % each}" for number in range(len(drives)))
    return [row(name, one, segment_state(one)) for name, one in zip(names, drives, strict=True)]


def device_name(number: int) -> str:
    """The name of the so manieth block device, as the rack's machines have them."""
    return f"sd{chr(ord('a') + number)}" if number < 26 else f"sda{chr(ord('a') + number % 26)}"


def drive_lines(controller: Controller, drives: Iterable[Drive]) -> list[str]:
    """Physical devices, and the enclosure that is a device among them."""
    lines = [*title("Physical Device information"), "   Channel #0:"]
    for drive in drives:
        number = device_of(controller, drive)
        lines += [
            f"      Device #{number}",
            "         Device is a Hard drive",
            *_drive(controller, drive, number),
            "",
        ]
    enclosure = (
        ("Reported Channel,Device(T:L)", "2,0(0:0)"),
        ("Enclosure ID", 0),
        ("Type", "SES2"),
        ("Vendor", "Adaptec"),
        ("Model", "Virtual SGPIO"),
        ("Firmware", controller.firmware),
    )
    return [
        *lines,
        "   Channel #2:",
        f"      Device #{len(controller.drives)}",
        "         Device is an Enclosure Services Device",
        *pairs(9, enclosure),
        "",
    ]


def _drive(controller: Controller, drive: Drive, number: int) -> list[str]:
    where = f"Enclosure {'Direct Attached' if drive.enclosure is None else drive.enclosure}"
    reserved = (drive.size_bytes - drive.coerced_bytes) // 1024
    member = drive.group is not None and drive.condition != "spare"
    array = [("Array", arrays(controller).get(drive.group))] if member and drive.group is not None else []
    return pairs(9, (
        ("State", state_of_drive(drive)),
        ("Drive has stale RIS data", bool(drive.foreign)),
        ("Block Size", "4K Bytes" if drive.sector_bytes == 4096 else f"{drive.sector_bytes} Bytes"),
        ("Transfer Speed", f"{drive.interface.upper()} 12.0 Gb/s"),
        ("Reported Channel,Device(T:L)", f"0,{number}({number}:0)"),
        ("Reported Location", f"{where}, Slot {drive.slot}(Connector 0:CN0)"),
        *array,
        ("Vendor", "ATA" if drive.interface == "sata" else drive.vendor),
        ("Model", drive.model),
        ("Firmware", drive.firmware),
        ("Serial number", drive.serial),
        ("World-wide name", drive.wwn.upper()),
        *_kept_for(controller, drive),
        ("Reserved Size", f"{reserved} KB"),
        ("Used Size", f"{mib(drive.coerced_bytes) if member else 0} MB"),
        ("Unused Size", f"{0 if member else mib(drive.coerced_bytes)} MB"),
        ("Total Size", f"{mib(drive.size_bytes)} MB"),
        ("S.M.A.R.T.", "Yes" if drive.predictive_failure else "No"),
        ("S.M.A.R.T. warnings", int(drive.predictive_failure)),
        ("SSD", "Yes" if drive.medium == "ssd" else "No"),
        ("Drive Exposed to OS", drive.condition == "jbod"),
        ("Media Failures", drive.media_errors),
        ("Predictive Failures", int(drive.predictive_failure)),
    ))  # fmt: skip


def state_of_drive(drive: Drive) -> str:
    """The state of a drive; a spare of one array is a dedicated one."""
    if drive.condition == "spare":
        return "Global Hot-Spare" if drive.group is None else "Dedicated Hot-Spare"
    return DRIVE_STATES[drive.condition]


def _kept_for(controller: Controller, drive: Drive) -> list[tuple[str, object]]:
    number = arrays(controller).get(drive.group) if drive.group is not None else None
    return (
        [("Dedicated Spare for", f"Array {number}")]
        if drive.condition == "spare" and number is not None
        else []
    )
