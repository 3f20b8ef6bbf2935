"""The families of controllers that a rack can have: their tools, and how their volumes look to a machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lab.raid import arcconf, ircu, megacli, mvcli, ssacli, storcli
from lab.raid.model import Controller, Drive
from lab.raid.reply import Reply
from lab.raid.storcli import sample

Run = Callable[[Sequence[str], Sequence[Controller], str | None], Reply]
Build = Callable[[list[Drive], int], Controller]


@dataclass(frozen=True)
class Family:
    """One family. `vendor` and `product` are what its volumes say of themselves (SCSI INQUIRY)."""

    name: str
    tools: tuple[str, ...]
    run: Run
    build: Build
    vendor: str
    product: str
    enclosure: int | None
    """Where drives are, unless the rack file says so."""


def _ircu(family: str) -> Build:
    return lambda drives, index: ircu.controller(drives, str(index), family=family)


FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        Family(
            "ssacli", ("ssacli", "hpssacli", "hpacucli"), ssacli.run,
            lambda drives, index: ssacli.controller(drives, str(index)), "HP", "LOGICAL VOLUME", 1,
        ),
        Family(
            "storcli", ("storcli64", "perccli64"), storcli.run,
            lambda drives, index: sample.controller(drives, index=index), "AVAGO", "MR9460-16i", 252,
        ),
        Family(
            "storcli2", ("storcli2",), storcli.run,
            lambda drives, index: sample.controller(drives, second=True, index=index),
            "BROADCOM", "MR9660-16i", 252,
        ),
        Family(
            "megacli", ("MegaCli64",), megacli.run,
            lambda drives, index: megacli.controller(drives, index=str(index)), "DELL", "PERC H710P", 32,
        ),
        Family("sas2ircu", ("sas2ircu",), ircu.run, _ircu("sas2ircu"), "LSI", "Logical Volume", 1),
        Family("sas3ircu", ("sas3ircu",), ircu.run, _ircu("sas3ircu"), "LSI", "Logical Volume", 1),
        Family(
            "mvcli", ("mvcli",), mvcli.run,
            lambda drives, index: mvcli.controller(drives, str(index)), "ATA", "DELLBOSS VD", None,
        ),
        Family(
            "arcconf", ("arcconf",), arcconf.run,
            lambda drives, index: arcconf.controller(drives, index=str(index + 1)),
            "ADAPTEC", "LogicalDrv", 1,
        ),
    )
}  # fmt: skip


def tool_family(tool: str) -> Family | None:
    """The family whose tool has this name."""
    return next((family for family in FAMILIES.values() if tool in family.tools), None)
