"""The program that makes file systems where one command does not do: below LUKS, on LVM, with subvolumes.

It is never imported by the worker's code but read as text and run by the boot OS's python3 (see `stack.py`).
What it opens it closes again, also when it is told to end: what is left open would make the disk count as
used. Mounts stand in a mount namespace of its own and so end with it, whatever ends it.
"""

# pathlib's import costs time under emulation; the answer goes to stdout.
# ruff: noqa: PTH103, PTH112, T201

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
MOUNT_POINT = "/run/rackflow/made"
ROOT_POINT = "/run/rackflow/root"
CORRECTED = 1
"""e2fsck(8): "errors corrected", which an image that was not cleanly unmounted gives."""


def run(argv: list[str], data: bytes | None = None) -> None:
    """Run a tool; its words become the error."""
    done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode and not (argv[0] == "e2fsck" and done.returncode == CORRECTED):
        said = done.stdout.decode("utf-8", "replace").strip()
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {said}")


def filled(argv: list[str], device: str, devices: list[str]) -> list[str]:
    """Put the device where it is meant, and for LVM the only ones that it may see."""
    words = []
    for word in argv:
        if word == "{devices}":
            words += [part for name in devices for part in ("--devices", name)]
        else:
            words.append(device if word == "{device}" else word)
    return words


def flush(device: str) -> None:
    """Have what was written on the disk before anybody is told of it."""
    handle = os.open(device, os.O_RDWR)
    os.fsync(handle)
    os.close(handle)


def unseen_mounts() -> None:
    """Have what is mounted from here on seen by nobody else, and gone with this program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS):
        raise SystemExit(f"unshare: {os.strerror(ctypes.get_errno())}")
    run(["mount", "--make-rprivate", "/"])


@contextlib.contextmanager
def mounted(device: str, filesystem: str, options: str, place: str) -> Iterator[None]:
    """Mount a file system for a while."""
    os.makedirs(place, mode=0o700, exist_ok=True)
    run(["mount", "-t", filesystem, "-o", options, device, place])
    try:
        yield
    finally:
        run(["umount", place])


def work_in_mount(device: str, wish: dict[str, Any]) -> None:
    """Mount the file system where nobody else sees it, and run what needs it mounted."""
    unseen_mounts()
    # The whole of a btrfs, whichever subvolume its owner has made the default one (btrfs(5)).
    options = "subvolid=5" if wish["filesystem"] == "btrfs" else "defaults"
    with mounted(device, wish["filesystem"], options, MOUNT_POINT):
        for argv in wish["run"]:
            run([word.replace("{mount}", MOUNT_POINT) for word in argv])


def take_over(device: str, root: str, wish: dict[str, Any]) -> None:
    """Copy folders of the root into the file system that will be mounted over them.

    With owners, times and attributes, of each folder itself too: /tmp is for all, /root for root. Nothing is
    mounted in the root here; what counts as another file system there is a subvolume of it.
    """
    unseen_mounts()
    with mounted(root, wish["root_filesystem"], "ro", ROOT_POINT):
        for folder, options in wish["folders"]:
            source = os.path.realpath(ROOT_POINT + folder)
            if source != ROOT_POINT + folder or not os.path.isdir(source):
                raise SystemExit(f"{folder} is no folder of the root, or one behind a symbolic link")
            with mounted(device, wish["filesystem"], options, MOUNT_POINT):
                run(["cp", "-a", f"{source}/.", MOUNT_POINT])


def work_in_tree(device: str, root: str, wish: dict[str, Any]) -> None:
    """Work on the root as the installed system will have it, with what stays mounted where it belongs."""
    unseen_mounts()
    with contextlib.ExitStack() as tree:
        tree.enter_context(mounted(root, wish["root_filesystem"], "defaults", ROOT_POINT))
        for folder, options in sorted(wish["folders"]):
            place = ROOT_POINT + folder
            if os.path.realpath(place) != place:
                raise SystemExit(f"{folder} lies behind a symbolic link")
            os.makedirs(place, mode=0o755, exist_ok=True)
            tree.enter_context(mounted(device, wish["filesystem"], options, place))
        inside = wish["inside"]
        run(inside["argv"], json.dumps({**inside["document"], "root": ROOT_POINT}).encode())


def opened_through(opened: contextlib.ExitStack, layers: list[dict[str, Any]], devices: list[str]) -> str:
    """Open layer over layer, to be closed again in the other order; the topmost device."""
    device = devices[0]
    for layer in layers:
        key = base64.b64decode(layer["key"]) if layer.get("key") else None
        for argv in layer["before"]:
            run(filled(argv, device, devices), key)
        opened.callback(run, filled(layer["close"], device, devices))
        run(filled(layer["open"], device, devices), key)
        device = str(layer["device"])
    return device


def carry_out(document: dict[str, Any], devices: list[str]) -> None:
    """Open what is below, make what is asked for, close, and only then set the mark that says so."""
    filling = document.get("fill")
    root_devices = devices[filling["places"] :] if filling else []
    devices = devices[: filling["places"]] if filling else devices
    # No udev rule in the boot OS handles these devices; their makers must not wait for one (libdevmapper).
    os.environ["DM_DISABLE_UDEV"] = "1"
    with contextlib.ExitStack() as opened:
        device = opened_through(opened, document["layers"], devices)
        for argv in document["make"]:
            run(filled(argv, device, devices))
        if document.get("mounted"):
            work_in_mount(device, document["mounted"])
        if filling:
            root = opened_through(opened, filling["layers"], root_devices)
            (work_in_tree if filling.get("inside") else take_over)(device, root, filling)
            flush(root)
        flush(device)
    for argv in document["mark"]:
        run(filled(argv, devices[0], devices))
    print(json.dumps({"ok": True}))


def told_to_end(number: int, _frame: object) -> NoReturn:
    """Close what is open before the end."""
    raise SystemExit(f"ended by signal {number}")


if "document" in globals():
    signal.signal(signal.SIGTERM, told_to_end)
    carry_out(globals()["document"], sys.argv[1:])
