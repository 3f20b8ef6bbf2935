"""rf-wipe on a simulated machine: what it takes down, erases and reports, in modelled time.

An overwriting goes piece by piece and is noted on the disk under the erasing's name, so that a new start
goes on after a kill or a power cut, and one that was done writes nothing. A disk may be told to hang at a
piece: then whatever dies there dies in the middle.
"""

import json
import time

from bootos.rf_wipe import gone_on
from lab.sim.disks import Content, Disk
from lab.sim.fence import Answer, Step
from lab.sim.system import System
from metal.testing.wipe_report import wipe_report

PIECES = 8
PIECE_S = 0.1
PLACES_S = 0.3
HANGS_S = 0.05
EXIT_REFUSED = 65


def rf_wipe(step: Step) -> Answer:
    """Erase the guarded device by the asked method, or take down what is above a disk."""
    argv = step.request.argv
    given = dict(zip(argv[1::2], argv[2::2], strict=True))
    if "--release" in given:
        return _release(step, given["--release"], given["--among"].split(","))
    began, disk, method = time.time(), step.system.disk(step.identities[0]), given["--method"]
    if method == "sanitize" or (method == "discard" and disk is not None and disk.bus != "virtio"):
        return _refused(f"{method} is not possible: the disk knows no way; nothing was erased")
    if method == "overwrite" and disk is not None:
        first = _overwrite(step, disk, f"{given['--name']} {method} {disk.serial} {disk.size_bytes}")
        how = f"zeros written to every block{gone_on(first * disk.size_bytes // PIECES, disk.size_bytes)}"
    else:
        step.pause(PLACES_S)
        with step.change():
            step.wrote += 1
            _forget(step, disk)
        promised = "; the disk promises no zeros" if method == "discard" else ""
        how = f"zeros at every place of a signature{promised}"
    return 0, wipe_report(argv, how=how, began=round(began, 1), ended=round(time.time(), 1)), ""


def _overwrite(step: Step, disk: Disk, key: str) -> int:
    """From where an erasing under this name came to; what was on the disk is lost with the first piece.

    Gives the piece that it began with.
    """
    first = disk.note[1] if disk.note is not None and disk.note[0] == key else 0
    for piece in range(first, PIECES):
        while disk.hangs_at is not None and piece >= disk.hangs_at:
            step.pause(HANGS_S)
        step.pause(PIECE_S)
        with step.change():
            if piece == 0:
                _forget(step, disk)
            disk.note = (key, piece + 1)
            step.wrote += 1
        done = disk.size_bytes * (piece + 1) // PIECES
        step.progress = {"done_bytes": done, "total_bytes": disk.size_bytes, "mb_per_s": 200.0}
    return first


def _forget(step: Step, disk: Disk | None) -> None:
    """Nothing is seen on the device any more: a disk loses its superblock too, an array stays one."""
    if disk is not None:
        disk.leave_array()
    _content(step).erase()


def _content(step: Step) -> Content:
    found = step.system.device(step.identities[0])
    assert found is not None  # rf-exec has verified it
    return found[0]


def _release(step: Step, identity: str, among: list[str]) -> Answer:
    """Stop the arrays above a disk and unmount what is on it, if they lie on nothing else."""
    step.pause(PLACES_S)
    with step.change() as system:
        disk = system.disk(identity)
        if disk is None:
            return _refused(f"0 devices are {identity}; nothing was taken down")
        above = [one for one in system.assembled if one.array is disk.array]
        for one in above:
            further = [member.kname for member in system.members(one.array) if member.serial not in among]
            if further:
                told = f"{one.kname} lies on {disk.kname}, and also on {', '.join(further)}"
                return _refused(f"{told}, which the plan does not erase; nothing was taken down")
        done = _unmount(system, disk.content)
        for one in above:
            system.assembled.remove(one)
            done.append(f"{one.kname} taken down")
    return 0, json.dumps({"released": identity, "done": done}) + "\n", ""


def _unmount(system: System, content: Content) -> list[str]:
    places = [place for place, fs_uuid in system.mounts.items() if content.part_of(fs_uuid)]
    for place in places:
        del system.mounts[place]
    return [f"{place} unmounted" for place in places]


def _refused(error: str) -> Answer:
    return EXIT_REFUSED, "", json.dumps({"error": error, "exit": EXIT_REFUSED}) + "\n"
