"""MBR partition tables: the sfdisk call that writes one, and the ids by which Linux knows its partitions.

The table is one sector, so there is no half-written one. It has no names: a partition is known by the disk's
signature and its number, which udev and the kernel write as one PARTUUID (`a1b2c3d4-01`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from metal.drivers.partitions import Device, Extent, Target
from metal.protocols import Command
from specs.facts import PartitionFact

SFDISK: Final = ("sfdisk", "--quiet", "--no-reread", "--lock")
"""Without its own test for use, as rf-exec has claimed the disk a moment ago; under the lock that keeps udev
from probing it meanwhile, which would keep the kernel from reading the new table (sfdisk(8))."""


def signature_from(uuid: str) -> str:
    """A disk signature out of a derived UUID, eight hex digits; zero counts as none and is never given."""
    digits = uuid.replace("-", "")[:8].lower()
    return digits if int(digits, 16) else "00000001"


def signature_of(device: Device) -> str | None:
    """The signature of the table that stands on a device, as its partitions' ids tell it."""
    told = ((one.part_uuid or "").lower().rpartition("-")[0] for one in device.partitions)
    return next((one for one in told if len(one) == 8), None)


def part_uuid(signature: str, number: int) -> str:
    """How Linux calls a partition of a signed MBR (kernel, block/partitions/msdos.c)."""
    return f"{signature}-{number:02x}"


@dataclass(frozen=True, slots=True)
class Table:
    """What an MBR is to say: what is laid out, and of the image's partitions those that stay as they are."""

    signature: str
    laid: Sequence[Extent]
    kept: Sequence[PartitionFact] = ()
    active: int | None = None
    fresh: bool = True
    """Whether nothing of what the disk has goes on: an image's boot code stays, an empty disk has none."""

    def script(self, block_bytes: int) -> str:
        """The table as sfdisk reads it, in the sectors of the disk."""
        lines = ["label: dos", f"label-id: 0x{self.signature}", "unit: sectors"]
        laid = {one.number for one in self.laid}
        rows = [(one.number, one.start_bytes, one.size_bytes, one.type_guid) for one in self.laid]
        rows += [
            (one.number, one.start_bytes, one.size_bytes, one.type_guid or "0x83")
            for one in self.kept
            if one.number not in laid
        ]
        for number, start_bytes, size_bytes, kind in sorted(rows):
            active = ", bootable" if number == self.active else ""
            place = f"start={start_bytes // block_bytes}, size={size_bytes // block_bytes}"
            code = kind.removeprefix("0x") if kind.startswith("0x") else "83"
            lines.append(f"{number} : {place}, type={code}{active}")
        return "\n".join([*lines, ""])

    def command(self, target: Target, block_bytes: int) -> Command:
        """Write it in one sfdisk call. `--wipe always` also zeroes the boot code, which an image needs."""
        argv = (*SFDISK, "--wipe", "always" if self.fresh else "never", "{disk0}")
        return Command(
            argv=argv,
            says=f"partition {target}",
            stdin=self.script(block_bytes).encode(),
            disks=(target.guard,),
        )
