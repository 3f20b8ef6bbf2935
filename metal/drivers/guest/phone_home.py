"""The one-shot unit by which the deployed system phones home, and its token."""

import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from metal.drivers.guest.document import Document, GuestFile, Link, program
from metal.errors import Refused

PROGRAM: Final = "/usr/lib/rackflow/announce"
TOKEN: Final = "/etc/rackflow/phone-home.token"  # noqa: S105 - a path
RELABEL: Final = "/.autorelabel"
"""Asks a system with SELinux to label its files at its next start; then it starts once more (fixfiles(8))."""
UNIT: Final = "/etc/systemd/system/rackflow-phone-home.service"

AFTER: Final = ("systemd-networkd.service", "ssh.service", "sshd.service")
"""After ssh: who hears the call can log in."""

UNIT_TEXT: Final = f"""\
[Unit]
Description=Tell the rackflow edge once that this system is up
ConditionPathExists={TOKEN}
After=%s

[Service]
Type=exec
ExecStart=/usr/bin/python3 -I -S {PROGRAM}

[Install]
WantedBy=multi-user.target
"""
"""Type=exec: the boot does not wait for the edge."""


def mount_unit(path: str) -> str:
    """What systemd calls the mount of a path (systemd.unit(5), "string escaping")."""
    name = re.sub(r"/+", "/", path).strip("/")

    def escaped(found: re.Match[str]) -> str:
        return "".join(f"\\x{byte:02x}" for byte in found.group().encode())

    parts = [re.sub(r"[^\w:.]|(?<!.)\.", escaped, part, flags=re.ASCII) for part in name.split("/")]
    return f"{'-'.join(parts) or '-'}.mount"


def document(
    host: str, url: str, token: str, mounts: Iterable[str] = (), *, relabel: bool = False
) -> Document:
    """Write program, settings, token and unit.

    It calls when the mounts are there or given up, which no other part of a start waits for (`nofail`):
    what is read of the system then is not what it is half way. What a job writes from outside the system
    bears no label of SELinux's, and sshd would be denied the keys: `relabel` has the system set them first.
    """
    where = urlsplit(url)
    if where.scheme != "http" or not where.hostname:
        raise Refused(f"the phone-home URL is not plain http: {url}", host=host, reason="step-failed")
    settings = {
        "host": host,
        "name": where.hostname,
        "port": where.port or 80,
        "path": where.path or "/",
    }
    return Document(
        says="let the system phone home once",
        files=(
            GuestFile(PROGRAM, program("announce").encode(), mode="0755"),
            GuestFile("/etc/rackflow/phone-home.json", (json.dumps(settings) + "\n").encode()),
            *((GuestFile(RELABEL, b""),) if relabel else ()),
            GuestFile(TOKEN, f"{token}\n".encode(), mode="0600"),
            GuestFile(UNIT, (UNIT_TEXT % " ".join((*AFTER, *map(mount_unit, mounts)))).encode()),
        ),
        links=(Link("/etc/systemd/system/multi-user.target.wants/rackflow-phone-home.service", UNIT),),
    )
