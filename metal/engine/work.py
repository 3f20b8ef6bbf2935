"""One step under way: what its handler may ask of the edge, the machine and the plan.

A handler says what differs (`differences`) and acts (`act`); both get a `Work`. Readings of the deployed
system are kept between steps of one process: nobody else may change the machine while this run holds
its lease, so the reading after a step is the reading before the next.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from metal.drivers.guest.bootloader import GRUB_CFG, HOOK
from metal.drivers.guest.crypttab import CRYPTTAB
from metal.drivers.guest.facts import Question, Reading, read_system
from metal.drivers.guest.fstab import FSTAB
from metal.drivers.guest.hostname import HOSTS
from metal.drivers.partitions import BlockView, Target, find_root, read_block
from metal.drivers.storage.lvm_root import RootVolume
from metal.drivers.storage.opened import LIST, close_left
from metal.edge_client.runs import RunCalls
from metal.engine.around import Kept, Log, Surroundings
from metal.engine.claim import Claim, check
from metal.engine.connect import Sessions, bmc, boot_os, running_os
from metal.engine.controllers import Listed, is_hardware, listed
from metal.errors import LeaseLost, RackflowError, Refused, Unreachable
from metal.planning.ids import derived_uuid
from metal.planning.mounting import formatted
from metal.planning.plan import Plan, Step
from metal.protocols import Change, Command, Output, Progress, Shell
from specs.facts import SystemFacts
from specs.records import HostRecord, JournalRow, SecretValue, WorkOrder

__all__ = ["MOUNT_POINT", "Handler", "Log", "Work", "wanted_secrets"]

MOUNT_POINT: Final = "/mnt/rackflow"
BUSY: Final = "was not free within"
"""What rf-exec says when another command of the same epoch runs."""
MOST_FENCE_TURNS: Final = 30
"""An hour, at two minutes a turn: longer than any image takes."""
TEXTS: Final = (GRUB_CFG, HOOK, HOSTS, FSTAB, CRYPTTAB)


@dataclass(slots=True)
class Work:
    """One step under way."""

    edge: RunCalls
    claim: Claim
    plan: Plan
    step: Step
    around: Surroundings
    log: Log
    intents: tuple[JournalRow, ...] = ()
    """Intents of this step, oldest first; the last is this start's own.

    Those before a failure too: what was sent and not answered was sent, and its task tries again.
    """
    begun: frozenset[str] = frozenset()
    """Steps of this plan that were begun before this start, this one included if an earlier start did."""
    again: bool = False
    """Whether this start goes on after the machine was lost in it."""
    acted: bool = False
    """Whether this start has sent what the step is about."""
    writes: int = 0
    said: Output | None = None
    """What the last change that was sent said."""
    reported: dict[str, Any] = field(default_factory=dict)
    """What the step's outcome in the journal tells beside its message: the report of an erasing."""
    _record: HostRecord | None = None

    def has_begun(self, step_id: str) -> bool:
        """Whether an earlier start may have carried this step of the plan out, or a part of it."""
        return step_id in self.begun or (self.again and step_id == self.step.id)

    @property
    def interrupted(self) -> bool:
        """Whether an earlier start of this step may have acted."""
        return self.has_begun(self.step.id)

    @property
    def sessions(self) -> Sessions:
        """The open connections."""
        return self.around.sessions

    @property
    def clock(self) -> Callable[[], float]:
        """The run's clock."""
        return self.around.clock

    @property
    def sleep(self) -> Callable[[float], None]:
        """How the run lets time pass."""
        return self.around.sleep

    @property
    def kept(self) -> Kept:
        """What this process remembers of the host."""
        return self.around.memory.of(self.claim)

    @property
    def host(self) -> str:
        """The host's name."""
        return self.claim.host

    @property
    def args(self) -> dict[str, Any]:
        """The step's arguments."""
        return self.step.args

    def record(self, *, fresh: bool = False) -> HostRecord:
        """The host as the edge has it."""
        if self._record is None or fresh:
            self._record = self.edge.host(self.host)
        return self._record

    def order(self) -> WorkOrder:
        """The host's order; read once per process and job, as the plan holds for the job."""
        if self.kept.order is None:
            self.kept.order = self.edge.order(self.host)
        return self.kept.order

    def shell(self) -> Shell:
        """The shell that the step works in."""
        where = boot_os if self.step.where == "boot-os" else running_os
        return self.sessions.shell(self.edge, where(self.record()))

    def may_go_on(self) -> None:
        """Raise LeaseLost or Cancelled when the run must stop; a silent edge is waited for by the caller."""
        try:
            check(self.edge, self.claim)
        except Unreachable as error:
            self.log(f"the edge does not answer: {error.message}")

    def send(self, changes: Iterable[Change], *, progress: bool = False) -> int:
        """Send changes one by one, up to the first that fails (Refused). Gives how many were sent."""
        sent = 0
        shell = self.shell()
        for change in changes:
            self.writes += 1
            sent += 1
            said = shell.change(
                change,
                step=f"{self.claim.job}-{self.step.id}",
                epoch=self.claim.epoch,
                progress=self._progress if progress else None,
                gone=self._gone,
            )
            self.said = said
            _succeeded(self.host, change, said)
        return sent

    def _gone(self) -> str | None:
        """Ask the BMC of a machine that does not answer: without power it need not be waited for."""
        if self.record().bmc_address is None:
            return None
        owner, epoch = f"{self.claim.run_id}:{self.step.id}", self.claim.epoch
        try:
            with bmc(self.edge, self.host, owner=owner, sessions=self.sessions, epoch=epoch) as session:
                return "its BMC says that its power is off" if session.power() == "off" else None
        except LeaseLost:
            raise
        except RackflowError as error:
            self.log(f"the machine does not answer, and its power cannot be read: {error.message}")
            return None

    def fence(self) -> None:
        """End what an earlier run of this job still runs on the machine, and outlast what this one does.

        A command is detached from its run: it may go on under the eyes of a new start, which would take what
        it reads for the end of it, and kill it later.
        """
        if self.kept.fenced:
            return
        command = Command(("true",), says="fence the machine", timeout_s=30)
        for turn in range(MOST_FENCE_TURNS, 0, -1):
            try:
                said = self.shell().change(command, step=f"{self.claim.job}-fence", epoch=self.claim.epoch)
            except Refused as error:
                if turn == 1 or BUSY not in error.message:
                    raise
                self.log(f"an earlier command still runs: {error.message}")
                self.may_go_on()
            else:
                _succeeded(self.host, command, said)
                break
        self.kept.fenced = True

    def block(self) -> BlockView:
        """Read disks and arrays."""
        return read_block(self.shell())

    def listed(self, about: Mapping[str, Any] | None = None) -> Listed:
        """The controller of the step, or of these arguments, as its tool lists it now (see `listed`)."""
        here = listed(self.shell(), self.args if about is None else about, self.kept.answering)
        self.kept.answering = here.answering | (self.kept.answering or frozenset())
        return here

    # --- the deployed system -------------------------------------------------------------------------------

    def root(self) -> str:
        """Where the deployed root is: "/" in the running system; in the boot OS it is mounted if need be."""
        if self.step.where == "running-os":
            return "/"
        if not self.kept.mounted:
            self._mount()
            self.kept.mounted = True
        return MOUNT_POINT

    def reading(self, *, fresh: bool = False) -> Reading:
        """Read the deployed system, unless the last reading still holds."""
        root = self.root()
        if fresh or self.kept.reading is None or self.kept.reading[0] != root:
            about = Question.about(self.order(), root)
            question = Question(root, about.users, about.files, TEXTS)
            self.kept.reading = (root, read_system(self.shell(), question))
        return self.kept.reading[1]

    def system(self) -> SystemFacts:
        """The facts of the last reading."""
        return self.reading().system(self.secrets(), management_key=self.order().management_key)

    def secrets(self) -> Mapping[str, SecretValue]:
        """The secrets that the spec names, by reference, fetched when first needed."""
        if not self.kept.secrets:
            for name in wanted_secrets(self.order()):
                value = self.edge.secret(name)
                self.kept.secrets[value.ref] = value
        return self.kept.secrets

    # --- names that the job gives, and where things are ---------------------------------------------------

    def made(self, name: str) -> str:
        """The id of a thing that this job makes (`raid:system`, `part:data`, `fs:data`)."""
        return derived_uuid(self.plan.host_id, self.claim.job, name)

    def target(self, given: dict[str, Any] | None = None) -> Target:
        """The disk or array of a step's target; an array that an earlier job made is found by its name."""
        value = given or self.args.get("target")
        if value is None:
            raise Refused(f"step {self.step.id} names no target", host=self.host, reason="step-failed")
        if "raid" not in value:
            return Target(identity=str(value["identity"]), size_bytes=value.get("size_bytes"))
        name = str(value["raid"])
        making = next((step for step in self.plan.steps if step.id == f"raid-create:{name}"), None)
        about = making.args if making else value
        if is_hardware(about):
            return Target(identity=self._volume_disk(name, about))
        if making:
            return Target(raid_uuid=self.made(f"raid:{name}"), raid_name=name)
        if value.get("members"):
            return Target(raid_uuid=str(value["uuid"]), raid_name=name)
        found = [array for array in self.block().arrays if array.name == name]
        if len(found) != 1:
            raise Refused(f"{len(found)} arrays are called {name}", host=self.host, reason="no-matching-disk")
        return Target(raid_uuid=found[0].uuid, raid_name=name)

    def _volume_disk(self, name: str, about: Mapping[str, Any]) -> str:
        """The identity of the disk by which a controller shows a volume; read once per boot and change."""
        known = self.kept.volume_disks.get(name)
        if known is None:
            disk = self.listed(about).disk_of(about)
            known = self.kept.volume_disks[name] = disk.identity or ""
        return known

    def root_uuid(self) -> str:
        """The root's file system: the image's in a plan that writes one, else the install record's."""
        for step in self.plan.steps:
            if step.args.get("root_uuid"):
                return str(step.args["root_uuid"])
        recorded = (self.record().installed or {}).get("root_uuid")
        if not recorded:
            raise Refused(
                "it is not known which file system is the root", host=self.host, reason="step-failed"
            )
        return str(recorded)

    def root_volume(self) -> RootVolume | None:
        """The logical volume that the root is in: the plan's image's, else the install record's."""
        told = (step.args.get("root_volume") for step in self.plan.steps)
        held = next((one for one in told if one), None)
        if held is None and not any(step.kind == "write-image" for step in self.plan.steps):
            held = (self.record().installed or {}).get("root_volume")
        return RootVolume.of(held) if held else None

    def root_id(self) -> str:
        """What the root's partition bears: its file system's UUID, or its own as a physical volume."""
        volume = self.root_volume()
        return volume.pv_uuid if volume else self.root_uuid()

    def root_target(self) -> Target | None:
        """The target that the plan writes its image to; None when it writes none."""
        image = next((step for step in self.plan.steps if step.kind == "write-image"), None)
        return self.target(image.args["target"]) if image else None

    # --- the deployed root in the boot OS -----------------------------------------------------------------

    def unmount(self) -> None:
        """Leave the deployed root, so that its disk can be claimed."""
        self.kept.reading = None
        if self._is_mounted():
            self.send((Command(("umount", MOUNT_POINT), says="unmount the deployed root"),))
        self.kept.mounted = False
        volume = self.root_volume()
        if volume is not None:
            self.send(tuple(close_left(self.shell().read(LIST).stdout, (volume.opened_id,))))

    def _is_mounted(self) -> bool:
        if self.kept.mounted is None:
            mounts = self.shell().read(("cat", "/proc/mounts"))
            self.kept.mounted = f" {MOUNT_POINT} " in mounts.stdout
        return self.kept.mounted

    def _mount(self) -> None:
        if self._is_mounted():
            return
        volume = self.root_volume()
        _, root = find_root(self.block(), self.root_id(), self.root_target())
        if volume is not None:
            self.send(volume.mount(root.device, MOUNT_POINT))
            return
        argv = ("mount", "--mkdir", "-t", str(root.filesystem), root.device, MOUNT_POINT)
        self.send((Command(argv, says=f"mount the deployed root {root.device}"),))

    def _progress(self, progress: Progress) -> None:
        done, total = progress.done_bytes / 1e6, progress.total_bytes / 1e6
        # rf-write erases, or reads what an earlier start wrote, before it writes; then it has no rate yet.
        how = f"written at {progress.mb_per_s:.0f} MB/s" if progress.mb_per_s else "prepared"
        self.log(f"{self.step.id}: {done:.0f} of {total:.0f} MB {how}")


class Handler(Protocol):
    """How one kind of step is done."""

    def differences(self, work: Work) -> tuple[str, ...]:
        """What is not as wished, by a reading of the machine; empty is done."""

    def act(self, work: Work) -> None:
        """Make it so."""

    @property
    def blind(self) -> bool:
        """Whether the machine cannot say that it was done; then the journal alone does."""


def wanted_secrets(order: WorkOrder) -> tuple[str, ...]:
    """Names of the secrets that users, files and encrypted file systems of a spec refer to."""
    spec = order.spec
    if spec is None:
        return ()
    users = [u.password_from.secret for u in spec.users if not isinstance(u.password_from, str | None)]
    files = [f.secret for f in spec.files if f.secret is not None]
    keys = [part.luks.key.secret for part in formatted(spec) if part.luks]
    return tuple(sorted({*users, *files, *keys}))


def _succeeded(host: str, change: Change, said: Output) -> None:
    allowed = change.ok_statuses if isinstance(change, Command) else (0,)
    if said.status in allowed:
        return
    tail = (said.stderr.strip() or said.stdout.strip())[-600:]
    raise Refused(
        f"could not {change.says}: {said.argv[0]} ended with {said.status}: {tail}",
        host=host,
        reason="step-failed",
    )
