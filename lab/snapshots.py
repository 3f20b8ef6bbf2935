"""Snapshots of a whole rack: machines with their memory, BMCs, and the data folder of the site inside.

    <lab>/snapshots/NAME/rack.yaml, snapshot.json
                         machines/M/   disks, NVRAM, serial log, what the BMC remembers, memory.ram
                         data/         the data folder

Taken and restored while the site's parts are stopped (`rackflow up` ended or killed): then machines and
registry are of one moment. A snapshot may be restored any number of times, also into another lab directory.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import leases
from lab.clock import ClockSet, set_clocks
from lab.copying import copy_tree
from lab.definition import load
from lab.errors import LabError
from lab.machine import INCOMING, OUTGOING
from lab.processes import write_atomically
from lab.rack import Rack

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MEMORY = "memory.ram"
NOT_OF_A_MACHINE = (
    ".sock",
    ".json.new",
    ".ram",
    ".pid",
    "qemu.json",
    "swtpm.json",
    "bmc.log",
    "qemu.log",
    "swtpm.log",
)
"""Ends of names in a machine's directory that belong to running processes, or to the rack's own diary."""
DATABASES = (leases.REGISTRY, Path("prefect") / "prefect.db")
"""What the edge and the Prefect server write at any time while they run."""
NOT_OF_THE_SITE = ("lab", "cache", "images-src", "logs")
"""Entries of a data folder that no part of a site keeps its state in; logs go on through a restore."""


@dataclass(frozen=True)
class SnapshotInfo:
    """What is known of a snapshot without opening it."""

    name: str
    taken_at: float
    running: tuple[str, ...]
    """Machines that were on."""
    data: bool


@dataclass(frozen=True)
class Snapshot:
    """One snapshot's folder."""

    directory: Path

    @property
    def rack_file(self) -> Path:
        """The rack it is of."""
        return self.directory / "rack.yaml"

    @property
    def info_file(self) -> Path:
        """Written last: a folder without it is no snapshot."""
        return self.directory / "snapshot.json"

    @property
    def data(self) -> Path:
        """The data folder's copy."""
        return self.directory / "data"

    def machine(self, name: str) -> Path:
        """A machine's files."""
        return self.directory / "machines" / name

    def info(self) -> SnapshotInfo:
        """Read it; LabError when there is none of that name."""
        try:
            raw = json.loads(self.info_file.read_text())
            return SnapshotInfo(**{**raw, "running": tuple(raw["running"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{self.directory} is not a snapshot: {error}", "python -m lab snapshot NAME makes one"
            ) from error


def snapshot_of(lab: Path, name: str) -> Snapshot:
    """The snapshot of that name, taken or not."""
    if not NAME.fullmatch(name):
        raise LabError(f"no name for a snapshot: {name!r}", "a-z, 0-9, dots, - and _, at most 64")
    return Snapshot(lab / "snapshots" / name)


def listed(lab: Path) -> list[SnapshotInfo]:
    """All snapshots of a lab directory, the oldest first."""
    found = [Snapshot(path.parent).info() for path in (lab / "snapshots").glob("*/snapshot.json")]
    return sorted(found, key=lambda info: info.taken_at)


def take(rack: Rack, name: str, data: Path | None) -> SnapshotInfo:
    """Snapshot a rack that is up; machines that are on stand still meanwhile and go on afterwards."""
    final = snapshot_of(rack.directory, name)
    data = data and data.absolute()
    if not rack.status().up:
        raise LabError(f"the rack in {rack.directory} is not up", "python -m lab up")
    _require_stopped(data)
    definition = load(rack.definition_path)
    fresh = Snapshot(final.directory.with_name(f"{name}.new"))
    _forget(fresh.directory)
    fresh.directory.mkdir(parents=True)
    names = [machine.name for machine in definition.machines]
    try:
        with rack.locked(), ThreadPoolExecutor() as pool:
            frozen = list(pool.map(lambda machine: _freeze(rack, machine), names))
            copies = [pool.submit(_save_machine, rack, fresh, machine) for machine in names]
            if data is not None:
                copies.append(
                    pool.submit(copy_tree, data, fresh.data, leave=_not_of_the_site(rack, data, fresh.data))
                )
            for copy in copies:
                copy.result()
    except BaseException:
        _forget(fresh.directory)
        raise
    finally:
        for machine in names:
            with contextlib.suppress(LabError):
                rack.ask(machine, "thaw")
    running = tuple(machine for machine, on in zip(names, frozen, strict=True) if on)
    info = SnapshotInfo(name, time.time(), running, data is not None)
    shutil.copyfile(rack.definition_path, fresh.rack_file)
    write_atomically(fresh.info_file, json.dumps(asdict(info)))
    _forget(final.directory)
    fresh.directory.rename(final.directory)
    return info


@dataclass(frozen=True)
class Restored:
    """A snapshot that is running again."""

    info: SnapshotInfo
    leases: int
    """Host leases that got a new epoch."""
    clocks: tuple[ClockSet, ...]


def restore(rack: Rack, name: str, data: Path | None, *, source: Path | None = None) -> Restored:
    """Make rack and data folder what they were; what the rack is now is ended and overwritten.

    `source` is another lab directory that has the snapshot.
    """
    snapshot = snapshot_of((source or rack.directory).absolute(), name)
    data = data and data.absolute()
    info = snapshot.info()
    if data is not None and not info.data:
        raise LabError(f"the snapshot {name} has no data folder", "take it with --data, or restore without")
    _require_stopped(data)
    definition = load(snapshot.rack_file)
    rack.directory.mkdir(parents=True, exist_ok=True)
    rack.down()
    with rack.locked(), ThreadPoolExecutor() as pool:
        copies = [
            pool.submit(_restore_machine, rack, snapshot, machine.name, on=machine.name in info.running)
            for machine in definition.machines
        ]
        renewed = 0 if data is None else pool.submit(_restore_data, rack, snapshot, data).result()
        for copy in copies:
            copy.result()
    rack.up(snapshot.rack_file)
    _require_running(rack, info.running)
    running = [definition.machine(machine) for machine in info.running]
    clocks = [ClockSet(each.name, None) for each in running]
    return Restored(info, renewed, tuple(clocks if data is None else set_clocks(rack, running, data)))


def _freeze(rack: Rack, machine: str) -> bool:
    return bool(rack.ask(machine, "freeze")["power"] == "on")


def _save_machine(rack: Rack, snapshot: Snapshot, name: str) -> None:
    directory = rack.machine(name).directory
    copy_tree(directory, snapshot.machine(name), leave=_not_of_a_machine)
    memory = directory / OUTGOING
    if memory.exists():
        memory.rename(snapshot.machine(name) / MEMORY)


def _restore_machine(rack: Rack, snapshot: Snapshot, name: str, *, on: bool) -> None:
    directory = rack.directory / "machines" / name
    copy_tree(snapshot.machine(name), directory, leave=_not_of_a_machine)
    incoming = directory / INCOMING
    incoming.unlink(missing_ok=True)
    if on:
        incoming.symlink_to(snapshot.machine(name) / MEMORY)


def _restore_data(rack: Rack, snapshot: Snapshot, data: Path) -> int:
    above = leases.highest(data)
    copy_tree(snapshot.data, data, leave=_not_of_the_site(rack, data, snapshot.data))
    return leases.renew(data, above=above)


def _not_of_a_machine(path: Path) -> bool:
    return path.name.endswith(NOT_OF_A_MACHINE)


def _not_of_the_site(rack: Rack, *folders: Path) -> Callable[[Path], bool]:
    """Which paths of a data folder, or of its copy, are left alone."""

    def leave(path: Path) -> bool:
        if path == rack.directory:
            return True
        return path.parent in folders and (path.name in NOT_OF_THE_SITE or path.name.endswith(".log"))

    return leave


def _require_running(rack: Rack, names: Iterable[str]) -> None:
    power = {machine.name: machine.power for machine in rack.status().machines}
    for name in names:
        if power[name] != "on":
            log = rack.machine(name).directory / "qemu.log"
            raise LabError(f"{name} did not go on from the snapshot", f"see {log}")


def _require_stopped(data: Path | None) -> None:
    """Refuse while a process has a database of the site open: copy and rack would be of two moments."""
    if data is None:
        return
    paths = {(data / name).resolve() for name in DATABASES}
    for process in Path("/proc").glob("[0-9]*"):
        for path in paths & _open_files(process):
            raise LabError(f"process {process.name} has {path} open", "stop rackflow up first")


def _open_files(process: Path) -> set[Path]:
    """What a process has open; of one that ends meanwhile, or is another user's, what could be read."""
    found = set()
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(link.readlink())
    return found


def _forget(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
