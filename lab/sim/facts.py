"""What the reading tools of a simulated machine print, one function per section of a bundle.

Texts are those of lsblk, sysfs, mdadm, ip, dmidecode and lscpu as far as anybody reads them; see
`metal/drivers` for what is asked. A deployed system lacks dmidecode and ipmitool, as minimal images do.
"""

import json
from collections.abc import Callable
from typing import Any

from lab.sim import ipmitool
from lab.sim.bmc import InBand
from lab.sim.disks import MEMBER, SECTOR_BYTES, Content, Disk
from lab.sim.system import Assembled, System, part_name

Answer = tuple[int, str, str]
"""Exit status, stdout, stderr."""

NOT_FOUND: Answer = (127, "", "timeout: failed to run command: No such file or directory")


def answer(system: System, bmc: InBand, name: str, argv: list[str]) -> Answer:
    """The answer to one section of a bundle."""
    with system.lock:
        if name.startswith("bmc-") or argv[:1] == ["ipmitool"]:
            return NOT_FOUND if system.kind == "os" else ipmitool.read(bmc, name, argv)
        if name == "dmidecode":
            return NOT_FOUND if system.kind == "os" else (0, _dmidecode(system), "")
        make = _SECTIONS.get(name)
        return NOT_FOUND if make is None else (0, make(system), "")


def live(system: System, root_uuid: str) -> dict[str, Any]:
    """What only a running system can say."""
    nic = system.machine.nics[0]
    address, _, prefix = _first_address(system).partition("/")
    info = [{"family": "inet", "local": address, "prefixlen": int(prefix or 24), "scope": "global"}]
    rows = [_mount_row(system, "/", root_uuid)]
    rows += [_mount_row(system, place, fs_uuid) for place, fs_uuid in system.mounts.items() if place != "/"]
    return {
        "kernel": "6.1.0-sim",
        "boot_id": system.boot_id,
        "hostname": system.hostname,
        "addresses": [{"ifname": "ens3", "address": nic.mac, "addr_info": info}],
        "bonds": {},
        "mounts": {"filesystems": [row for row in rows if row]},
    }


def _first_address(system: System) -> str:
    held = system.root.addresses() if system.root else []
    return held[0] if held else system.address


def _mount_row(system: System, place: str, fs_uuid: str) -> dict[str, Any] | None:
    for kname, content in _all(system):
        part = content.part_of(fs_uuid)
        if part is not None:
            source = f"/dev/{part_name(kname, part.number)}"
            return {
                "target": place,
                "source": source,
                "fstype": part.filesystem,
                "uuid": part.fs_uuid,
                "size": part.size_bytes,
            }
    return None


def _all(system: System) -> list[tuple[str, Content]]:
    held = [(one.kname, one.array.content) for one in system.assembled]
    return held + [(disk.kname, disk.content) for disk in system.disks]


def _lsblk(system: System) -> str:
    return json.dumps({"blockdevices": [_disk_row(system, disk) for disk in system.disks]})


def _disk_row(system: System, disk: Disk) -> dict[str, Any]:
    held = next((one for one in system.assembled if disk.array is one.array), None)
    row: dict[str, Any] = {
        "name": disk.kname,
        "kname": disk.kname,
        "type": "disk",
        "size": disk.size_bytes,
        "model": "SIM DISK",
        "vendor": "ATA" if disk.bus == "sata" else "0x1af4",
        "serial": disk.serial,
        "wwn": f"0x{disk.wwn}" if disk.wwn else None,
        "rota": False,
        "tran": disk.bus,
        "rm": False,
        "ro": False,
        "log-sec": SECTOR_BYTES,
    }
    if disk.array is not None:
        row |= {"fstype": MEMBER, "label": f"any:{disk.array.name}", "uuid": disk.array.uuid}
    if held is not None:
        return row | {"children": [_array_row(system, held)]}
    return row | _children(system, disk.kname, disk.content)


def _array_row(system: System, one: Assembled) -> dict[str, Any]:
    row = {"name": one.kname, "kname": one.kname, "type": one.array.level, "size": one.array.size_bytes}
    return row | _children(system, one.kname, one.array.content)


def _children(system: System, kname: str, content: Content) -> dict[str, Any]:
    if not content.parts:
        return {}
    mounted = {fs: place for place, fs in system.mounts.items()}
    held = any(content is one.array.content for one in system.assembled)
    seen = held or all(content is not one.array.content for one in system.assembled)
    rows = [
        {
            "name": part_name(kname, part.number),
            "kname": part_name(kname, part.number),
            "type": "part",
            "size": part.size_bytes,
            "start": part.start_bytes // SECTOR_BYTES,
            "fstype": part.filesystem,
            "label": part.label,
            "uuid": part.fs_uuid,
            "parttype": part.type_guid,
            "partuuid": part.part_uuid,
            "partlabel": part.name,
            "mountpoints": [mounted[part.fs_uuid]] if seen and part.fs_uuid in mounted else [None],
        }
        for part in sorted(content.parts.values(), key=lambda one: one.start_bytes)
    ]
    return {"pttype": "gpt", "children": rows}


def _disk_sysfs(system: System) -> str:
    lines: list[str] = []
    for disk in system.disks:
        lines.append(f"disk {disk.kname}")
        lines.append(f"vpd {disk.serial}" if disk.bus == "sata" else f"serial {disk.serial}")
        if disk.wwn:
            lines.append(f"device/wwid naa.{disk.wwn}")
        held = [one.kname for one in system.assembled if disk.array is one.array]
        lines += [f"holder {name}" for name in held]
        if not held:
            lines += [f"part {part_name(disk.kname, n)} {n}" for n in disk.content.parts]
    for one in system.assembled:
        lines.append(f"disk {one.kname}")
        lines += [f"part {part_name(one.kname, n)} {n}" for n in one.array.content.parts]
    return "\n".join(lines) + "\n"


def _by_path(system: System) -> str:
    lines = ["total 0"]
    for port, disk in enumerate(system.disks, 1):
        lines.append(
            f"lrwxrwxrwx 1 root root 9 Nov 26 00:00 pci-0000:00:1f.2-ata-{port} -> ../../{disk.kname}"
        )
    return "\n".join(lines) + "\n"


def _disk_heads(system: System) -> str:
    return "".join(f"{d.kname} {'zero' if d.content.blank else 'data'}\n" for d in system.disks)


def _md_detail(system: System) -> str:
    text = ""
    for one in system.assembled:
        array = one.array
        present = list(system.members(array))
        text += f"array {one.kname}\nSTATE=clean\nACTION=idle\nDEGRADED={len(array.members) - len(present)}\n"
        text += f"MD_LEVEL={array.level}\nMD_DEVICES={len(array.members)}\nMD_METADATA={array.metadata}\n"
        text += f"MD_UUID={array.uuid}\nMD_DEVNAME={array.name}\nMD_NAME=any:{array.name}\n"
        for disk in present:
            role = array.members.index(disk.serial)
            text += (
                f"MD_DEVICE_dev_{disk.kname}_ROLE={role}\nMD_DEVICE_dev_{disk.kname}_DEV=/dev/{disk.kname}\n"
            )
    return text


def _fast_zero(system: System) -> str:
    return "".join(f"{disk.kname}\n" for disk in system.disks if disk.bus == "virtio")


def _dmidecode(system: System) -> str:
    smbios = system.machine.smbios
    return (
        "# dmidecode 3.4\nHandle 0x0100, DMI type 1, 27 bytes\nSystem Information\n"
        f"\tManufacturer: {smbios.manufacturer}\n\tProduct Name: {smbios.product}\n"
        f"\tSerial Number: {smbios.serial}\n\tUUID: {smbios.uuid}\n\n"
        "Handle 0x1100, DMI type 17, 40 bytes\nMemory Device\n"
        f"\tSize: {system.machine.memory_mib} MB\n"
    )


def _platform(system: System) -> str:
    smbios = system.machine.smbios
    return (
        f"sys_vendor={smbios.manufacturer}\nproduct_name={smbios.product}\nproduct_serial={smbios.serial}\n"
        f"product_uuid={smbios.uuid}\nfirmware={system.machine.firmware}\n"
        f"memtotal_kib={system.machine.memory_mib * 1024}\narch=x86_64\n"
    )


def _lscpu(system: System) -> str:
    fields = {
        "Architecture:": "x86_64",
        "CPU(s):": str(system.machine.cpus),
        "Model name:": "Simulated CPU",
        "Core(s) per socket:": str(system.machine.cpus),
        "Socket(s):": "1",
    }
    return json.dumps({"lscpu": [{"field": key, "data": value} for key, value in fields.items()]})


def nic_name(system: System, index: int) -> str:
    """The two systems name one card differently."""
    return f"eth{index}" if system.kind == "boot-os" else f"ens{index + 3}"


def _ip_link(system: System) -> str:
    rows = [{"ifname": "lo", "address": "00:00:00:00:00:00", "link_type": "loopback"}]
    rows += [
        {"ifname": nic_name(system, n), "address": nic.mac, "link_type": "ether"}
        for n, nic in enumerate(system.machine.nics)
    ]
    return json.dumps(rows)


def _nic_sysfs(system: System) -> str:
    lines = [
        f"{nic_name(system, n)} 1 virtio_net pf 1 1000 /sys/devices/pci0000:00/0000:00:{n + 3:02x}.0/net"
        for n, _ in enumerate(system.machine.nics)
    ]
    return "\n".join(lines) + "\n"


def _erasers(system: System) -> str:
    can = {"virtio": ["discard"], "sata": []}
    return json.dumps({disk.kname: {"can": can[disk.bus], "problem": None} for disk in system.disks})


def _pci_storage(system: System) -> str:
    """Mass storage on the PCI bus: a function for each virtio disk, one AHCI controller for all others."""
    rows = [
        f"0000:00:{n + 16:02x}.0 0x010000 0x1af4 0x1001 0x1af4 0x0002 virtio-pci"
        for n, disk in enumerate(system.disks)
        if disk.bus == "virtio"
    ]
    if any(disk.bus == "sata" for disk in system.disks):
        rows.append("0000:00:1f.2 0x010601 0x8086 0x2922 0x1af4 0x1100 ahci")
    return "".join(f"{row}\n" for row in rows)


_SECTIONS: dict[str, Callable[[System], str]] = {
    "platform": _platform,
    "lscpu": _lscpu,
    "ip-link": _ip_link,
    "nic-sysfs": _nic_sysfs,
    "udev-settle": lambda _system: "",
    "lsblk": _lsblk,
    "disk-sysfs": _disk_sysfs,
    "by-path": _by_path,
    "disk-heads": _disk_heads,
    "md-detail": _md_detail,
    "lvm": lambda _system: '{"report": []}',
    "fast-zero": _fast_zero,
    "pci-storage": _pci_storage,
    "raid-tools": lambda _system: "",
    "erasers": _erasers,
}
