"""One RAID volume of a spec: on which controller, of which drives, how large; or why not.

Where more than one answer fits, there is none: two controllers that could both make the volume, or two
kinds of drive that both fit the rule, are refused with what was seen. A volume that already is as asked
is kept, so that a second run plans nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Final

from metal.planning.disks import Refusal, describe, model_fits
from metal.planning.raid.giving_way import in_order
from metal.planning.raid.levels import LEVELS, data_bytes, spans_of
from metal.planning.raid.limits import How, how_of, unhonoured, why_not
from metal.planning.raid.pools import Candidate, Pool, gone_from
from metal.planning.raid.standing import (
    existing_of,
    fit_as_spares,
    is_as_asked,
    left_of,
    spares_of,
    standing_alone,
    told_of,
    too_small_to_spare,
)
from specs.facts import RaidArray, RaidController
from specs.model import DriveRule, RaidVolume
from specs.raid_health import of_namesakes
from specs.sizes import human_size

ESTIMATE_PERCENT: Final = 101
"""A controller that does not tell what it takes off its drives may make this much of what is reckoned."""


@dataclass(frozen=True, slots=True)
class VolumeChoice:
    """A volume with its drives.

    `size_bytes` is the least that it holds; `sized_bytes` what is asked of the controller, None for all.
    `existing` is the volume that this is now, and it is `kept` where it is as asked. Of drives that are
    passed through or each a volume, `standing` are those that are so already. `notes` say what the
    controller can't honour, and what is to know of a volume that stays.
    """

    spec: RaidVolume
    pool: Pool
    members: tuple[Candidate, ...]
    spares: tuple[Candidate, ...]
    size_bytes: int
    sized_bytes: int | None = None
    spans: int = 1
    how: How = "volume"
    existing: RaidArray | None = None
    kept: bool = False
    notes: tuple[str, ...] = ()
    standing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _No:
    """Why one pool can't make the volume; `fits` says whether it has drives that the rule means."""

    why: str
    fits: bool = True
    reason: str = "not-enough-drives"


def choose_volume(
    wished: RaidVolume,
    pools: Sequence[Pool],
    earlier: Sequence[VolumeChoice] = (),
    used: Collection[str] = (),
    unusable: Sequence[RaidController] = (),
    lay_on: Collection[str] = (),
) -> VolumeChoice | Refusal:
    """Choose controller and drives.

    `used` are identities that other rules have taken, `unusable` controllers whose tool is missing: unless
    the spec names another one, such a controller may be the one meant. `lay_on` are the drives that the
    volume was installed on.
    """
    if wished.drives.sharing is not None:
        return _share(wished, earlier)
    if wished.controller is None and unusable:
        told = "; ".join(f"{one.model or 'controller'} at {one.id}: {one.problem}" for one in unusable)
        return Refusal("tool-missing", f"volume {wished.name}: {told}")
    named = [pool for pool in pools if _named(wished.controller, pool)]
    if not named:
        blind = [one for one in unusable if wished.controller and _is_called(wished.controller, one)]
        if blind:
            return Refusal("tool-missing", f"volume {wished.name}: {wished.controller}: {blind[0].problem}")
        seen = "; ".join(pool.name for pool in pools)
        return Refusal("no-matching-disk", f"no controller is {wished.controller}; seen: {seen}")
    taken = {*used, *(one.identity for choice in earlier for one in (*choice.members, *choice.spares))}
    claimed = {choice.existing.uuid for choice in earlier if choice.existing}
    tried = [(pool, _within(pool, _attempt(wished, pool, taken, claimed, lay_on), earlier)) for pool in named]
    return _decide(wished, tried)


def _decide(wished: RaidVolume, tried: Sequence[tuple[Pool, VolumeChoice | _No]]) -> VolumeChoice | Refusal:
    """Take the one answer; software RAID gives way to any controller with drives that are meant."""
    hardware = [(pool, found) for pool, found in tried if pool.controller is not None]
    meant = [(pool, found) for pool, found in hardware if isinstance(found, VolumeChoice) or found.fits]
    asked = meant or [(pool, found) for pool, found in tried if pool.controller is None] or hardware
    chosen = [found for _, found in asked if isinstance(found, VolumeChoice)]
    kept = [found for found in chosen if found.kept and found.existing]
    if len(chosen) == 1 or len(kept) == 1:
        return (kept or chosen)[0]
    if chosen:
        told = "; ".join(
            f"{one.pool.name} ({', '.join(drive.address for drive in one.members)})" for one in chosen
        )
        return Refusal("ambiguous-disk", f"volume {wished.name} fits on {len(chosen)} controllers: {told}")
    refused = [(pool, found) for pool, found in asked if isinstance(found, _No)]
    told = "; ".join(f"{pool.name}: {found.why}" for pool, found in refused)
    return Refusal(refused[0][1].reason, f"volume {wished.name}: {told}")


def _named(name: str | None, pool: Pool) -> bool:
    """Whether a spec's `controller` means this pool: by PCI address, serial, or model with wildcards."""
    if name is None:
        return True
    if pool.controller is None:
        return name.lower() in ("software", pool.family.name)
    return _is_called(name, pool.controller)


def _is_called(name: str, one: RaidController) -> bool:
    if name.lower() in ((one.pci or "").lower(), (one.pci or "").lower().removeprefix("0000:"), one.serial):
        return True
    return name == one.serial or fnmatchcase((one.model or "").lower(), name.lower())


def _attempt(
    wished: RaidVolume, pool: Pool, taken: Collection[str], claimed: Collection[str], lay_on: Collection[str]
) -> VolumeChoice | _No:
    """The volume on one controller, or why not."""
    rule = wished.drives
    meant = [one for one in pool.candidates if fits(rule, one)]
    if not meant:
        return _No(f"no drive fits; seen: {listing(pool.candidates)}", fits=False)
    existing = (
        None if wished.level == "jbod" else existing_of(wished, pool, claimed, lay_on, set(_ids(meant)))
    )
    stays = _staying(wished, pool, existing, taken) if existing else None
    if stays is not None:
        return stays
    standing = standing_alone(pool, meant, how=how_of(wished, pool))
    held = {*existing.members, *existing.spares} if existing else set(standing)
    free = [one for one in meant if one.why_not is None and one.identity not in taken]
    free = [one for one in free if not one.spare or one.identity in held or wished.spares]
    count = len(free) - wished.spares if rule.count == "all" else rule.count or 0
    refused = why_not(wished, pool, count)
    if refused:
        return _No(refused, reason="layout-impossible")
    group = _one_kind(pool, free, count + wished.spares, held)
    if isinstance(group, str):
        return _No(f"{group}; seen: {listing(pool.candidates, taken)}")
    group = in_order(_lying(pool), group, held, count, wished.spares)
    members = tuple(one for one in group if not one.spare or one.identity in held)[:count]
    rest = [one for one in group if one not in members]
    spares = tuple(sorted(rest, key=lambda one: not one.spare))[: wished.spares]
    if len(members) < count or len(spares) < wished.spares:
        return _No(f"{len(members)} of {count} drives are no spares already")
    made = _made(wished, pool, members, spares, existing, standing)
    small = too_small_to_spare(members, spares)
    return _No(small) if small and isinstance(made, VolumeChoice) and not made.kept else made


def _ids(drives: Iterable[Candidate]) -> Iterable[str]:
    return (one.identity for one in drives)


def _staying(
    wished: RaidVolume, pool: Pool, existing: RaidArray, taken: Collection[str]
) -> VolumeChoice | None:
    """A controller's volume as it stands, where it is the one asked for; None where the drives decide.

    One that has lost drives, or fills new ones, is still it: to rebuild it is the controller's work, and to
    make it anew would erase what it was made to save. So it takes no further drives, and those that it is
    filled onto are its own.
    """
    left, worn = left_of(existing, pool)
    count = wished.drives.count
    if pool.controller is None or not (worn or isinstance(count, int)):
        return None
    number = count if isinstance(count, int) else len(existing.members)
    if len(left) != number and not (worn and 0 < len(left) < number):
        return None
    if any(one.identity in taken or not fits(wished.drives, one) for one in left):
        return None
    if why_not(wished, pool, number):
        return None
    free = [one for one in pool.candidates if fits(wished.drives, one) and one.identity not in taken]
    spares = spares_of(existing, pool, free)
    if not worn:  # a volume that is being filled has the spare's place in doubt
        spares = (*spares, *fit_as_spares(left, pool, free))
    made = _made(wished, pool, left, spares[: wished.spares], existing, (), count=number)
    return made if isinstance(made, VolumeChoice) and made.kept else None


def _within(pool: Pool, found: "VolumeChoice | _No", earlier: Sequence[VolumeChoice]) -> "VolumeChoice | _No":
    """The choice, unless the controller would have more volumes with it than it can."""
    if isinstance(found, _No) or found.kept or found.how == "jbod":
        return found
    made = [one for one in (*earlier, found) if one.pool is pool and not one.kept and one.how != "jbod"]
    new = sum(1 if one.how == "volume" else len(one.members) - len(one.standing) for one in made)
    emptied = {drive.identity for one in made for drive in (*one.members, *one.spares)}
    emptied -= {name for one in made for name in one.standing}
    replaced = {one.existing.uuid for one in made if one.existing}
    stay = [one for one in pool.volumes if one.uuid not in replaced and not emptied & {*one.members}]
    most = pool.family.most_volumes
    if len(stay) + new <= most:
        return found
    names = ", ".join(one.name or f"{one.level} {one.volume or one.uuid}" for one in stay) or "none"
    told = f"it has at most {most} volumes: {new} to be made beside those that stay ({names}) are too many"
    return _No(told, reason="layout-impossible")


def _lying(pool: Pool) -> list[RaidArray]:
    """The pool's volumes on the drives that they have left."""
    gone = gone_from([pool.controller]) if pool.controller else set()
    return [
        one.model_copy(update={"members": tuple(drive for drive in one.members if drive not in gone)})
        for one in pool.volumes
    ]


def _one_kind(
    pool: Pool, free: Iterable[Candidate], wanted: int, held: Collection[str]
) -> list[Candidate] | str:
    """Drives of one kind, enough of them; several kinds that would do are no answer, unless one is in use."""
    drives = list(free)
    if not pool.family.uniform:
        return drives if len(drives) >= wanted else f"{wanted} drives are asked for, {len(drives)} fit"
    drives.sort(key=lambda one: (str(one.kind), one.identity))
    kinds = [list(same) for _, same in groupby(drives, key=lambda one: one.kind)]
    enough = [same for same in kinds if len(same) >= wanted]
    using = [same for same in enough if held and all(name in {one.identity for one in same} for name in held)]
    if len(enough) == 1 or len(using) == 1:
        return enough[0] if len(enough) == 1 else using[0]
    if not enough:
        most = max((len(same) for same in kinds), default=0)
        told = f"{wanted} drives are asked for, {most} fit"
        return told + (" of one kind" if len(kinds) > 1 else "")
    told = "; ".join(f"{len(same)} x {_kind(same[0])}" for same in enough)
    return f"drives of {len(enough)} kinds fit: {told}"


def _kind(one: Candidate) -> str:
    medium, transport, sector_bytes = one.kind
    return f"{transport or ''} {medium} with sectors of {sector_bytes}".strip()


def _made(
    wished: RaidVolume,
    pool: Pool,
    members: tuple[Candidate, ...],
    spares: tuple[Candidate, ...],
    existing: RaidArray | None,
    standing: tuple[str, ...],
    *,
    count: int | None = None,
) -> VolumeChoice | _No:
    """The volume of these drives; `count` is how many it has where it lacks some."""
    number = count or len(members)
    spans = spans_of(wished.level, number, wished.spans) or 1
    least = min(one.usable_bytes for one in members)
    whole = data_bytes(wished.level, number, least, spans)
    sized = wished.size if isinstance(wished.size, int) else None
    how = how_of(wished, pool)
    if sized and how == "volume" and sized * 100 > whole * ESTIMATE_PERCENT:
        told = f"{human_size(sized)} are asked for, its drives hold {human_size(whole)}"
        return _No(told, reason="layout-impossible")
    size_bytes = min(sized, whole) if sized else whole
    stands = tuple(one.identity for one in members if one.identity in standing)
    kept = len(stands) == number if how != "volume" else False
    if existing is not None:
        same = count is not None or set(existing.members) == set(_ids(members))
        kept = same and is_as_asked(existing, wished, size_bytes)
    notes = (
        *unhonoured(wished, pool),
        *(told_of(existing, wished, len(spares)) if kept and existing else ()),
    )
    return VolumeChoice(
        wished, pool, members, spares, size_bytes, sized, spans, how, existing, kept, notes, stands
    )


def _share(wished: RaidVolume, earlier: Sequence[VolumeChoice]) -> VolumeChoice | Refusal:
    """A further volume on the drives of an earlier one."""
    first = next((one for one in earlier if one.spec.name == wished.drives.sharing), None)
    name = wished.drives.sharing
    if first is None:
        return Refusal("layout-impossible", f"volume {wished.name} shares drives of {name}, chosen before it")
    family = first.pool.family
    group = [one for one in earlier if one is first or one.spec.drives.sharing == name]
    if not family.shares:
        told = f"volume {wished.name}: one volume alone lies on its drives on {first.pool.name}"
        return Refusal("layout-impossible", told)
    greedy = next((one for one in group if one.sized_bytes is None), None)
    if greedy is not None:
        told = f"volume {wished.name}: {greedy.spec.name} takes all of the drives; give it a size"
        return Refusal("layout-impossible", told)
    used = sum(one.size_bytes / _yield(one) for one in group)
    least = min(one.usable_bytes for one in first.members)
    room = int(least * len(first.members) - used)
    spans = spans_of(wished.level, len(first.members), wished.spans) or 1
    impossible = why_not(wished, first.pool, len(first.members))
    if impossible:
        return Refusal("layout-impossible", f"volume {wished.name}: {impossible}")
    share = LEVELS[wished.level].data(len(first.members), spans) / len(first.members)
    whole = int(room * share) >> 20 << 20
    sized = wished.size if isinstance(wished.size, int) else None
    if whole <= 0 or (sized or 0) > whole:
        told = f"volume {wished.name}: {human_size(max(whole, 0))} are left on the drives of {name}"
        return Refusal("layout-impossible", told)
    size_bytes = sized or whole
    named = [one for one in first.pool.volumes if one.name == wished.name]
    existing = of_namesakes(named, set(_ids(first.members)))
    lies = existing is not None and set(_ids(left_of(existing, first.pool)[0])) == set(_ids(first.members))
    kept = existing is not None and lies and is_as_asked(existing, wished, size_bytes)
    notes = (*unhonoured(wished, first.pool), *(told_of(existing, wished, 0) if kept and existing else ()))
    found = _within(
        first.pool,
        VolumeChoice(
            wished, first.pool, first.members, (), size_bytes, sized, spans, "volume", existing, kept, notes
        ),
        earlier,
    )
    return (
        found
        if isinstance(found, VolumeChoice)
        else Refusal(found.reason, f"volume {wished.name}: {found.why}")
    )


def _yield(one: VolumeChoice) -> float:
    """Which part of its drives' room holds a volume's data."""
    return float(LEVELS[one.spec.level].data(len(one.members), one.spans) / len(one.members))


def fits(rule: DriveRule, one: Candidate) -> bool:
    """Whether a rule means this drive, free or not."""
    disk = one.disk
    return all(
        (
            not rule.serials or disk.serial in rule.serials,
            not rule.slots or one.address in rule.slots,
            rule.min_size is None or disk.size_bytes >= rule.min_size,
            rule.max_size is None or disk.size_bytes <= rule.max_size,
            rule.media is None or rule.media == disk.medium,
            rule.transport == disk.transport if rule.transport else disk.transport != "usb" or rule.serials,
            model_fits(rule.model, disk),
        )
    )


def listing(candidates: Iterable[Candidate], taken: Collection[str] = ()) -> str:
    """All drives seen, each with its address and the reason why it takes no part."""
    told = []
    for one in candidates:
        why = one.why_not or ("used by another rule" if one.identity in taken else None)
        shown = describe(one.disk)
        where = "" if one.address in shown else f"{one.address} "
        told.append(f"{where}{shown}" + (f" [{why}]" if why else ""))
    return "; ".join(told) or "no drive"
