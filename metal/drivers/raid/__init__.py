"""RAID drivers, ranked by how well they claim the machine; see `volume.py` for how one is added."""

from typing import Final

from metal.drivers.raid.md import MdDriver
from metal.drivers.raid.volume import RaidDriver

MD: Final = MdDriver()

DRIVERS: Final[tuple[RaidDriver, ...]] = (MD,)
