"""What `show` prints: lists, details, status lists and whole configurations.

Forms, indentation and the order of keys are those of outputs of hpacucli 9 to ssacli 6. The name of a
volume's block device is left out, because only the system knows it.
"""

from collections.abc import Iterator

from lab.raid.model import Controller, Drive, Volume
from lab.raid.ssacli.arrays import Array, arrays_of, mode_of, unassigned, unused_mib
from lab.raid.ssacli.words import (
    LEVELS,
    Dialect,
    SsaError,
    address_of,
    binary,
    drive_line,
    drive_size,
    drive_status,
    interface,
    place_of,
    volume_line,
    volume_status,
)

CACHE = {
    # Battery -> what cache and battery say of themselves.
    "optimal": ("OK", "1", "OK"),
    "missing": ("Temporarily Disabled", "0", None),
    "failed": ("Permanently Disabled", "1", "Failed (Replace Batteries)"),
}
PROBLEM = (
    "CACHE STATUS PROBLEM DETECTED: The cache on this controller has a problem.\n"
    "                               To prevent data loss, configuration changes to\n"
    "                               this controller are not allowed."
)
LISTED = {"logical": "logical drives", "physical": "physical drives", "array": "arrays"}
MEMBER_GROUPS = {
    # How many groups a level's drives are shown in, 0 for as many as it has spans; and what these are called.
    "raid1": (2, "Mirror"),
    "raid10": (2, "Mirror"),
    "raid1adm": (3, "Mirror"),
    "raid10adm": (3, "Mirror"),
    "raid50": (0, "Parity"),
    "raid60": (0, "Parity"),
}
Lines = Iterator[str]


def name_line(controller: Controller, *, serial: bool = False) -> str:
    """`Smart Array P440ar in Slot 0 (Embedded)   (sn: …)`."""
    embedded = " (Embedded)" if controller.index == "0" else ""
    mode = " (HBA Mode)" if mode_of(controller) == "HBA" else ""
    name = f"{controller.model} in Slot {controller.index}{embedded}{mode}"
    return f"{name + '  ':<42}(sn: {controller.serial})" if serial else name


def nothing(kind: str) -> SsaError:
    """An empty list is an error."""
    return SsaError(f"Error: The specified device does not have any {LISTED[kind]}.")


def controllers(found: list[Controller], how: str, dialect: Dialect) -> str:
    """`ctrl … show`: names, or one's details or status, or configurations."""
    shown = {"": _bare, "detail": _detail, "status": _status, "config": _config, "config detail": _whole}
    return "\n".join(line for one in found for line in shown[how](one, dialect))


def _bare(controller: Controller, _: Dialect) -> Lines:
    yield name_line(controller, serial=True)


def _status(controller: Controller, _: Dialect) -> Lines:
    yield from ("", name_line(controller), "   Controller Status: OK")
    cache, _count, battery = CACHE[controller.battery]
    if mode_of(controller) != "HBA":
        yield f"   Cache Status: {cache}"
        yield from [f"   Battery/Capacitor Status: {battery}"] if battery else []
    yield ""


def _detail(controller: Controller, _: Dialect) -> Lines:
    yield from ("", name_line(controller))
    if controller.pinned:
        yield from ("", PROBLEM, "")
    yield from (f"   {key}: {value}" for key, value in _keys(controller))
    yield ""


def _keys(controller: Controller) -> Iterator[tuple[str, str]]:
    mode = mode_of(controller)
    cache, batteries, battery = CACHE[controller.battery]
    adg = "Enabled" if "raid6" in controller.limits.levels else "Disabled"
    yield from (("Bus Interface", "PCI"), ("Slot", controller.index), ("Serial Number", controller.serial))
    yield from (("RAID 6 (ADG) Status", adg), ("Controller Status", "OK"), ("Hardware Revision", "B"))
    yield from (("Firmware Version", controller.firmware), ("Cache Board Present", "True"))
    yield from (("Cache Status", "Not Configured" if mode == "HBA" else cache), ("Total Cache Size", "2.0"))
    yield from (("Drive Write Cache", "Disabled"), ("No-Battery Write Cache", "Disabled"))
    yield ("Battery/Capacitor Count", batteries)
    yield from [("Battery/Capacitor Status", battery)] if battery else []
    yield from (("SATA NCQ Supported", "True"), ("Controller Temperature (C)", "49"))
    domain_bus, _, rest = controller.pci.upper().rpartition(":")
    yield ("PCI Address (Domain:Bus:Device.Function)", f"{domain_bus}:{rest}")
    if mode is not None:
        yield from (("Controller Mode", mode), ("Controller Mode Reboot", "Not Required"))
    boot = next(
        (f"logicaldrive {one.id} ({one.wwn.upper()})" for one in controller.volumes if one.boot), "None"
    )
    yield from (("Primary Boot Volume", boot), ("Secondary Boot Volume", "None"))


def _ports(controller: Controller) -> list[str]:
    return sorted({place_of(one)[0] for one in controller.drives})


def _title(controller: Controller, dialect: Dialect) -> str:
    return "HBA Drives" if mode_of(controller) == "HBA" else dialect.word("Unassigned")


def _array_title(controller: Controller, array: Array, dialect: Dialect) -> str:
    kind = interface(array.drives[0], Dialect(new=False)) if array.drives else "SAS"
    space = f"Unused Space: {unused_mib(controller, array)}  MB"
    return f"   {dialect.word('Array')} {array.letter} ({kind}, {space})"


def _config(controller: Controller, dialect: Dialect) -> Lines:
    yield from ("", name_line(controller, serial=True), "")
    if controller.pinned:
        yield from (PROBLEM, "")
    mixed = " (Mixed)" if mode_of(controller) == "Mixed" else ""
    for port in _ports(controller) if dialect.new else []:
        yield from ("", "", f"   Internal Drive Cage at Port {port}, Box 1, OK", "")
    for port in _ports(controller) if dialect.new else []:
        yield from ("", f"   Port Name: {port}{mixed}")
    for array in arrays_of(controller):
        yield from ("", _array_title(controller, array, dialect), "")
        for volume in array.volumes:
            yield from (f"      {volume_line(controller, volume, dialect)}", "")
        yield from (f"      {drive_line(one, dialect)}" for one in array.drives)
        yield from (f"      {drive_line(one, dialect, spare=True)}" for one in array.spares)
        yield ""
    if rest := unassigned(controller):
        yield from (f"   {_title(controller, dialect)}", "")
        yield from (f"      {drive_line(one, dialect)}" for one in rest)
        yield ""
    yield from ("   SEP (Vendor ID PMCSIERA, Model SRCv8x6G) 380 (WWID: 5001438035AB0C10)", "")


def _whole(controller: Controller, dialect: Dialect) -> Lines:
    """Details of everything: what the parser of this project reads."""
    yield from _detail(controller, dialect)
    for port in _ports(controller):
        yield from (
            "",
            f"   Port Name: {port}",
            "         Port ID: 0",
            "         Port Location: Internal",
            "",
        )
        yield from (
            f"   Internal Drive Cage at Port {port}, Box 1, OK",
            "      Power Supply Status: Redundant",
        )
        yield from (f"      Port: {port}", "      Box: 1", "      Location: Internal", "")
        yield "   Physical Drives"
        here = [one for one in controller.drives if place_of(one)[0] == port and one.condition != "missing"]
        told = [f"      {drive_line(one, dialect, spare=one.condition == 'spare')}" for one in here]
        yield from told or ["      None attached"]
        yield ""
    for array in arrays_of(controller):
        yield from ("", f"   Array: {array.letter}", *_array_keys(controller, array), "", "")
        for volume in array.volumes:
            yield from (*_volume(controller, volume, array, dialect), "")
        for drive in (*array.drives, *array.spares):
            yield from (*_drive(drive, controller), "")
    if rest := unassigned(controller):
        yield from ("", f"   {_title(controller, dialect)}", "")
        for drive in rest:
            yield from (*_drive(drive, controller), "")
    yield from ("", "   SEP (Vendor ID PMCSIERA, Model SRCv8x6G) 380", "      Device Number: 380")
    yield from ("      WWID: 5001438035AB0C10", "      Vendor ID: PMCSIERA", "      Model: SRCv8x6G", "")


def _array_keys(controller: Controller, array: Array) -> Lines:
    kind = interface(array.drives[0], Dialect(new=False)) if array.drives else "SAS"
    yield from (f"      Interface Type: {kind}", f"      Unused Space: {unused_mib(controller, array)}  MB")
    failed = any(volume_status(controller, one) == "Failed" for one in array.volumes)
    yield f"      Status: {'Failed Physical Drive' if failed else 'OK'}"
    yield from ("      MultiDomain Status: OK", "      Array Type: Data")


def _volume(controller: Controller, volume: Volume, array: Array, dialect: Dialect) -> Lines:
    strip = volume.strip_bytes >> 10
    keys = [
        ("Size", binary(volume.size_bytes, dialect)),
        ("Fault Tolerance", LEVELS.get(volume.level, volume.level)),
        ("Heads", "255"),
        ("Sectors Per Track", "32"),
        ("Strip Size", f"{strip} KB"),
        ("Full Stripe Size", f"{strip * max(1, len(array.drives) - 1)} KB"),
        ("Status", volume_status(controller, volume)),
        ("Caching", f" {'Enabled' if volume.write_cache == 'back' else 'Disabled'}"),
    ]
    if volume.initialising is not None:
        keys.append(("Parity Initialization Status", "In Progress"))
        keys.append(("Parity Initialization Progress", f"{min(99, int(volume.initialising))}%"))
    keys.append(("Unique Identifier", volume.wwn.upper()))
    keys += [("Boot Volume", "Primary")] if volume.boot else []
    keys.append(("Logical Drive Label", volume.name))
    yield f"      Logical Drive: {volume.id}"
    yield from (f"         {key}: {value}" for key, value in keys)
    yield from _member_groups(volume, array, dialect)
    yield from ("         Drive Type: Data", "         LD Acceleration Method: Controller Cache", "")


def _member_groups(volume: Volume, array: Array, dialect: Dialect) -> Lines:
    """Mirror groups of mirrors, parity groups of spanned levels."""
    count, title = MEMBER_GROUPS.get(volume.level, (0, ""))
    count = count or volume.spans
    size = len(array.drives) // count
    for number in range(count if title else 0):
        yield f"         {title} Group {number}:"
        last = len(array.drives) if number == count - 1 else (number + 1) * size
        yield from (f"            {drive_line(one, dialect)}" for one in array.drives[number * size : last])


def _drive(drive: Drive, controller: Controller) -> Lines:
    port, box, bay = place_of(drive)
    hba = mode_of(controller) == "HBA"
    kind = {
        "online": "Data",
        "rebuilding": "Data",
        "spare": "Spare",
        "jbod": "HBA Mode" if hba else "Unassigned",
    }
    member = drive.group is not None and drive.condition != "spare"
    role = "Data" if member else kind.get(drive.condition, "Unassigned")
    keys = [
        ("Port", port),
        ("Box", str(box)),
        ("Bay", str(bay)),
        ("Status", drive_status(drive)),
        ("Drive Type", f"{role} Drive"),
        ("Interface Type", interface(drive, Dialect(new=False))),
        ("Size", drive_size(drive)),
        ("Drive exposed to OS", str(drive.condition == "jbod")),
        ("Logical/Physical Block Size", f"{drive.sector_bytes}/{drive.sector_bytes}"),
    ]
    keys += [("Rotational Speed", "10000")] if drive.medium == "hdd" else []
    if drive.condition != "missing":
        keys.append(("Firmware Revision", drive.firmware))
        keys.append(("Serial Number", drive.serial))
        keys.append(("WWID", drive.wwn.upper()))
        keys.append(("Model", f"{drive.vendor:<8}{drive.model}"))
    yield f"      physicaldrive {address_of(drive)}"
    yield from (f"         {key}: {value}" for key, value in keys)
    yield from ("         PHY Count: 2", "         PHY Transfer Rate: 12.0Gbps, Unknown")


def volumes(controller: Controller, chosen: list[Volume], how: str, dialect: Dialect) -> str:
    """`ld … show [detail|status]`: under their arrays, or bare with their status."""
    lines = ["", name_line(controller), ""]
    for array in arrays_of(controller):
        here = [one for one in array.volumes if one in chosen]
        if not here:
            continue
        if how != "status":
            lines += [f"   {dialect.word('Array')} {array.letter}", ""]
        for volume in here:
            if how == "detail":
                lines += [*_volume(controller, volume, array, dialect)]
            elif how == "status":
                told = f"{binary(volume.size_bytes, dialect)}, {LEVELS.get(volume.level, volume.level)}"
                lines.append(f"   logicaldrive {volume.id} ({told}): {volume_status(controller, volume)}")
            else:
                lines += [f"      {volume_line(controller, volume, dialect)}", ""]
    return "\n".join(lines if how != "status" else lines[1:])


def drives(controller: Controller, chosen: list[Drive], how: str, dialect: Dialect) -> str:
    """`pd … show [detail|status]`."""
    lines = ["", name_line(controller), ""]
    wanted = {id(one) for one in chosen}
    sections = [
        (f"{dialect.word('Array')} {array.letter}", [*array.drives, *array.spares])
        for array in arrays_of(controller)
    ]
    for title, found in (*sections, (_title(controller, dialect), unassigned(controller))):
        here = [one for one in found if id(one) in wanted]
        lines += [f"   {title}", ""] if here and how != "status" else []
        for drive in here:
            spare = drive.condition == "spare"
            if how == "detail":
                lines += [*_drive(drive, controller), ""]
            elif how == "status":
                port, box, bay = place_of(drive)
                told = f"port {port}:box {box}:bay {bay}, {drive_size(drive)}"
                lines.append(f"   physicaldrive {address_of(drive)} ({told}): {drive_status(drive)}")
            else:
                lines.append(f"      {drive_line(drive, dialect, spare=spare)}")
        lines += [""] if here else []
    return "\n".join(lines)


def arrays(controller: Controller, chosen: list[Array], how: str, dialect: Dialect) -> str:
    """`array … show [detail|status]`."""
    lines = ["", name_line(controller), ""]
    for array in chosen:
        if how == "detail":
            lines += [f"   Array: {array.letter}", *_array_keys(controller, array), ""]
        elif how == "status":
            lines.append(f"   {dialect.word('Array')} {array.letter}: OK")
        else:
            lines += [_array_title(controller, array, dialect), ""]
    return "\n".join(lines)
