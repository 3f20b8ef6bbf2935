"""Steps over RAID volumes, by mdadm or by a controller's tool. All of them in the boot OS."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers import erasing
from metal.drivers.bundle import read_bundle
from metal.drivers.partitions import MEMBER_SIGNATURE, BlockView, Target
from metal.drivers.raid import MD
from metal.drivers.raid.md import FAST_ZERO
from metal.drivers.raid.volume import Member, Volume, find_array
from metal.engine import hardware_raid
from metal.engine.controllers import is_hardware
from metal.engine.work import Handler, Work
from metal.planning.plan import StepKind
from metal.planning.report import erased_disks


@dataclass(frozen=True, slots=True)
class RaidCreate:
    """Make an array under the id that the job gives it."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare id, level and members; a controller's volume also with what it shows."""
        if is_hardware(work.args):
            return hardware_raid.create_differences(work)
        volume = _volume(work)
        array = find_array(work.block().arrays, volume.uuid)
        if array is None:
            return (f"array {volume.name} is missing",)
        wanted = sorted(member.identity for member in volume.members)
        if array.level != volume.level or len(array.members) != len(wanted):
            return (f"array {volume.name} is {array.level} of {', '.join(array.members)}",)
        return ()

    def act(self, work: Work) -> None:
        """Zero the members where that costs nothing, then create: nothing is left to synchronise."""
        if is_hardware(work.args):
            hardware_raid.create(work)
            return
        volume = _volume(work)
        view = work.block()
        half = find_array(view.arrays, volume.uuid)
        if half is not None:
            work.send(MD.delete(volume, half))
        for member in (*volume.members, *volume.spares):
            if half is None and view.disk(member.identity).holders:
                drive = Target(identity=member.identity)
                work.send((erasing.release_command(drive, erased_disks(work.plan)),))
        names = {
            view.disk(m.identity).device.removeprefix("/dev/") for m in (*volume.members, *volume.spares)
        }
        fast = set(read_bundle(work.shell(), (FAST_ZERO,))[FAST_ZERO.name].stdout.split())
        if names <= fast:
            work.send(MD.zero(volume))
            volume = _volume(work, zeroed=True)
        work.send(MD.create(volume))


@dataclass(frozen=True, slots=True)
class RaidDelete:
    """Delete one array, by its id as just read."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say whether it is assembled, or, as the boot OS assembles none, leaves a superblock on a member."""
        if is_hardware(work.args):
            return hardware_raid.delete_differences(work)
        view = work.block()
        if find_array(view.arrays, str(work.args["uuid"])):
            return (f"array {work.args['name']} is still there",)
        return tuple(f"{member.identity} is still a member" for member in self._members(work, view))

    @staticmethod
    def _members(work: Work, view: BlockView) -> tuple[Member, ...]:
        """Give the members that carry a superblock; on another mdadm finds nothing to clear, and fails."""
        given = (Member.of(one) for one in work.args.get("members", ()))
        return tuple(
            member
            for member in given
            if any(word.startswith(MEMBER_SIGNATURE) for word in view.disk(member.identity).found)
        )

    def act(self, work: Work) -> None:
        """Leave a mounted root, stop the array, clear its members; or delete the controller's volume."""
        if is_hardware(work.args):
            hardware_raid.delete(work)
            return
        work.unmount()
        view = work.block()
        volume = Volume.of(work.args, uuid=str(work.args["uuid"]))
        array = find_array(view.arrays, volume.uuid)
        held = volume.members if array else self._members(work, view)
        work.send(MD.delete(replace(volume, members=held), array))


@dataclass(frozen=True, slots=True)
class RaidPrepare:
    """Free the drives that a controller holds for something else."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say which drives are not free yet."""
        return hardware_raid.prepare_differences(work)

    def act(self, work: Work) -> None:
        """Clear what is in the way."""
        hardware_raid.prepare(work)


@dataclass(frozen=True, slots=True)
class RaidBoot:
    """Tell a controller which of its volumes to start from; few of them tell it back."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing."""
        return ()

    def act(self, work: Work) -> None:
        """Tell it."""
        hardware_raid.boot_from(work)


HANDLERS: Final[Mapping[StepKind, Handler]] = {
    "raid-delete": RaidDelete(),
    "raid-prepare": RaidPrepare(),
    "raid-create": RaidCreate(),
    "raid-boot": RaidBoot(),
}


def _volume(work: Work, *, zeroed: bool = False) -> Volume:
    return Volume.of(work.args, uuid=work.made(f"raid:{work.args['name']}"), zeroed=zeroed)
