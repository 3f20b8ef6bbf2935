"""Machines with RAID controllers, as facts."""

import pytest

from metal.planning.raid.pools import pools_of
from metal.planning.raid.volumes import choose_volume
from specs.facts import Disk, Hardware, PhysicalDrive, RaidArray, RaidController
from specs.model import RaidVolume

GIB = 1 << 30
ALL_LEVELS = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "raid60")


def drives(prefix, count, *, gib=1000, first=0, enclosure=252, **values):
    """Drives `<prefix>0`, `<prefix>1`, … in the slots of one enclosure."""
    default = {"medium": "hdd", "transport": "sas", "state": "unconfigured", "sector_bytes": 512}
    return tuple(
        PhysicalDrive(
            address=f"{enclosure}:{first + n}",
            serial=f"{prefix}{n}",
            size_bytes=gib * GIB,
            **{**default, **values},
        )
        for n in range(count)
    )


def controller(*groups, driver="storcli", pci="0000:5e:00.0", levels=ALL_LEVELS, **values):
    """A controller with these drives."""
    told = {"model": "MegaRAID 9460-16i", "index": "0", **values}
    all_drives = tuple(one for group in groups for one in group)
    return RaidController(driver=driver, pci=pci, levels=levels, drives=all_drives, **told)


def array(name, level, members, *, size_gib=990, driver="storcli", on="0000:5e:00.0", **values):
    """A volume of a controller."""
    told = {"uuid": f"wwn-{name}", "volume": "0", "state": "optimal", "device": None, **values}
    return RaidArray(
        name=name, driver=driver, level=level, members=tuple(members), size_bytes=size_gib * GIB,
        controller=on, **told,
    )  # fmt: skip


def disk(serial, *, gib=1000, **values):
    told = {"device": f"/dev/{serial.lower()}", "medium": "ssd", "transport": "sata", **values}
    return Disk(serial=serial, size_bytes=gib * GIB, **told)


@pytest.fixture
def choose():
    """Choose the volumes of a spec in its order, and give all choices or refusals."""

    def chosen(hardware: Hardware, *wishes: dict, used=()):
        found, pools = [], pools_of(hardware)
        unusable = [one for one in hardware.controllers if one.problem]
        for wish in wishes:
            volume = RaidVolume.model_validate({"name": "v", "level": "raid1", **wish})
            earlier = [one for one in found if hasattr(one, "members")]
            found.append(choose_volume(volume, pools, earlier, used, unusable))
        return found if len(found) > 1 else found[0]

    return chosen
