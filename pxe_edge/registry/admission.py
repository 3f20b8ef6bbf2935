"""Letting machines in: hosts registered before they are seen, and MACs that an operator approves."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from pxe_edge.discovery.identify import host_name
from pxe_edge.registry import addresses, binding, hosts, sightings, timeline
from pxe_edge.registry.errors import ConflictError, InvalidError, NotFoundError
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import HostRow
from specs.identity import mac_identity, serial_identity, uuid_identity
from specs.shapes import IpAddress


@dataclass(frozen=True, slots=True)
class Identities:
    """What a machine can be known by before it is seen."""

    mac: str | None = None
    uuid: str | None = None
    serial: str | None = None


def identities(*, mac: str | None, uuid: str | None, serial: str | None, name: str | None) -> Identities:
    """Check what was given: a value that ten thousand boards share names no machine."""
    found = Identities(mac_identity(mac), uuid_identity(uuid), serial_identity(serial))
    for what, given in (("mac", mac), ("uuid", uuid), ("serial", serial)):
        if given is not None and getattr(found, what) is None:
            raise InvalidError(f"{what} {given!r} names no one machine", code="identity", host=name)
    return found


def announce(
    session: Session,
    now: datetime,
    name: str | None,
    known_by: Identities,
    *,
    address: IpAddress | None,
    current: Current | None,
    own: Collection[IpAddress],
) -> HostRow:
    """Register a host that nobody has seen, with the address that it is to get by DHCP."""
    host = hosts.register(
        session,
        now,
        name or _made_up(known_by),
        own_name=name is not None,
        uuid=known_by.uuid,
        serial=known_by.serial,
        macs=[known_by.mac] if known_by.mac else [],
        by="operator",
    )
    if known_by.mac:
        sightings.forget(session, [known_by.mac])
    if address is not None:
        if current is None:
            raise ConflictError(
                "no spec set is current, so no network gives addresses",
                code="address",
                hint="rackflow spec publish",
            )
        addresses.keep_fixed(session, now, host, address, current, own=own)
    return host


def _made_up(known_by: Identities) -> str:
    if known_by.mac:
        return host_name(None, None, known_by.mac)
    if known_by.serial:
        return host_name("serial", known_by.serial, "00:00:00:00:00:00")
    if known_by.uuid:
        return f"uuid-{known_by.uuid}"
    raise InvalidError("a host without a name needs a MAC, a UUID or a serial", code="identity")


def approve(
    session: Session, now: datetime, what: str, as_host: str | None, current: Current | None
) -> HostRow:
    """Let a held MAC in, or let a known host boot the boot OS again.

    `as_host` names the machine with this MAC: a host that is known by its serial alone, or a new one.
    """
    mac = mac_identity(what)
    host = hosts.by_mac(session, mac) if mac else hosts.lookup(session, what)
    if mac is None and as_host is not None:
        raise InvalidError(
            f"{what} is no MAC", code="identity", hint="give the MAC of the sighting", host=what
        )
    if host is not None:
        if as_host is not None and hosts.lookup(session, as_host) is not host:
            raise ConflictError(f"{what} is host {host.name} already", code="identity-conflict", host=as_host)
    elif mac is not None:
        host = _admit(session, now, mac, as_host)
        sightings.forget(session, [mac])
    else:
        raise NotFoundError(f"{what} is neither a host nor a MAC", hint="rackflow hosts", host=what)
    host.boot_wish, host.reason, host.message = "boot-os", None, None
    session.flush()
    binding.arrived(session, now, host, current)
    timeline.add(session, now, "approval", f"{what} approved by an operator", host_id=host.id, mac=mac)
    return host


def _admit(session: Session, now: datetime, mac: str, as_host: str | None) -> HostRow:
    meant = hosts.lookup(session, as_host) if as_host else None
    if meant is None:
        name = as_host or host_name(None, None, mac)
        return hosts.register(session, now, name, own_name=as_host is not None, macs=[mac], by="approval")
    hosts.add_macs(session, meant, [mac])
    return meant
