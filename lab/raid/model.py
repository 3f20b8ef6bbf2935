"""What a RAID controller does, whatever its maker: drives, groups of drives, volumes on them, spares.

A group is the set of drives that one or more volumes lie on. State is plain data, stored as JSON by
whoever owns it; operations check what firmware checks and raise `Refusal` with a short code, which each
family's file turns into its own words. Time passes only by `tick`, so that tests decide when a rebuild
is done.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

DriveCondition = Literal["good", "online", "spare", "jbod", "bad", "failed", "missing", "rebuilding"]
MIB = 1 << 20
COERCE = 64 * MIB
"""Members are shrunk to a multiple of this, as by a controller that coerces to 64 MiB or more."""
REBUILD_PERCENT_PER_S = 5.0


class Refusal(Exception):
    """The controller says no: `code` is a word that families translate, `detail` names the thing."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code} {detail}".strip())
        self.code, self.detail = code, detail


@dataclass
class Drive:
    """A drive in a slot. `foreign` names a configuration of another controller that lies on it."""

    enclosure: int | None
    slot: int
    serial: str
    wwn: str
    model: str
    vendor: str = "SEAGATE"
    firmware: str = "0001"
    size_bytes: int = 0
    sector_bytes: int = 512
    medium: Literal["hdd", "ssd"] = "hdd"
    interface: Literal["sas", "sata", "nvme"] = "sas"
    condition: DriveCondition = "good"
    group: int | None = None
    """The group it is a member of; for a spare the group it is kept for, None for a global one."""
    foreign: str | None = None
    spun_down: bool = False
    predictive_failure: bool = False
    media_errors: int = 0
    progress: float | None = None

    @property
    def coerced_bytes(self) -> int:
        """What it gives to a group."""
        return self.size_bytes // COERCE * COERCE

    @property
    def kind(self) -> tuple[str, str, int]:
        """What must be equal in a group."""
        return (self.medium, self.interface, self.sector_bytes)


@dataclass
class Volume:
    """A volume on a group of drives. `has_data` is what a tool sees of a file system or system on it."""

    id: int
    group: int
    name: str
    level: str
    size_bytes: int
    strip_bytes: int
    spans: int
    wwn: str
    write_cache: Literal["back", "through"] = "through"
    read_cache: Literal["ahead", "none"] = "none"
    boot: bool = False
    has_data: bool = False
    initialising: float | None = None


@dataclass
class Limits:
    """What this model of controller can do."""

    levels: tuple[str, ...]
    most_volumes: int = 64
    most_drives: int = 32
    first_volume_id: int = 0
    volume_id_step: int = 1
    """-1 for controllers that count down from their highest id."""
    mixed_kinds: bool = False
    jbod: bool = True
    strips: tuple[int, ...] = (65536, 131072, 262144, 524288, 1048576)
    whole_drives: bool = False
    unique_prefix: str = "600605b0"
    """What the unique ids of its volumes begin with."""


@dataclass
class Controller:
    """A controller with all that hangs on it. `pinned` are ids of lost volumes whose cache is preserved."""

    family: str
    index: str
    model: str
    serial: str
    firmware: str
    pci: str
    limits: Limits
    drives: list[Drive] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    jbod_mode: bool = False
    pinned: list[int] = field(default_factory=list)
    battery: Literal["optimal", "missing", "failed"] = "optimal"
    made: int = 0
    """How many volumes were ever made: part of their unique ids."""
    chosen: bool = False
    """Whether commands go to it, for tools of which one command chooses the controller of the others."""


@dataclass(frozen=True)
class Plug:
    """A block device appears: a volume, or a drive that is passed through."""

    key: str
    wwn: str
    serial: str
    size_bytes: int
    sector_bytes: int = 512
    boot: bool = False


@dataclass(frozen=True)
class Unplug:
    """A block device vanishes, with all that is on it."""

    key: str


Effect = Plug | Unplug

LEAST = {
    "raid0": 1, "raid1": 2, "raid1e": 3, "raid1adm": 3, "raid5": 3, "raid6": 4, "raid10": 4, "raid10adm": 6,
    "raid50": 6, "raid60": 8,
}  # fmt: skip
PARITY = {"raid5": 1, "raid50": 1, "raid6": 2, "raid60": 2}
COPIES = {"raid1e": 2, "raid10": 2, "raid10adm": 3}
SURVIVES = {"raid0": 0, "raid5": 1, "raid6": 2, "raid50": 1, "raid60": 2}


def data_share(level: str, count: int, spans: int) -> Fraction:
    """Which part of its drives' room holds a volume's data."""
    if level in ("raid1", "raid1adm"):
        return Fraction(1, count)
    if level in COPIES:
        return Fraction(1, COPIES[level])
    return Fraction(count - PARITY.get(level, 0) * spans, count)


def members(controller: Controller, group: int) -> list[Drive]:
    """The drives of a group, those that are lost too, in the order of their slots."""
    return [
        one
        for one in controller.drives
        if one.group == group and one.condition in ("online", "rebuilding", "failed", "missing")
    ]


def volume_of(controller: Controller, number: int) -> Volume:
    """A volume by its id. Raises Refusal `no-volume`."""
    for volume in controller.volumes:
        if volume.id == number:
            return volume
    raise Refusal("no-volume", str(number))


def drive_at(controller: Controller, enclosure: int | None, slot: int) -> Drive:
    """The drive in a slot. Raises Refusal `no-drive`."""
    for drive in controller.drives:
        if (drive.enclosure, drive.slot) == (enclosure, slot) and drive.condition != "missing":
            return drive
    raise Refusal("no-drive", f"{'' if enclosure is None else enclosure}:{slot}")


def volume_state(controller: Controller, volume: Volume) -> str:
    """Optimal, rebuilding, degraded, partially-degraded or offline, by the drives of its group."""
    drives = members(controller, volume.group)
    lost = sum(one.condition in ("failed", "missing") for one in drives)
    building = sum(one.condition == "rebuilding" for one in drives)
    if not lost and not building:
        return "optimal"
    bearable = SURVIVES.get(volume.level, len(drives) // 2)
    if lost + building > bearable:
        return "offline"
    if building and not lost:
        return "rebuilding"
    return (
        "partially-degraded" if bearable > 1 and lost < bearable and volume.level == "raid6" else "degraded"
    )


def free_bytes(controller: Controller, group: int) -> int:
    """How much of a group's drives no volume has, over all drives."""
    drives = members(controller, group)
    room = min(one.coerced_bytes for one in drives) * len(drives)
    lying = [volume for volume in controller.volumes if volume.group == group]
    used = sum((one.size_bytes / data_share(one.level, len(drives), one.spans) for one in lying), Fraction(0))
    return int(room - used)


def create(
    controller: Controller,
    level: str,
    drives: Sequence[Drive],
    *,
    name: str = "",
    size_bytes: int | None = None,
    strip_bytes: int | None = None,
    spans: int = 1,
    spares: Sequence[Drive] = (),
    write_cache: Literal["back", "through"] = "through",
    read_cache: Literal["ahead", "none"] = "none",
) -> tuple[Volume, list[Effect]]:
    """Make a volume on free drives. Raises Refusal with the reason that firmware would have."""
    _check_drives(controller, level, drives, spans)
    if len({(one.enclosure, one.slot) for one in (*drives, *spares)}) < len(drives) + len(spares):
        raise Refusal("drive-twice")
    for one in (*drives, *spares):
        _check_free(one)
    if controller.pinned:
        raise Refusal("preserved-cache", ",".join(map(str, controller.pinned)))
    group = max((one.group for one in controller.drives if one.group is not None), default=-1) + 1
    for one in drives:
        one.condition, one.group = "online", group
    try:
        made = create_in(
            controller, group, level, name=name, size_bytes=size_bytes, strip_bytes=strip_bytes, spans=spans,
            write_cache=write_cache, read_cache=read_cache,
        )  # fmt: skip
    except Refusal:
        for one in drives:
            one.condition, one.group = "good", None
        raise
    for one in spares:
        one.condition, one.group = "spare", group
    return made


def create_in(
    controller: Controller,
    group: int,
    level: str,
    *,
    name: str = "",
    size_bytes: int | None = None,
    strip_bytes: int | None = None,
    spans: int = 1,
    write_cache: Literal["back", "through"] = "through",
    read_cache: Literal["ahead", "none"] = "none",
) -> tuple[Volume, list[Effect]]:
    """Make a further volume on a group of drives."""
    limits = controller.limits
    drives = members(controller, group)
    if level not in limits.levels:
        raise Refusal("level", level)
    if len(controller.volumes) >= limits.most_volumes:
        raise Refusal("too-many-volumes")
    lost = next((one for one in drives if one.condition != "online"), None)
    if lost is not None:
        raise Refusal("drive-state", lost.condition)
    strip = strip_bytes or (limits.strips[0] if limits.strips else 65536)
    if limits.strips and strip not in limits.strips:
        raise Refusal("strip", str(strip))
    share = data_share(level, len(drives), spans)
    whole = int(free_bytes(controller, group) * share) // MIB * MIB
    if whole < MIB or (size_bytes or 0) > whole:
        raise Refusal("space", str(whole))
    size = whole if size_bytes is None or limits.whole_drives else size_bytes // MIB * MIB
    controller.made += 1
    number = next_id(controller)
    volume = Volume(
        id=number, group=group, name=name, level=level, size_bytes=size, strip_bytes=strip, spans=spans,
        wwn=_unique(controller), write_cache=write_cache, read_cache=read_cache,
    )  # fmt: skip
    controller.volumes.append(volume)
    return volume, [plug_of(controller, volume)]


def delete(controller: Controller, number: int, *, forced: bool = True) -> list[Effect]:
    """Delete a volume; the last one of a group frees its drives and dedicated spares."""
    volume = volume_of(controller, number)
    if volume.has_data and not forced:
        raise Refusal("has-data", str(number))
    controller.volumes.remove(volume)
    if not any(one.group == volume.group for one in controller.volumes):
        for drive in controller.drives:
            if drive.group == volume.group:
                drive.group, drive.progress = None, None
                if drive.condition in ("online", "rebuilding", "spare"):
                    drive.condition = "good"
    return [Unplug(f"v{volume.wwn}")]


def set_spare(drive: Drive, group: int | None = None) -> None:
    """Make a free drive a hot spare, of one group or of all."""
    _check_free(drive)
    drive.condition, drive.group = "spare", group


def set_jbod(controller: Controller, drive: Drive) -> list[Effect]:
    """Pass a drive through."""
    if not controller.limits.jbod:
        raise Refusal("no-jbod")
    if drive.condition == "jbod":
        return []
    _check_free(drive)
    drive.condition = "jbod"
    return [_plug_drive(drive)]


def set_good(drive: Drive) -> list[Effect]:
    """Make a spare, a bad or a passed-through drive a free one."""
    if drive.condition not in ("spare", "jbod", "bad", "good"):
        raise Refusal("drive-state", drive.condition)
    effects: list[Effect] = [Unplug(f"d{drive.serial}")] if drive.condition == "jbod" else []
    drive.condition, drive.group = "good", None
    return effects


def clear_foreign(controller: Controller, names: Iterable[str] | None = None) -> int:
    """Forget configurations of other controllers; how many there were."""
    wanted = None if names is None else set(names)
    cleared = {one.foreign for one in controller.drives if one.foreign} & (wanted or _foreign(controller))
    for one in controller.drives:
        if one.foreign in cleared:
            one.foreign = None
    return len(cleared)


def fail(controller: Controller, drive: Drive, *, gone: bool = False) -> list[Effect]:
    """A drive dies or is pulled; a spare takes its place at once."""
    if drive.condition in ("failed", "missing"):
        drive.condition = "missing" if gone else drive.condition
        return []
    effects: list[Effect] = [Unplug(f"d{drive.serial}")] if drive.condition == "jbod" else []
    group = drive.group if drive.condition in ("online", "rebuilding") else None
    alive = [one for one in controller.volumes if volume_state(controller, one) != "offline"]
    drive.condition, drive.progress = ("missing" if gone else "failed"), None
    if group is None:
        drive.group = None
        return effects
    dead = [one for one in controller.volumes if one.group == group and _is_offline(controller, one)]
    effects += [Unplug(f"v{one.wwn}") for one in dead if one in alive]
    spare = next(
        (one for one in controller.drives if one.condition == "spare" and one.group in (None, group)), None
    )
    if spare is not None and not dead:
        spare.condition, spare.group, spare.progress = "rebuilding", group, 0.0
        drive.group = None
    return effects


def replace(controller: Controller, drive: Drive, serial: str) -> None:
    """A blank drive takes the slot of a failed one. A volume that lacks it, and stands, is rebuilt on it."""
    if drive.condition not in ("failed", "missing"):
        raise Refusal("drive-state", drive.condition)
    lying = [one for one in controller.volumes if one.group == drive.group and drive.group is not None]
    standing = bool(lying) and not any(_is_offline(controller, one) for one in lying)
    drive.serial, drive.wwn = serial, f"5000c500{zlib.crc32(serial.encode()):08x}"
    drive.foreign, drive.media_errors, drive.predictive_failure = None, 0, False
    drive.condition, drive.progress = ("rebuilding", 0.0) if standing else ("good", None)
    drive.group = drive.group if standing else None


def _is_offline(controller: Controller, volume: Volume) -> bool:
    return volume_state(controller, volume) == "offline"


def tick(controller: Controller, seconds: float) -> None:
    """Let time pass: rebuilds and initialisations go on."""
    for drive in controller.drives:
        if drive.condition == "rebuilding":
            drive.progress = (drive.progress or 0.0) + seconds * REBUILD_PERCENT_PER_S
            if drive.progress >= 100:
                drive.condition, drive.progress = "online", None
    for volume in controller.volumes:
        if volume.initialising is not None:
            volume.initialising += seconds * REBUILD_PERCENT_PER_S
            if volume.initialising >= 100:
                volume.initialising = None


def plugged(controller: Controller) -> list[Plug]:
    """All block devices that the controller shows now: what a machine sees after a start."""
    alive = [one for one in controller.volumes if volume_state(controller, one) != "offline"]
    passed = [one for one in controller.drives if one.condition == "jbod"]
    return [*(plug_of(controller, one) for one in alive), *(_plug_drive(one) for one in passed)]


def plug_of(controller: Controller, volume: Volume) -> Plug:
    """The block device of a volume."""
    sector = members(controller, volume.group)[0].sector_bytes
    return Plug(f"v{volume.wwn}", volume.wwn, volume.wwn, volume.size_bytes, sector, volume.boot)


def _plug_drive(drive: Drive) -> Plug:
    return Plug(f"d{drive.serial}", drive.wwn, drive.serial, drive.size_bytes, drive.sector_bytes)


def _foreign(controller: Controller) -> set[str]:
    return {one.foreign for one in controller.drives if one.foreign}


def _check_drives(controller: Controller, level: str, drives: Sequence[Drive], spans: int) -> None:
    limits = controller.limits
    if level not in limits.levels:
        raise Refusal("level", level)
    count = len(drives)
    odd = (level == "raid10" and count % 2) or (level in ("raid1adm", "raid10adm") and count % 3)
    if count < LEAST[level] or count > limits.most_drives or odd:
        raise Refusal("drive-count", f"{level} {count}")
    if spans > 1 and (count % spans or count // spans < LEAST.get(f"raid{level[-2]}", 1)):
        raise Refusal("spans", f"{count} {spans}")
    if len({one.kind for one in drives}) > 1 and not limits.mixed_kinds:
        raise Refusal("mixed-kinds")


def _check_free(drive: Drive) -> None:
    if drive.foreign:
        raise Refusal("foreign", drive.serial)
    if drive.spun_down:
        raise Refusal("spun-down", drive.serial)
    if drive.condition != "good":
        raise Refusal("drive-state", drive.condition)


def next_id(controller: Controller) -> int:
    """The id that the next volume will have: the first free one in the order of the firmware."""
    taken = {volume.id for volume in controller.volumes}
    number = controller.limits.first_volume_id
    while number in taken:
        number += controller.limits.volume_id_step
    return number


def _unique(controller: Controller) -> str:
    """A unique id as NAA 6 has it: sixteen octets of which the last grow with each volume made."""
    base = "".join(f"{ord(c) & 0xFF:02x}" for c in controller.serial)[-14:].rjust(14, "0")
    prefix = controller.limits.unique_prefix
    return f"{prefix}{base[len(prefix) - 22 :]}{controller.made:010x}"[:32]
