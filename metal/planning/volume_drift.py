"""Thin pools that are no longer as the spec says; what else changes in a group shows in what is mounted."""

from collections.abc import Iterator

from metal.planning.difference import Difference
from specs.facts import LogicalVolumeFact, Observation, VolumeGroupFact
from specs.model import Host, VolumeGroup


def pool_drift(spec: Host, observation: Observation) -> Iterator[Difference]:
    """Pools and thin volumes of the spec against the groups that were read; no reading is no difference."""
    hardware = observation.hardware
    if hardware is None or "hardware.volume_groups" in observation.unknown:
        return
    for wished in (one for one in spec.volume_groups if one.thin_pools):
        seen = _seen(wished, hardware.volume_groups)
        field = f"volumeGroups.{wished.name}"
        if seen is None:
            yield Difference(field, "a group with its thin pools", "no such group")
            continue
        for pool in wished.thin_pools:
            held = seen.get(pool.name)
            if held is None or not {"thin", "pool"} <= set(held.layout.split(",")):
                yield Difference(f"{field}.{pool.name}", "a thin pool", held.layout if held else "missing")
        for volume in wished.logical_volumes:
            held = seen.get(volume.name)
            if held is not None and held.pool != volume.thin_pool:
                inside = f"in thin pool {held.pool}" if held.pool else "in no thin pool"
                asked = f"in thin pool {volume.thin_pool}" if volume.thin_pool else "in no thin pool"
                yield Difference(f"{field}.{volume.name}", asked, inside)


def _seen(wished: VolumeGroup, groups: tuple[VolumeGroupFact, ...]) -> dict[str, LogicalVolumeFact] | None:
    """The group's volumes by name; of several groups of that name the one with most of the spec's volumes."""
    names = {one.name for one in wished.thin_pools} | {one.name for one in wished.logical_volumes}
    found = [
        {one.name: one for one in group.logical_volumes} for group in groups if group.name == wished.name
    ]
    return max(found, key=lambda held: len(names & held.keys()), default=None)
