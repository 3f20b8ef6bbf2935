"""Linux software RAID by mdadm.

A root has metadata 1.0, which stands at the end of the members, so that firmware and boot loader
read any member as if it were the plain disk. The array's UUID is derived from host, job and name,
which makes the device path (`/dev/disk/by-id/md-uuid-…`) known before the array exists.
"""

import re
from typing import Final

from metal.drivers.bundle import Query, read_bundle
from metal.drivers.raid.md_export import device_roles
from metal.drivers.raid.volume import Volume, uuid_key
from metal.drivers.storage.disks import (
    LSBLK,
    SETTLE,
    BlockNode,
    found_on,
    parse_lsblk,
    partitions_of,
    walk,
)
from metal.drivers.storage.identity import DISK_SYSFS, Sysfs, parse_disk_sysfs
from metal.protocols import Command, Shell
from specs.facts import Hardware, RaidArray

MD_DETAIL: Final = Query(
    "md-detail",
    (
        "sh",
        "-c",
        r"""for d in /sys/block/md*; do [ -d "$d/md" ] || continue; n=${d##*/}; echo "array $n"
read -r v <"$d/md/array_state" && echo "STATE=$v"; read -r v <"$d/md/sync_action" && echo "ACTION=$v"
read -r v <"$d/md/degraded" && echo "DEGRADED=$v"; read -r v <"$d/md/sync_completed" && echo "SYNCED=$v"
for m in "$d"/md/dev-*; do read -r v <"$m/state" && echo "MEMBER_${m##*/dev-}=$v"; done
mdadm --detail --export "/dev/$n"; done 2>/dev/null; :""",
    ),
)

FAST_ZERO: Final = Query(
    "fast-zero",
    (
        "sh",
        "-c",
        r"""for f in /sys/block/*/queue/write_zeroes_max_bytes; do read -r v <"$f" || continue
d=${f#/sys/block/}; [ "$v" -gt 0 ] && echo "${d%%/*}"; done; :""",
    ),
)
"""Disks that zero a range by one command; on others zeroing a disk takes as long as writing it."""

SLOW_SYNC: Final = 'd=$(readlink -f "$1"); echo 1000 >"/sys/block/${d##*/}/md/sync_speed_max"'
"""1 MB/s, the kernel's own minimum."""

_LEVELS: Final = {"raid0": "0", "raid1": "1", "raid5": "5", "raid6": "6", "raid10": "10"}


def colon_uuid(uuid: str) -> str:
    """Give an id as mdadm and udev write it: four groups of eight digits."""
    key = uuid_key(uuid)
    return ":".join(key[place : place + 8] for place in range(0, 32, 8))


def device_path(uuid: str) -> str:
    """Give the array's device, whatever number the kernel gave it."""
    return f"/dev/disk/by-id/md-uuid-{colon_uuid(uuid)}"


def guard_identity(uuid: str) -> str:
    """Give the identity that rf-exec reads from an array."""
    return f"md-uuid:{colon_uuid(uuid)}"


def parse_detail(text: str, nodes: tuple[BlockNode, ...], sysfs: Sysfs) -> tuple[RaidArray, ...]:
    """Give all arrays that `MD_DETAIL` printed, members by the serial of their disks."""
    by_kname = {node.kname: node for node in walk(nodes)}
    arrays = []
    for part in re.split(r"^array (?=\S+$)", text, flags=re.MULTILINE)[1:]:
        kname, _, body = part.partition("\n")
        values = dict(line.split("=", 1) for line in body.splitlines() if "=" in line)
        if "MD_UUID" not in values:
            continue
        node = by_kname.get(kname)
        faulty = _faulty(values)
        active, spares = _members(body, sysfs, faulty)
        known = sysfs.disks.get(kname)
        arrays.append(
            RaidArray(
                name=values.get("MD_NAME", "").rpartition(":")[2] or values.get("MD_DEVNAME") or None,
                driver="md",
                uuid=_dashed(values["MD_UUID"]),
                level=values.get("MD_LEVEL", "unknown"),
                device=f"/dev/{kname}",
                size_bytes=node.size_bytes if node else 0,
                members=active,
                spares=spares,
                failed=tuple(sorted(_identity(kname, sysfs) for kname in faulty)),
                state=_state(values),
                progress=_progress(values),
                metadata=values.get("MD_METADATA"),
                partition_table=node.value("pttype") if node else None,
                partitions=partitions_of(node, known.partitions if known else {}) if node else (),
                found=found_on(node) if node else (),
            )
        )
    return tuple(arrays)


class MdDriver:
    """mdadm's arrays; fits every machine, and gives way to any controller's driver."""

    name = "md"

    def claims(self, hardware: Hardware) -> int:
        """Fit wherever there are disks."""
        return 1 if hardware.disks else 0

    def read(self, shell: Shell) -> tuple[RaidArray, ...]:
        """Read all assembled arrays in one round trip."""
        said = read_bundle(shell, (SETTLE, LSBLK, DISK_SYSFS, MD_DETAIL))
        return parse_detail(
            said["md-detail"].stdout,
            parse_lsblk(said["lsblk"].stdout),
            parse_disk_sysfs(said["disk-sysfs"].stdout),
        )

    def create(self, volume: Volume) -> tuple[Command, ...]:
        """Create the array under its derived UUID; members that hold zeros need no synchronisation."""
        disks = (*volume.members, *volume.spares)
        level = _LEVELS[volume.level]
        argv = (
            *("mdadm", "--create", f"/dev/md/{volume.name}", "--run", "--homehost=any"),
            *(
                f"--metadata={volume.metadata}",
                f"--name={volume.name}",
                f"--uuid={colon_uuid(volume.uuid)}",
                f"--level={level}",
            ),
            f"--raid-devices={len(volume.members)}",
            *((f"--spare-devices={len(volume.spares)}",) if volume.spares else ()),
            *((f"--chunk={volume.chunk_bytes // 1024}K",) if volume.chunk_bytes and level != "1" else ()),
            *(("--assume-clean",) if volume.zeroed else ()),
            *(f"{{disk{place}}}" for place in range(len(disks))),
        )
        serials = ", ".join(disk.identity for disk in disks)
        create = Command(
            argv=argv,
            says=f"create {volume.level} {volume.name} on {serials}",
            disks=tuple(disk.guard() for disk in disks),
        )
        if volume.zeroed or level == "0":
            return (create,)
        return (create, _slow(volume))

    def assemble(self, volume: Volume, *, stays: bool = False) -> tuple[Command, ...]:
        """Assemble one array by its id, from its own members and no other device.

        What `stays` is assembled as its superblocks say.

        After a power cut members may differ; the kernel reads what is not yet synchronised from one of them.
        It takes a mirror for synchronous whose superblocks say so. But each member of a root shows the boot
        loader and the file systems, and the machine may have started from one of them by itself, past the
        array. So a mirror is synchronised anew from its first member, whatever it says.
        """
        disks = (*volume.members, *volume.spares)
        anew = ("--update=resync",) if volume.level == "raid1" and not stays else ()
        assemble = Command(
            argv=(
                *("mdadm", "--assemble", f"/dev/md/{volume.name}", "--run"),
                *(f"--uuid={colon_uuid(volume.uuid)}", *anew),
                *(f"{{disk{place}}}" for place in range(len(disks))),
            ),
            says=f"assemble {volume.name} again",
            disks=tuple(disk.guard() for disk in disks),
            ok_statuses=(0, 1, 2),  # half made, it has nothing to assemble; the next reading says so
        )
        return (assemble,) if stays or volume.level == "raid0" else (assemble, _slow(volume))

    def zero(self, volume: Volume) -> tuple[Command, ...]:
        """Zero the members by the device's own command, which takes no time where there is one."""
        return tuple(
            Command(
                argv=("blkdiscard", "--force", "--zeroout", "{disk0}"),
                says=f"zero {disk.identity}",
                disks=(disk.guard(),),
                timeout_s=600,
            )
            for disk in (*volume.members, *volume.spares)
        )

    def delete(self, volume: Volume, array: RaidArray | None) -> tuple[Command, ...]:
        """Stop one array by its id, then clear the superblock of each of its members."""
        stop = (
            Command(
                argv=("mdadm", "--stop", device_path(volume.uuid)),
                says=f"stop array {volume.name} ({volume.uuid})",
            ),
        )
        clear = tuple(
            Command(
                argv=("mdadm", "--zero-superblock", "{disk0}"),
                says=f"clear the array's superblock on {member.identity}",
                disks=(member.guard(),),
            )
            for member in (*volume.members, *volume.spares)
        )
        return (*(stop if array is not None else ()), *clear)


def _slow(volume: Volume) -> Command:
    """Keep the synchronisation slow as long as the boot OS runs; the deployed system does it at full speed.

    What is written reaches every member at once, and filling the mirror up meanwhile was seen to make the
    steps after it three times as long.
    """
    return Command(
        argv=("sh", "-c", SLOW_SYNC, "rf-slow-sync", f"/dev/md/{volume.name}"),
        says=f"synchronise {volume.name} slowly until its system runs",
        ok_statuses=(0, 1, 2),  # it is a matter of time only
    )


def _members(body: str, sysfs: Sysfs, faulty: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give serials of active members in the order of their roles, and those of spares.

    A member that has failed has no role any more, which mdadm exports as that of a spare.
    """
    roles = [(role, _identity(kname, sysfs)) for kname, role in device_roles(body) if kname not in faulty]
    active = sorted((int(role), name) for role, name in roles if role.isdigit())
    return tuple(name for _, name in active), tuple(name for role, name in roles if role == "spare")


def _identity(kname: str, sysfs: Sysfs) -> str:
    known = sysfs.disks.get(kname)
    return (known.serial or known.wwn if known else None) or kname


def _faulty(values: dict[str, str]) -> frozenset[str]:
    """Members whose state in /sys has the word faulty (md.rst of the kernel: a list of words, by commas)."""
    return frozenset(
        name.removeprefix("MEMBER_")
        for name, words in values.items()
        if name.startswith("MEMBER_") and "faulty" in words.split(",")
    )


def _progress(values: dict[str, str]) -> float | None:
    """How far a resync or rebuild is: `SYNCED=1024 / 4096`, in sectors; `none` where there is none."""
    found = re.fullmatch(r"(\d{1,18}) / (\d{1,18})", values.get("SYNCED", "").strip())
    if found is None or not int(found[2]):
        return None
    return round(100 * int(found[1]) / int(found[2]), 1)


def _dashed(uuid: str) -> str:
    key = uuid_key(uuid)
    return "-".join((key[:8], key[8:12], key[12:16], key[16:20], key[20:]))


def _state(values: dict[str, str]) -> str:
    action = values.get("ACTION", "idle")
    if values.get("DEGRADED", "0") not in ("0", ""):
        return "rebuilding" if action == "recover" else "degraded"
    return action if action not in ("idle", "none") else values.get("STATE", "unknown")
