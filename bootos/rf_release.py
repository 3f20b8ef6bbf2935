"""rf-wipe's way to a disk that something holds: arrays, volumes and mounts above it are taken down.

Not a program: a part of the one file that is installed as rf-wipe (`bootos.one_file`).

An old disk may come up with its array assembled, its volume group active, its container open. rf-exec erases
nothing that is held. What is above the disk goes, from the top, and only where it lies on disks that the plan
erases and on no other: an array that reaches further is somebody's, and the step is refused with its name.
ZFS has no holder in sysfs, and the boot OS no module that would import a pool.
"""
# ruff: noqa: PTH110, PTH112, PTH119, PTH208 - see rf_records

from __future__ import annotations

import os
import re
import subprocess

from bootos.rf_disk import is_called, whole_disks
from bootos.rf_records import System, read
from bootos.rf_target import WriteError

EXIT_NOT_RELEASED = 65
STOP_S = 60.0


def release(system: System, identity: str, among: list[str]) -> list[str]:
    """Take down all that is above one device; what was done, in words. A WriteError says what it reaches."""
    disks = whole_disks(system)
    found = [name for name, number in disks.items() if is_called(system, number, identity)]
    if len(found) != 1:
        told = f"{len(found)} devices are {identity}; nothing was taken down"
        raise WriteError(EXIT_NOT_RELEASED, told)
    erased = {name for name, number in disks.items() if any(is_called(system, number, one) for one in among)}
    above = _above(system, found[0])
    for holder in above:
        further = sorted(_below(system, holder) - erased)
        if further:
            told = f"{_called(system, holder)} lies on {found[0]}, and also on {', '.join(further)}"
            raise WriteError(
                EXIT_NOT_RELEASED, f"{told}, which the plan does not erase; nothing was taken down"
            )
        if not re.match(r"(dm-|md)\d", holder):
            raise WriteError(
                EXIT_NOT_RELEASED, f"nobody knows how to take {holder} down, which lies on {identity}"
            )
    done = []
    for device in (*above, found[0]):
        done += _unmount(system, device)
        if device in above:
            done.append(_stop(system, device))
    return done


def _above(system: System, name: str) -> list[str]:
    """Everything that holds a device or a partition of it, the topmost first, each once."""
    found: list[str] = []
    for folder in _folders(system, name):
        holders = f"{folder}/holders"
        for holder in sorted(os.listdir(holders)) if os.path.isdir(holders) else []:
            found += [one for one in (*_above(system, holder), holder) if one not in found]
    return found


def _below(system: System, name: str) -> set[str]:
    """The disks that a holder lies on."""
    folder = f"{system.sys}/block/{name}/slaves"
    slaves = os.listdir(folder) if os.path.isdir(folder) else []
    found: set[str] = set()
    for slave in slaves:
        whole = _whole(system, slave)
        found |= _below(system, whole) or {whole}
    return found


def _whole(system: System, name: str) -> str:
    """The disk of a partition; a disk itself."""
    if os.path.exists(f"{system.sys}/block/{name}"):
        return name
    names = sorted(os.listdir(f"{system.sys}/block"))
    return next((one for one in names if os.path.exists(f"{system.sys}/block/{one}/{name}")), name)


def _folders(system: System, name: str) -> list[str]:
    base = f"{system.sys}/block/{name}"
    names = sorted(os.listdir(base)) if os.path.isdir(base) else []
    return [base, *(f"{base}/{part}" for part in names if os.path.exists(f"{base}/{part}/partition"))]


def _called(system: System, name: str) -> str:
    told = read(f"{system.sys}/block/{name}/dm/name")
    return f"{name} ({told})" if told else name


def _unmount(system: System, name: str) -> list[str]:
    """Mounts and swap of a device and its partitions; the newest mount first."""
    folders = _folders(system, name)
    numbers = {read(f"{folder}/dev") for folder in folders}
    lines = [line.split() for line in read(f"{system.proc}/self/mountinfo").splitlines()]
    done = []
    for fields in reversed(lines):
        if len(fields) > 4 and fields[2] in numbers:
            _run_tool(["umount", fields[4]])
            done.append(f"{fields[4]} unmounted")
    names = {os.path.basename(folder) for folder in folders}
    for line in read(f"{system.proc}/swaps").splitlines()[1:]:
        device = line.split()[0]
        if os.path.basename(device) in names:
            _run_tool(["swapoff", device])
            done.append(f"swap {device} off")
    return done


def _stop(system: System, name: str) -> str:
    if name.startswith("md"):
        _run_tool(["mdadm", "--stop", f"{system.dev}/{name}"])
    else:
        _run_tool(["dmsetup", "remove", "--retry", read(f"{system.sys}/block/{name}/dm/name")])
    return f"{_called(system, name)} taken down"


def _run_tool(argv: list[str]) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, check=False, timeout=STOP_S, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WriteError(EXIT_NOT_RELEASED, f"{argv[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout)[-300:].decode(errors="replace").strip()
        raise WriteError(EXIT_NOT_RELEASED, f"{' '.join(argv)} ended with {done.returncode}: {said}")
