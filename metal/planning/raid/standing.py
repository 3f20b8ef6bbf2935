"""Volumes that stand already: which of them a wish means, and whether it is as it was asked for."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from metal.planning.difference import Difference
from metal.planning.raid.pools import Candidate, Pool
from specs.facts import Hardware, RaidArray
from specs.model import RaidVolume
from specs.raid_health import LOST, of_namesakes
from specs.sizes import human_size

SIZE_TOLERANCE: Final = 100
"""Tools round what they show of a volume; within one part in so many sizes are the same."""
BROKEN: Final = frozenset({"failed", "offline"})
WORN: Final = frozenset({"degraded", "partially-degraded", "rebuilding"})
WRITES: Final = {"back": "writes back from its cache", "through": "writes through its cache"}
_FILLED: Final = ("rebuilding", "copyback")
"""States of a member onto which its volume is being written."""


def existing_of(
    wished: RaidVolume, pool: Pool, claimed: Collection[str], lay_on: Collection[str], meant: Collection[str]
) -> RaidArray | None:
    """The volume that this one already is: by its name, else, where it has none, by its drives.

    Those that it was installed on say so whatever its level is now: a mirror that was to become something
    else and stayed would be a second disk with the same system. `meant` are the drives that the rule means.
    Of two of one name it is the one that lies on more of those: the other came with somebody's drives.
    """
    if wished.level == "jbod":
        return None
    unclaimed = [one for one in pool.volumes if one.uuid not in claimed]
    named = [one for one in unclaimed if (one.name or "").rpartition(":")[2] == wished.name]
    if named:
        return of_namesakes(named, lay_on, meant)
    nameless = [one for one in unclaimed if not pool.family.names or not one.name]
    installed = [one for one in nameless if set(one.members) & set(lay_on)]
    if installed:
        return max(installed, key=lambda one: (len(set(one.members) & set(lay_on)), one.uuid))
    if wished.drives.count == "all":
        return None
    same = [one for one in nameless if one.level == wished.level and set(one.members) <= set(meant)]
    same = [one for one in same if len(one.members) == wished.drives.count]
    return min(same, key=lambda one: one.volume or one.uuid) if same else None


def left_of(array: RaidArray, pool: Pool) -> tuple[tuple[Candidate, ...], bool]:
    """The drives that a volume has or is filled onto, and whether it lacks some or is being filled."""
    own = [one for one in pool.candidates if one.identity and one.identity in array.members]
    left = tuple(sorted((one for one in own if one.state not in LOST), key=lambda one: one.identity))
    filled = any(one.state in _FILLED for one in left)
    return left, array.state in WORN or filled or len(left) < len(array.members)


def spares_of(array: RaidArray, pool: Pool, free: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Its spares: those kept for it alone, then those that serve any volume of the controller."""
    others = {name for one in pool.volumes if one is not array for name in one.spares}
    found = [one for one in free if one.spare and one.why_not is None and one.identity not in others]
    return tuple(sorted(found, key=lambda one: (one.identity not in array.spares, one.identity)))


def fit_as_spares(
    members: Sequence[Candidate], pool: Pool, free: Iterable[Candidate]
) -> tuple[Candidate, ...]:
    """Unused drives that could stand in for any of the members, the smallest first."""
    unused = ("unconfigured", "jbod") if pool.family.shows_free else ("unconfigured",)
    least = min(one.usable_bytes for one in members)
    found = [
        one
        for one in free
        if one.state in unused
        and one.why_not is None
        and one.volume is None
        and one.kind == members[0].kind
        and one.usable_bytes >= least
    ]
    return tuple(sorted(found, key=lambda one: (one.usable_bytes, one.identity)))


def too_small_to_spare(members: Sequence[Candidate], spares: Iterable[Candidate]) -> str | None:
    """Why a spare could stand in for none of the members; drives of one kind differ by less than counts."""
    least = min(one.usable_bytes for one in members)
    small = [one for one in spares if one.usable_bytes < least - least // SIZE_TOLERANCE]
    if not small:
        return None
    told = f"spare {small[0].address} {small[0].identity} has {human_size(small[0].usable_bytes)}"
    return f"{told}, each member {human_size(least)} and more: name drives by minSize or serials"


def standing_alone(pool: Pool, drives: Iterable[Candidate], *, how: str) -> tuple[str, ...]:
    """Drives that are passed through already, or, where a controller can't, each alone a volume."""
    if how == "volume" or pool.controller is None:
        return ()
    alone = {
        one.members[0]
        for one in pool.volumes
        if one.level == "raid0" and len(one.members) == 1 and one.state not in BROKEN
    }
    return tuple(
        one.identity
        for one in drives
        if (one.identity in alone if how == "raid0-each" else one.state == "jbod")
    )


def is_as_asked(array: RaidArray, wished: RaidVolume, size_bytes: int) -> bool:
    """Whether a volume on the right drives is the one asked for, by level, strip and size."""
    if array.level != wished.level or array.state in BROKEN:
        return False
    if wished.stripe and array.stripe_bytes and array.stripe_bytes != wished.stripe:
        return False
    if wished.size is None:
        return array.size_bytes >= size_bytes - size_bytes // SIZE_TOLERANCE
    return abs(array.size_bytes - size_bytes) <= size_bytes // SIZE_TOLERANCE


def told_of(array: RaidArray, wished: RaidVolume, spares: int) -> tuple[str, ...]:
    """What is to know of a volume that stays: its state, and spares that nobody gives it."""
    told = []
    if array.state not in ("optimal", "unknown"):
        how = f" ({array.progress:g} %)" if array.progress is not None else ""
        told.append(f"volume {wished.name} is {array.state}{how}, and is kept")
    if spares < wished.spares:
        told.append(f"volume {wished.name} has {spares} of {wished.spares} spares, and is kept as it is")
    asked = wished.cache.write if wished.cache else None
    if asked and array.write_cache and array.write_cache != asked:
        told.append(f"volume {wished.name} {WRITES[array.write_cache]}, not as asked, and is kept as it is")
    return tuple(told)


def volume_drift(wished: RaidVolume, array: RaidArray, hardware: Hardware) -> Iterator[Difference]:
    """What a volume of an installed host has lost of its making: its strip, and spares that took over."""
    if wished.stripe and array.stripe_bytes and array.stripe_bytes != wished.stripe:
        asked, made = human_size(wished.stripe), human_size(array.stripe_bytes)
        yield Difference(f"raid.{wished.name}.stripe", asked, made)
    owned = {name for one in hardware.raids for name in one.spares}
    for_all = [
        drive
        for one in hardware.controllers
        if one.id == array.controller
        for drive in one.drives
        if drive.state == "spare" and drive.identity not in owned
    ]
    seen = len(array.spares) + len(for_all)
    if seen < wished.spares:
        yield Difference(f"raid.{wished.name}.spares", str(wished.spares), str(seen))
