"""What DISPLAY and STATUS print of an adapter's state."""

from collections.abc import Sequence

from lab.raid import model
from lab.raid.model import MIB, Controller, Drive, Volume

RULE = "-" * 72
STATES = {
    "good": "Ready (RDY)", "jbod": "Ready (RDY)", "online": "Optimal (OPT)", "spare": "Hot Spare (HSP)",
    "failed": "Failed (FLD)", "missing": "Missing (MIS)", "rebuilding": "Rebuilding (RBLD)",
    "bad": "Available (AVL)",
}  # fmt: skip
VOLUME_STATES = {"optimal": ("Okay (OKY)", "Optimal"), "offline": ("Failed (FLD)", "Failed")}
DEGRADED = ("Degraded (DGD)", "Degraded")
FIRST_INACTIVE_ID = 500


def _keys(*pairs: tuple[str, object]) -> str:
    return "".join(f"  {key:<40}: {value}\n" for key, value in pairs)


def display(one: Controller) -> str:
    """Controller, volumes, devices, enclosures."""
    domain, bus, rest = one.pci.split(":")
    device, _, function = rest.partition(".")
    told = _keys(
        ("Controller type", one.model), ("BIOS version", "8.37.00.00"), ("Firmware version", one.firmware),
        ("Channel description", "1 Serial Attached SCSI"), ("Initiator ID", 0),
        ("Maximum physical devices", 543), ("Concurrent commands supported", 9584), ("Slot", "Unknown"),
        ("Segment", int(domain, 16)), ("Bus", int(bus, 16)), ("Device", int(device, 16)),
        ("Function", int(function, 16)), ("RAID Support", "Yes" if one.limits.levels else "No"),
    )  # fmt: skip
    volumes = "".join(_volume(one, number, volume) for number, volume in enumerate(one.volumes, start=1))
    inactive = enumerate(foreign(one).items(), start=len(one.volumes) + 1)
    volumes += "".join(_inactive(number, *each) for number, each in inactive)
    drives = "".join(_drive(drive) for drive in _listed(one))
    enclosures = sorted({drive.enclosure or 0 for drive in one.drives}) or [1]
    drives = f"Initiator at ID #0\n\n{drives}{_backplane(enclosures[0])}" if one.drives else ""
    around = "".join(
        _keys(("Enclosure#", e), ("Logical ID", "50030480:1a516902"), ("Numslots", 16), ("StartSlot", 0))
        for e in enclosures
    )
    parts = (
        ("Controller information", told), ("IR Volume information", volumes),
        ("Physical device information", drives), ("Enclosure information", around),
    )  # fmt: skip
    body = "".join(f"{RULE}\n{title}\n{RULE}\n{text}" for title, text in parts)
    return f"Read configuration has been initiated for controller {one.index}\n{body}{RULE}\n"


def place_of(drive: Drive) -> str:
    """A drive that is gone is a phantom in 0:0."""
    return "0:0" if drive.condition == "missing" else f"{drive.enclosure or 0}:{drive.slot}"


def _wwid(volume: Volume) -> str:
    return bytes.fromhex(volume.wwn[-16:])[::-1].hex()


def _state(one: Controller, volume: Volume) -> tuple[str, str]:
    state = model.volume_state(one, volume)
    if state == "optimal" and volume.initialising is not None:
        return DEGRADED
    return VOLUME_STATES.get(state, DEGRADED)


def _volume(one: Controller, number: int, volume: Volume) -> str:
    pairs: list[tuple[str, object]] = [("Volume ID", volume.id)]
    pairs += [("Volume Name", volume.name)] if volume.name else []
    pairs += [("Status of volume", _state(one, volume)[0]), ("Volume wwid", _wwid(volume))]
    pairs += [("RAID level", volume.level.upper()), ("Size (in MB)", volume.size_bytes // MIB)]
    pairs += [("Boot", "Primary")] if volume.boot else []
    return f"IR volume {number}\n{_keys(*pairs)}{_members(model.members(one, volume.group))}"


def _members(drives: Sequence[Drive]) -> str:
    phys = ((f"PHY[{place}] Enclosure#/Slot#", place_of(drive)) for place, drive in enumerate(drives))
    return _keys(("Physical hard disks", ""), *phys)


def foreign(one: Controller) -> dict[int, list[Drive]]:
    """Volumes of other adapters by an id of their own."""
    names = sorted({drive.foreign for drive in one.drives if drive.foreign})
    return {
        FIRST_INACTIVE_ID + place: [drive for drive in one.drives if drive.foreign == name]
        for place, name in enumerate(names)
    }


def _inactive(number: int, identity: int, drives: Sequence[Drive]) -> str:
    pairs = (
        ("Volume ID", identity), ("Status of volume", "Inactive, Okay (OKY)"),
        ("Volume wwid", f"0{identity:015x}"), ("RAID level", "RAID1"),
        ("Size (in MB)", min(one.coerced_bytes for one in drives) // MIB),
    )  # fmt: skip
    return f"IR volume {number}\n{_keys(*pairs)}{_members(drives)}"


def _listed(one: Controller) -> list[Drive]:
    """Phantoms first; a drive that is gone and was in no volume is not there."""
    phantoms = [drive for drive in one.drives if drive.condition == "missing" and drive.group is not None]
    return [*phantoms, *(drive for drive in one.drives if drive.condition != "missing")]


def _drive(drive: Drive) -> str:
    gone = drive.condition == "missing"
    enclosure, _, slot = place_of(drive).partition(":")
    state = "Optimal (OPT)" if drive.foreign else STATES[drive.condition]
    last = drive.size_bytes // drive.sector_bytes - 1
    pairs: list[tuple[str, object]] = [
        ("Enclosure #", enclosure),
        ("Slot #", slot),
        ("SAS Address", "0000000-0-0000-0000" if gone else "5000c50-0-4815-3789"),
        ("State", state),
    ]
    pairs += [] if gone else [("Size (in MB)/(in sectors)", f"{drive.size_bytes // MIB}/{last}")]
    sata = drive.interface == "sata"
    pairs += [
        ("Manufacturer", f"{'ATA' if sata else drive.vendor:<8}"),
        ("Model Number", "" if gone else drive.model[:16]),
        ("Firmware Revision", "" if gone else drive.firmware),
        ("Serial No", drive.serial.replace("-", "")),
    ]
    pairs += [] if gone else [("Unit Serial No(VPD)", drive.serial)]
    pairs += [("GUID", "N/A" if gone else drive.wwn), ("Protocol", drive.interface.upper())]
    pairs.append(("Drive Type", f"{drive.interface.upper()}_{drive.medium.upper()}"))
    return f"Device is a Hard disk\n{_keys(*pairs)}\n"


def _backplane(enclosure: int) -> str:
    """An enclosure device that says it is a disk, as Dell's do."""
    pairs = (
        ("Enclosure #", enclosure), ("Slot #", 24), ("SAS Address", "53cea0f-0-c559-7b00"),
        ("State", "Standby (SBY)"), ("Manufacturer", "DP      "), ("Model Number", "BP14G+"),
        ("Firmware Revision", "4.35"), ("Serial No", ""), ("GUID", "N/A"), ("Protocol", "SAS"),
        ("Drive Type", "SAS_HDD"),
    )  # fmt: skip
    return f"Device is a Enclosure services device\n{_keys(*pairs)}"


def status(one: Controller) -> str:
    """What runs on each volume."""
    told = f"Background command progress status for controller {one.index}...\n"
    for number, volume in enumerate(one.volumes, start=1):
        told += f"IR Volume {number}\n{_keys(*_task(one, volume))}"
    for number, identity in enumerate(foreign(one), start=len(one.volumes) + 1):
        pairs = (
            ("Volume ID", identity), ("Current operation", "None"), ("Volume status", "Enabled"),
            ("Volume state", "Inactive"), ("Volume wwid", f"0{identity:015x}"),
            ("Physical disk I/Os", "Not quiesced"),
        )  # fmt: skip
        told += f"IR Volume {number}\n{_keys(*pairs)}"
    return told


def _task(one: Controller, volume: Volume) -> list[tuple[str, object]]:
    building = [
        drive.progress or 0.0 for drive in model.members(one, volume.group) if drive.condition == "rebuilding"
    ]
    state = model.volume_state(one, volume)
    task, done = "None", None
    if building and state != "offline":
        task, done = "Rebuild", min(building)
    elif state == "optimal" and volume.initialising is not None:
        task, done = "Synchronize", volume.initialising
    pairs: list[tuple[str, object]] = [
        ("Volume ID", volume.id), ("Current operation", task), ("Volume status", "Enabled"),
        ("Volume state", _state(one, volume)[1]), ("Volume wwid", _wwid(volume)),
        ("Physical disk I/Os", "Not quiesced"),
    ]  # fmt: skip
    if done is not None:
        sectors = volume.size_bytes // 512
        pairs += [("Volume size (in sectors)", sectors)]
        pairs += [("Number of remaining sectors", int(sectors * (100 - done) / 100))]
        pairs += [("Percentage complete", f"{done:.2f}%")]
    return pairs
