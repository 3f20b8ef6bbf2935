"""Which old volumes give way to a new one: none where free drives do, else whole ones, and the fewest.

A volume of which a part is taken is lost whole, and with it drives that nobody named, which is refused. So
among the ways to find the drives, one that uses up all drives of what it destroys goes before any other.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from metal.planning.raid.pools import Candidate
from specs.facts import RaidArray

Names = tuple[str, ...]
"""Volumes that lie on the same drives, by unique id: they go together."""
_MOST_DRIVES: Final = 64


def in_order(
    volumes: Iterable[RaidArray], drives: Sequence[Candidate], held: Collection[str], count: int, spares: int
) -> list[Candidate]:
    """The drives, those to take first: of the volume itself (`held`), free ones, then of volumes that go."""
    waiting = {name for array in volumes for name in array.spares}  # md tells of no spare but by its array
    own = [one for one in drives if one.identity in held]
    own.sort(key=lambda one: (one.spare or bool(_identities(one) & waiting), one.identity))
    others = [one for one in drives if one.identity not in held]
    units = _units(volumes, others)
    used = {one.identity for same in units.values() for one in same}
    free = _with_spares_first([one for one in others if one.identity not in used], spares)
    wanted = max(count + spares - len(own), 0)
    going = _fewest(units, _whole(volumes, units, drives), wanted, len(free))
    taken = [one for names in going for one in units[names]]
    first = free[: max(wanted - len(taken), 0)]
    chosen = [*own, *first, *taken]
    enough = sum(not one.spare or one.identity in held for one in chosen[: count + spares]) >= count
    if len(chosen) >= count + spares and enough:
        return chosen[: count + spares]
    names = {one.identity for one in chosen}
    rest = [one for one in drives if one.identity not in names]
    return [*chosen, *sorted(rest, key=lambda one: (one.identity in used, one.identity))]


def _with_spares_first(free: Sequence[Candidate], spares: int) -> list[Candidate]:
    """Free drives by identity; as many that are hot spares already as are asked for stand in front."""
    ordered = sorted(free, key=lambda one: (one.spare, one.identity))
    ready = [one for one in ordered if one.spare]
    return [*ready[:spares], *(one for one in ordered if not one.spare), *ready[spares:]]


def _units(volumes: Iterable[RaidArray], drives: Iterable[Candidate]) -> dict[Names, list[Candidate]]:
    """The drives that are in volumes, by those volumes."""
    known = tuple(volumes)
    units: dict[Names, list[Candidate]] = {}
    for one in sorted(drives, key=lambda one: one.identity):
        names = tuple(
            sorted(array.uuid for array in known if _identities(one) & {*array.members, *array.spares})
        )
        if names:
            units.setdefault(names, []).append(one)
    return units


def _identities(one: Candidate) -> set[str]:
    """All names that an array may have a drive by: md knows them by device where there is no serial."""
    return {name for name in (one.disk.serial, one.disk.wwn, one.disk.device) if name}


def _whole(
    volumes: Iterable[RaidArray], units: dict[Names, list[Candidate]], drives: Sequence[Candidate]
) -> set[Names]:
    """Volumes of which every member and spare could be taken, and that share no drive with others."""
    takeable = {name for one in drives for name in _identities(one)}
    lying = {array.uuid: {*array.members, *array.spares} for array in volumes}
    return {
        names
        for names in units
        if all(lying[name] <= takeable for name in names)
        and not any(set(names) & set(other) for other in units if other != names)
    }


def _fewest(
    units: dict[Names, list[Candidate]], whole: Collection[Names], wanted: int, free: int
) -> tuple[Names, ...]:
    """The units to take: whole ones that leave no drive over before any others.

    Among those the fewest volumes, then the fewest drives, then by their ids, so that the answer is always
    the same.
    """
    if free >= wanted:
        return ()
    exact = _sums({names: drives for names, drives in units.items() if names in whole}, wanted)
    fitting = [(found, total) for total, found in exact.items() if wanted - free <= total <= wanted]
    if not fitting:
        every = _sums(units, _MOST_DRIVES)
        fitting = [(found, total) for total, found in every.items() if total >= wanted - free]
    return min(fitting, key=lambda one: (_lost(one[0]), one[1], one[0]), default=((), 0))[0]


def _sums(units: dict[Names, list[Candidate]], most: int) -> dict[int, tuple[Names, ...]]:
    """Numbers of drives that some units have together -> the cheapest such units."""
    best: dict[int, tuple[Names, ...]] = {0: ()}
    for names in sorted(units):
        for total, found in list(best.items()):
            more = (*found, names)
            reached = total + len(units[names])
            known = best.get(reached)
            if reached <= most and (known is None or (_lost(more), more) < (_lost(known), known)):
                best[reached] = more
    return best


def _lost(units: tuple[Names, ...]) -> int:
    return sum(len(names) for names in units)
