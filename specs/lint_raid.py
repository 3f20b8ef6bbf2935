"""What is wrong with the RAID volumes of one host, as far as a spec alone shows it."""

from collections.abc import Callable, Iterator
from typing import Final

from specs.explain import suggestion
from specs.model import Host, RaidLevel, RaidVolume
from specs.records import Finding
from specs.tree import Mark

MIN_DRIVES: Final[dict[RaidLevel, int]] = {
    "raid0": 1,
    "raid1": 2,
    "raid1e": 3,
    "raid1adm": 3,
    "raid5": 3,
    "raid6": 4,
    "raid10": 4,
    "raid10adm": 6,
    "raid50": 6,
    "raid60": 8,
    "jbod": 1,
}
MULTIPLE_OF: Final[dict[RaidLevel, int]] = {"raid1adm": 3, "raid10": 2, "raid10adm": 3}
"""Levels that need a multiple of so many drives."""
SPANNED: Final[dict[RaidLevel, int]] = {"raid50": 3, "raid60": 4}
"""Levels with spans, and the least drives of one."""

Place = Callable[..., Mark]


def lint_raid(place: Place, host: Host) -> Iterator[Finding]:
    """All findings of the volumes."""
    names: set[str] = set()
    for index, volume in enumerate(host.raid):
        if volume.name in names:
            at = place("raid", index, "name")
            yield at.finding(f"a second volume called {volume.name!r}", "rename one")
        yield from _shared(place, index, volume, names)
        yield from _count(place, index, volume)
        yield from _unfit(place, index, volume)
        yield from _named(place, index, volume)
        names.add(volume.name)
        if size_turned(volume.drives.min_size, volume.drives.max_size):
            yield place("raid", index, "drives").finding("minSize is greater than maxSize", None)


def size_turned(low: int | None, high: int | None) -> bool:
    """Whether a range of sizes is the wrong way round."""
    return low is not None and high is not None and low > high


def _shared(place: Place, index: int, volume: RaidVolume, earlier: set[str]) -> Iterator[Finding]:
    shared = volume.drives.sharing
    if shared is None:
        return
    at = place("raid", index, "drives", "sharing")
    if shared not in earlier:
        hint = suggestion(shared, earlier) or f"volumes before it: {', '.join(sorted(earlier)) or 'none'}"
        yield at.finding(f"no volume {shared!r} stands before this one", hint)
    if volume.spares:
        yield place("raid", index, "spares").finding(
            "spares belong to the volume whose drives are shared", f"give them to {shared}"
        )


def _count(place: Place, index: int, volume: RaidVolume) -> Iterator[Finding]:
    count = volume.drives.count
    if isinstance(count, int):
        least, multiple = MIN_DRIVES[volume.level], MULTIPLE_OF.get(volume.level, 1)
        if count < least or count % multiple:
            number = "an even number" if multiple == 2 else f"a multiple of {multiple}"
            told = f"{volume.level} needs {number + ', ' if multiple > 1 else ''}at least {least} drives"
            yield place("raid", index, "drives", "count").finding(f"{told}, got {count}", None)
    if volume.spans is None:
        return
    least = SPANNED.get(volume.level, 0)
    at = place("raid", index, "spans")
    if not least:
        yield at.finding(f"{volume.level} has no spans", "leave spans out")
    elif isinstance(count, int) and (count % volume.spans or count // volume.spans < least):
        told = f"{count} drives can't be {volume.spans} equal spans of at least {least}"
        yield at.finding(told, None)


def _unfit(place: Place, index: int, volume: RaidVolume) -> Iterator[Finding]:
    """Options that mean nothing at a level: nobody could honour them."""
    if volume.spares and volume.level in ("raid0", "jbod"):
        told = f"a spare restores nothing of {volume.level}, which keeps each thing once"
        yield place("raid", index, "spares").finding(told, "leave spares out, or choose another level")
    if volume.level == "jbod" and volume.size is not None:
        told = "drives of level jbod are used whole"
        yield place("raid", index, "size").finding(told, "leave size out")


def _named(place: Place, index: int, volume: RaidVolume) -> Iterator[Finding]:
    count = volume.drives.count
    if not isinstance(count, int):
        return
    wanted = count + volume.spares
    for field, given in (("serials", volume.drives.serials), ("slots", volume.drives.slots)):
        if given and len(set(given)) < wanted:
            told = f"{len(set(given))} {field} for {wanted} drives"
            yield place("raid", index, "drives", field).finding(told, "name every drive, or leave it out")
