"""RAID drivers: md for plain disks, and the families of hardware controllers (see `family.py`)."""

from typing import Final

from metal.drivers.raid.family import RaidFamily
from metal.drivers.raid.md import MdDriver
from metal.drivers.raid.ssacli.commands import SSACLI
from metal.drivers.raid.volume import RaidDriver

MD: Final = MdDriver()

DRIVERS: Final[tuple[RaidDriver, ...]] = (MD,)

FAMILIES: Final[tuple[RaidFamily, ...]] = (SSACLI,)
"""Families of controllers; of two that fit one PCI device, the one to prefer stands first."""
