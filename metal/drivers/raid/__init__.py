"""RAID drivers: md for plain disks, and the families of hardware controllers (see `family.py`)."""

from typing import Final

from metal.drivers.raid.arcconf.operations import ARCCONF
from metal.drivers.raid.family import RaidFamily
from metal.drivers.raid.ircu.commands import SAS2IRCU, SAS3IRCU
from metal.drivers.raid.md import MdDriver
from metal.drivers.raid.megacli.operations import MEGACLI
from metal.drivers.raid.mvcli.commands import MVCLI
from metal.drivers.raid.ssacli.commands import SSACLI
from metal.drivers.raid.storcli.commands import STORCLI, STORCLI2
from metal.drivers.raid.volume import RaidDriver

MD: Final = MdDriver()

DRIVERS: Final[tuple[RaidDriver, ...]] = (MD,)

FAMILIES: Final[tuple[RaidFamily, ...]] = (
    STORCLI,
    STORCLI2,
    MEGACLI,
    SSACLI,
    SAS3IRCU,
    SAS2IRCU,
    MVCLI,
    ARCCONF,
)
"""Families of controllers; of two that list one controller, the one to prefer stands first."""
