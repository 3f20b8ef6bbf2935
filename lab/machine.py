"""One virtual server: its files, and the QEMU command line that is its hardware.

Disks are raw sparse files with cache=unsafe: QEMU then ignores a guest's flush, but every write that it
completed is in the host's page cache and survives SIGKILL of QEMU, which is what a power cut is here.
(Formats with tables of their own lost them: a controller that answers flushes itself left a qcow2 without its
tables.)
"""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import tpm
from lab.definition import Disk, MachineDefinition, Nic
from lab.errors import LabError
from lab.network import tap
from lab.raid.cabinet import Cabinet, ShownDisk
from lab.raid.delivered import PCI_SLOT
from lab.raid.leftovers import leave

QEMU = "qemu-system-x86_64"
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
ACCELERATOR_ARGS = {
    # A translation cache above 256 MiB was not seen to help and counts as the machine's memory.
    "tcg": ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "qemu64"],
    "kvm": ["-accel", "kvm", "-cpu", "host"],
}
WWN_DIGITS = 16
INCOMING = "incoming.ram"
OUTGOING = "outgoing.ram"
"""Memory of a machine, in its directory: to go on with at its next start; just written."""
RAID_PORT = "raid.sock"
"""Where a machine's RAID tools reach its controllers."""
RAID_TOOLS = (
    *("-device", "virtio-serial-pci,id=ports"),
    *("-chardev", f"socket,id=raid-tools,path={RAID_PORT},reconnect=1"),
    *("-device", "virtserialport,bus=ports.0,chardev=raid-tools,name=rack.raid"),
)
"""The port for them. A machine of such a rack has it without a controller too: there is none, they say."""
BOOT_DEVICES = ("disk", "pxe")
"""The usual order: the first disk, then the first NIC."""


@dataclass(frozen=True)
class Machine:
    """A machine's definition and the directory that holds its disks, NVRAM, logs and sockets.

    Socket names are relative: QEMU and the BMC run in that directory, for a socket's path may have 107 bytes
    only.
    """

    definition: MachineDefinition
    directory: Path

    @property
    def name(self) -> str:
        """The machine's name in the rack file."""
        return self.definition.name

    @property
    def serial_log(self) -> Path:
        """Everything the serial console ever said."""
        return self.directory / "serial.log"

    @property
    def qmp(self) -> Path:
        """QMP socket for others; the BMC keeps the first one, qmp.sock."""
        return self.directory / "qmp2.sock"

    @property
    def control(self) -> Path:
        """The BMC's control socket: front panel and status."""
        return self.directory / "control.sock"

    @property
    def bmc_state(self) -> Path:
        """What the BMC remembers."""
        return self.directory / "bmc.json"

    @property
    def counters(self) -> Path:
        """What it has written to its disks so far."""
        return self.directory / "counters.json"

    def disk(self, index: int) -> Path:
        """The file of a disk."""
        return self.directory / f"disk{index}.raw"

    @property
    def nvram(self) -> Path:
        """UEFI variables of this machine."""
        return self.directory / "nvram.fd"

    def prepare(self) -> None:
        """Make what is missing: directory, empty disks, NVRAM. What exists stays."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for index, disk in enumerate(self.definition.disks):
            path = self.disk(index)
            if not path.exists():
                leave(path, disk.size_bytes, disk.content, disk.serial)
        if self.definition.controllers:
            self.cabinet().make_images()
        if self.definition.firmware == "uefi" and not self.nvram.exists():
            shutil.copyfile(OVMF_VARS, self.nvram)

    def cabinet(self) -> Cabinet:
        """Its RAID controllers as they are now."""
        return Cabinet.of(self.directory, self.definition.controllers)

    def raid_disks(self) -> tuple[ShownDisk, ...]:
        """What its RAID controllers show."""
        return self.cabinet().shown() if self.definition.controllers else ()

    def blank(self) -> None:
        """As delivered: empty disks, NVRAM and TPM, no log of an earlier life. For one that is off."""
        for index in range(len(self.definition.disks)):
            self.disk(index).unlink(missing_ok=True)
        Cabinet.forget(self.directory)
        self.nvram.unlink(missing_ok=True)
        shutil.rmtree(self.directory / tpm.STATE, ignore_errors=True)
        self.serial_log.unlink(missing_ok=True)
        self.counters.unlink(missing_ok=True)
        self.prepare()

    def boot_ids(self, first: str | None = None) -> list[str]:
        """QEMU device ids in boot order, `first` ("disk" or "pxe") moved to the front.

        A machine with a RAID controller that shows a disk starts from that.
        """
        order = list(BOOT_DEVICES)
        if first in order:
            order.remove(first)
            order.insert(0, first)
        disks = [disk.name for disk in self.raid_disks()][:1] or ["disk0"][: len(self.definition.disks)]
        devices = {"disk": disks, "pxe": ["nic0"]}
        return [device for kind in order for device in devices[kind]]

    def bootable(self) -> list[str]:
        """QEMU ids of all devices that may have a place in the boot order."""
        shown = [disk.name for disk in self.raid_disks()]
        return [*shown, *["disk0"][: len(self.definition.disks)], "nic0"]

    def command(self, accelerator: str, *, boot_first: str | None = None, resume: bool = False) -> list[str]:
        """QEMU's argv, to be run in the taps' network namespace and in the machine's directory.

        It stands still until it is told to go on; with `resume` it takes its memory from INCOMING first.
        """
        definition = self.definition
        boot_index = {device: index + 1 for index, device in enumerate(self.boot_ids(boot_first))}
        argv = [QEMU, "-name", definition.name, "-nodefaults", "-no-user-config", "-display", "none"]
        # graphics=off is what makes SeaBIOS speak on the serial port.
        argv += ["-machine", "q35,graphics=off", *ACCELERATOR_ARGS[accelerator]]
        argv += ["-smp", str(definition.cpus), "-m", str(definition.memory_mib), "-device", "virtio-rng-pci"]
        argv += _firmware(definition.firmware, self.nvram.name)
        argv += _identity(definition)
        for index, nic in enumerate(definition.nics):
            argv += _nic(nic, index, tap(definition.name, index), boot_index.get(f"nic{index}"))
        for index, disk in enumerate(definition.disks):
            argv += _disk(disk, index, self.disk(index).name, boot_index.get(f"disk{index}"))
        argv += _management()
        if definition.tpm:
            argv += tpm.device()
        argv += _controllers(len(definition.controllers), self.raid_disks(), boot_index)
        if definition.raid_tools:
            argv += RAID_TOOLS
        return [*argv, "-incoming", f"exec:cat {INCOMING}"] if resume else [*argv, "-S"]


def _firmware(firmware: str, nvram: str) -> list[str]:
    if firmware == "bios":
        return []
    return [
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={nvram}"),
        # Nothing answers IPv6 PXE here, and OVMF would wait for it at each NIC.
        *("-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"),
    ]


def _smbios(kind: int, **fields: object) -> list[str]:
    pairs = (f"{name}={str(value).replace(',', ',,')}" for name, value in fields.items())
    return ["-smbios", ",".join([f"type={kind}", *pairs])]


def _identity(definition: MachineDefinition) -> list[str]:
    """SMBIOS: BIOS, system, board, chassis, memory module."""
    smbios = definition.smbios
    maker, serial = smbios.manufacturer, smbios.serial
    return [
        *_smbios(0, vendor=maker, version="2.10.2", date="01/01/2024"),
        *_smbios(1, manufacturer=maker, product=smbios.product, version="1", serial=serial, uuid=smbios.uuid),
        *_smbios(2, manufacturer=maker, product=f"{smbios.product} board", serial=f"B{serial}"),
        *_smbios(3, manufacturer=maker, serial=serial),
        *_smbios(17, manufacturer="Samsung", part="M393A4K40CB2", serial=f"D{serial}", speed=2933),
    ]


def _boot_option(index: int | None) -> str:
    return "" if index is None else f",bootindex={index}"


def _nic(nic: Nic, index: int, interface: str, boot_index: int | None) -> list[str]:
    device = f"{nic.model},id=nic{index},netdev=net{index},mac={nic.mac}{_boot_option(boot_index)}"
    return [
        *("-netdev", f"tap,id=net{index},ifname={interface},script=no,downscript=no"),
        *("-device", device if nic.rom else f"{device},romfile="),
    ]


def file_node(index: int) -> str:
    """Name of the block node that is a disk's file; a fault is put between it and the disk's node."""
    return f"disk{index}-file"


def disk_node(index: int, child: str) -> dict[str, object]:
    """The block node a disk's device reads and writes, on top of `child`."""
    return {
        "driver": "raw",
        "node-name": f"disk{index}-raw",
        "file": child,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "cache": {"direct": False, "no-flush": True},
    }


def _disk(disk: Disk, index: int, file: str, boot_index: int | None) -> list[str]:
    node: dict[str, object] = {"driver": "file", "node-name": file_node(index), "filename": file}
    node |= {"discard": "unmap", "cache": {"direct": False, "no-flush": True}}
    top = disk_node(index, file_node(index))
    front = "virtio-blk-pci" if disk.bus == "virtio" else f"ide-hd,bus=ide.{index}"
    device = f"{front},id=disk{index},drive={top['node-name']},serial={disk.serial}"
    if disk.wwn is not None:
        device += f",wwn=0x{disk.wwn:016x}"
    device += f",write-cache=on{_boot_option(boot_index)}"
    return ["-blockdev", json.dumps(node), "-blockdev", json.dumps(top), "-device", device]


def raid_nodes(disk: ShownDisk) -> tuple[dict[str, object], dict[str, object]]:
    """The block nodes of a disk that a RAID controller shows: its file, and what the device writes to."""
    raw, file = f"{disk.node}-raw", f"{disk.node}-file"
    cache = {"direct": False, "no-flush": True}
    return (
        {"driver": "file", "node-name": file, "filename": disk.file, "discard": "unmap", "cache": cache},
        {
            "driver": "raw", "node-name": raw, "file": file,
            "discard": "unmap", "detect-zeroes": "unmap", "cache": cache,
        },
    )  # fmt: skip


def raid_device(disk: ShownDisk) -> dict[str, object]:
    """The SCSI disk itself. A unique id of 32 digits is its serial alone: QEMU has WWNs of 64 bits."""
    plug = disk.plug
    device: dict[str, object] = {
        "driver": "scsi-hd", "id": disk.name, "bus": f"raid{disk.adapter}.0", "scsi-id": disk.target,
        "lun": 0, "drive": f"{disk.node}-raw", "serial": plug.serial, "vendor": disk.vendor,
        "product": disk.product, "ver": "1.00", "write-cache": "on", "rotation_rate": 1 if disk.ssd else 7200,
        "logical_block_size": plug.sector_bytes, "physical_block_size": plug.sector_bytes,
    }  # fmt: skip
    return device | ({"wwn": int(plug.wwn, 16)} if len(plug.wwn) == WWN_DIGITS else {})


def _controllers(count: int, disks: Sequence[ShownDisk], boot_index: dict[str, int]) -> list[str]:
    """A SCSI adapter for each RAID controller, and their disks."""
    argv = []
    for place in range(count):
        argv += ["-device", f"virtio-scsi-pci,id=raid{place},addr={PCI_SLOT + place:#x}"]
    for disk in disks:
        for node in raid_nodes(disk):
            argv += ["-blockdev", json.dumps(node)]
        order = {"bootindex": boot_index[disk.name]} if disk.name in boot_index else {}
        argv += ["-device", json.dumps(raid_device(disk) | order)]
    return argv


def _management() -> list[str]:
    """Serial console, QMP, and the wire to the BMC (QEMU reconnects by itself when the BMC restarts).

    A machine that shuts itself down stands still until its BMC has read the last block counters and ends it.
    """
    return [
        *("-action", "shutdown=pause"),
        *(
            "-chardev",
            "socket,id=console,path=serial.sock,server=on,wait=off,logfile=serial.log,logappend=on",
        ),
        *("-serial", "chardev:console"),
        *("-qmp", "unix:qmp.sock,server=on,wait=off", "-qmp", "unix:qmp2.sock,server=on,wait=off"),
        *("-chardev", "socket,id=ipmi,path=ipmi.sock,reconnect=1"),
        *("-device", "ipmi-bmc-extern,id=bmc0,chardev=ipmi", "-device", "isa-ipmi-kcs,bmc=bmc0"),
    ]


@dataclass(frozen=True)
class Need:
    """A program or file of the host, and the Debian package that has it."""

    what: str
    package: str

    def present(self) -> bool:
        """Whether the host has it."""
        return Path(self.what).exists() if self.what.startswith("/") else shutil.which(self.what) is not None


def needs(definitions: Sequence[MachineDefinition]) -> list[Need]:
    """What the host must have for these machines."""
    found = [Need(QEMU, "qemu-system-x86"), Need("ip", "iproute2"), Need("dnsmasq", "dnsmasq-base")]
    for definition in definitions:
        if definition.firmware == "uefi":
            found.append(Need(str(OVMF_CODE), "ovmf"))
        elif any(nic.rom for nic in definition.nics):
            found.append(Need("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu"))
        if definition.tpm:
            found.append(Need(str(tpm.program()), "swtpm"))
    return list(dict.fromkeys(found))


def require(definitions: Sequence[MachineDefinition], tun: Path = Path("/dev/net/tun")) -> None:
    """Refuse with one sentence and the fix when the host can't carry the rack."""
    missing = [need for need in needs(definitions) if not need.present()]
    if missing:
        packages = " ".join(sorted({need.package for need in missing}))
        names = ", ".join(need.what for need in missing)
        raise LabError(f"not installed: {names}", f"sudo apt-get install --no-install-recommends {packages}")
    if not tun.exists():
        raise LabError(
            f"{tun} does not exist, so that machines can't have network cards", "sudo modprobe tun"
        )
    if not os.access(tun, os.R_OK | os.W_OK):
        raise LabError(f"{tun} is not open to this user", f"sudo chmod 0666 {tun}")
