"""A machine in memory that answers as its tools would: what is sent changes what is read afterwards.

Disks, md and the deployed root are state; each command has its effect, or half of it (`tear`), as a power
cut leaves it. What lies on disks outlives a restart (`restart`), what a kernel knows does not.
"""

import base64
import copy
import hashlib
import json
import re
from typing import Any, Final

from metal.drivers.erasing import ERASERS
from metal.drivers.filesystems import CHECKS, read_subvolumes
from metal.drivers.guest.document import PYTHON
from metal.drivers.guest.facts import LIBRARY_FOLDERS, TSS_LIBRARIES
from metal.drivers.guest.fstab import QUEUED
from metal.drivers.hardware import QUERIES
from metal.drivers.identity.platform import PLATFORM
from metal.drivers.network.links import IP_LINK, NIC_SYSFS
from metal.drivers.raid import FAMILIES
from metal.drivers.raid.detection import first_questions
from metal.drivers.raid.md import FAST_ZERO, MD_DETAIL
from metal.drivers.storage.disks import LSBLK, PROBE_AGAIN, SETTLE
from metal.drivers.storage.identity import DISK_SYSFS
from metal.drivers.storage.luks import RF_TPM2
from metal.drivers.storage.lvm import LVM
from metal.drivers.storage.opened import LIST
from metal.errors import Refused
from metal.protocols import Change, Command, Output
from metal.testing import fake_mounts
from metal.testing.fake_luks import run_under
from metal.testing.fake_lvm import FakeLvm
from metal.testing.fake_shell import FakeShell
from metal.testing.fake_tables import write_gpt, write_mbr
from metal.testing.wipe_report import wipe_report

MEMBER: Final = "linux_raid_member"
MIB: Final = 1 << 20
ARRAY: Final = "md127"

_TEXTS: Final = {
    "/etc/hostname": "hostname",
    "/etc/fstab": "fstab",
    "/etc/rackflow/install.json": "install",
    "/etc/ssh/ssh_host_ed25519_key.pub": "host_key",
}

BROUGHT: Final = (
    "/usr/sbin/lvm",
    "/usr/sbin/thin_check",
    "/usr/lib/systemd/systemd-cryptsetup",
    *(f"{LIBRARY_FOLDERS[0]}/{name}" for name in TSS_LIBRARIES),
)
"""What its image brings for volume groups, thin pools, encryption and the TPM."""

Place = dict[str, Any]


class FakeMachine(FakeShell):
    """Disks by serial, at most one array, and a deployed root."""

    def __init__(self, disks: dict[str, int], *, root_uuid: str) -> None:
        super().__init__({}, host="web-01", on_change=self.changed)
        self.root_uuid = root_uuid
        self.disks: dict[str, Place] = {
            serial: {"kname": f"sd{chr(97 + n)}", "size": size, "parts": {}}
            for n, (serial, size) in enumerate(disks.items())
        }
        self.array: Place | None = None
        """The array as the kernel runs it; its superblocks stand on the disks (`member`)."""
        root = {"size": 1024 * MIB - 40 * MIB, "start": 71680, "fstype": "ext4", "uuid": root_uuid}
        self.image_parts: dict[int, Place] = {14: {"size": 2 * MIB, "start": 2048}, 1: root}
        """What the image that is written brings."""
        self.image_groups: dict[str, Place] = {}
        """The volume groups that it brings, over partitions by number."""
        self.lvm = FakeLvm()
        self.tpm: str | None = None
        """The TPM 2.0 in it, by any name: a header remembers whose slot it has."""
        self.platform: str | None = None
        """What it says of itself, where a test wants it to say something."""
        self.macs: tuple[str, ...] = ()
        self.fast_zero = False
        self.mounted = False
        self.tear = False
        """Whether the next command has half of its effect."""
        self.torn: set[str] = set()
        """Partitions whose file system was left half made."""
        self.left_open: list[str] = []
        """Id and name of each device that a killed program has left open; its disks count as used."""
        self.folders: set[str] = set()
        """Folders of its /dev that closed volumes have left."""
        self.queued = ""
        """What systemd has still to start."""
        self.filled: set[str] = set()
        """Folders of the root that were taken over into what is mounted there."""
        self.deaf: set[str] = set()
        """Programs that are taken and have no effect."""
        self.guest: dict[str, Any] = {
            "hostname": "debian\n", "os_release": None, "install": None, "users": {}, "files": {},
            "network": {}, "fstab": "", "host_key": None, "texts": {}, "live": None,
            "present": dict.fromkeys(BROUGHT, True),
        }  # fmt: skip

    @property
    def programs(self) -> list[str]:
        """Programs of all changes, in order."""
        return [sent.change.argv[0] for sent in self.sent if isinstance(sent.change, Command)]

    def arrangement(self) -> list[dict[str, Any]]:
        """What controllers hold: a machine with RAID controllers has some."""
        return []

    def restart(self) -> None:
        """Forget what only a kernel knew: assembled arrays, mounts, partitions that a table no longer has."""
        self.array, self.mounted, self.left_open = None, False, []
        for disk in self.disks.values():
            disk.pop("holders", None)
            self._reread(disk)

    def read(
        self,
        argv: tuple[str, ...],
        *,
        stdin: bytes | None = None,
        timeout_s: int = 30,
        limit_bytes: int = 4 << 20,
    ) -> Output:
        """Answer from the state as it is now."""
        self.script = self._script()
        if argv[:2] == ("ls", "-d"):
            return Output(argv, 0 if argv[2] in self.folders else 2, "", "")
        return super().read(argv, stdin=stdin, timeout_s=timeout_s, limit_bytes=limit_bytes)

    # --- what is read --------------------------------------------------------------------------------------

    def _script(self) -> dict[tuple[str, ...], Output | str]:
        script: dict[tuple[str, ...], Output | str] = {
            query.argv: Output(query.argv, 127, "", "not found")
            for query in (*QUERIES, *first_questions(FAMILIES))
        }
        for name in self._part_names():
            script |= {(*check, f"/dev/{name}"): self._checked(name) for check in CHECKS.values()}
            script[read_subvolumes(f"/dev/{name}")] = self._root_tree(name)
        if self.tpm or self.platform:
            script[PLATFORM.argv] = self.platform or "arch=x86_64\nfirmware=bios\ntpm=2\n"
        for path, header in self.lvm.headers():
            script["cryptsetup", "luksUUID", path] = f"{header}\n"
        fast = "\n".join(disk["kname"] for disk in self.disks.values()) if self.fast_zero else ""
        return script | {
            IP_LINK.argv: json.dumps(
                [{"ifname": f"eth{n}", "address": mac} for n, mac in enumerate(self.macs)]
            ),
            NIC_SYSFS.argv: "".join(f"eth{n} 1 - pf 1 1000 /x\n" for n in range(len(self.macs))),
            SETTLE.argv: "",
            PROBE_AGAIN: "",
            LIST: "\n".join(self.left_open) or "No devices found",
            LSBLK.argv: json.dumps({"blockdevices": [self._node(disk) for disk in self.disks.values()]}),
            DISK_SYSFS.argv: self._sysfs(),
            MD_DETAIL.argv: self._detail(),
            LVM.argv: self.lvm.report(),
            ERASERS.argv: json.dumps({d["kname"]: d["erases"] for d in self.disks.values() if "erases" in d}),
            ("cat", "/proc/mounts"): "/dev/x /mnt/rackflow ext4 rw 0 0\n" if self.mounted else "",
            ("true",): "",
            QUEUED: self.queued,
            PYTHON: json.dumps(self.guest),
            FAST_ZERO.argv: fast,
        }

    def _node(self, disk: Place) -> dict[str, Any]:
        signature = MEMBER if disk.get("member") else disk.get("signature")
        node = {"name": disk["kname"], "kname": disk["kname"], "type": "disk", "size": disk["size"]}
        node |= {"fstype": signature} | disk.get("lsblk", {})
        if self.array and disk["kname"] in self.array["knames"]:
            inner = {"name": ARRAY, "kname": ARRAY, "type": "raid1", "size": self.array["size"]}
            return node | {"children": [inner | _children(ARRAY, self.array["parts"])]}
        return node | _children(disk["kname"], disk["parts"])

    def _sysfs(self) -> str:
        text = "".join(
            f"disk {d['kname']}\nserial {d.get('serial', serial)}\n"
            + (f"wwid {d['wwn']}\n" if d.get("wwn") else "")
            + "".join(f"holder {one}\n" for one in d.get("holders", ()))
            for serial, d in self.disks.items()
        )
        return text + (f"disk {ARRAY}\n" if self.array else "")

    def _detail(self) -> str:
        if not self.array:
            return ""
        roles = "".join(f"MD_DEVICE_dev_{k}_ROLE={n}\n" for n, k in enumerate(self.array["knames"]))
        told = f"STATE=clean\nMD_LEVEL=raid1\nMD_UUID={self.array['uuid']}\n"
        return f"array {ARRAY}\n{told}MD_NAME=any:{self.array.get('name', 'system')}\n{roles}"

    def _parts_by_name(self) -> dict[str, Place]:
        places = [(disk["kname"], disk["parts"]) for disk in self.disks.values()]
        places += [(ARRAY, self.array["parts"])] if self.array else []
        return {_part_name(kname, n): part for kname, parts in places for n, part in parts.items()}

    def _part_names(self) -> list[str]:
        return list(self._parts_by_name())

    def _root_tree(self, name: str) -> str:
        made = self._parts_by_name()[name].get("subvolumes", ())
        return "".join(f"\troot ref key dirid 256 sequence {n} name {one}\n" for n, one in enumerate(made, 2))

    def _checked(self, name: str) -> Output:
        return Output(("e2fsck",), 4 if name in self.torn else 0, "", "")

    # --- what commands do ----------------------------------------------------------------------------------

    def changed(self, change: Change) -> Output | None:
        """Have a command's effect, or half of it."""
        assert isinstance(change, Command)  # the engine's file writes go through one program
        argv, tear, self.tear = change.argv, self.tear, False
        self._guard(change)
        if argv[0] in self.deaf:
            return None
        if self.left_open and change.disks:
            return Output(argv, 4, "", f"in use: {self.left_open}")
        tool = {"mdadm": self._mdadm, "lvm": self._lvm, "dmsetup": self._dmsetup, RF_TPM2: self._probe}.get(
            argv[0]
        )
        if tool is not None:
            return tool(change, tear=tear)
        if argv[0].endswith("rf-wipe"):
            return self._wipe(change, tear=tear)
        if argv[: len(PYTHON)] == PYTHON and argv != PYTHON:
            return self._program(change, json.loads(change.stdin or b""), tear=tear)
        if argv == PYTHON:
            self._guest(json.loads(change.stdin or b""), tear=tear)
        elif argv[0] == "sh":
            self.folders.discard(argv[-1])
        elif argv[0] in ("mount", "umount"):
            self.mounted = argv[0] == "mount"
        else:
            self._block(self._place(change), argv, change.stdin or b"", tear=tear)
        return None

    def _block(self, place: Place, argv: tuple[str, ...], stdin: bytes, *, tear: bool) -> None:
        if argv[0].endswith("rf-write"):
            self._image(place, tear=tear)
        elif argv[0] == "sgdisk" and not tear:  # it writes the table once, at its end
            write_gpt(place, argv)
        elif argv[0] == "sfdisk" and not tear:  # one sector
            write_mbr(place, stdin.decode())
        elif argv[0].startswith("mkfs"):
            self._mkfs(place, argv, tear=tear)
        elif argv[0] == "wipefs" and "{disk0}" not in argv:
            place["parts"][_number(argv[-1])] |= {} if tear else {"fstype": None, "uuid": None}
        elif argv[0] == "blkdiscard":
            place |= {"parts": {}, "signature": None, "member": None}
        elif argv[0] == "blockdev":
            self._reread(place)

    def _guard(self, change: Command) -> None:
        """Refuse as rf-exec does: every guarded disk is there once, and of the size that was planned."""
        for guard in change.disks:
            if guard.identity.startswith("md-uuid:"):
                continue
            named = [
                disk
                for serial, disk in self.disks.items()
                if guard.identity in (disk.get("serial", serial), disk.get("wwn"))
            ]
            if len(named) != 1 or guard.size_bytes not in (None, named[0]["size"]):
                what = "no disk" if not named else "more than one disk" if len(named) > 1 else "another size"
                raise Refused(f"rf-exec: {what} has this identity: {guard.identity}", host=self.host)
            if named[0].get("holders"):
                raise Refused(f"rf-exec: /dev/{named[0]['kname']} is in use", host=self.host)

    def _place(self, change: Command) -> Place:
        guards = [guard.identity for guard in change.disks]
        if guards and guards[0] in self.disks:
            return self.disks[guards[0]]
        return self.array or next(iter(self.disks.values()))

    def _mdadm(self, change: Command, *, tear: bool) -> Output | None:
        members = [self.disks[guard.identity] for guard in change.disks]
        verb, uuid = change.argv[1], _option(change.argv, "uuid")
        if verb == "--create":
            made: Place = {"uuid": uuid, "name": _option(change.argv, "name"), "parts": {}}
            made |= {"size": members[0]["size"] - MIB, "knames": [one["kname"] for one in members]}
            for disk in members[:1] if tear else members:
                disk |= {"member": made, "parts": {}, "signature": None}
            self.array = None if tear else made
        elif verb == "--assemble":
            found = [disk.get("member") for disk in members]
            if any(one is None or one["uuid"] != uuid for one in found):
                return Output(change.argv, 1, "", "mdadm: no superblock; assembly aborted")
            self.array = found[0]
        elif verb == "--stop":
            self.array = None
        else:
            for disk in members:
                disk |= {"member": None, "signature": None}
        return None

    def _wipe(self, change: Command, *, tear: bool) -> Output:
        """Erase signatures, those of partitions first; the kernel still knows the table."""
        if tear:
            return Output(change.argv, 143, "", "")
        if change.argv[1] == "--release":
            self.disks[change.argv[2]]["holders"] = []
            return Output(change.argv, 0, "", "")
        place = self._place(change)
        place |= {"stale": True, "signature": None, "member": None}
        return Output(change.argv, 0, wipe_report(change.argv), "")

    def _image(self, place: Place, *, tear: bool) -> None:
        place.pop("stale", None)
        place["parts"] = {} if tear else copy.deepcopy(self.image_parts)
        for name, group in ({} if tear else copy.deepcopy(self.image_groups)).items():
            pvs = {_part_name(place["kname"], number): uuid for number, uuid in group["pvs"].items()}
            self.lvm.groups[name] = group | {"pvs": pvs}

    def _probe(self, change: Command, *, tear: bool) -> Output | None:
        told = "this machine shows no TPM 2.0 (/dev/tpmrm0 is missing)"
        return None if tear or self.tpm else Output(change.argv, 65, "", told)

    def _lvm(self, change: Command, *, tear: bool) -> Output | None:
        if change.argv[1] == "lvchange":  # opened to be mounted
            self.left_open = [self._opened({"open": change.argv}, {})]
            return None
        if change.argv[1] == "vgcreate" and f"/dev/{self._group_of(change)}" in self.folders:
            return Output(change.argv, 3, "", f"/dev/{self._group_of(change)}: already exists in filesystem")
        return self.lvm.run(change.argv, self._devices(change), tear=tear)

    @staticmethod
    def _group_of(change: Command) -> str:
        return change.argv[change.argv.index("--physicalextentsize") + 2]

    def _dmsetup(self, change: Command, *, tear: bool) -> Output | None:
        kept = [line for line in self.left_open if line.split()[1] != change.argv[-1]]
        self.left_open = self.left_open if tear else kept
        return None

    def _program(self, change: Command, document: dict[str, Any], *, tear: bool) -> Output | None:
        layers, place = document["layers"], self._place(change)
        in_volume = [layer["open"] for layer in layers if layer["open"][0] == "lvm"]
        if in_volume:
            below = self.lvm.volume(in_volume[-1][-1]).setdefault("header", {})
        else:
            below = place["parts"][_number(change.argv[len(PYTHON)])]
        filling = document.get("fill", {})
        if tear:
            self.left_open = [self._opened(layer, below) for layer in (*layers, *filling.get("layers", ()))]
        if filling:
            return self._fill(below, document, tear=tear)
        if in_volume:
            return self._in_volume(document, tear=tear)
        if layers:
            return self._encrypted(below, document, tear=tear)
        return self._stack(place, change.argv[-1], document, tear=tear)

    def _fill(self, below: Place, document: dict[str, Any], *, tear: bool) -> Output | None:
        """What the root has goes into the file systems over it; torn, nobody knows how much of it.

        One that stays gets accounts and files alone.
        """
        for layer in (one for one in document["layers"] if one["open"][0] != "lvm"):
            if refused := run_under(below, layer, self.tpm, tear=tear):
                return refused
        inside = document["fill"]["inside"]
        if inside:
            self._guest(inside["document"], tear=tear)
        elif not tear:
            self.filled |= {folder for folder, _ in document["fill"]["folders"]}
        return None

    def _devices(self, change: Command) -> dict[str, tuple[str, Place]]:
        """What stands for a partition in argv -> its kernel name and what is on it."""
        disks = [self.disks[guard.identity] for guard in change.disks]
        return {
            f"{{disk{n}:p{number}}}": (_part_name(disk["kname"], number), part)
            for n, disk in enumerate(disks)
            for number, part in disk["parts"].items()
        }

    def _opened(self, layer: dict[str, Any], below: Place) -> str:
        """Id and name of a device, as the device mapper has them; `below` is the header's place."""
        if layer["open"][0] == "lvm":
            group, _, volume = layer["open"][-1].partition("/")
            uuid = self.lvm.groups[group]["uuid"]
            plain = f"{uuid}{group}-{volume}".replace("-", "")
            return f"LVM-{plain} {group}-{volume}"
        made = [_option_of(argv, "--uuid") for argv in layer["before"] if "--uuid" in argv]
        header = made[0] if made else below["uuid"]
        return f"CRYPT-LUKS2-{header.replace('-', '')}-{layer['open'][-1]} {layer['open'][-1]}"

    def _encrypted(self, part: Place, document: dict[str, Any], *, tear: bool) -> Output | None:
        """A header and what is in it; its label comes last. One that stands opens with its own key alone."""
        (layer,) = document["layers"]
        refused = run_under(part, layer, self.tpm, tear=tear)
        for argv in () if tear or refused else document["mark"]:
            part["label"] = argv[-1]
        return refused

    def _in_volume(self, document: dict[str, Any], *, tear: bool) -> Output | None:
        """A file system in a logical volume, or in a header there; its mark comes last."""
        *_, opened = [one["open"] for one in document["layers"] if one["open"][0] == "lvm"]
        volume = self.lvm.volume(opened[-1])
        if volume.get("unsent"):
            return Output(tuple(opened), 5, "", "device-mapper: reload ioctl on failed: No data available")
        for layer in (one for one in document["layers"] if one["open"][0] != "lvm"):
            refused = run_under(volume.setdefault("header", {}), layer, self.tpm, tear=tear)
            if refused:
                return refused
        held = volume["made"][0].partition(".")[2] if volume["made"] else None
        if refused := fake_mounts.refusal(held, (), document):
            return refused
        made = [argv for argv in document["make"] if argv[0].startswith("mk")]
        if made:
            volume["made"] = None if tear else made[-1][:-1]
        elif not tear and (document["make"] or fake_mounts.changes(document)):
            volume["grown"] = volume["extents"]
        for argv in () if tear else document["mark"]:
            self.lvm.mark(argv)
        return None

    def _stack(self, place: Place, partition: str, document: dict[str, Any], *, tear: bool) -> Output | None:
        part = place["parts"][_number(partition)]
        for argv in document["make"]:
            if argv[0].startswith("mkfs"):
                if _uuid(tuple(argv)) == part.get("uuid"):  # mkfs.btrfs looks for it on all devices
                    return Output(tuple(argv), 1, "", "ERROR: non-unique UUID")
                self._mkfs(place, (*argv[:-1], partition), tear=tear)
                part["subvolumes"] = []
            elif argv[0] == "wipefs":
                part |= {"fstype": None, "uuid": None}
        if refused := fake_mounts.refusal(part["fstype"], tuple(part.get("subvolumes", ())), document):
            return refused
        inside = fake_mounts.changes(document)
        made = [argv[-1].removeprefix("{mount}/") for argv in inside if argv[1] == "subvolume"]
        part["subvolumes"] = [*part.get("subvolumes", ()), *(made[: len(made) // 2] if tear else made)]
        return None

    def _mkfs(self, place: Place, argv: tuple[str, ...], *, tear: bool) -> None:
        number = _number(argv[-1])
        name = _part_name(ARRAY if place is self.array else place["kname"], number)
        place["parts"][number] |= {"fstype": argv[0][5:], "uuid": _uuid(argv)}
        (self.torn.add if tear else self.torn.discard)(name)

    @staticmethod
    def _reread(place: Place) -> None:
        if place.pop("stale", False):
            place["parts"] = {}

    def _guest(self, document: dict[str, Any], *, tear: bool) -> None:
        for wish in document["accounts"]:
            hashed = wish["password_hash"] or "*"
            user = {"shell": wish["login_shell"], "keys": wish["keys"], "sudo": None, "shadow": hashed}
            self.guest["users"][wish["name"]] = user
        files = document["files"]
        for file in files[: len(files) // 2] if tear else files:
            path, data = file["path"], base64.b64decode(file["data"])
            digest = hashlib.sha256(data).hexdigest()
            self.guest["files"][path] = {"sha256": digest, **{k: file[k] for k in ("mode", "owner", "group")}}
            if path in _TEXTS:
                self.guest[_TEXTS[path]] = data.decode()
            if "/systemd/network/" in path:
                self.guest["network"][path] = digest
            if path.startswith("/etc/sudoers.d/rackflow-"):
                self.guest["users"][path.removeprefix("/etc/sudoers.d/rackflow-")]["sudo"] = data.decode()
            self.guest["texts"][path] = data.decode()
        for file in document["copies"]:
            self.guest["present"][file["path"]] = True


def _children(kname: str, parts: dict[int, dict[str, Any]]) -> dict[str, Any]:
    rows = [
        part | {"name": _part_name(kname, n), "kname": _part_name(kname, n), "type": "part"}
        for n, part in parts.items()
    ]
    signed = any(str(part.get("parttype", "")).startswith("0x") for part in parts.values())
    return {"children": rows, "pttype": "dos" if signed else "gpt"} if rows else {}


def _part_name(kname: str, number: int) -> str:
    return f"{kname}p{number}" if kname[-1].isdigit() else f"{kname}{number}"


def _option_of(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def _uuid(argv: tuple[str, ...]) -> str:
    return argv[argv.index("-U") + 1]


def _number(word: str) -> int:
    found = re.search(r":p(\d+)", word)
    assert found is not None  # mkfs is given a partition of a guarded disk
    return int(found[1])


def _option(argv: tuple[str, ...], name: str) -> str | None:
    prefix = f"--{name}="
    return next((word.removeprefix(prefix) for word in argv if word.startswith(prefix)), None)
