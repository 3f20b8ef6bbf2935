"""What the commands behind rf-exec do to a simulated machine, and how long they take.

A command works for its time and then changes the machine in one stroke, as most of them do; the image
writer changes it chunk by chunk. What is not known here ends with 127 and is told, never passed over.
"""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from lab.sim import ipmitool
from lab.sim.bmc import InBand
from lab.sim.disks import Array, Content, Part
from lab.sim.eraser import rf_wipe
from lab.sim.fence import Answer, Step
from lab.sim.image_writer import rf_write
from lab.sim.root import Root
from lab.sim.system import System, hex_digits

OK: Answer = (0, "", "")
SHORT_S = 0.1
TOOL_S = 0.3
SLOW_S = 0.6
IPMI_S = 0.15
SUPERBLOCK_BYTES = 264 * 1024
ARRAY_ROUND_BYTES = 65536
SECTOR_BYTES = 512


class Programs:
    """The programs of one boot."""

    def __init__(self, bmc: InBand, unknown: Callable[[str], None]) -> None:
        self._bmc, self._unknown = bmc, unknown

    def run(self, step: Step) -> Answer:
        """Run one command to its end."""
        name = PurePosixPath(step.request.argv[0]).name
        if name.startswith("mkfs.") or name == "mkswap":
            return _mkfs(step)
        if name == "ipmitool":
            return self._ipmitool(step)
        if name == "sh":
            name = step.request.argv[3] if len(step.request.argv) > 3 else "sh"
        work = _PROGRAMS.get(name)
        if work is None:
            self._unknown(" ".join(step.request.argv)[:200])
            return 127, "", f"not simulated: {name}\n"
        return work(step)

    def _ipmitool(self, step: Step) -> Answer:
        argv = list(step.request.argv)
        step.pause(IPMI_S * ipmitool.lines(argv, step.stdin))
        with step.change():
            return ipmitool.write(self._bmc, argv, step.stdin)


def _nothing(step: Step) -> Answer:
    step.pause(SHORT_S)
    return OK


def _check(step: Step) -> Answer:
    step.pause(TOOL_S)
    with step.change():
        return OK


def _content(step: Step) -> Content:
    found = step.system.device(step.identities[0])
    assert found is not None  # rf-exec has verified it
    return found[0]


def _blkdiscard(step: Step) -> Answer:
    step.pause(SHORT_S)
    with step.change() as system:
        disk = system.disk(step.identities[0])
        if disk is not None:
            disk.erase()
    return OK


def _mdadm(step: Step) -> Answer:
    argv = step.request.argv
    step.pause(SHORT_S if "--stop" in argv else TOOL_S)
    with step.change() as system:
        if "--create" in argv:
            return _create(step, system)
        if "--stop" in argv:
            return _stop(system, argv[-1])
        if "--zero-superblock" in argv:
            disk = system.disk(step.identities[0])
            if disk is not None:
                disk.leave_array()
            return OK
        if "--assemble" in argv or "-A" in argv:
            return assemble(system, argv)
    return 2, "", f"mdadm: not simulated: {' '.join(argv)}\n"


def _create(step: Step, system: System) -> Answer:
    said = dict(word[2:].split("=", 1) for word in step.request.argv if word.startswith("--") and "=" in word)
    disks = [disk for disk in map(system.disk, step.identities) if disk is not None]
    usable = min(disk.size_bytes for disk in disks) - SUPERBLOCK_BYTES
    array = Array(
        uuid=said["uuid"],
        name=said["name"],
        level=f"raid{said['level']}",
        metadata=said["metadata"],
        members=[disk.serial for disk in disks],
        size_bytes=usable // ARRAY_ROUND_BYTES * ARRAY_ROUND_BYTES,
        content=disks[0].own,
    )
    for disk in disks:
        disk.array = array
    system.assemble(array)
    return OK


def _stop(system: System, path: str) -> Answer:
    if path == "--scan":
        system.assembled.clear()
        return OK
    found = system.array(path)
    if found is None:
        return 1, "", f"mdadm: error opening {path}: No such file or directory\n"
    if any(found.array.content.part_of(fs) for fs in system.mounts.values()):
        return 1, "", f"mdadm: Cannot get exclusive access to {path}\n"
    system.assembled.remove(found)
    return OK


def assemble(system: System, argv: tuple[str, ...]) -> Answer:
    """Start arrays by UUID, or all there are with --scan."""
    asked = {hex_digits(word.partition("=")[2]) for word in argv if word.startswith("--uuid=")}
    arrays = {id(disk.array): disk.array for disk in system.disks if disk.array is not None}
    found = [one for one in arrays.values() if not asked or hex_digits(one.uuid) in asked]
    if not found:
        return 1, "", "mdadm: No arrays found in config file or automatically\n"
    for one in found:
        system.assemble(one)
    return OK


def _sgdisk(step: Step) -> Answer:
    step.pause(TOOL_S)
    with step.change():
        content = _content(step)
        before = {part.start_bytes: part for part in content.parts.values()}
        if "--clear" in step.request.argv:
            content.parts = {}
        for word in step.request.argv:
            _table_word(content, before, word)
    return OK


def _table_word(content: Content, before: dict[int, Part], word: str) -> None:
    if found := re.fullmatch(r"--delete=(\d+)", word):
        content.parts.pop(int(found[1]), None)
    elif found := re.fullmatch(r"--new=(\d+):(\d+):(\d+)", word):
        number, first, last = (int(text) for text in found.groups())
        start, size = first * SECTOR_BYTES, (last - first + 1) * SECTOR_BYTES
        old = before.get(start)
        part = Part(number, start, size, "", "", "")
        if old is not None:  # what lies on the medium at this place is seen again
            part.filesystem, part.fs_uuid, part.label = old.filesystem, old.fs_uuid, old.label
        content.parts[number] = part
    elif found := re.fullmatch(r"--(typecode|partition-guid|change-name)=(\d+):(.+)", word):
        key = {"typecode": "type_guid", "partition-guid": "part_uuid", "change-name": "name"}[found[1]]
        setattr(content.parts[int(found[2])], key, found[3])


def _mkfs(step: Step) -> Answer:
    argv = step.request.argv
    step.pause(SLOW_S)
    with step.change():
        part = _part(step, argv[-1])
        return _make(part, argv) if part is not None else (1, "", f"{argv[-1]}: no such device\n")


def _part(step: Step, place: str) -> Part | None:
    found = re.fullmatch(r"\{disk0:p(\d+)\}", place)
    return _content(step).parts.get(int(found[1])) if found else None


def _make(part: Part, argv: tuple[str, ...]) -> Answer:
    options = dict(pairwise(argv))
    uuid = options.get("-U") or options.get("--uuid") or options.get("-i") or options.get("-m", "")
    part.filesystem = "swap" if argv[0] == "mkswap" else argv[0].removeprefix("mkfs.")
    part.fs_uuid = uuid.removeprefix("uuid=")
    part.label = options.get("-L") or options.get("--label") or options.get("-n")
    return OK


def _stack(step: Step, document: dict[str, Any]) -> Answer:
    """The program for what takes several tools: each has its effect, in order."""
    step.pause(SLOW_S)
    if "fill" in document:
        return 0, json.dumps({"ok": True}) + "\n", ""
    place = step.request.argv[-1]
    with step.change():
        part = _part(step, place)
        if part is None:
            return 1, "", f"{place}: no such device\n"
        for argv in document["make"]:
            if argv[0].startswith("mkfs."):
                _make(part, tuple(argv))
        inside = document["mounted"]["run"] if document["mounted"] else []
        made = tuple(argv[-1].rpartition("/")[2] for argv in inside if argv[1] == "subvolume")
        part.subvolumes += made
    return 0, json.dumps({"ok": True}) + "\n", ""


def _mount(step: Step) -> Answer:
    device, place = step.request.argv[-2:]
    step.pause(SHORT_S)
    with step.change() as system:
        fs_uuid = system.fs_uuid_of(device)
        content = system.find_filesystem(fs_uuid) if fs_uuid else None
        if fs_uuid is None or content is None or fs_uuid not in content.roots:
            return 32, "", f"mount: {place}: can't find {device}\n"
        system.mounts[place] = fs_uuid
    return OK


def _umount(step: Step) -> Answer:
    step.pause(SHORT_S)
    with step.change() as system:
        if system.mounts.pop(step.request.argv[-1], None) is None:
            return 32, "", f"umount: {step.request.argv[-1]}: not mounted.\n"
    return OK


def _leave(step: Step) -> Answer:
    step.pause(SHORT_S)
    with step.change() as system:
        system.mounts.pop(step.request.argv[4], None)
        system.assembled.clear()
    return OK


def _write_file(step: Step) -> Answer:
    _, _, _, _, path, mode, owner, group, size = step.request.argv
    step.pause(SHORT_S)
    with step.change() as system:
        if len(step.stdin) != int(size):
            return 1, "", f"rf-file: {path}: {len(step.stdin)} of {size} bytes arrived\n"
        root = system.root
        if root is None:
            return 1, "", "rf-file: no root here\n"
        root.write(path, step.stdin, mode, owner, group)
    return OK


def _agent(step: Step) -> Answer:
    """The guest agent: its document comes on standard input."""
    document = json.loads(step.stdin)
    if "make" in document:
        return _stack(step, document)
    step.pause(TOOL_S)
    with step.change() as system:
        root = root_under(system, document["root"])
        if root is None:
            return 1, "", f"no root under {document['root']}\n"
        root.carry_out(document)
        for argv in document.get("run", ()):
            if argv[0] == "hostname":
                system.hostname = argv[1]
            elif argv[:2] == ["mount", "-a"]:
                mount_all(system)
    return 0, json.dumps({"ok": True}) + "\n", ""


def root_under(system: System, place: str) -> Root | None:
    """The running root, or the one that is mounted."""
    return system.root if place == "/" else system.mounted_root()


def mount_all(system: System) -> None:
    """Mount what fstab names and is there."""
    assert system.root is not None
    for fs_uuid, place, kind in system.root.mounts():
        if kind != "swap" and system.find_filesystem(fs_uuid) is not None:
            system.mounts[place] = fs_uuid


_PROGRAMS: dict[str, Callable[[Step], Answer]] = {
    "true": _nothing,
    "sync": _nothing,
    "blkdiscard": _blkdiscard,
    "rf-wipe": rf_wipe,
    "mdadm": _mdadm,
    "rf-slow-sync": _nothing,
    "blockdev": _nothing,
    "sgdisk": _sgdisk,
    "e2fsck": _check,
    "resize2fs": _check,
    "mount": _mount,
    "umount": _umount,
    "rf-leave": _leave,
    "rf-file": _write_file,
    "rf-write": rf_write,
    "python3": _agent,
}
