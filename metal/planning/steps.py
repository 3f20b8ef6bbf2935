"""From a work order and a reading to a plan: install, or repair in place, or nothing."""

from collections.abc import Iterator
from typing import Any, Final

from metal.errors import SpecError
from metal.planning.basis import basis_of
from metal.planning.choice import choose
from metal.planning.configure import ADJUSTABLE, Where, configure
from metal.planning.diff import differences
from metal.planning.difference import Difference
from metal.planning.install import install_steps
from metal.planning.plan import Plan, Step, StepKind
from metal.planning.restarts import declared
from metal.planning.root_disk import root_drift, root_identities
from metal.planning.tpm import tpm_notes
from metal.planning.wish import layout_hash, wish_of
from specs.facts import Hardware, Observation
from specs.model import Host
from specs.phases import Phase
from specs.raid_health import Health, health_of
from specs.records import WorkOrder

INSTALLED: Final = frozenset({Phase.ACTIVE, Phase.ADOPTED, Phase.RESCUE})
"""Phases in which a system runs that must not be lost."""

BUSY: Final = frozenset({Phase.WIPING, Phase.WIPE_FAILED, Phase.RETIRED})
"""Phases that no spec is applied in."""


def make_plan(order: WorkOrder, observation: Observation | None, *, reinstall: bool = False) -> Plan:
    """Decide all that a run will do. Raises SpecError where there is nothing to plan with.

    What merely stands in the way (no image, no fitting disk, a missing secret) does not raise: the plan
    then has steps with `blocked_by`, and says what was seen.
    """
    host, spec = order.host, order.spec
    if spec is None:
        hint = "publish a Host spec whose match fits it"
        raise SpecError("no spec is bound to this host", host=host.name, reason="no-spec", hint=hint)
    if host.phase in BUSY:
        told = f"no spec is applied while the host is {host.phase.value}"
        wiped = host.phase in (Phase.WIPING, Phase.WIPE_FAILED)
        hint = f"rackflow wipe {host.name} makes it ready again" if wiped else f"rackflow host {host.name}"
        raise SpecError(told, host=host.name, reason="no-work-due", hint=hint)
    if observation is None:
        hint = f"rackflow plan {host.name} --refresh"
        raise SpecError("nothing was read of this host yet", host=host.name, reason="unreachable", hint=hint)
    if host.phase in INSTALLED and not reinstall:
        return _repair(order, spec, observation)
    if spec.image is None:
        note = "the spec names no image: nothing to install"
        return _plan(order, observation, notes=(note,), basis=basis_of(observation, "hardware"))
    return _install(order, spec, observation, reinstall=reinstall)


def _install(order: WorkOrder, spec: Host, observation: Observation, *, reinstall: bool) -> Plan:
    hardware = observation.hardware
    if hardware is None or "hardware.disks" in observation.unknown:
        why = observation.unknown.get("hardware.disks") or observation.unknown.get("hardware", "not read")
        told = f"the disks of this host are not known: {why}"
        # To start a machine that is off from the network costs nobody anything; one that is on may serve.
        verb = "power off" if order.host.phase in INSTALLED else "inspect"
        hint = f"rackflow {verb} {order.host.name}, then ask again: the boot OS reads them"
        raise SpecError(told, host=order.host.name, reason="disks-unread", hint=hint)
    wish = wish_of(spec, order, hardware.nics)
    chosen = choose(spec, order, hardware, groups_unread=observation.unknown.get("hardware.volume_groups"))
    booted = observation.seen_from == "boot-os"
    steps = tuple(install_steps(spec, order, chosen, wish, booted=booted, firmware=_firmware(spec, hardware)))
    return _plan(
        order,
        observation,
        reinstall=reinstall,
        steps=steps,
        notes=(*tpm_notes(spec, hardware.tpm), *chosen.notes),
        basis=basis_of(observation, "hardware"),
        root_disks=root_identities(chosen.storage.root),
        image_digest=order.image.digest if order.image else None,
        layout_hash=layout_hash(spec),
    )


def _repair(order: WorkOrder, spec: Host, observation: Observation) -> Plan:
    hardware = observation.hardware
    if hardware is None and order.host.observation:
        hardware = order.host.observation.hardware
    wish = wish_of(spec, order, hardware.nics if hardware else None)
    ours = order.host.phase != Phase.ADOPTED
    found = list(differences(spec, order, wish, observation, ours=ours))
    moved = root_drift(spec, order.host.installed, observation.hardware) if observation.hardware else None
    found += [moved] if moved else []
    seen: dict[StepKind, tuple[str, str]] = {}
    for kind in ADJUSTABLE:
        of_kind = [one for one in found if one.repair == kind]
        if of_kind:
            seen[kind] = (_joined(of_kind, "seen"), _joined(of_kind, "wished"))
    where: Where = "running-os" if observation.seen_from == "running-os" else "boot-os"
    steps = [*configure(wish, frozenset(seen), where, {str(kind): pair for kind, pair in seen.items()})]
    steps += [_power(one) for one in found if one.repair == "power"]
    drift = tuple(str(one) for one in found if one.repair is None)
    return _plan(
        order,
        observation,
        steps=tuple(steps),
        drift=drift,
        notes=(
            *(() if ours else ("adopted: image and layout are not ours and not compared",)),
            *_of_volumes(health_of(observation, spec.raid if ours else ())),
        ),
        basis=basis_of(observation, "system"),
        image_digest=order.image.digest if order.image else None,
        layout_hash=layout_hash(spec),
    )


def _of_volumes(health: Health) -> Iterator[str]:
    """What passes by itself, or can't be known: to be told, and nothing to be done."""
    for one in (*health.worn, *health.states, *health.unknown):
        yield f"volume {one.volume}: {one.text}"


def _power(difference: Difference) -> Step:
    wished = difference.wished
    return Step(
        id="power",
        kind="power",
        field="power",
        old=difference.seen,
        new=wished,
        reason="as the spec asks",
        reboot=wished == "on",
        minutes=1.0,
        where="bmc",
        args={"action": wished},
    )


def _firmware(spec: Host, hardware: Hardware) -> str | None:
    return hardware.firmware or spec.firmware.boot_mode


def _joined(found: list[Difference], part: str) -> str:
    return "; ".join(f"{one.field} {getattr(one, part)}" for one in found)


def _plan(order: WorkOrder, observation: Observation, *, steps: tuple[Step, ...] = (), **parts: Any) -> Plan:
    return Plan(
        host=order.host.name,
        host_id=order.host.id,
        specset=order.specset,
        spec=order.spec.name if order.spec else None,
        observed_at=observation.at.isoformat(),
        seen_from=observation.seen_from,
        steps=tuple(declared(step) for step in steps),
        **parts,
    )
