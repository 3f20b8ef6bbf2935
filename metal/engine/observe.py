"""One reading of a host: from its boot OS or its running system, whichever is up, and from its BMC."""

from collections.abc import Callable
from datetime import UTC, datetime

from metal.drivers.bmc.state import read_state
from metal.drivers.guest.facts import Question, read_system
from metal.drivers.hardware import read_hardware
from metal.edge_client.runs import RunCalls
from metal.engine.claim import Claim
from metal.engine.connect import Sessions, bmc, boot_os, running_os
from metal.engine.steps import REAL, Surroundings
from metal.engine.waits import until_reached
from metal.engine.work import wanted_secrets
from metal.errors import RackflowError, Refused, Unparsable, Unreachable
from metal.protocols import Shell
from specs.facts import BmcState, Hardware, Observation, SeenFrom, SystemFacts
from specs.records import HostRecord, SecretValue, WorkOrder


def observe(
    edge: RunCalls,
    host: str,
    claim: Claim | None = None,
    *,
    around: Surroundings = REAL,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    patience_s: float = 20.0,
) -> Observation:
    """Read a host and store the reading at the edge. Changes nothing.

    A part that cannot be read is named in `unknown`; Unreachable is raised only when nothing answers.
    """
    order = edge.order(host)
    record = edge.host(host)
    unknown: dict[str, str] = {}
    state = _bmc(edge, record, claim, around.sessions, unknown)
    hardware, system = None, None
    seen_from: SeenFrom = "bmc"
    try:
        if record.boot is not None:
            shell = _reach(lambda: around.sessions.shell(edge, boot_os(record)), around, patience_s)
            hardware, seen_from = _hardware(shell, record, unknown), "boot-os"
            unknown["system"] = "the boot OS is up, the deployed system is not running"
        else:
            shell = _reach(lambda: around.sessions.shell(edge, running_os(record)), around, patience_s)
            hardware = _hardware(shell, record, unknown)
            system, seen_from = _system(edge, shell, order, unknown), "running-os"
    except Unreachable as error:
        if state is None:
            raise
        unknown["system"] = unknown["hardware"] = error.message
    observation = Observation(
        at=now(), seen_from=seen_from, hardware=hardware, system=system, bmc=state, unknown=unknown
    )
    edge.put_observation(host, observation, epoch=claim.epoch if claim else None)
    if claim is not None:
        around.memory.of(claim).observed = (observation.at.isoformat(), around.clock())
    return observation


def _reach(opened: Callable[[], Shell], around: Surroundings, patience_s: float) -> Shell:
    return until_reached(opened, deadline_s=patience_s, clock=around.clock, sleep=around.sleep)


def _hardware(shell: Shell, record: HostRecord, unknown: dict[str, str]) -> Hardware:
    booted = record.macs[0] if record.macs and record.boot is not None else None
    hardware, gaps = read_hardware(shell, booted)
    unknown.update({f"hardware.{field}": why for field, why in gaps.items()})
    return hardware


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
