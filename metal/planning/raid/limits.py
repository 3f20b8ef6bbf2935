"""What a controller has against a wish: levels, numbers, strips, names; and options without a place there."""

from typing import Final, Literal

from metal.planning.raid.levels import why_impossible
from metal.planning.raid.pools import Pool
from specs.model import RaidVolume
from specs.sizes import human_size

How = Literal["volume", "jbod", "raid0-each"]
"""How a wish is made: as one volume, by passing drives through, or as a volume of each drive."""
LEAST_IN_SOFTWARE: Final = 2
"""Drives of an md stripe; of one drive mdadm makes it only when forced."""


def how_of(wished: RaidVolume, pool: Pool) -> How:
    """How a controller makes the volume."""
    if wished.level != "jbod":
        return "volume"
    return "raid0-each" if pool.controller is not None and pool.controller.jbod is False else "jbod"


def why_not(wished: RaidVolume, pool: Pool, count: int) -> str | None:
    """What the level, the family and its controller have against so many drives."""
    family = pool.family
    if wished.level not in pool.levels:
        return f"makes no {wished.level}; it can {', '.join(pool.levels)}"
    least = LEAST_IN_SOFTWARE if wished.level == "raid0" and pool.controller is None else 1
    impossible = (
        why_impossible(wished.level, count, wished.spans) if count >= least else f"got {count} drives"
    )
    if impossible:
        return impossible
    only = family.exactly.get(wished.level)
    if only is not None and count != only and wished.level != "jbod":
        return f"{wished.level} has exactly {only} drives there, got {count}"
    limits = (
        (count > family.most_drives, f"a volume has at most {family.most_drives} drives there"),
        (wished.spares > family.spares, f"at most {family.spares} spares are possible there"),
        (wished.size is not None and not family.sizes, "a volume always takes whole drives there"),
        (0 < family.names < len(wished.name), f"a name has at most {family.names} characters there"),
        (
            bool(wished.stripe and family.strips) and wished.stripe not in family.strips,
            f"stripe may be {', '.join(human_size(one) for one in family.strips)} there",
        ),
    )
    return next((told for holds, told in limits if holds), None)


def unhonoured(wished: RaidVolume, pool: Pool) -> tuple[str, ...]:
    """Options that this controller has no place for: told, because a silent loss is found out too late."""
    cache = wished.cache
    passed = how_of(wished, pool) == "jbod"
    whole = passed or (pool.controller is None and wished.level == "raid1")  # md's mirrors have no strips
    options = (
        ("stripe", wished.stripe and (whole or not pool.family.strips)),
        ("cache.write", cache and cache.write and (passed or not pool.family.write_cache)),
        ("cache.read", cache and cache.read and (passed or not pool.reads_ahead)),
    )
    return tuple(
        f"volume {wished.name}: {option} can't be chosen on {pool.name}, and stays as it is there"
        for option, lost in options
        if lost
    )
