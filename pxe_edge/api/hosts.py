"""Hosts: list, register, approve, rename, remove; orders, conditions, phases."""

from typing import Annotated

from fastapi import APIRouter, Query

from pxe_edge.api import bodies as b
from pxe_edge.api.access import Admin, Anybody, Reg, Worker
from pxe_edge.api.answers import JsonText
from pxe_edge.registry import (
    addresses,
    admission,
    binding,
    boots,
    credentials,
    hosts,
    leases,
    orders,
    timeline,
)
from pxe_edge.registry.errors import ConflictError, InvalidError, NotFoundError
from specs.phases import CONDITIONS, Phase
from specs.records import HostRecord, TimelineEntry, WorkOrder

router = APIRouter(prefix="/v1/hosts", tags=["hosts"])
After = Annotated[str, Query(description="`next` of the page before")]


@router.get("", response_model=b.Page[HostRecord])
def list_hosts(registry: Reg, _: Anybody, after: After = "") -> JsonText:
    """All hosts, by name."""
    with registry.db.read() as session:
        return JsonText(registry.host_page(session, after))


@router.get("/{name}", response_model=HostRecord)
def get_host(name: str, registry: Reg, _: Anybody) -> JsonText:
    """One host by name, id or former name."""
    with registry.db.read() as session:
        return JsonText(registry.host_text(session, hosts.get(session, name)))


@router.post("", status_code=201, response_model=HostRecord)
def add_host(body: b.NewHost, registry: Reg, _: Admin) -> JsonText:
    """Register a host before it is seen."""
    now = registry.now()
    known_by = admission.identities(mac=body.mac, uuid=body.uuid, serial=body.serial, name=body.name)
    with registry.db.write() as session:
        host = admission.announce(
            session, now, body.name, known_by,
            address=body.address, current=registry.current, own=registry.addresses.values(),
        )  # fmt: skip
        if body.bmc is not None:
            credentials.factory(
                session, now, registry.seal, host,
                address=body.bmc.address, user=body.bmc.user, password=body.bmc.password,
            )  # fmt: skip
            host.bmc_address = body.bmc.address
        binding.arrived(session, now, host, registry.current)
        return JsonText(registry.host_text(session, host), status_code=201)


@router.post("/approve", response_model=HostRecord)
def approve(body: b.Approval, registry: Reg, _: Admin) -> JsonText:
    """Let a held machine in, or let a host with a foreign system boot the boot OS again."""
    with registry.db.write() as session:
        host = admission.approve(session, registry.now(), body.what, body.host, registry.current)
        return JsonText(registry.host_text(session, host))


@router.patch("/{name}", response_model=HostRecord)
def change_host(name: str, body: b.HostChange, registry: Reg, _: Admin) -> JsonText:
    """Rename a host; one that a spec is bound to bears the spec's name."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        bound = binding.spec_name(session, host.id)
        if bound is not None and bound != body.name:
            raise ConflictError(
                f"spec {bound} names this host", code="bound", hint="rename the spec", host=host.name
            )
        hosts.rename(session, registry.now(), host, body.name, own_name=True)
        return JsonText(registry.host_text(session, host))


@router.delete("/{name}", status_code=204)
def remove_host(name: str, registry: Reg, _: Admin) -> None:
    """Forget a host and all that hangs on it; 409 while a job has it."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        lease = leases.read(session, host.id)
        if lease.job is not None:
            raise ConflictError(
                f"job {lease.job} has {host.name}",
                code="lease",
                hint=f"rackflow cancel {host.name}, or: rackflow release {host.name}",
                host=host.name,
            )
        timeline.add(session, registry.now(), "host", f"{host.name} ({host.id}) removed by an operator")
        session.delete(host)


@router.get("/{name}/order", response_model=WorkOrder)
def get_order(name: str, registry: Reg, _: Worker) -> JsonText:
    """All that a run needs to plan the host. Keeps a BMC address for it if it has none yet."""
    with registry.db.write() as session:
        return JsonText(orders.text(session, registry, hosts.get(session, name)))


@router.put("/{name}/addresses/{key:path}")
def keep_address(name: str, key: str, network: str, registry: Reg, _: Worker) -> dict[str, str]:
    """The kept address under this key, else a new one of the network."""
    current = registry.current
    found = next((n for n in current.site.networks if n.name == network), None) if current else None
    if found is None:
        raise NotFoundError(f"the site has no network {network}", host=name)
    with registry.db.write() as session:
        host = hosts.get(session, name)
        named = current.named_addresses if current else frozenset()
        row = addresses.keep_any(session, registry.now(), host, key, found, named=named)
        return {"address": f"{row.address}/{found.subnet.prefixlen}", "network": row.network}


@router.put("/{name}/conditions/{kind}", status_code=204)
def put_condition(name: str, kind: str, body: b.ConditionBody, registry: Reg, _: Worker) -> None:
    """Set one condition."""
    if kind not in CONDITIONS:
        raise InvalidError(f"no condition is called {kind}", hint=", ".join(CONDITIONS), host=name)
    with registry.db.write() as session:
        host = hosts.get(session, name)
        hosts.set_condition(
            session, registry.now(), host.id, kind, body.status, reason=body.reason, message=body.message
        )


@router.post("/{name}/phase", response_model=HostRecord)
def set_phase(name: str, body: b.PhaseChange, registry: Reg, _: Worker) -> JsonText:
    """Move the host to a phase, under the lease's epoch."""
    with registry.db.write() as session:
        host = hosts.get(session, name)
        leases.require_epoch(session, host, body.epoch)
        if (host.phase, body.phase) == (Phase.WIPING, Phase.READY):
            boots.forget_system(session, registry.now(), host)
        hosts.set_phase(session, registry.now(), host, body.phase, reason=body.reason, message=body.message)
        if body.phase is Phase.READY:
            binding.arrived(session, registry.now(), host, registry.current)
        return JsonText(registry.host_text(session, host))


@router.get("/{name}/timeline")
def get_timeline(name: str, registry: Reg, _: Anybody, after: After = "0") -> b.Page[TimelineEntry]:
    """The host's history, oldest first."""
    with registry.db.read() as session:
        host = hosts.get(session, name)
        rows = timeline.of_host(session, host.id, after=int(after) if after.isdecimal() else 0)
        return b.Page(items=[entry for _, entry in rows])
