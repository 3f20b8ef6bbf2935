"""What goes into the demo image: packages, units left out, drivers in the initramfs, fixed ids.

Everything here is data. Its canonical form is hashed together with the builder's text, and the hash names the
cached root file system and image: only a change of either makes a new image (apart from ``--refresh``).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

ROOT_UUID = "8d1f2c5e-6a0b-4c7d-9e3f-d3b1a212f001"
"""The root file system's UUID is fixed: the image finds its root by it, and the install record says so."""

PACKAGES = (
    # The generic kernel: the smaller cloud kernel has neither ahci nor e1000e (checked on 6.1.192-2).
    "linux-image-amd64",
    "initramfs-tools",
    "busybox",
    "zstd",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "iproute2",
    "netbase",
    "openssh-server",
    "sudo",
    "python3",
    "mdadm",
    # So that hosts may declare volume groups, thin pools, and encryption that a TPM opens.
    "lvm2",
    "thin-provisioning-tools",
    "cryptsetup",
    "libtss2-esys-3.0.2-0",
    "libtss2-rc0",
    "libtss2-tcti-device0",
    "e2fsprogs",
    "xfsprogs",
    "dosfstools",
    "util-linux",
    "login",
    "passwd",
    "procps",
    "less",
    "ca-certificates",
)

BOOT_PACKAGES = ("shim-signed", "grub-efi-amd64-signed")
"""Only one file of each is wanted, on the ESP; they are unpacked beside the root, not installed."""

MASKED_UNITS = (
    # Each costs part of a boot under TCG (e2scrub_reap alone 11-23 s), or waits for what ssh does not need.
    "apt-daily.timer",
    "blk-availability.service",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "lvm2-lvmpolld.socket",
    "lvm2-monitor.service",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mdmonitor-oneshot.timer",
    "mdmonitor.service",
    "modprobe@drm.service",
    "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-networkd-wait-online.service",
    "systemd-pstore.service",
)

INITRAMFS_MODULES = (
    # Where a root may lie: real controllers and virtual ones. NICs are left to the running system.
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "ahci",
    "ata_piix",
    "sd_mod",
    "nvme",
    "megaraid_sas",
    "mpt3sas",
    "hpsa",
    "smartpqi",
    "aacraid",
    "vmw_pvscsi",
    "md_mod",
    "raid1",
    "ext4",
    "crc32c_generic",
    "crc32c_intel",
)

RAID_PERSONALITIES_LEFT_OUT = ("linear", "multipath", "raid0", "raid456", "raid5", "raid6", "raid10")
"""mdadm's initramfs hook loads every personality at every boot; raid456 alone measures itself for 0.3 s."""

MODULE_FOLDERS_LEFT_OUT = (
    "sound",
    "drivers/accessibility",
    "drivers/bluetooth",
    "drivers/comedi",
    "drivers/firewire",
    "drivers/gpu",
    "drivers/iio",
    "drivers/infiniband",
    "drivers/isdn",
    "drivers/media",
    "drivers/mtd",
    "drivers/net/wireless",
    "drivers/pcmcia",
    "drivers/staging",
    "drivers/usb/gadget",
    "drivers/usb/serial",
    "fs/ceph",
    "fs/f2fs",
    "fs/ocfs2",
    "net/bluetooth",
    "net/mac80211",
    "net/wireless",
)

DOCUMENT_FOLDERS_LEFT_OUT = ("/usr/share/man", "/usr/share/doc", "/usr/share/locale", "/usr/share/info")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image, complete: two equal recipes give images that differ in package versions at most."""

    name: str = "demo-debian-12"
    suite: str = "bookworm"
    packages: tuple[str, ...] = PACKAGES
    boot_packages: tuple[str, ...] = BOOT_PACKAGES
    masked_units: tuple[str, ...] = MASKED_UNITS
    enabled_units: tuple[str, ...] = ("systemd-networkd.service", "ssh.service")
    initramfs_modules: tuple[str, ...] = INITRAMFS_MODULES
    raid_personalities_left_out: tuple[str, ...] = RAID_PERSONALITIES_LEFT_OUT
    module_folders_left_out: tuple[str, ...] = MODULE_FOLDERS_LEFT_OUT
    document_folders_left_out: tuple[str, ...] = DOCUMENT_FOLDERS_LEFT_OUT
    root_label: str = "root"
    root_uuid: str = ROOT_UUID
    esp_volume_id: str = "D3B1A212"
    disk_guid: str = "5b7e90a4-13c8-4f2d-8a66-d3b1a212f1ff"
    virtual_size_bytes: int = 1 << 30
    source_date_epoch: int = 1_764_028_800
    volume_group: str | None = None
    """With one: an MBR table, GRUB for BIOS alone, and the root on a logical volume of this group."""

    @property
    def esp_uuid(self) -> str:
        """The ESP's volume id as ``/dev/disk/by-uuid`` and fstab write it."""
        return f"{self.esp_volume_id[:4]}-{self.esp_volume_id[4:]}"

    @property
    def tree(self) -> "Recipe":
        """The recipe of the root file system, which is the same in images that differ in their disk."""
        return replace(self, name=TREE, virtual_size_bytes=0, volume_group=None)

    def key(self, *sources: bytes) -> str:
        """Name this recipe as carried out by these program texts: 16 hex digits of a sha256.

        The texts belong to it because a recipe is half of what decides the bytes; the code that carries it
        out is the other half, and a version number kept by hand would be forgotten.
        """
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for source in sources:
            digest.update(len(source).to_bytes(8, "big"))
            digest.update(source)
        return digest.hexdigest()[:16]


TREE = "debian-12"
IMAGES = {
    recipe.name: recipe for recipe in (Recipe(), Recipe(name="demo-debian-12-lvm", volume_group="system"))
}
"""What can be built, by name; the first unless another one is asked for."""
