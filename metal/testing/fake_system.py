"""The deployed system of a machine made of facts: what steps have written to it."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specs.facts import FileFact, InstallRecord


@dataclass
class DeployedSystem:
    """The deployed root, as steps write it."""

    hostname: str | None = None
    users: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    network: dict[str, str] = field(default_factory=dict)
    fstab: list[Mapping[str, Any]] = field(default_factory=list)
    record: InstallRecord | None = None
    management_key: str | None = None
    done: set[str] = field(default_factory=set)

    def hides(self, path: str) -> bool:
        """Whether a new file system is mounted over what was written to the root."""
        new = {one["mount"] for one in self.fstab if not one.get("fs_uuid") and not one.get("device")}
        over = [mount for mount in new if path.startswith(f"{mount}/")]
        return any(f"filled {mount}" not in self.done for mount in over)


def seen_file(file: Mapping[str, Any], refs: tuple[str, ...]) -> FileFact:
    """A file as an observer tells it."""
    content = base64.b64decode(file.get("content_b64", ""))
    return FileFact(
        path=file["path"],
        sha256=hashlib.sha256(content).hexdigest(),
        mode=file["mode"],
        owner=file["owner"],
        group=file["group"],
        matches={ref: file.get("secret") == ref for ref in refs},
    )
