"""A machine made of facts: it carries out the steps of a plan and can be observed again.

It stands for disks, md, sgdisk, mkfs and the deployed system at once, by rules of its own and not by the
planner's: partitions that overlap or reach into the backup GPT, members that are in use, a mount whose
file system nobody made raise FakeRefusal, as the real tools would.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from metal.planning.ids import derived_uuid
from metal.planning.plan import Plan, Step
from metal.testing.fake_system import DeployedSystem, seen_file
from specs.facts import (
    BmcState,
    Disk,
    Hardware,
    InstallRecord,
    LogicalVolumeFact,
    MountFact,
    Observation,
    PartitionFact,
    PhysicalVolumeFact,
    RaidArray,
    SeenFrom,
    SystemFacts,
    UserFact,
    VolumeGroupFact,
)
from specs.records import ImageRecord

_MIB = 1 << 20
_DATA_MEMBERS: Mapping[str, Callable[[int], int]] = {
    "raid0": lambda count: count,
    "raid1": lambda _: 1,
    "raid5": lambda count: count - 1,
    "raid6": lambda count: count - 2,
    "raid10": lambda count: count // 2,
}


class FakeRefusal(AssertionError):
    """A step asked for something that a real machine would refuse."""


@dataclass
class _Array:
    uuid: str
    level: str
    metadata: str
    members: list[str]
    spares: list[str]
    size_bytes: int


class FakeHost:
    """One machine; `refs` are the secret references that its observer compares, as a real one does."""

    def __init__(self, host_id: str, hardware: Hardware, image: ImageRecord, *, job: int = 1) -> None:
        self.host_id = host_id
        self.job = job
        self.hardware = hardware
        self.image = image
        self.power = "on"
        self.seen_from: SeenFrom = "boot-os"
        self.touched: set[str] = set()
        """Identities of the disks that a step changed."""
        self.system: DeployedSystem | None = None
        self._disks = {disk.identity: disk for disk in hardware.disks if disk.identity}
        self._parts: dict[str, list[PartitionFact]] = {
            name: list(disk.partitions) for name, disk in self._disks.items()
        }
        self._found = {name: list(disk.found) for name, disk in self._disks.items()}
        self._arrays: dict[str, _Array] = {}
        for array in hardware.raids:
            name = array.name or array.uuid
            members, spares = list(array.members), list(array.spares)
            kept = _Array(array.uuid, array.level, array.metadata or "1.2", members, spares, array.size_bytes)
            self._arrays[name] = kept
            self._parts[f"raid:{name}"] = list(array.partitions)
        self._groups = {group.uuid: group for group in hardware.volume_groups}
        self._in_volumes: dict[str, PartitionFact] = {}
        """File systems in logical volumes and encrypted partitions, by their device."""
        self._sealed: set[str] = set()
        """What the TPM unlocks."""

    def run(self, plan: Plan) -> None:
        """Carry out a whole plan."""
        if plan.blocked:
            raise FakeRefusal(f"the plan is blocked: {plan.blocked}")
        for step in plan.steps:
            self.apply(step)

    def apply(self, step: Step) -> None:
        """Carry out one step."""
        getattr(self, "_" + step.kind.replace("-", "_"))(step.args)

    def observe(self, at: datetime, refs: Iterable[str] = ()) -> Observation:
        """Read the machine from where it is now."""
        running = self.seen_from == "running-os"
        return Observation(
            at=at,
            seen_from=self.seen_from,
            hardware=self._seen_hardware(),
            system=self._seen_system(tuple(refs)) if running else None,
            bmc=BmcState(power="on" if self.power == "on" else "off"),
        )

    def _boot_os(self, _: Mapping[str, Any]) -> None:
        self.seen_from = "boot-os"

    def _raid_delete(self, args: Mapping[str, Any]) -> None:
        name = next((name for name, one in self._arrays.items() if one.uuid == args["uuid"]), None)
        if name is None:
            raise FakeRefusal(f"no array {args['uuid']}")
        array = self._arrays.pop(name)
        self._parts.pop(f"raid:{name}", None)
        for member in (*array.members, *array.spares):
            self._blank(member)

    def _raid_create(self, args: Mapping[str, Any]) -> None:
        members, spares = ([one["identity"] for one in args[key]] for key in ("members", "spares"))
        for one in (*args["members"], *args["spares"]):
            self._guard(one)
            if self._array_with(one["identity"]):
                raise FakeRefusal(f"{one['identity']} is in use by an array")
            self._blank(one["identity"])
        smallest = min(self._disks[name].size_bytes for name in members)
        # mdadm: 1.0 keeps its superblock and bitmap at the end, 1.2 leaves a head of up to 128 MiB.
        reserve = 256 << 10 if args["metadata"] == "1.0" else min(128 * _MIB, smallest // 512) + _MIB
        size_bytes = (smallest - reserve) // 65536 * 65536 * _DATA_MEMBERS[args["level"]](len(members))
        uuid = derived_uuid(self.host_id, self.job, f"raid:{args['name']}")
        array = _Array(uuid, args["level"], args["metadata"], members, spares, size_bytes)
        self._arrays[args["name"]] = array
        self._parts[f"raid:{args['name']}"] = []

    def _wipe(self, args: Mapping[str, Any]) -> None:
        self._forget_group_on({part.device for part in self._parts[self._key(args["target"])]})
        self._parts[self._key(args["target"])] = []
        if "identity" in args["target"]:
            self._blank(args["target"]["identity"])

    def _write_image(self, args: Mapping[str, Any]) -> None:
        key = self._key(args["target"])
        if args["image_digest"] != self.image.digest or args["size_bytes"] > self._size(key):
            raise FakeRefusal("this image is another one, or does not fit")
        root_uuid = str(self.image.info["root_uuid"])
        root = self.image.info["root_partition"]
        self._parts[key] = [
            PartitionFact(
                device=f"{key}p{one['number']}",
                filesystem="ext4" if one["number"] == root else None,
                fs_uuid=root_uuid if one["number"] == root else None,
                **{name: one[name] for name in ("number", "start_bytes", "size_bytes", "type_guid", "name")},
            )
            for one in self.image.info["partitions"]
        ]
        self.system = DeployedSystem()

    def _partition(self, args: Mapping[str, Any]) -> None:
        key = self._key(args["target"])
        end = self._size(key) - 33 * 512
        parts = {one.number: one for one in self._parts[key]}
        root = args["root"]
        if root is not None:
            before = parts[root["number"]]
            size_bytes = root["size_bytes"] or end - before.start_bytes
            if size_bytes < before.size_bytes or before.fs_uuid != args["root_uuid"]:
                raise FakeRefusal("a root only grows, and only the image's own")
            parts[before.number] = before.model_copy(update={"size_bytes": size_bytes})
        for one in args["add"]:
            if one["number"] in parts:
                raise FakeRefusal(f"partition {one['number']} exists")
            named = one | ({"name": None} if args.get("table") == "mbr" else {})
            parts[one["number"]] = PartitionFact(device=f"{key}p{one['number']}", **named)
        if args.get("table") == "mbr" and len(parts) > 4:
            raise FakeRefusal(f"an MBR holds no {len(parts)} partitions")
        in_order = sorted(parts.values(), key=lambda part: part.start_bytes)
        limits = [*(part.start_bytes for part in in_order), end]
        for part, limit in zip(in_order, limits[1:], strict=True):
            if part.start_bytes + part.size_bytes > limit:
                raise FakeRefusal(f"partition {part.number} of {key} reaches beyond {limit}")
        self._parts[key] = in_order

    def _volume_group(self, args: Mapping[str, Any]) -> None:
        devices = []
        room = 0
        for one in args["pvs"]:
            key = self._key(one["target"])
            part = next((part for part in self._parts[key] if part.number == one["number"]), None)
            if part is None:
                raise FakeRefusal(f"no partition {one['number']} on {key}")
            self._forget_group_on({part.device})
            devices.append(PhysicalVolumeFact(uuid=f"pv-{self.job}-{one['name']}", device=part.device))
            room += (part.size_bytes - _MIB) // args["extent_bytes"]
        pools = {one["name"]: one for one in args.get("pools", ())}
        taken = sum(one["extents"] for one in args["volumes"] if "pool" not in one)
        taken += sum(one["extents"] + one["metadata_extents"] for one in pools.values())
        taken += max((one["metadata_extents"] for one in pools.values()), default=0)
        if taken > room:
            raise FakeRefusal(f"group {args['vg']} has {room} extents")
        volumes = tuple(
            LogicalVolumeFact(
                name=one["name"],
                uuid=f"lv-{self.job}-{one['name']}",
                size_bytes=one["extents"] * args["extent_bytes"],
                layout="thin,pool" if one["name"] in pools else "thin,sparse" if "pool" in one else "linear",
                pool=one.get("pool"),
            )
            for one in (*pools.values(), *args["volumes"])
        )
        uuid = f"vg-{self.job}-{args['vg']}"
        self._groups[uuid] = VolumeGroupFact(
            name=args["vg"],
            uuid=uuid,
            extent_bytes=args["extent_bytes"],
            physical_volumes=tuple(devices),
            logical_volumes=volumes,
        )

    def _forget_group_on(self, devices: set[str]) -> None:
        for uuid, group in list(self._groups.items()):
            if devices & {one.device for one in group.physical_volumes}:
                del self._groups[uuid]

    def _mkfs_in(self, args: Mapping[str, Any]) -> None:
        told = args["group"]
        devices = [
            next(
                part.device for part in self._parts[self._key(one["target"])] if part.number == one["number"]
            )
            for one in told["pvs"]
        ]
        found = [g for g in self._groups.values() if devices == [one.device for one in g.physical_volumes]]
        if len(found) != 1 or found[0].uuid != told.get("uuid", found[0].uuid):
            raise FakeRefusal(f"no group {told['vg']} on {devices}")
        fs_uuid = derived_uuid(self.host_id, self.job, f"fs:{args['name']}")
        mark = f"rackflow.fs.{fs_uuid}"
        volumes = tuple(
            one.model_copy(update={"tags": (mark,)}) if one.name == args["name"] else one
            for one in found[0].logical_volumes
        )
        self._groups[found[0].uuid] = found[0].model_copy(update={"logical_volumes": volumes})
        self._put_inside(args, f"{told['vg']}-{args['name']}", fs_uuid)

    def _put_inside(self, args: Mapping[str, Any], below: str, fs_uuid: str) -> None:
        device = f"/dev/mapper/{args['luks']['unlocked'] if 'luks' in args else below}"
        self._in_volumes[device] = PartitionFact(
            number=0,
            device=device,
            start_bytes=0,
            size_bytes=0,
            filesystem=args["filesystem"],
            fs_uuid=fs_uuid,
        )

    def _tpm2(self, _: Mapping[str, Any]) -> None:
        if self.hardware.tpm != "2.0":
            raise FakeRefusal("there is no TPM 2.0")

    def _luks_open(self, args: Mapping[str, Any]) -> None:
        self._seal(args)
        if "group" in args:
            return
        key = str(args["target"].get("identity") or f"raid:{args['target']['raid']}")
        part = next(one for one in self._parts[key] if one.number == args["number"])
        if part.filesystem != "crypto_LUKS":
            raise FakeRefusal(f"{args['name']} is {part.filesystem}")

    def _crypttab(self, args: Mapping[str, Any]) -> None:
        for one in args["unlocks"]:
            if one.get("tpm2") and one["unlocked"] not in self._sealed:
                raise FakeRefusal(f"the TPM has no slot in {one['name']}")
            if bool(one.get("tpm2")) == ("key_path" in one):
                raise FakeRefusal(f"{one['name']} is unlocked by the TPM or by a copy of its key")
        self._root.done |= {f"unlock {one['unlocked']}" for one in args["unlocks"]}

    def _seal(self, args: Mapping[str, Any]) -> None:
        if args.get("luks", {}).get("tpm2"):
            self._tpm2(args)
            self._sealed.add(args["luks"]["unlocked"])

    def _mkfs(self, args: Mapping[str, Any]) -> None:
        self._seal(args)
        if "group" in args:
            self._mkfs_in(args)
            return
        key = self._key(args["target"])
        fs_uuid = derived_uuid(self.host_id, self.job, f"fs:{args['name']}")
        made = {"filesystem": args["filesystem"], "label": args["label"], "fs_uuid": fs_uuid}
        if "luks" in args:
            header = derived_uuid(self.host_id, self.job, f"luks:{args['name']}")
            made = {"filesystem": "crypto_LUKS", "label": f"rf.{fs_uuid}", "fs_uuid": header}
            self._put_inside(args, "", fs_uuid)
        if args["number"] not in {part.number for part in self._parts[key]}:
            raise FakeRefusal(f"no partition {args['number']} on {key}")
        self._parts[key] = [
            part.model_copy(update=made) if part.number == args["number"] else part
            for part in self._parts[key]
        ]

    def _fill(self, args: Mapping[str, Any]) -> None:
        """Only what this job has made is filled, and only after the accounts and files are there."""
        fs_uuid = derived_uuid(self.host_id, self.job, f"fs:{args['name']}")
        parts = [*self._in_volumes.values(), *(part for parts in self._parts.values() for part in parts)]
        if fs_uuid not in {part.fs_uuid for part in parts}:
            raise FakeRefusal(f"no file system {args['name']} of this job")
        mounts = {one["mount"] for one in self._root.fstab}
        unlisted = [folder for folder, _ in args["folders"] if folder not in mounts]
        if unlisted:
            raise FakeRefusal(f"{args['name']} is filled too early: {unlisted}")
        self._root.done |= {f"filled {folder}" for folder, _ in args["folders"]}

    def _in_mount(self, args: Mapping[str, Any]) -> None:
        """Only what is mounted where it will be is gone into; accounts are found by who owns what stays."""
        if not args["accounts"] and not args["files"]:
            return
        mounts = {one["mount"]: one for one in self._root.fstab}
        unlisted = [folder for folder, _ in args["folders"] if folder not in mounts]
        if unlisted:
            raise FakeRefusal(f"{args['name']} is set too early: {unlisted}")
        if args["accounts"] and self._root.users:
            raise FakeRefusal("accounts have numbers already")
        self._root.files |= {file["path"]: file for file in args["files"]}
        self._root.done |= {f"set /home/{one['name']}" for one in args["accounts"]}
        self._root.done |= {f"set {one['path']}" for one in args["files"]}

    def _bootloader(self, args: Mapping[str, Any]) -> None:
        self._root.done.add(f"bootloader {self._key(args['target'])}")

    def _hostname(self, args: Mapping[str, Any]) -> None:
        self._root.hostname = args["hostname"]

    def _fstab(self, args: Mapping[str, Any]) -> None:
        self._root.fstab = list(args["mounts"])

    def _network(self, args: Mapping[str, Any]) -> None:
        self._root.network = dict(args["files"])

    def _users(self, args: Mapping[str, Any]) -> None:
        self._root.users |= {user["name"]: user for user in args["users"]}

    def _files(self, args: Mapping[str, Any]) -> None:
        self._root.files |= {file["path"]: file for file in args["files"]}

    def _management(self, args: Mapping[str, Any]) -> None:
        self._root.management_key = args["public_key"]

    def _host_key(self, _: Mapping[str, Any]) -> None:
        self._root.done.add("host-key")

    def _phone_home(self, args: Mapping[str, Any]) -> None:
        self._root.done.add(f"phone-home {args['url']}")

    def _install_record(self, args: Mapping[str, Any]) -> None:
        root_uuid = str(self.image.info["root_uuid"])
        self._root.record = InstallRecord(host=self.host_id, job=self.job, root_uuid=root_uuid, **args)

    def _boot_order(self, args: Mapping[str, Any]) -> None:
        self._root.done.add(f"boot-order {args['order']}")

    def _power(self, args: Mapping[str, Any]) -> None:
        self.power = "off" if args["action"] == "off" else "on"
        if self.power == "on" and self.system is not None:
            self.seen_from = "running-os"

    @property
    def _root(self) -> DeployedSystem:
        if self.system is None:
            raise FakeRefusal("there is no system on the disk yet")
        return self.system

    def _key(self, target: Mapping[str, Any]) -> str:
        if "raid" in target:
            array = self._arrays.get(target["raid"])
            if array is None:
                raise FakeRefusal(f"no array {target['raid']}")
            self.touched |= {*array.members, *array.spares}
            return f"raid:{target['raid']}"
        self._guard(target)
        self.touched.add(target["identity"])
        return str(target["identity"])

    def _guard(self, target: Mapping[str, Any]) -> None:
        disk = self._disks.get(target["identity"])
        if disk is None or disk.size_bytes != target["size_bytes"]:
            raise FakeRefusal(f"no disk {target['identity']} of {target['size_bytes']} bytes")

    def _size(self, key: str) -> int:
        return self._arrays[key[5:]].size_bytes if key.startswith("raid:") else self._disks[key].size_bytes

    def _blank(self, identity: str) -> None:
        self.touched.add(identity)
        self._parts[identity], self._found[identity] = [], []

    def _array_with(self, identity: str) -> str | None:
        held = ((name, one) for name, one in self._arrays.items())
        return next((name for name, one in held if identity in (*one.members, *one.spares)), None)

    def _seen_hardware(self) -> Hardware:
        disks = tuple(self._seen_disk(disk) for disk in self.hardware.disks)
        raids = tuple(
            RaidArray(
                name=name,
                driver="md",
                uuid=one.uuid,
                level=one.level,
                device=f"/dev/md/{name}",
                size_bytes=one.size_bytes,
                members=tuple(one.members),
                spares=tuple(one.spares),
                metadata=one.metadata,
                partitions=tuple(self._parts[f"raid:{name}"]),
            )
            for name, one in self._arrays.items()
        )
        nics = self.hardware.nics
        if self.seen_from == "running-os":
            # The deployed system names its NICs by its own rules.
            nics = tuple(nic.model_copy(update={"name": f"ens{n}"}) for n, nic in enumerate(nics, 3))
        groups = tuple(self._groups.values())
        update = {"disks": disks, "raids": raids, "nics": nics, "volume_groups": groups}
        return self.hardware.model_copy(update=update)

    def _seen_disk(self, disk: Disk) -> Disk:
        if disk.identity is None:
            return disk
        array = self._array_with(disk.identity)
        parts = tuple(self._parts[disk.identity])
        found = list(self._found[disk.identity])
        if array:
            found = [f"linux_raid_member of {array}"]
        elif parts and not found:
            found = [f"gpt with {len(parts)} partitions"]
        return disk.model_copy(update={"partitions": parts, "found": tuple(found)})

    def _seen_system(self, refs: tuple[str, ...]) -> SystemFacts:
        root = self._root
        record = root.record
        return SystemFacts(
            hostname=root.hostname,
            record=record,
            users=tuple(
                UserFact(
                    name=name,
                    ssh_keys=() if root.hides(f"/home/{name}") else tuple(user["ssh_keys"]),
                    sudo=user["sudo"],
                    shell=user["shell"],
                    password_is={ref: user["password"] == ref for ref in refs},
                )
                for name, user in root.users.items()
            ),
            files=tuple(seen_file(f, refs) for f in root.files.values() if not root.hides(f["path"])),
            network_files={p: hashlib.sha256(t.encode()).hexdigest() for p, t in root.network.items()},
            addresses=self._seen_addresses(root.network),
            mounts=self._seen_mounts(root),
            fstab=tuple(
                f"UUID=x {one['mount']} {one['filesystem']} {','.join(one['options'])} 0 0"
                for one in root.fstab
            ),
            management_key=root.management_key is not None and not root.hides("/home/rackflow"),
        )

    def _seen_addresses(self, files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        names = {nic.mac: nic.name for nic in self._seen_hardware().nics}
        found: dict[str, tuple[str, ...]] = {}
        for text in files.values():
            match = re.search(r"^\[Match\]\n(?:Name=(\S+)|PermanentMACAddress=(\S+))$", text, re.MULTILINE)
            addresses = tuple(re.findall(r"^Address=(\S+)$", text, re.MULTILINE))
            if match and addresses:
                found[match[1] or names[match[2]]] = addresses
        return found

    def _seen_mounts(self, root: DeployedSystem) -> tuple[MountFact, ...]:
        parts = {part.fs_uuid: part for held in self._parts.values() for part in held if part.fs_uuid}
        parts |= {part.fs_uuid: part for part in self._in_volumes.values() if part.fs_uuid}
        job = root.record.job if root.record else self.job
        wanted = [("/", str(self.image.info["root_uuid"]))]
        for one in root.fstab:
            derived = derived_uuid(self.host_id, job, f"fs:{one['name']}")
            wanted.append((one["mount"], one.get("fs_uuid") or derived))
        mounts = []
        for mount, fs_uuid in wanted:
            part = parts.get(fs_uuid)
            locked = part is not None and "/luks-" in part.device
            if part and locked and f"unlock {part.device.rpartition('/')[2]}" not in root.done:
                raise FakeRefusal(f"{mount}: nothing unlocks {part.device}")
            if part is None or part.filesystem is None:
                raise FakeRefusal(f"{mount}: nobody made file system {fs_uuid}")
            if part.filesystem != "swap":
                found = MountFact(
                    mount=mount, device=part.device, filesystem=part.filesystem, fs_uuid=fs_uuid
                )
                mounts.append(found)
        return tuple(mounts)
