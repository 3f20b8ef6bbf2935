"""The boot seed: a small cpio with what one boot of the boot OS is told. Pure.

Format newc: Linux Documentation/driver-api/early-userspace/buffer-format.rst. The kernel makes no
missing parents, so the folders come first. It holds a short-lived token and nothing else that is secret.
"""

import json
from dataclasses import dataclass

SEED_PATH = "overlay/etc/rackflow/seed.json"
_DIRECTORY = 0o040755
_FILE = 0o100600


@dataclass(frozen=True, slots=True)
class Seed:
    """What stands in a boot seed; `time_s` is seconds since the epoch, for machines with a dead clock."""

    boot_no: int
    token: str
    report_in: str
    authorized_key: str
    time_s: int
    epoch_floor: int


def seed_cpio(seed: Seed) -> bytes:
    """The archive that is loaded behind the boot OS."""
    text = json.dumps(
        {
            "version": 1,
            "boot_no": seed.boot_no,
            "token": seed.token,
            "report_in": seed.report_in,
            "authorized_key": seed.authorized_key,
            "time": seed.time_s,
            "epoch_floor": seed.epoch_floor,
            "network": None,
        },
        sort_keys=True,
    )
    parts = SEED_PATH.split("/")
    folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    members = [_member(number, name, _DIRECTORY, b"") for number, name in enumerate(folders, 1)]
    members.append(_member(len(folders) + 1, SEED_PATH, _FILE, text.encode()))
    archive = b"".join([*members, _member(0, "TRAILER!!!", 0, b"")])
    return archive + bytes(-len(archive) % 512)


def _member(inode: int, name: str, mode: int, data: bytes) -> bytes:
    links = 2 if mode == _DIRECTORY else 1
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)
