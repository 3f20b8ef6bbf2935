"""The steps that bring what the root has into file systems that will be mounted over it.

Accounts, keys and files are written into the mounted root. A file system mounted over their folder would hide
them, the management user's key in /home among them, and what the distribution keeps in /var. A new one takes
all of that over. In one that stays only accounts and files of the spec are set, and nothing else is touched;
files that belong into an encrypted one are written into it alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.guest import managed_files
from metal.drivers.guest.document import Account, Document
from metal.drivers.guest.managed_files import FileWish
from metal.drivers.partitions import Target, find_root
from metal.drivers.storage.lvm import volume_layer
from metal.drivers.storage.opened import luks_id
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Fill, Layer, Mounted, Stack
from metal.engine import luks_steps, lvm_steps
from metal.engine.work import Handler, Work
from metal.planning.mounting import SUBVOLUME
from metal.planning.plan import StepKind
from metal.protocols import Command
from specs.facts import SystemFacts

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
        folders = ", ".join(str(folder) for folder, _ in work.args["folders"])
        _send(work, f"take over {folders} into {work.args['name']}", None)


@dataclass(frozen=True, slots=True)
class InMountStep:
    """Set accounts and files of the spec in a file system that is mounted where it will be."""

    blind: bool = True
    """Blind: what is there is mounted for the length of the command alone."""

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing, as above."""
        return ()

    def act(self, work: Work) -> None:
        """Set them; a second time they are set again, to the same. With nothing to set it must mount."""
        if not work.args["accounts"] and not work.args["files"]:
            _mount(work)
            return
        accounts = tuple(
            Account(str(one["name"]), str(one["shell"]), tuple(one["ssh_keys"]), home_stays=True)
            for one in work.args["accounts"]
        )
        wishes = tuple(FileWish.of(one) for one in work.args["files"])
        files = managed_files.document(SystemFacts(), wishes, work.secrets() if wishes else {}).files
        told = [*(one.name for one in accounts), *(one.path for one in files)]
        says = f"set {', '.join(told)} in {work.args['name']}"
        _send(work, says, Document(says, accounts=accounts, files=files).command("/"))


def _mount(work: Work) -> None:
    """Mount what stays and leave it again, while the old root is there: later it must."""
    work.unmount()
    name, filesystem = str(work.args["name"]), str(work.args["filesystem"])
    places, layers = _place(work, name, luks_steps.layers(work, name, fresh=False, seal=False))
    stack = Stack(f"mount {name}, which stays", layers=layers, mounted=Mounted(filesystem, _shown(work)))
    work.send((stack.command(Places.of(places)),))


def _shown(work: Work) -> tuple[tuple[str, ...], ...]:
    """Give what fails on a mounted btrfs that lacks a subvolume."""
    options = [str(said) for _, said in work.args["folders"]]
    names = [said.removeprefix(SUBVOLUME) for said in options if said.startswith(SUBVOLUME)]
    return tuple(("btrfs", "subvolume", "show", f"{{mount}}/{name}") for name in names)


def _send(work: Work, says: str, inside: Command | None) -> None:
    """Have it done with both file systems mounted, the root's and the step's."""
    work.unmount()
    name = str(work.args["name"])
    places, layers = _place(work, name, luks_steps.layers(work, name, fresh=False, seal=False))
    root, wish = _root(work)
    folders = tuple((str(folder), str(options)) for folder, options in work.args["folders"])
    fill = replace(wish, filesystem=str(work.args["filesystem"]), folders=folders, inside=inside)
    work.send((Stack(says, layers=layers, fill=fill).command(Places.of((*places, root)), root=1),))


def _place(work: Work, name: str, over: tuple[Layer, ...]) -> tuple[tuple[Where, ...], tuple[Layer, ...]]:
    """Give the partitions below the file system, and what is opened over them."""
    if "group" in work.args:
        group, layers = lvm_steps.to_open(work, name, over)
        return tuple((one.target, one.number) for one in group.physical_volumes), layers
    target, number = _sized(work, work.target()), int(work.args["number"])
    part = work.block().on(target).partition(number) if over else None
    # The header's id is the job's where the job has made it, and an earlier one's where it stays.
    if part is not None and part.fs_uuid:
        luks_steps.close(work, (luks_id(part.fs_uuid),))
    return ((target, number),), over


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


HANDLERS: Final[Mapping[StepKind, Handler]] = {"fill": FillStep(), "in-mount": InMountStep()}
