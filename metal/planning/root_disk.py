"""Whether `rootDevice` still means the disk that the host was installed on.

A rule that does not name one disk (a size, a place, a model) may mean another one later: the root disk
died and a data disk fits too, or somebody put a disk into its slot. What it meant at installation stands in
the registry under the host's install record; another answer is refused until a person names the new disk.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from metal.planning.difference import Difference
from metal.planning.disks import Refusal, describe, find_disk
from metal.planning.storage import Storage, Target, Volume
from specs.facts import Disk, Hardware
from specs.model import DeviceRule, Host


def recorded_root(installed: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The disks that the root was installed on, as the registry has them; empty where it can't say.

    A record from before the root's disks were told apart says it where it lists one disk.
    """
    known = (installed or {}).get("root_disks") or ()
    listed = (installed or {}).get("disk_serials") or ()
    chosen = known or (listed if len(listed) == 1 else ())
    return tuple(str(one) for one in chosen)


def recorded_volumes(spec: Host, installed: Mapping[str, Any] | None) -> Mapping[str, Collection[str]]:
    """RAID volume of the spec -> the drives that it was installed on, as far as the registry has them."""
    known = {str(name): tuple(drives) for name, drives in ((installed or {}).get("volumes") or {}).items()}
    root = spec.root_device.raid if spec.root_device else None
    return known if known or root is None else {root: recorded_root(installed)}


def drives_of_volumes(volumes: Iterable[Volume]) -> dict[str, list[str]]:
    """What is recorded of the volumes of an installation."""
    return {one.spec.name: sorted(_name(disk) for disk in one.members) for one in volumes}


def changed_root(spec: Host, was: Sequence[str], storage: Storage, hardware: Hardware) -> Refusal | None:
    """A refusal where the rule now gives another disk than the one installed; None where it does not.

    An array is another one when none of its old members is in it, or when one that still is there was left
    out: a member that is gone was replaced, which is what arrays are for. Where the spec asks for another
    level or number of drives than the array that is there, other drives are what it asks for.
    """
    root = storage.root
    if not was or not isinstance(root, Target) or _is_named(spec, root) or _is_reshaped(root, was, hardware):
        return None
    chosen = {name for disk in root.disks for name in _names(disk)}
    seen = [disk for disk in hardware.disks if _names(disk) & set(was)]
    left_out = [disk for disk in seen if not _names(disk) & chosen]
    if set(was) & chosen and not (root.volume and left_out):
        return None
    still = "; ".join(f"{describe(disk)} is still there" for disk in left_out)
    told = f"root disk changed: was {', '.join(was)}, is {', '.join(_name(disk) for disk in root.disks)}"
    told += f" ({'; '.join(describe(disk) for disk in root.disks)}); {still or 'the old one is not seen'}"
    return Refusal("root-disk-changed", f"{told}; {_way_out(root)}")


def root_drift(spec: Host, installed: Mapping[str, Any] | None, hardware: Hardware) -> Difference | None:
    """What an installed host reports: its rule gives another disk, so it can't be installed again."""
    was, rule = recorded_root(installed), spec.root_device
    if not was or rule is None or rule.raid is not None:
        return None
    now = find_disk(rule, hardware.disks)
    if isinstance(now, Refusal) or _names(now) & set(was):
        return None
    return Difference("rootDevice", f"{', '.join(was)}, installed on", f"the rule gives {describe(now)}")


def root_identities(root: Target | Refusal | None) -> tuple[str, ...]:
    """The disks below the root, by identity, sorted."""
    return tuple(sorted(_name(disk) for disk in root.disks)) if isinstance(root, Target) else ()


def _is_named(spec: Host, root: Target) -> bool:
    """Whether a person said which disk: by serial or WWN, for an array by the serials of all its drives."""
    if root.volume is not None:
        named = set(root.volume.spec.drives.serials)
        return bool(named) and all(disk.serial in named for disk in root.disks)
    rule = spec.root_device or DeviceRule(raid="none")
    return rule.serial is not None or rule.wwn is not None


def _is_reshaped(root: Target, was: Sequence[str], hardware: Hardware) -> bool:
    if root.volume is None:
        return False
    wished = root.volume.spec
    installed = [one for one in hardware.raids if set(was) & set(one.members)]
    return bool(installed) and all(
        one.level != wished.level
        or (isinstance(wished.drives.count, int) and len(one.members) != wished.drives.count)
        for one in installed
    )


def _way_out(root: Target) -> str:
    if root.volume is not None:
        return f"if that is meant, name the drives of volume {root.volume.spec.name} by drives.serials"
    return "if that is meant, name the new one by serial or wwn in rootDevice"


def _names(disk: Disk) -> set[str]:
    return {name for name in (disk.serial, disk.wwn) if name}


def _name(disk: Disk) -> str:
    return disk.identity or disk.device
