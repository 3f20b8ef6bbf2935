"""RAID controllers, volumes and drives of a host as tables: what `rackflow host NAME` shows of them."""

from metal.cli.output import line, show_table
from specs.facts import Hardware, PhysicalDrive, RaidArray, RaidController
from specs.raid_health import is_failing, name_of
from specs.sizes import human_size


def show_raid(hardware: Hardware) -> None:
    """Volumes with state and progress, controllers with what is to know, their drives by slot and serial."""
    if hardware.raids:
        show_table(
            ("volume", "level", "state", "size", "disk", "drives", "on"),
            [_volume(one) for one in hardware.raids],
        )
    for one in hardware.controllers:
        told = [one.problem or one.state or "state not told", *(said.text for said in one.conditions)]
        model = " ".join(f"{one.model or one.driver} at {one.id}".split())
        line(f"controller {model}: {'; '.join(told)}")
        if one.drives:
            show_table(
                ("slot", "serial", "size", "medium", "model", "state", "volume"),
                [_drive(drive, one, hardware) for drive in one.drives],
            )


def _volume(one: RaidArray) -> tuple[object, ...]:
    progress = f" ({one.progress:g} %)" if one.progress is not None else ""
    spares = [f"{name} (spare)" for name in one.spares]
    failed = [f"{name} (failed)" for name in one.failed]
    drives = " ".join((*one.members, *spares, *failed))
    size = human_size(one.size_bytes) if one.size_bytes else ""
    return (
        name_of(one),
        one.level,
        f"{one.state}{progress}",
        size,
        one.device,
        drives,
        one.controller or "md",
    )


def _drive(drive: PhysicalDrive, controller: RaidController, hardware: Hardware) -> tuple[object, ...]:
    own = (one for one in hardware.raids if one.controller == controller.id)
    volume = next((name_of(one) for one in own if drive.identity in (*one.members, *one.spares)), "")
    progress = f" ({drive.progress:g} %)" if drive.progress is not None else ""
    failing = ", about to fail" if is_failing(drive, controller) else ""
    return (
        drive.address,
        drive.serial or drive.wwn,
        human_size(drive.size_bytes) if drive.size_bytes else "",
        drive.medium,
        drive.model,
        f"{drive.state}{progress}{failing}",
        volume,
    )
