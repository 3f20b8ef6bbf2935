"""What a Smart Array tool says beside the states of controllers, volumes and drives."""

from collections.abc import Iterator

from metal.drivers.raid.listing import Condition, VirtualDrive
from metal.drivers.raid.ssacli.blocks import Block, DriveBlock
from metal.drivers.raid.ssacli.words import WELL, banner_kind, trouble_kind


def conditions_of(block: Block, volumes: list[VirtualDrive]) -> Iterator[Condition]:
    """Banners, the controller's cache and battery, arrays, cages, and what ails volumes and drives."""
    for banner in block.banners:
        yield Condition(banner_kind(banner), banner)
    for key, value in block.keys.items():
        kind = trouble_kind(key)
        if kind and value.lower() not in WELL:
            yield Condition(kind, f"{key}: {value}")
    yield from _around(block)
    for volume in volumes:
        yield from _of_volume(volume, block.volumes[volume.id or ""].keys)
    for drive in block.drives.values():
        yield from _of_drive(drive)


def _around(block: Block) -> Iterator[Condition]:
    """Arrays that are not well, and cages: "Internal Drive Cage at Port 1I, Box 1, Failed"."""
    for array in block.arrays.values():
        status = array.keys.get("status") or array.status or ""
        if status.lower() not in WELL:
            yield Condition("other", f"array {array.letter}: {status}")
    for aside in block.asides:
        status = aside.rpartition(",")[2].strip()
        if " at Port " in aside and status.lower() in {"failed", "degraded", "not ok"}:
            yield Condition("other", aside)


def _of_volume(volume: VirtualDrive, keys: dict[str, str]) -> Iterator[Condition]:
    """A rebuild's lost redundancy, lost data, a parity that could not be built."""
    if volume.state == "rebuilding":
        yield Condition("rebuild", f"logicaldrive {volume.id}: {volume.raw_state}")
    errors = keys.get("unrecoverable media errors", "")
    if errors.lower() not in {*WELL, "0", "no"}:
        yield Condition("media-errors", f"logicaldrive {volume.id}: unrecoverable media errors: {errors}")
    parity = keys.get("parity initialization status", "")
    if parity.lower().endswith("failed"):
        yield Condition("other", f"logicaldrive {volume.id}: parity: {parity}")


def _of_drive(drive: DriveBlock) -> Iterator[Condition]:
    status = drive.keys.get("status") or next((line.status for line in drive.said if line.status), None) or ""
    worn = drive.keys.get("ssd smart trip wearout", "").lower() == "true"
    if worn or status.lower().startswith("predictive failure"):
        told = "SSD SMART trip: wearout" if worn else status
        yield Condition("predictive-failure", f"physicaldrive {drive.address}: {told}")
    if status.lower().startswith(("erase complete", "sanitize complete")):
        # "Erase Complete. Reenable Before Using."
        yield Condition("other", f"physicaldrive {drive.address}: {status}")
