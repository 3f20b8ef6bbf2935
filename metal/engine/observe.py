"""One reading of a host: from its boot OS or its running system, whichever is up, and from its BMC."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal

from metal.drivers.bmc.state import read_state
from metal.drivers.guest.facts import Question, read_system
from metal.drivers.hardware import read_hardware
from metal.edge_client.runs import RunCalls
from metal.engine.around import REAL, Log, Surroundings
from metal.engine.claim import Claim
from metal.engine.connect import Address, Sessions, bmc, boot_os, running_os
from metal.engine.enter import BOOT_STEP, Entry, boot_id
from metal.engine.waits import until_reached
from metal.engine.work import wanted_secrets
from metal.errors import RackflowError, Refused, Unparsable, Unreachable
from metal.protocols import Shell
from specs.facts import BmcState, Hardware, Observation, SeenFrom, SystemFacts
from specs.phases import Phase
from specs.raid_health import health_of
from specs.records import ConditionStatus, HostRecord, SecretValue, WorkOrder

LOGGER: Final = logging.getLogger(__name__)
TO_INSTALL: Final = frozenset({Phase.READY, Phase.PROVISIONING, Phase.PROVISION_FAILED})
"""Phases in which a host with a spec is installed: from the boot OS."""
TO_WIPE: Final = frozenset({Phase.READY, Phase.PROVISION_FAILED, Phase.WIPING, Phase.WIPE_FAILED})
"""Phases in which a host is wiped from the boot OS, unless a system of its own still answers."""
REPLACING: Final = frozenset({"reinstall", "wipe"})
"""Verbs that give up the system of an active host."""
UNREAD: Final = ("tool-missing", "raid-unknown")
"""Reasons for which a controller's drives are not known: no tool, and one that was not understood."""
TOOL_MISSING: Final = "tool missing"
MOST_TOLD: Final = 2000
"""Characters of a condition's message."""
STALE_S: Final = 3.0
"""How long a boot OS may take to answer where a deployed system may be up instead."""


def observe(
    edge: RunCalls,
    host: str,
    claim: Claim | None = None,
    *,
    around: Surroundings = REAL,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    patience_s: float = 20.0,
    log: Log = LOGGER.info,
) -> Observation:
    """Read a host and store the reading at the edge. Changes nothing on it.

    A host that is about to be installed, and whose boot OS is gone, is brought back into it first, and so is
    one that is to be reinstalled and is off: raises JobWaits, Refused (boot-os-lost, boot-os-timeout). A part
    that cannot be read is named in `unknown`; Unreachable is raised only when nothing answers.
    """
    order = edge.order(host)
    record = edge.host(host)
    if claim is not None and (
        _needs_boot_os(edge, order, record, claim, around) or _lies_dead(edge, record, claim, around)
    ):
        _way_in(edge, claim, around, log).ensure()
        record = edge.host(host)
    unknown: dict[str, str] = {}
    state = _bmc(edge, record, claim, around.sessions, unknown)
    hardware, system = None, None
    seen_from: SeenFrom = "bmc"
    try:
        shell, seen_from = _open(edge, record, around, patience_s)
    except (Unreachable, Refused) as error:
        if state is None:
            raise
        unknown["system"] = unknown["hardware"] = error.message
    else:
        booted = _booted_mac(shell) if seen_from == "boot-os" else None
        hardware, gaps = read_hardware(shell, booted)
        if seen_from == "running-os":
            hardware, gaps = _with_last(hardware, gaps, record.observation)
        unknown.update({f"hardware.{field}": why for field, why in gaps.items()})
        if seen_from == "running-os":
            system = _system(edge, shell, order, unknown)
        else:
            unknown["system"] = "the boot OS is up, the deployed system is not running"
    observation = Observation(
        at=now(), seen_from=seen_from, hardware=hardware, system=system, bmc=state, unknown=unknown
    )
    edge.put_observation(host, observation, epoch=claim.epoch if claim else None)
    _tell_health(edge, record, order, observation)
    _tell_controllers(edge, record, observation)
    if claim is not None:
        kept = around.memory.of(claim)
        kept.booted(record.boot.boot_no if record.boot and seen_from == "boot-os" else None)
        kept.observed = (observation.at.isoformat(), around.clock())
    return observation


def _tell_health(edge: RunCalls, record: HostRecord, order: WorkOrder, observation: Observation) -> None:
    """Set `Healthy` by the machine's RAID volumes, where there are any, and where it is not so already."""
    told = health_of(observation, order.spec.raid if order.spec else ())
    known = next((one for one in record.conditions if one.type == "Healthy"), None)
    status, message = told.status, told.message
    if status is None and known is not None and _shows_volumes(observation):
        # A verdict on volumes that are gone, as after a wipe, would stand for ever, also a good one.
        status, message = "True", "no RAID volume is there"
    if status is None or (known and (known.status, known.message) == (status, message)):
        return
    edge.put_condition(record.name, "Healthy", status=status, reason=told.reason, message=message[:MOST_TOLD])


def _tell_controllers(edge: RunCalls, record: HostRecord, observation: Observation) -> None:
    """Set `HardwareMatches` to unknown while a RAID controller can't be asked: its drives are not known.

    Only the boot OS has the vendors' tools. What another check has found untrue stays so.
    """
    hardware = observation.hardware
    known = next((one for one in record.conditions if one.type == "HardwareMatches"), None)
    if hardware is None or observation.seen_from != "boot-os" or (known and known.status == "False"):
        return
    blind = [one for one in hardware.controllers if one.problem is not None]
    if not blind and (known is None or known.reason not in UNREAD):
        return
    told = "; ".join(f"controller {one.model or one.driver} at {one.id}: {one.problem}" for one in blind)
    missing = any((one.problem or "").startswith(TOOL_MISSING) for one in blind)
    status: ConditionStatus = "Unknown" if blind else "True"
    reason = (UNREAD[0] if missing else UNREAD[1]) if blind else "ok"
    message = (told or "every RAID controller was read")[:MOST_TOLD]
    if known is None or (known.status, known.reason, known.message) != (status, reason, message):
        edge.put_condition(record.name, "HardwareMatches", status=status, reason=reason, message=message)


def _shows_volumes(observation: Observation) -> bool:
    """Whether a volume that is there would have been seen."""
    return observation.seen_from == "boot-os" and "hardware.raids" not in observation.unknown


def _needs_boot_os(
    edge: RunCalls, order: WorkOrder, record: HostRecord, claim: Claim, around: Surroundings
) -> bool:
    """Whether this job installs or wipes the host, has not done so, and finds no boot OS to do it from."""
    if record.phase not in TO_INSTALL | TO_WIPE:
        return False
    verb = edge.job(claim.host, claim.job).verb
    if verb == "wipe":
        return record.phase in TO_WIPE and boot_id(edge, record, around) is None
    if record.phase not in TO_INSTALL or order.spec is None or order.spec.image is None:
        return False
    if (record.installed or {}).get("job") == claim.job:
        return False
    if verb not in ("apply", "reinstall"):
        return False
    return record.boot is None or not Entry(edge, claim, around, LOGGER.info).answers(record)


def _way_in(edge: RunCalls, claim: Claim, around: Surroundings, log: Log) -> Entry:
    """The way into the boot OS; that of the plan's own step where an earlier run has set out on it.

    Such a machine is on its way, and may take as long as that step lets it.
    """
    step = Entry(edge, claim, around, log, step=BOOT_STEP, at_once=True)
    return step if step.is_under_way() else Entry(edge, claim, around, log)


def _lies_dead(edge: RunCalls, record: HostRecord, claim: Claim, around: Surroundings) -> bool:
    """Whether a system that is to be replaced can't be asked, because its machine is off; or is on its way.

    To start it by its network costs nobody anything. One that is on and silent may serve somebody.
    """
    if record.phase not in (Phase.ACTIVE, Phase.ADOPTED) or record.bmc_address is None:
        return False
    replaced = (record.installed or {}).get("job") == claim.job
    if replaced or edge.job(claim.host, claim.job).verb not in REPLACING:
        return False
    if Entry(edge, claim, around, LOGGER.info).is_under_way():
        return True
    try:
        owner = f"{claim.run_id}:observe"
        with bmc(edge, claim.host, owner=owner, sessions=around.sessions, epoch=claim.epoch) as session:
            return session.power() == "off"
    except (Unreachable, Refused):
        return False


def _open(
    edge: RunCalls, record: HostRecord, around: Surroundings, patience_s: float
) -> tuple[Shell, Literal["boot-os", "running-os"]]:
    """Open a shell in what is up. A boot OS that is gone without a word leaves the deployed system to try."""

    def reach(at: Address, deadline_s: float) -> Shell:
        return until_reached(
            lambda: _awake(around.sessions.shell(edge, at)),
            deadline_s=deadline_s,
            clock=around.clock,
            sleep=around.sleep,
        )

    installed = record.os is not None or bool(record.installed)
    if record.boot is not None:
        try:
            return reach(boot_os(record), STALE_S if installed else patience_s), "boot-os"
        except (Unreachable, Refused):
            if not installed:
                raise
    return reach(running_os(record), patience_s), "running-os"


def _awake(shell: Shell) -> Shell:
    """Give the shell if it answers: a kept one may lead to a machine that was switched off."""
    # Not shorter: sudo on a system whose name does not resolve asks its name servers first.
    shell.read(("true",), timeout_s=30)
    return shell


def _with_last(
    hardware: Hardware, gaps: dict[str, str], last: Observation | None
) -> tuple[Hardware, dict[str, str]]:
    """Keep what only the boot OS can read: identity, memory, TPM, BMC. They do not change under a system.

    Disks, NICs and arrays are never carried on: not to be read is unknown. That a system shows no TPM says
    nothing: it may lack the driver.
    """
    if hardware.tpm == "none":
        hardware = hardware.model_copy(update={"tpm": None})
    if last is None or last.hardware is None:
        return hardware, gaps
    lasting = ("manufacturer", "product", "serial", "uuid", "firmware", "memory_bytes", "tpm", "bmc")
    kept = {
        name: value
        for name in lasting
        if getattr(hardware, name) is None and (value := getattr(last.hardware, name)) is not None
    }
    booted = {nic.mac for nic in last.hardware.nics if nic.booted}
    nics = tuple(nic.model_copy(update={"booted": nic.mac in booted}) for nic in hardware.nics)
    whole = hardware.model_copy(update={**kept, "nics": nics})
    still = {field: why for field, why in gaps.items() if not (field in lasting and getattr(whole, field))}
    return whole, still


def _booted_mac(shell: Shell) -> str | None:
    """Give the NIC that PXE-booted, from the kernel's command line (`BOOTIF=01-52-54-…`)."""
    line = (shell.read_file("/proc/cmdline") or b"").decode(errors="replace")
    found = re.search(r"\bBOOTIF=01-([0-9A-Fa-f-]{17})\b", line)
    return found[1].lower().replace("-", ":") if found else None


def _system(edge: RunCalls, shell: Shell, order: WorkOrder, unknown: dict[str, str]) -> SystemFacts | None:
    """Read the running system; its secrets are compared here and only yes or no leaves."""
    try:
        reading = read_system(shell, Question.about(order, "/"))
    except (Refused, Unparsable) as error:
        unknown["system"] = error.message
        return None
    return reading.system(_secrets(edge, order, unknown), management_key=order.management_key or None)


def _secrets(edge: RunCalls, order: WorkOrder, unknown: dict[str, str]) -> dict[str, SecretValue]:
    found: dict[str, SecretValue] = {}
    for name in wanted_secrets(order):
        try:
            secret = edge.secret(name)
        except Refused as error:
            unknown[f"secret.{name}"] = error.message
            continue
        found[secret.ref] = secret
    return found


def _bmc(
    edge: RunCalls, record: HostRecord, claim: Claim | None, sessions: Sessions, unknown: dict[str, str]
) -> BmcState | None:
    if record.bmc_address is None:
        unknown["bmc"] = "no BMC is set up"
        return None
    owner = f"{claim.run_id if claim else 'observe'}:observe"
    try:
        with bmc(edge, record.name, owner=owner, sessions=sessions) as session:
            return read_state(session, record.bmc_address)
    except RackflowError as error:
        unknown["bmc"] = error.message
        return None
