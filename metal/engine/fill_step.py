"""The step that takes over what a new file system will hide: what image and job put below its mount point.

Accounts, keys and files are written into the mounted root. A file system mounted over their folder would hide
them, the management user's key in /home among them, and what the distribution keeps in /var.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.partitions import Target, find_root
from metal.drivers.storage.lvm import volume_layer
from metal.drivers.storage.opened import luks_id
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Fill, Layer, Stack
from metal.engine import luks_steps, lvm_steps
from metal.engine.work import Handler, Work
from metal.planning.plan import StepKind

Where = tuple[Target, int]


@dataclass(frozen=True, slots=True)
class FillStep:
    """Copy folders of the deployed root into a file system that this job made."""

    blind: bool = True
    """Blind: that a copy was whole shows nowhere but in the journal."""

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: the program ends well only when all is copied and on the disk."""
        return ()

    def act(self, work: Work) -> None:
        """Copy; a second time the same files are written again."""
        work.unmount()
        name = str(work.args["name"])
        places, layers = _place(work, name, luks_steps.layers(work, name, fresh=False, seal=False))
        root, wish = _root(work)
        folders = tuple((str(folder), str(options)) for folder, options in work.args["folders"])
        says = f"take over {', '.join(folder for folder, _ in folders)} into {name}"
        fill = replace(wish, filesystem=str(work.args["filesystem"]), folders=folders)
        work.send((Stack(says, layers=layers, fill=fill).command(Places.of((*places, root)), root=1),))


def _place(work: Work, name: str, over: tuple[Layer, ...]) -> tuple[tuple[Where, ...], tuple[Layer, ...]]:
    """Give the partitions below the file system, and what is opened over them."""
    if "group" in work.args:
        group, layers = lvm_steps.to_open(work, name, over)
        return tuple((one.target, one.number) for one in group.physical_volumes), layers
    luks_steps.close(work, (luks_id(work.made(f"luks:{name}")),))
    return ((_sized(work, work.target()), int(work.args["number"])),), over


def _root(work: Work) -> tuple[Where, Fill]:
    """Give the root's partition, and how the root in it is mounted."""
    target = work.target(work.args["root"])
    _, part = find_root(work.block(), work.root_id(), target)
    volume = work.root_volume()
    kind = volume.filesystem if volume else str(part.filesystem)
    layers = (volume_layer(volume.group, volume.name),) if volume else ()
    return (_sized(work, target), part.number), Fill("", (), kind, layers)


def _sized(work: Work, target: Target) -> Target:
    return replace(target, size_bytes=work.block().on(target).size_bytes)


HANDLERS: Final[Mapping[StepKind, Handler]] = {"fill": FillStep()}
