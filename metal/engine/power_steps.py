"""Steps over the BMC: boot override, power, and the two boots that a plan may need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.storage.disks import SETTLE
from metal.engine import power
from metal.engine.bmc_setup import setup_bmc
from metal.engine.connect import bmc, boot_os
from metal.engine.waits import wait_boot_os
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
        with bmc(work.edge, work.host, owner=_owner(work), sessions=work.sessions) as session:
            seen = session.boot_flags()
            work.writes += power.set_boot(session, work.host, wished)
        work.log(f"boots from {_told(seen)}, wished {_told(wished)}")


@dataclass(frozen=True, slots=True)
class Power:
    """Power as the plan asks; a cycle leaves the deployed root clean first and is sent once.

    Whether a cycle was sent cannot be read from the machine, so a second intent with `sent` says it.
    """

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: `act` reads the power before and after."""
        return ()

    def act(self, work: Work) -> None:
        """Send the action unless an earlier start of this step did."""
        if sent_before(work):
            work.log("the power action was sent by an earlier start of this step")
            return
        action: PowerAction = work.args["action"]
        if action in ("cycle", "reset", "off"):
            leave(work)
        if action != "off":
            work.edge.expect_os(work.host, epoch=work.claim.epoch)
        _act(work, action)


@dataclass(frozen=True, slots=True)
class RestartOs:
    """Restart the running system: cleanly by its own reboot."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: the phone-home or SSH says that it is back."""
        return ()

    def act(self, work: Work) -> None:
        """Power-cycle over the BMC."""
        if not sent_before(work):
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
        try:
            work.sessions.shell(work.edge, boot_os(record)).read(SETTLE.argv)
        except Unreachable:
            return ("the boot OS does not answer",)
        return ()

    def act(self, work: Work) -> None:
        """Wish the boot OS at the edge, PXE once at the BMC, cycle, wait."""
        since = work.intents[0].at
        if not sent_before(work):
            work.edge.boot_wish(work.host, "boot-os", epoch=work.claim.epoch)
            efi = _efi(work)
            with bmc(work.edge, work.host, owner=_owner(work), sessions=work.sessions) as session:
                work.writes += power.set_boot(session, work.host, BootFlags("pxe", persistent=False, efi=efi))
            _act(work, "cycle")
            since = work.intents[-1].at
        wait_boot_os(
            work.edge, work.host, since=since, may_go_on=work.may_go_on, clock=work.clock, sleep=work.sleep
        )
        work.record(fresh=True)


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


def sent_before(work: Work) -> bool:
    """Whether an earlier start of this step sent its power action."""
    return any(row.detail.get("sent") for row in work.intents[:-1])


def leave(work: Work) -> None:
    """Unmount and stop what a boot OS holds; without one there is nothing to leave."""
    record = work.record(fresh=True)
    if record.boot is None:
        return
    shell = work.sessions.shell(work.edge, boot_os(record))
    command = Command(("sh", "-c", LEAVE, "rf-leave", MOUNT_POINT), says="leave the deployed root clean")
    work.writes += 1
    said = shell.change(command, step=f"{work.claim.job}-{work.step.id}-leave", epoch=work.claim.epoch)
    if not said.ok:
        raise Refused(
            f"could not {command.says}: {said.stderr.strip()[-300:]}", host=work.host, reason="step-failed"
        )
    work.kept.mounted, work.kept.reading = None, None


def _act(work: Work, action: PowerAction) -> None:
    """Note that the action goes out, then send it: a crash between costs a wait, never a second cycle."""
    work.intents = (
        *work.intents,
        work.edge.journal(
            work.host,
            epoch=work.claim.epoch,
            job=work.claim.job,
            step=work.step.id,
            kind=work.step.kind,
            phase="intent",
            plan=work.plan.hash,
            detail={"sent": action},
        ),
    )
    outcome = power.power(
        work.edge, work.host, action, owner=_owner(work), sessions=work.sessions, sleep=work.sleep
    )
    work.writes += outcome.writes
    work.sessions.drop(work.host)
    work.kept.mounted, work.kept.reading = None, None


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


def _efi(work: Work) -> bool:
    """Whether the machine starts by UEFI, as it was last read."""
    seen = work.record().observation
    return bool(seen and seen.hardware and seen.hardware.firmware == "uefi")


def _owner(work: Work) -> str:
    return f"{work.claim.run_id}:{work.step.id}"
