"""What the kernel's sysfs says about disks: serial, WWN, holders, controller, partition numbers.

A destructive command is allowed by the serial that rf-exec reads from the open device, so the facts
must name a disk by the very same text. Both read the same files in the same order: `serial` (virtio),
`device/serial` (NVMe), `device/vpd_pg80` (SCSI and ATA: the unit serial number page, SPC-4 7.8.16,
four bytes of header first). lsblk's own SERIAL is udev's opinion, which for SAS is the WWN; it counts
only where sysfs has none, and rf-exec accepts it too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.bundle import Query
from specs.identity import serial_identity

DISK_SYSFS: Final = Query(
    "disk-sysfs",
    (
        "sh",
        "-c",
        r"""for d in /sys/block/*; do n=${d##*/}
case $n in loop*|ram*|zram*|fd*|sr*|nbd*) continue ;; esac
echo "disk $n"
for f in serial device/serial wwid device/wwid device/transport; do
v=; [ -r "$d/$f" ] && { read -r v <"$d/$f"; [ -n "$v" ] && echo "$f $v"; }; done
for f in "$d"/device/nvme*/transport; do [ -r "$f" ] && { read -r v <"$f"; echo "fabric $v"; }; done
[ -r "$d/device/vpd_pg80" ] && echo "vpd $(tail -c +5 "$d/device/vpd_pg80" | tr -d '\000\n')"
for h in "$d"/holders/*; do [ -e "$h" ] && echo "holder ${h##*/}"; done
for p in "$d/$n"*; do [ -r "$p/partition" ] && { read -r v <"$p/partition"; echo "part ${p##*/} $v"
for h in "$p"/holders/*; do [ -e "$h" ] && echo "holder ${h##*/}"; done; }; done
done 2>/dev/null
for h in /sys/class/scsi_host/host*; do [ -r "$h/proc_name" ] && { read -r v <"$h/proc_name"
echo "host ${h##*/host} $v"; }; done 2>/dev/null; :""",
    ),
)

BY_PATH: Final = Query("by-path", ("ls", "-l", "/dev/disk/by-path"))

_LINK = re.compile(r" (\S+) -> \.\./\.\./(\S+)$")


@dataclass(frozen=True, slots=True)
class SysfsDisk:
    """One whole device of /sys/block."""

    kname: str
    serial: str | None
    wwn: str | None
    holders: tuple[str, ...]
    partitions: dict[str, int]
    """Kernel name of the partition -> its number."""
    drive_serial: str | None = None
    """The serial that all namespaces of its drive bear; then `serial` is None."""
    fabrics: tuple[str, ...] = ()
    """How an NVMe drive's controllers are reached: `pcie`, or a network (`tcp`, `rdma`, `fc`, `loop`)."""


@dataclass(frozen=True, slots=True)
class Sysfs:
    """All of `DISK_SYSFS`."""

    disks: dict[str, SysfsDisk]
    host_drivers: dict[int, str]
    """SCSI host number -> driver, which tells a RAID controller from a plain port."""


def parse_disk_sysfs(text: str) -> Sysfs:
    """Take the printed lines apart; unknown words are passed over."""
    disks: dict[str, SysfsDisk] = {}
    hosts: dict[int, str] = {}
    for name, lines in _stanzas(text):
        disks[name] = _disk(name, lines)
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "host" and words[1].isdigit():
            hosts[int(words[1])] = words[2]
    return Sysfs(_namespaces_apart(disks), hosts)


def _namespaces_apart(disks: dict[str, SysfsDisk]) -> dict[str, SysfsDisk]:
    """Take the drive's serial from NVMe namespaces that share it: their WWNs tell them apart (NVMe 4.5.1).

    Where one of them has no WWN they stay of one serial, and so are no target; and so do two devices of one
    WWN, which are two paths to one namespace.
    """
    wwns: dict[str, set[str | None]] = {}
    for disk in disks.values():
        if disk.serial and disk.kname.startswith("nvme"):
            wwns.setdefault(disk.serial, set()).add(disk.wwn)
    shared = {serial for serial, known in wwns.items() if len(known) > 1 and None not in known}
    return {
        name: replace(disk, serial=None, drive_serial=disk.serial)
        if disk.kname.startswith("nvme") and disk.serial in shared
        else disk
        for name, disk in disks.items()
    }


def parse_by_path(text: str) -> dict[str, tuple[str, ...]]:
    """Kernel name -> its names `/dev/disk/by-path/…`, of whole disks, the shortest first."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        match = _LINK.search(line)
        if not match or re.search(r"-part\d+$", match[1]):
            continue
        found.setdefault(match[2], []).append(f"/dev/disk/by-path/{match[1]}")
    return {kname: tuple(sorted(paths, key=lambda one: (len(one), one))) for kname, paths in found.items()}


def normalise_wwn(text: str | None) -> str | None:
    """Lower case without `0x` and `naa.`; names that are made of model and serial are no WWN."""
    name = (text or "").strip().lower()
    if name.startswith(("t10.", "nvme.", "scsi.")):
        return None
    name = name.removeprefix("naa.").removeprefix("0x")
    return name if name.strip("0.") and name != "eui." else None


def _stanzas(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith("disk "):
            if name:
                yield name, lines
            name, lines = line[5:].strip(), []
        else:
            lines.append(line)
    if name:
        yield name, lines


def _disk(name: str, lines: list[str]) -> SysfsDisk:
    values: dict[str, str] = {}
    holders: dict[str, None] = {}
    partitions: dict[str, int] = {}
    fabrics: dict[str, None] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "holder":
            holders[value] = None
        elif key == "part":
            part, _, number = value.partition(" ")
            if number.isdigit():
                partitions[part] = int(number)
        elif key in ("device/transport", "fabric"):
            fabrics[value.strip()] = None
        elif key in ("serial", "device/serial", "vpd", "wwid", "device/wwid"):
            values.setdefault(key, value.strip())
    serials = (serial_identity(values.get(key)) for key in ("serial", "device/serial", "vpd"))
    return SysfsDisk(
        kname=name,
        serial=next((serial for serial in serials if serial), None),
        wwn=normalise_wwn(values.get("wwid") or values.get("device/wwid")),
        holders=tuple(holders),
        partitions=partitions,
        fabrics=tuple(fabrics),
    )
