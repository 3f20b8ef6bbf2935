"""The one command that makes a file system which takes several tools (see `stack_program`)."""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from metal.drivers.guest.document import PYTHON, program
from metal.drivers.storage.places import Places
from metal.protocols import Command

PLACE: Final = "{device}"
"""Stands for the device in what is run on it."""
DEVICES: Final = "{devices}"
"""Stands for LVM's options that name the partitions which it may see."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """What is run on a mounted file system; `{mount}` stands for where."""

    filesystem: str
    run: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """Folders of the root, each with options of the mount, that are copied into what is mounted over them."""

    filesystem: str
    folders: tuple[tuple[str, str], ...]
    root_filesystem: str
    layers: "tuple[Layer, ...]" = ()
    """What is over the root's partition."""
    inside: Command | None = field(default=None, repr=False)
    """Instead of copying: what is done to the root while it is mounted there, too."""

    def body(self, places: int) -> dict[str, Any]:
        """As the program takes it; the first `places` partitions are those below the file system."""
        inside = None
        if self.inside is not None:
            inside = {"argv": list(self.inside.argv), "document": json.loads(self.inside.stdin or b"{}")}
        return {
            "places": places,
            "filesystem": self.filesystem,
            "folders": [list(one) for one in self.folders],
            "root_filesystem": self.root_filesystem,
            "layers": [layer.body() for layer in self.layers],
            "inside": inside,
        }


@dataclass(frozen=True, slots=True)
class Layer:
    """A device that is opened over another one and closed again; `before` is run on the one below first."""

    device: str
    open: tuple[str, ...]
    close: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    key: bytes | None = field(default=None, repr=False)

    def body(self) -> dict[str, Any]:
        """As the program takes it; the key goes to the standard input of what opens the device."""
        return {
            "device": self.device,
            "open": list(self.open),
            "close": list(self.close),
            "before": _lists(self.before),
            "key": base64.b64encode(self.key).decode() if self.key is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Stack:
    """What is made, from the partition up; `mark` is run at last, when all is written and closed."""

    says: str
    make: tuple[tuple[str, ...], ...] = ()
    mounted: Mounted | None = None
    layers: tuple[Layer, ...] = ()
    mark: tuple[tuple[str, ...], ...] = ()
    fill: Fill | None = None

    def command(self, places: Places, *, root: int = 0) -> Command:
        """Give the command for partitions of guarded disks; a fill takes from the last `root` of them."""
        mounted = (
            {"filesystem": self.mounted.filesystem, "run": _lists(self.mounted.run)} if self.mounted else None
        )
        body: dict[str, Any] = {
            "program": program("stack_program", "metal.drivers.storage"),
            "layers": [layer.body() for layer in self.layers],
            "make": _lists(self.make),
            "mounted": mounted,
            "mark": _lists(self.mark),
        }
        if self.fill is not None:
            body["fill"] = self.fill.body(len(places.names) - root)
        return Command(
            argv=(*PYTHON, *places.names),
            says=self.says,
            stdin=json.dumps(body).encode(),
            disks=places.guards,
            timeout_s=600,
        )


def _lists(argvs: Iterable[tuple[str, ...]]) -> list[list[str]]:
    return [list(argv) for argv in argvs]
