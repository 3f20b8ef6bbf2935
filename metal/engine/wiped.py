"""The end of a wipe: every disk is read once more, and what was erased how is told by disk."""

import logging
from collections.abc import Iterator
from typing import Final

from metal.drivers.storage.disks import NOT_READ
from metal.edge_client.runs import RunCalls
from metal.engine import proof
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim
from metal.engine.in_boot_os import in_boot_os
from metal.engine.observe import observe
from metal.errors import Refused, Unreachable
from metal.planning.plan import Plan
from specs.facts import Disk, Hardware, WipeReport

LOGGER: Final = logging.getLogger(__name__)


def attest(
    edge: RunCalls, claim: Claim, plan: Plan, *, log: Log = LOGGER.info, around: Surroundings = REAL
) -> tuple[WipeReport, ...]:
    """Read the machine in the boot OS; give the reports of this job, one for each disk of the plan.

    The machine that is read is proven to be the host, in the boot that it is read in. The reading is stored
    at the edge: from then on the host shows blank disks. Raises Refused (verify-failed) where anything is
    seen on one of them, or one has no report, Refused (identity-unproven); JobWaits while the machine boots.
    """

    def read() -> Hardware:
        record = edge.host(claim.host)
        if record.boot is not None:
            proof.require(
                edge, claim, record, sessions=around.sessions, clock=around.clock, sleep=around.sleep
            )
        seen = observe(edge, claim.host, claim, around=around, log=log)
        if seen.hardware is None or seen.seen_from != "boot-os":
            told = seen.unknown.get("hardware", f"read from {seen.seen_from}")
            raise Unreachable(told, host=claim.host, reason="unreachable")
        newest = edge.host(claim.host).boot
        if record.boot is None or newest is None or newest.boot_no != record.boot.boot_no:
            told = "another boot OS reported in while the disks were read"
            raise Unreachable(told, host=claim.host, reason="unreachable")
        return seen.hardware

    hardware = in_boot_os(edge, claim, read, log=log, around=around)
    reports = {one.identity: one for one in _reports(edge, claim, plan)}
    erased = [str(step.args["target"]["identity"]) for step in plan.steps if step.kind == "wipe"]
    wrong = [why for name in erased if (why := _why_not(name, hardware, reports.get(name)))]
    if wrong:
        raise Refused(
            f"erased, and not blank: {'; '.join(wrong)}",
            host=claim.host,
            reason="verify-failed",
            hint=f"rackflow host {claim.host} shows what is on its disks, then rackflow wipe {claim.host}",
        )
    return tuple(reports[name] for name in erased)


def _why_not(name: str, hardware: Hardware, report: WipeReport | None) -> str | None:
    """Why a disk does not count as erased."""
    disk = next((one for one in hardware.disks if one.identity == name), None)
    if disk is None:
        return f"{name} is not seen any more"
    found = _seen_on(disk)
    if found:
        return f"{name}: {found}"
    return None if report is not None else f"{name} has no report"


def _seen_on(disk: Disk) -> str:
    """What lies on it. That its head was slow to be read here is nothing: its report was made by reading."""
    parts = [f"partition {one.number}" for one in disk.partitions]
    return ", ".join((*(said for said in disk.found if said != NOT_READ), *parts))


def _reports(edge: RunCalls, claim: Claim, plan: Plan) -> Iterator[WipeReport]:
    """The reports that this job's steps left in the journal."""
    for row in edge.journal_rows(claim.host, job=claim.job):
        told = row.detail.get("wipe")
        if row.phase == "done" and row.plan == plan.hash and told is not None:
            yield WipeReport.model_validate(told)
