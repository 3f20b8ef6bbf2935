"""The image's partition table, and the places in it that GRUB's BIOS loader is written to.

Layout, in sectors of 512 bytes, all starts on 1 MiB: p14 BIOS boot (GRUB core), p15 ESP, p1 root; last, so
that it can be grown to the end of its disk. The numbers 14, 15 and 1 are those of Debian's own
cloud images, which site tools already know.
"""

import struct
from dataclasses import dataclass

SECTOR_BYTES = 512
MIB = 1 << 20
ALIGN_SECTORS = MIB // SECTOR_BYTES
BACKUP_SECTORS = 33
"""Backup GPT at the end of the disk: 32 sectors of entries, 1 of header (UEFI 2.10, 5.3.2)."""

BIOS_BOOT_BYTES = 2 * MIB
ESP_BYTES = 32 * MIB

BOOT_CODE_BYTES = 440
"""What of the MBR is code; disk signature and protective partition entry follow (UEFI 2.10, 5.2.1)."""

KERNEL_SECTOR_OFFSET = 0x5C  # GRUB_BOOT_MACHINE_KERNEL_SECTOR, 8 bytes: where boot.img finds core.img
BOOT_DRIVE_OFFSET = 0x64  # GRUB_BOOT_MACHINE_BOOT_DRIVE: 0xff = the drive the BIOS passes in DL
DRIVE_CHECK_OFFSET = 0x66  # GRUB_BOOT_MACHINE_DRIVE_CHECK: a jump that BIOSes with a false DL need; two NOPs
BLOCKLIST_OFFSET = SECTOR_BYTES - 12  # the first entry of diskboot.img's list: start 8, length 2, segment 2
LOAD_SEGMENT = (
    0x820  # GRUB_BOOT_MACHINE_KERNEL_SEG (0x800) plus the one sector that boot.img has loaded itself
)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its number, GPT type (as sgdisk writes it), name and place."""

    number: int
    type_code: str
    name: str
    first_sector: int
    sectors: int

    @property
    def offset_bytes(self) -> int:
        """Where it begins on the disk."""
        return self.first_sector * SECTOR_BYTES

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.sectors * SECTOR_BYTES

    @property
    def last_sector(self) -> int:
        """Its last sector, inclusive, as GPT counts."""
        return self.first_sector + self.sectors - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole disk."""

    size_bytes: int
    bios_boot: Partition
    esp: Partition
    root: Partition

    @property
    def partitions(self) -> tuple[Partition, Partition, Partition]:
        """All partitions in the order of the disk."""
        return (self.bios_boot, self.esp, self.root)


def layout(size_bytes: int) -> Layout:
    """Place the three partitions on a disk of this size; the root takes what is left, in whole MiB."""
    if size_bytes % MIB:
        raise ValueError(f"image size {size_bytes} bytes is not a whole number of MiB")
    bios_boot = Partition(14, "EF02", "bios-boot", ALIGN_SECTORS, BIOS_BOOT_BYTES // SECTOR_BYTES)
    esp = Partition(15, "EF00", "esp", bios_boot.last_sector + 1, ESP_BYTES // SECTOR_BYTES)
    first = esp.last_sector + 1
    end = (size_bytes // SECTOR_BYTES - BACKUP_SECTORS) // ALIGN_SECTORS * ALIGN_SECTORS
    if end - first < ALIGN_SECTORS:
        raise ValueError(f"image size {size_bytes} bytes leaves no room for a root file system")
    return Layout(size_bytes, bios_boot, esp, Partition(1, "8304", "root", first, end - first))


def sgdisk_argv(plan: Layout, disk_guid: str, image: str) -> list[str]:
    """Give the command that writes the table; partition GUIDs follow from the disk's, so builds are alike."""
    argv = ["sgdisk", "--clear", "--set-alignment=1", f"--disk-guid={disk_guid}"]
    for part in plan.partitions:
        argv += [
            f"--new={part.number}:{part.first_sector}:{part.last_sector}",
            f"--typecode={part.number}:{part.type_code}",
            f"--change-name={part.number}:{part.name}",
            f"--partition-guid={part.number}:{disk_guid[:-2]}{part.number:02d}",
        ]
    return [*argv, image]


def boot_sector(boot_img: bytes, existing: bytes, core_sector: int) -> bytes:
    """Give the first sector: GRUB's boot code pointing at core.img, the partition table left as it is."""
    sector = bytearray(existing)
    sector[:BOOT_CODE_BYTES] = boot_img[:BOOT_CODE_BYTES]
    struct.pack_into("<Q", sector, KERNEL_SECTOR_OFFSET, core_sector)
    sector[BOOT_DRIVE_OFFSET] = 0xFF
    sector[DRIVE_CHECK_OFFSET : DRIVE_CHECK_OFFSET + 2] = b"\x90\x90"
    return bytes(sector)


def placed_core(core_img: bytes, place: Partition) -> bytes:
    """Give core.img with the block list of its place: its first sector loads the others, right behind it."""
    if len(core_img) > place.size_bytes:
        raise ValueError(
            f"GRUB core.img has {len(core_img)} bytes, its place ({place.name}) {place.size_bytes}"
        )
    core = bytearray(core_img)
    rest_sectors = -(-len(core) // SECTOR_BYTES) - 1
    struct.pack_into("<QHH", core, BLOCKLIST_OFFSET, place.first_sector + 1, rest_sectors, LOAD_SEGMENT)
    return bytes(core)
