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
        """Whether a file system is mounted over what the root has, and nothing put it there too."""
        over = [one for one in self.fstab if path == one["mount"] or path.startswith(f"{one['mount']}/")]
        if not over:
            return False
        last = max(over, key=lambda one: len(one["mount"]))
        new = not last.get("fs_uuid") and not last.get("device")
        return not self.done & {f"set {path}", *((f"filled {last['mount']}",) if new else ())}


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
