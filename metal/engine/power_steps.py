"""Steps over the BMC: boot override, power, and the two boots that a plan may need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.engine.bmc_setup import setup_bmc
from metal.engine.connect import bmc, boot_os
from metal.engine.enter import Entry, boot_id
from metal.engine.power import ONCE, power, set_boot
from metal.engine.work import MOUNT_POINT, Handler, Work
from metal.errors import Refused, Unreachable
from metal.planning.plan import StepKind
from metal.protocols import BootFlags, Command, PowerAction

LEAVE: Final = r"""set -e
sync
if grep -q " $1 " /proc/mounts; then umount "$1"; fi
mdadm --stop --scan 2>/dev/null || :
sync"""
"""Leave the deployed root and its arrays clean: the power goes away within the second."""


@dataclass(frozen=True, slots=True)
class BootOrder:
    """The boot override after an installation, set and read back (DESIGN 5.7).

    Blind, because `set_boot` reads before and after in one session; a login costs half a second.
    """

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: `act` has read it back."""
        return ()

    def act(self, work: Work) -> None:
        """Set it unless it is so."""
        wished = _flags(work.args)
        with bmc(
            work.edge, work.host, owner=_owner(work), sessions=work.sessions, epoch=work.claim.epoch
        ) as session:
            seen = session.boot_flags()
            work.writes += set_boot(session, work.host, wished)
        work.log(f"boots from {_told(seen)}, wished {_told(wished)}")


@dataclass(frozen=True, slots=True)
class Power:
    """Power as the plan asks; a cycle leaves the deployed root clean first and is sent once.

    Whether a cycle was sent is noted before it goes out, with the boot that answered then.
    """

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: `act` reads the power before and after."""
        return ()

    def act(self, work: Work) -> None:
        """Send the action unless an earlier start of this step did."""
        action: PowerAction = work.args["action"]
        if action in ONCE and went_out(work):
            work.log("the power action was sent by an earlier start of this step")
            return
        if action in ONCE and is_up(work):
            work.log("the installed system is up already")
            return
        if action in ("cycle", "reset", "off"):
            leave(work)
        if action != "off":
            work.edge.expect_os(work.host, epoch=work.claim.epoch)
        _act(work, action)


@dataclass(frozen=True, slots=True)
class RestartOs:
    """Restart the running system over the BMC."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: the phone-home or SSH says that it is back."""
        return ()

    def act(self, work: Work) -> None:
        """Power-cycle, unless an earlier start of this step did."""
        if not went_out(work):
            work.edge.expect_os(work.host, epoch=work.claim.epoch)
            _act(work, "cycle")


@dataclass(frozen=True, slots=True)
class BootBootOs:
    """Boot the boot OS once, and wait for its report-in."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Say whether it is up and answers."""
        record = work.record(fresh=True)
        if record.boot is None:
            return ("no boot OS is up",)
        return () if self._entry(work).answers(record) else ("the boot OS does not answer",)

    def act(self, work: Work) -> None:
        """Wish the boot OS at the edge, PXE once at the BMC, start the machine, wait."""
        work.writes += self._entry(work).ensure(trusted=False)
        work.record(fresh=True)

    @staticmethod
    def _entry(work: Work) -> Entry:
        return Entry(
            work.edge,
            work.claim,
            work.around,
            work.log,
            plan=work.plan.hash,
            step=work.step.id,
            at_once=True,
        )


@dataclass(frozen=True, slots=True)
class BmcAddress:
    """The BMC's address and account, as `bmc_setup` does it."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: the set-up itself observes before and after."""
        return ()

    def act(self, work: Work) -> None:
        """Set it up."""
        outcome = setup_bmc(work.edge, work.claim, sessions=work.sessions, clock=work.clock, sleep=work.sleep)
        work.writes += outcome.writes


HANDLERS: Final[Mapping[StepKind, Handler]] = {
    "boot-order": BootOrder(),
    "power": Power(),
    "restart-os": RestartOs(),
    "boot-os": BootBootOs(),
    "bmc-address": BmcAddress(),
}


def went_out(work: Work) -> bool:
    """Whether an earlier start of this step sent its action: noted, and not contradicted by the machine.

    A machine that is off, and a system that still answers in the boot from before, say that the run died
    between the note and the action, or that the BMC never took it. Where the boot's id was not read, a boot
    OS that answers under its key is that boot: the next one has another key.
    """
    sent = [row for row in work.intents[:-1] if row.detail.get("sent")]
    if not sent:
        return False
    record = work.record(fresh=True)
    if record.os is not None and record.os.reported_at is not None and record.os.reported_at >= sent[-1].at:
        return True
    with bmc(
        work.edge, work.host, owner=_owner(work), sessions=work.sessions, epoch=work.claim.epoch
    ) as session:
        if session.power() == "off":
            return False
    before: str | None = sent[-1].detail.get("boot_id")
    if before is None:
        return record.boot is None or not Entry(work.edge, work.claim, work.around, work.log).answers(record)
    return boot_id(work.edge, record, work.around) != before


def is_up(work: Work) -> bool:
    """Whether the system that this job installed has started by itself: its machine was reset meanwhile."""
    record = work.record(fresh=True)
    if record.os is None or record.os.reported_at is None:
        return False
    rows = work.edge.journal_rows(work.host, job=work.claim.job)
    written = [row.at for row in rows if row.kind == "phone-home" and row.phase == "done"]
    return bool(written) and record.os.reported_at >= written[-1]


def leave(work: Work) -> None:
    """Unmount and stop what a boot OS holds; without one there is nothing to leave."""
    record = work.record(fresh=True)
    if record.boot is None:
        return
    if not Entry(work.edge, work.claim, work.around, work.log).answers(record):
        work.log("no boot OS answers: nothing is left mounted")
        return
    shell = work.sessions.shell(work.edge, boot_os(record))
    command = Command(("sh", "-c", LEAVE, "rf-leave", MOUNT_POINT), says="leave the deployed root clean")
    work.writes += 1
    try:
        said = shell.change(command, step=f"{work.claim.job}-{work.step.id}-leave", epoch=work.claim.epoch)
    except Unreachable as error:
        work.log(f"the boot OS went away before its power did: {error.message}")
        return
    if not said.ok:
        raise Refused(
            f"could not {command.says}: {said.stderr.strip()[-300:]}", host=work.host, reason="step-failed"
        )
    work.kept.mounted, work.kept.reading = None, None


def _act(work: Work, action: PowerAction) -> None:
    """Note that the action goes out, and which boot answers now; then send it."""
    before = boot_id(work.edge, work.record(), work.around) if action in ONCE else None
    row = work.edge.journal(
        work.host,
        epoch=work.claim.epoch,
        job=work.claim.job,
        step=work.step.id,
        kind=work.step.kind,
        phase="intent",
        plan=work.plan.hash,
        detail={"sent": action, "boot_id": before},
    )
    work.intents = (*work.intents, row)
    outcome = power(
        work.edge,
        work.host,
        action,
        owner=_owner(work),
        sessions=work.sessions,
        sleep=work.sleep,
        epoch=work.claim.epoch,
    )
    work.writes += outcome.writes
    work.sessions.drop(work.host)
    work.kept.powered()


def _flags(args: Mapping[str, Any]) -> BootFlags:
    """Give the override of a site's order: `disk-first` starts from disk, else nothing is overridden."""
    if args.get("order", "disk-first") == "disk-first":
        return BootFlags("disk", persistent=True, efi=bool(args.get("efi")))
    return BootFlags("none", persistent=False, efi=False)


def _told(flags: BootFlags) -> str:
    """Give an override in words."""
    if flags.target == "none":
        return "what the firmware has"
    return f"{flags.target} {'always' if flags.persistent else 'once'}{' by EFI' if flags.efi else ''}"


def _owner(work: Work) -> str:
    return f"{work.claim.run_id}:{work.step.id}"
