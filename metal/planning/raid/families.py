"""What each family of RAID can do beyond its levels, so that a plan says at once what it can't.

A controller that lists its levels is believed before this table. Sources: Broadcom StorCLI guide,
HPE SSA guide, LSI SAS-2/SAS-3 Integrated RAID guide, Dell BOSS-S1 and Marvell MVCLI guides, Microchip
ARCCONF guide, mdadm(8); refusals and limits that were seen in outputs stand with the drivers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SOFTWARE: Final = "md"


@dataclass(frozen=True, slots=True)
class Family:
    """One family. Options that are False can't be honoured, and a spec that asks for them is told so.

    `exactly` holds levels with one possible number of drives, `most_drives` a level's or the family's most.
    MegaRAID takes a RAID1 of more than two drives for mirrored pairs, which is what others call RAID10.
    """

    name: str
    levels: tuple[str, ...]
    strips: tuple[int, ...] = ()
    """Strip sizes in bytes; empty where the strip can't be chosen."""
    write_cache: bool = False
    read_cache: bool = False
    spares: int = 0
    """How many spares a volume may have."""
    names: int = 0
    """Most characters of a volume's name; 0 where volumes have none."""
    shares: bool = False
    """Whether several volumes may lie on one group of drives."""
    sizes: bool = True
    """Whether a volume may be smaller than its drives."""
    most_volumes: int = 64
    most_drives: int = 32
    exactly: Mapping[str, int] = field(default_factory=dict)
    uniform: bool = True
    """Whether medium, interface and sector size must be the same in a volume."""
    jbod: bool = True
    shows_free: bool = False
    """Whether a drive that is shown to the system is a free one, of which volumes are made as it is."""
    newer: str = ""
    """Pattern of models of a newer kind. `cache.write` switches their one cache, and `cache.read` has no
    place there; `newer_levels` are levels that they alone make.
    """
    newer_levels: tuple[str, ...] = ()


def _strips(least_kib: int, most_kib: int) -> tuple[int, ...]:
    sizes, size = [], least_kib
    while size <= most_kib:
        sizes.append(size * 1024)
        size *= 2
    return tuple(sizes)


_MPI3_STRIPS: Final = (64 * 1024, 256 * 1024)
_MEGARAID = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "raid60", "jbod")

FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        Family(
            "storcli", _MEGARAID, _strips(64, 1024), write_cache=True, read_cache=True, spares=16, names=15,
            shares=True, most_volumes=240, exactly={"raid1": 2},
        ),
        Family(
            "storcli2", _MEGARAID, _MPI3_STRIPS, write_cache=True, read_cache=True, spares=16, names=15,
            shares=True, most_volumes=240, exactly={"raid1": 2},
        ),
        Family(
            "megacli", _MEGARAID, _strips(8, 1024), write_cache=True, read_cache=True, spares=16, names=15,
            shares=True, exactly={"raid1": 2},
        ),
        Family(
            "ssacli",
            (*_MEGARAID, "raid1adm", "raid10adm"),
            _strips(16, 1024), write_cache=True, spares=8, names=0, shares=True,
            exactly={"raid1": 2, "raid1adm": 3}, shows_free=True,
        ),
        Family(
            "sas2ircu", ("raid0", "raid1", "raid1e", "raid10", "jbod"), spares=2, names=15,
            most_volumes=2, most_drives=10, exactly={"raid1": 2}, shows_free=True,
        ),
        Family(
            "sas3ircu", ("raid0", "raid1", "raid1e", "raid10", "jbod"), spares=2, names=15,
            most_volumes=2, most_drives=10, exactly={"raid1": 2}, shows_free=True,
        ),
        Family(
            "mvcli", ("raid0", "raid1", "jbod"), _strips(32, 64), names=10, sizes=False,
            most_volumes=2, most_drives=2, exactly={"raid0": 2, "raid1": 2}, shows_free=True,
        ),
        Family(
            "arcconf",
            ("raid0", "raid1", "raid1e", "raid5", "raid6", "raid10", "raid50", "raid60", "jbod"),
            _strips(16, 1024), write_cache=True, read_cache=True, spares=8, names=15, shares=True,
            exactly={"raid1": 2, "raid1adm": 3}, newer=r"smart|cisco|\bhba ?1\d{3}\b",
            newer_levels=("raid1adm", "raid10adm"),
        ),
        Family(
            SOFTWARE, ("raid0", "raid1", "raid5", "raid6", "raid10"), _strips(4, 8192), spares=64, names=32,
            sizes=False, most_drives=64, uniform=False, jbod=False,
        ),
    )
}  # fmt: skip
