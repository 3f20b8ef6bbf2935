"""The one-shot unit by which the deployed system phones home, and its token."""

import json
from typing import Final
from urllib.parse import urlsplit

from metal.drivers.guest.document import Document, GuestFile, Link, program
from metal.errors import Refused

PROGRAM: Final = "/usr/lib/rackflow/announce"
TOKEN: Final = "/etc/rackflow/phone-home.token"  # noqa: S105 - a path
UNIT: Final = "/etc/systemd/system/rackflow-phone-home.service"

UNIT_TEXT: Final = f"""\
[Unit]
Description=Tell the rackflow edge once that this system is up
ConditionPathExists={TOKEN}
After=systemd-networkd.service ssh.service sshd.service

[Service]
Type=exec
ExecStart=/usr/bin/python3 -I -S {PROGRAM}

[Install]
WantedBy=multi-user.target
"""
"""Type=exec: the boot does not wait for the edge. After ssh: who hears the call can log in."""


def document(host: str, url: str, token: str) -> Document:
    """Write program, settings, token and unit."""
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
            GuestFile(TOKEN, f"{token}\n".encode(), mode="0600"),
            GuestFile(UNIT, UNIT_TEXT.encode()),
        ),
        links=(Link("/etc/systemd/system/multi-user.target.wants/rackflow-phone-home.service", UNIT),),
    )
