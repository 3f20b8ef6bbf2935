"""The emulated storcli beside its driver: a controller to try, and how both are compared."""

import pytest

from lab.raid import model, storcli
from lab.raid.model import Drive
from metal.drivers.raid.storcli.commands import STORCLI, STORCLI2
from tests.lab.raid.driven import Driven

GIB = 1 << 30
TOOLS = {"storcli": "storcli64", "storcli2": "storcli2"}
FAMILIES = {"storcli": STORCLI, "storcli2": STORCLI2}
DRIVE_STATES = {
    "good": "unconfigured",
    "online": "online",
    "spare": "spare",
    "jbod": "jbod",
    "bad": "failed",
    "rebuilding": "rebuilding",
}


def make(count=6, *, second=False, jbod=False, **values):
    """A controller with drives of 100 GiB and a little, the last of them without an enclosure."""
    drives = [
        Drive(
            None if n == count - 1 else 252, n, f"SN{n:06}", f"5000c500{n:08x}", "ST600MM0069",
            size_bytes=100 * GIB + (n << 20), **values,
        )
        for n in range(count)
    ]  # fmt: skip
    return storcli.controller(drives, second=second, jbod=jbod)


def call(one, line, **others):
    """A line for the tool of this controller."""
    return storcli.run([TOOLS[one.family], *line.split()], [one], **others)


def driven(*controllers):
    """The driver against the emulator, with the block devices that there are now."""
    family = controllers[0].family
    shown = {plug.key: plug for one in controllers for plug in model.plugged(one)}
    return Driven(FAMILIES[family], storcli, TOOLS[family], list(controllers), shown)


def listed(*controllers):
    """What the driver makes of the emulator's answers."""
    return driven(*controllers).listed()


def address(drive):
    return f"{'' if drive.enclosure is None else drive.enclosure}:{drive.slot}"


def state_of(drive):
    if drive.foreign:
        return "foreign"
    if drive.condition == "failed":
        return "offline" if drive.group is not None else "failed"
    return DRIVE_STATES[drive.condition]


def drives_of(one):
    """The model's drives, as a listing has to tell them."""
    return {
        address(drive): (
            state_of(drive), drive.serial, drive.wwn, drive.size_bytes, drive.coerced_bytes,
            drive.sector_bytes, drive.medium, drive.interface, drive.spun_down, drive.model, drive.firmware,
        )
        for drive in one.drives
        if drive.condition != "missing"
    }  # fmt: skip


def volumes_of(one):
    """The model's volumes, as a listing has to tell them."""
    found = {}
    for volume in one.volumes:
        state = model.volume_state(one, volume)
        state = "degraded" if state == "rebuilding" else state
        alone = sum(other.group == volume.group for other in one.volumes) == 1
        kept = [address(d) for d in one.drives if d.condition == "spare" and d.group == volume.group]
        found[str(volume.id)] = (
            volume.name or None,
            volume.level,
            "initialising" if volume.initialising is not None else state,
            volume.size_bytes,
            volume.strip_bytes,
            volume.wwn,
            (str(volume.group),),
            sorted(address(d) for d in model.members(one, volume.group) if d.condition != "missing"),
            sorted(kept) if alone else [],
        )
    return found


def agrees(view, one):
    """Whether the driver sees just what there is."""
    assert {
        d.address: (
            d.state, d.serial, d.wwn, d.size_bytes, d.usable_bytes, d.sector_size, d.media, d.interface,
            d.spun_down, d.model, d.firmware,
        )
        for d in view.drives
        if d.address is not None
    } == drives_of(one)  # fmt: skip
    gone = [d for d in one.drives if d.condition == "missing" and d.group is not None]
    assert [d.state for d in view.drives if d.address is None] == ["missing"] * len(gone)
    assert {
        v.id: (
            v.name, v.level, v.state, v.size_bytes, v.stripe_bytes, v.wwn, v.groups, sorted(v.members),
            sorted(v.spares),
        )
        for v in view.volumes
    } == volumes_of(one)  # fmt: skip
    told = " ".join(c.text for c in view.conditions if c.kind == "preserved-cache")
    assert all(f"VD {vd}" in told for vd in one.pinned)
    assert bool(told) == bool(one.pinned)
    assert view.pci == one.pci
    assert view.serial == one.serial


BOTH = pytest.mark.parametrize("second", [False, True], ids=["storcli", "storcli2"])
