"""Controllers to begin with: the one of the rack's machines, and one of each dialect for tests."""

from collections.abc import Sequence
from typing import Final

from lab.raid.model import Controller, Drive, Limits

LEVELS: Final = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "raid60")


def controller(
    drives: Sequence[Drive],
    *,
    second: bool = False,
    serial: str = "SKC0100027",
    index: int = 0,
    pci: str = "0000:5e:00.0",
    jbod: bool = False,
) -> Controller:
    """A MegaRAID 9460, whose ids count down from 239 and whose JBOD mode is `jbod`; or a 9660 (storcli2).

    Its strips are those of its guide; a 9660 has two only, counts its volumes from 1 and has no JBOD mode.
    """
    if second:
        limits = Limits(LEVELS, most_volumes=240, first_volume_id=1, strips=(65536, 262144))
        model, firmware = "MegaRAID 9660-16i Tri-Mode Storage Adapter", "8.12.1.0-00000-00003"
    else:
        strips = tuple(65536 << n for n in range(5))
        limits = Limits(LEVELS, most_volumes=64, first_volume_id=239, volume_id_step=-1, strips=strips)
        model, firmware = "MegaRAID 9460-16i", "5.190.02-3785"
    return Controller(
        "storcli2" if second else "storcli",
        str(index),
        model,
        serial,
        firmware,
        pci,
        limits,
        list(drives),
        jbod_mode=jbod,
    )
