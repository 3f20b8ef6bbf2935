"""Which host a machine is, by UUID, then serial, then MAC; conflicts are refused, never guessed.

A report-in comes from whoever could fetch a boot seed on the provisioning LAN, so it proves little:
it may name a known machine only if nothing it says contradicts what is known (DESIGN 4).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from specs.facts import Discovery, ReportIn
from specs.identity import mac_identity, serial_identity, uuid_identity


@dataclass(frozen=True, slots=True)
class KnownHost:
    """Identity values of a registered host."""

    id: str
    name: str
    uuid: str | None
    serial: str | None
    macs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Boot:
    """The boot that the token belongs to: its number, and the MAC that asked for it."""

    no: int
    mac: str
    host_id: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a report-in or registration is not taken."""

    reason: Literal["identity-conflict", "bad-report"]
    message: str
    host_id: str | None = None


def find(
    hosts: Iterable[KnownHost], *, uuid: str | None, serial: str | None, macs: Iterable[str]
) -> KnownHost | Refusal | None:
    """The one host that these identities name; a Refusal when they name two or contradict one."""
    known = tuple(hosts)
    wanted = frozenset(macs)
    hits = (
        ("UUID", uuid, [h for h in known if uuid is not None and h.uuid == uuid]),
        ("serial", serial, [h for h in known if _same(serial, h.serial)]),
        ("MAC", ", ".join(sorted(wanted)), [h for h in known if h.macs & wanted]),
    )
    named = {h.id: h for _, _, found in hits for h in found}
    if len(named) > 1:
        said = "; ".join(f"{what} {value} is {found[0].name}" for what, value, found in hits if found)
        return Refusal("identity-conflict", f"the machine's identities name two hosts: {said}")
    if not named:
        return None
    host = next(iter(named.values()))
    for what, given, kept in (("UUID", uuid, host.uuid), ("serial", serial, host.serial)):
        if given is not None and kept is not None and not _same(given, kept):
            return Refusal(
                "identity-conflict", f"{host.name} has {what} {kept}, the machine says {given}", host.id
            )
    return host


def _same(given: str | None, kept: str | None) -> bool:
    # Serials are typed from labels and delivery notes: their case says nothing.
    return given is not None and kept is not None and given.lower() == kept.lower()


def discover(report: ReportIn, boot: Boot, peer: str, hosts: Iterable[KnownHost]) -> Discovery | Refusal:
    """Check a report-in whose token was good; `peer` is the address that it came from."""
    mac = mac_identity(report.mac)
    if mac is None or mac != boot.mac:
        return Refusal("bad-report", f"MAC {report.mac!r} is not {boot.mac}, which the boot was given to")
    if report.boot_no != boot.no:
        return Refusal("bad-report", f"boot number {report.boot_no} is not {boot.no}, which the token is for")
    if not report.ssh_host_key.startswith("ssh-ed25519 ") or len(report.ssh_host_key) > 200:
        return Refusal("bad-report", f"expected an ssh-ed25519 host key, got {report.ssh_host_key[:40]!r}")
    uuid, serial = uuid_identity(report.uuid), serial_identity(report.serial)
    found = find(hosts, uuid=uuid, serial=serial, macs=(mac,))
    if isinstance(found, Refusal):
        return found
    if boot.host_id is not None and (found is None or found.id != boot.host_id):
        other = "an unknown machine" if found is None else found.name
        return Refusal(
            "identity-conflict", f"the boot was another host's; it reports as {other}", boot.host_id
        )
    return Discovery(
        host_id=found.id if found else None,
        boot_no=boot.no,
        mac=mac,
        uuid=uuid,
        serial=serial,
        address=_address(report, peer),
        ssh_host_key=report.ssh_host_key,
        arch=report.arch[:16],
        firmware=report.firmware,
        memory_bytes=report.mem_bytes,
    )


def _address(report: ReportIn, peer: str) -> str:
    # Behind NAT the peer is another's address; then the first of the machine's own addresses counts.
    own = [text.split("/")[0] for text in report.addresses]
    if peer in own or not own:
        return peer
    try:
        return str(ip_address(own[0]))
    except ValueError:
        return peer


def host_name(vendor: str | None, serial: str | None, mac: str) -> str:
    """A host's name without a spec: `<vendor>-<serial>`, else `mac-<hex>`; always a valid spec name."""
    brand = (vendor or "").split()
    if brand and serial:
        letters = "".join(c if c.isascii() and c.isalnum() else " " for c in f"{brand[0]} {serial}".lower())
        if len(letters.split()) > 1:
            return "-".join(letters.split())[:60].strip("-")
    return f"mac-{mac.replace(':', '')}"
