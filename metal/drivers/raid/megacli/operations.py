"""Volumes of MegaRAID controllers made, deleted and started from by MegaCli.

Forms are those of LSI's MegaCLI guide and of public transcripts. `-CfgClr`, `-CfgAllFreeDrv`,
`-CfgEachDskRaid0` and `-Lall` never occur: they take whatever they find.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.family import PciRule, RaidFamily, VolumeWish, address_of, change, id_of, index_of
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.drivers.raid.megacli import NAME, questions
from metal.drivers.raid.megacli.clearing import Clearing
from metal.errors import Refused
from metal.protocols import Command, Output

MIB: Final = 1 << 20
MOST_SPANS: Final = 8
PLAIN: Final[Mapping[str, str]] = {"raid0": "0", "raid1": "1", "raid5": "5", "raid6": "6"}
SPANNED: Final[Mapping[str, str]] = {"raid10": "10", "raid50": "50", "raid60": "60"}
WRITE_CACHE: Final[Mapping[str | None, tuple[str, ...]]] = {None: (), "back": ("WB",), "through": ("WT",)}
READ_CACHE: Final[Mapping[str | None, tuple[str, ...]]] = {None: (), "ahead": ("RA",), "none": ("NORA",)}


class MegaCli:
    """MegaCli, MegaCli64 and the packages that call it megacli."""

    name = NAME
    tools = ("MegaCli64", "MegaCli", "megacli64", "megacli")
    pci = (PciRule(driver="megaraid_sas"),)

    def queries(self, tool: str) -> tuple[Query, ...]:
        """Ask for adapters, drives, volumes and what stands in the way of new ones."""
        return questions.queries(tool)

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """Join the answers."""
        return questions.controllers(answers)

    def prepare(self, tool: str, controller: Controller, drives: Sequence[Drive]) -> tuple[Command, ...]:
        """Clear what firmware refuses new volumes for."""
        return Clearing(tool, controller).commands(drives)

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Make a volume, then name it: no option of the first command does.

        The new volume's id is known only after; the lowest free one is taken, as firmware does. Where it
        should differ the second command finds no volume and changes nothing.
        """
        spun_up = Clearing(tool, controller).spin_up((*wish.drives, *wish.spares))
        if wish.level == "jbod":
            return (*spun_up, *self._pass_through(tool, controller, wish))
        index = index_of(controller)
        serials = _told(wish.drives)
        groups = () if wish.group else _free_arrays(controller, _spans(wish))
        made = change(
            tool, *self._layout(wish), *self._options(wish), f"-a{index}", questions.NO_LOG,
            says=f"make {wish.level} {wish.name} of drives {serials}",
        )  # fmt: skip
        named = _name(tool, index, str(_free_id(controller)), wish.name)
        spares = () if wish.level in PLAIN and not wish.group else wish.spares
        kept = [self._keep(tool, index, groups or (wish.group.groups if wish.group else ()), one)
                for one in spares]  # fmt: skip
        return (*spun_up, made, named, *kept)

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete one volume; -Force because firmware asks for it where there is data on it."""
        return (
            change(
                tool, "-CfgLdDel", f"-L{id_of(volume)}", "-Force", f"-a{index_of(controller)}",
                questions.NO_LOG, says=f"delete volume {volume.name or volume.id}",
            ),
        )  # fmt: skip

    def free_drive(self, tool: str, controller: Controller, drive: Drive) -> tuple[Command, ...]:
        """Make a spare or a drive that is passed through an unconfigured one."""
        return Clearing(tool, controller).free((drive,))

    def add_spare(
        self, tool: str, controller: Controller, volume: VirtualDrive, drive: Drive
    ) -> tuple[Command, ...]:
        """Keep a drive for all arrays of a volume."""
        spun_up = Clearing(tool, controller).spin_up((drive,))
        return (*spun_up, self._keep(tool, index_of(controller), volume.groups, drive))

    def name_volume(
        self, tool: str, controller: Controller, volume: VirtualDrive, name: str
    ) -> tuple[Command, ...]:
        """Name it, where the command that made it was the last one to arrive."""
        return () if volume.name else (_name(tool, index_of(controller), id_of(volume), name),)

    def boot_from(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Make the controller's BIOS start from a volume."""
        return (
            change(
                tool, "-AdpBootDrive", "-Set", f"-L{id_of(volume)}", f"-a{index_of(controller)}",
                questions.NO_LOG, says=f"start from volume {volume.name or volume.id}",
            ),
        )  # fmt: skip

    def _layout(self, wish: VolumeWish) -> tuple[str, ...]:
        """The level and its drives; firmware takes the first free room of drives that are in use.

        Those must be named by the arrays that they are in, in whose order volumes list their members.
        """
        if wish.level in PLAIN:
            return ("-CfgLdAdd", f"-r{PLAIN[wish.level]}{brackets(wish.drives)}")
        drives = wish.drives
        if wish.group is not None:
            order = {address: place for place, address in enumerate(wish.group.members)}
            drives = tuple(sorted(drives, key=lambda one: order.get(one.address or "", len(order))))
        size = len(drives) // _spans(wish)
        parts = [drives[start : start + size] for start in range(0, len(drives), size)]
        arrays = (f"-Array{number}{brackets(part)}" for number, part in enumerate(parts))
        return ("-CfgSpanAdd", f"-r{SPANNED[wish.level]}", *arrays)

    def _options(self, wish: VolumeWish) -> tuple[str, ...]:
        """Cache, size in MiB (which MegaCli calls MB) and strip in KiB; spares where one array is made."""
        size = () if wish.size_bytes is None else (f"-sz{-(-wish.size_bytes // MIB)}",)
        strip = () if wish.strip_bytes is None else (f"-strpsz{wish.strip_bytes // 1024}",)
        plain = wish.level in PLAIN and not wish.group
        spares = (f"-Hsp{brackets(wish.spares)}",) if wish.spares and plain else ()
        return (*WRITE_CACHE[wish.write_cache], *READ_CACHE[wish.read_cache], *size, *strip, *spares)

    def _pass_through(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """Pass drives through, or where the firmware does not, make each a volume of its own."""
        index = index_of(controller)
        if controller.jbod is not False:
            return (
                change(
                    tool, "-PDMakeJBOD", f"-PhysDrv{brackets(wish.drives)}", f"-a{index}",
                    questions.NO_LOG, says=f"pass through drives {_told(wish.drives)}",
                ),
            )  # fmt: skip
        options = self._options(wish)
        return tuple(
            change(
                tool, "-CfgLdAdd", f"-r0{brackets((drive,))}", *options, f"-a{index}", questions.NO_LOG,
                says=f"make drive {drive.serial} a volume of its own",
            )
            for drive in wish.drives
        )  # fmt: skip

    def _keep(self, tool: str, index: str, groups: Sequence[str], drive: Drive) -> Command:
        """Keep a drive for arrays: a spare of no array would serve every other volume, too."""
        if not groups:
            raise Refused(
                "the arrays of the volume are not told, for which a spare could be kept",
                reason="step-failed",
                hint="rackflow host NAME shows what the controller listed",
            )
        return change(
            tool, "-PDHSP", "-Set", "-Dedicated", f"-Array{','.join(groups)}",
            f"-PhysDrv{brackets((drive,))}", f"-a{index}", questions.NO_LOG,
            says=f"keep drive {drive.serial} as a spare",
        )  # fmt: skip


def brackets(drives: Iterable[Drive]) -> str:
    """Addresses as MegaCli takes them; a drive without enclosure is [:0]."""
    return f"[{','.join(address_of(one) for one in drives)}]"


def _name(tool: str, index: str, volume: str, name: str) -> Command:
    words = ("-LDSetProp", "-Name", name, f"-L{volume}", f"-a{index}", questions.NO_LOG)
    return change(tool, *words, says=f"name the new volume {name}")


def _told(drives: Iterable[Drive]) -> str:
    return ", ".join(one.serial or one.address or "without serial" for one in drives)


def _spans(wish: VolumeWish) -> int:
    """How many arrays a volume spans: as asked, else for RAID 10 as many equal ones of pairs as go.

    Firmware takes eight at most, so that eighteen drives are three arrays of six (MegaRAID SAS guide).
    """
    if wish.level in PLAIN:
        return 1
    if wish.level not in SPANNED:
        raise Refused(f"MegaRAID makes no {wish.level}", reason="layout-impossible")
    count = len(wish.drives)
    asked = len(wish.group.groups) if wish.group else wish.spans
    least = 2 if wish.level == "raid10" else 3
    even = 2 if wish.level == "raid10" else 1
    possible = [
        spans
        for spans in range(2, MOST_SPANS + 1)
        if count % spans == 0 and count // spans >= least and count // spans % even == 0
    ]
    if asked in possible:
        return asked
    if not possible or asked > 1:
        told = f"{asked} spans" if asked > 1 else "two to eight equal spans"
        raise Refused(
            f"{wish.level} of {count} drives can't be divided into {told}",
            reason="layout-impossible",
            hint="change the number of drives",
        )
    return possible[-1] if wish.level == "raid10" else possible[0]


def _free_id(controller: Controller) -> int:
    taken = {one.id for one in controller.volumes}
    return next(number for number in range(len(taken) + 1) if str(number) not in taken)


def _free_arrays(controller: Controller, count: int) -> tuple[str, ...]:
    """The numbers that the next arrays will have: the lowest free ones, as with ids."""
    taken = {number for one in controller.volumes for number in one.groups}
    free = (str(number) for number in range(len(taken) + count))
    return tuple([number for number in free if number not in taken][:count])


MEGACLI: Final[RaidFamily] = MegaCli()
