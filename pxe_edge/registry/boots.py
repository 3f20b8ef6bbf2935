"""Boots, and what machines say when they are up: report-in, phone-home.

A boot token is 128 bits, good for one report-in and 15 minutes. The same body again is answered like
the first time, because an answer may get lost; another body under the same token is somebody else.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from pxe_edge.discovery import identify
from pxe_edge.jobs import rules
from pxe_edge.jobs.due import boot_os_due
from pxe_edge.registry import binding, hosts, jobs, timeline, waits
from pxe_edge.registry.errors import ConflictError, GoneError, TokenError
from pxe_edge.registry.sealing import digest
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import BootRow, HostRow, InstallTokenRow
from specs.facts import Discovery, ReportIn
from specs.identity import serial_identity, uuid_identity
from specs.phases import Phase

BOOT_TOKEN_S = 15 * 60
TOKEN_BYTES = 16
MAX_STRANGERS = 4096
"""Boots kept of machines that never reported in: whoever makes up MACs fills no disk."""


@dataclass(frozen=True, slots=True)
class NewBoot:
    """A boot as given to a machine: its number and its one-time token."""

    no: int
    token: str


def begin(session: Session, now: datetime, *, mac: str, host: HostRow | None, network: str | None) -> NewBoot:
    """Start a boot of the boot OS: earlier unreported boots of this MAC die with it."""
    session.execute(
        update(BootRow)
        .where(BootRow.mac == mac, BootRow.reported_at.is_(None), BootRow.expires_at > now)
        .values(expires_at=now)
    )
    token = secrets.token_hex(TOKEN_BYTES)
    row = BootRow(
        host_id=host.id if host else None,
        kind="boot-os",
        mac=mac,
        network=network,
        token_hash=digest(token),
        started_at=now,
        expires_at=now + timedelta(seconds=BOOT_TOKEN_S),
    )
    session.add(row)
    session.flush()
    if host is None:
        _forget_strangers(session)
    timeline.add(
        session,
        now,
        "boot",
        f"boot {row.no} of the boot OS given to {mac}",
        host_id=host.id if host else None,
        mac=mac,
    )
    return NewBoot(row.no, token)


def _forget_strangers(session: Session) -> None:
    newest = (
        select(BootRow.no)
        .where(BootRow.host_id.is_(None))
        .order_by(BootRow.no.desc())
        .offset(MAX_STRANGERS)
        .limit(1)
    )
    oldest = session.scalar(newest)
    if oldest is not None:
        session.execute(delete(BootRow).where(BootRow.host_id.is_(None), BootRow.no <= oldest))


def _body_hash(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def report_in(
    session: Session, now: datetime, *, token: str, report: ReportIn, peer: str, current: Current | None
) -> HostRow | None:
    """Take a report-in: discovery, host, boot and job in one transaction; None when it was a repetition.

    Raises what the machine is answered. A refusal of a good token is stored and shown: see `refuse`.
    """
    row = session.scalar(select(BootRow).where(BootRow.token_hash == digest(token)))
    if row is None or row.mac is None:
        raise TokenError("this is no boot token")
    body = _body_hash(report.model_dump(mode="json"))
    if row.body_hash is not None:
        if row.body_hash == body and row.refused is None:
            return None
        raise ConflictError("the token was used with another report", code="token")
    if row.expires_at is not None and row.expires_at <= now:
        raise GoneError(f"boot {row.no} is over", code="token", hint="the machine has to boot anew")
    uuid, serial = uuid_identity(report.uuid), serial_identity(report.serial)
    hosts.join(session, now, mac=row.mac, uuid=uuid, serial=serial)
    known = hosts.known(session, uuid=uuid, serial=serial, macs=(row.mac,))
    owner = row.host_id or next((h.id for h in known if row.mac in h.macs), None)
    found = identify.discover(report, identify.Boot(row.no, row.mac, owner), peer, known)
    if not isinstance(found, identify.Refusal) and row.host_id is None and found.host_id is not None:
        found = _may_be(session, found, hosts.get(session, found.host_id))
    if isinstance(found, identify.Refusal):
        raise RefusedReportError(found, row.no, body)
    row.body_hash = body
    host = _host_of(session, now, found)
    _note_boot(session, now, row, host, found)
    binding.arrived(session, now, host, current)
    waits.wake(session, now, host, "boot-os")
    if rules.report_in_posts(Phase(host.phase), [jobs.as_rule(j) for j in jobs.unfinished(session, host.id)]):
        jobs.post(session, now, host, "discover", by="discovery")
    session.flush()
    return host


def _may_be(session: Session, found: Discovery, host: HostRow) -> Discovery | identify.Refusal:
    """A stranger's boot that turns out to be a known host: only if that host would have been booted.

    Anybody on the LAN gets a stranger's boot where discovery is open. Without this rule its report would
    put another machine's address and host key in the place of a running host's.
    """
    if boot_os_due(jobs.boot_state(session, host)):
        return found
    said = (
        f"a boot that was given to the unknown machine {found.mac} reports as {host.name}, which has none due"
    )
    return identify.Refusal("identity-conflict", said, host.id)


class RefusedReportError(ConflictError):
    """A report-in with a good token that contradicts what is known."""

    def __init__(self, refusal: identify.Refusal, boot_no: int, body_hash: str) -> None:
        super().__init__(refusal.message, code=refusal.reason, hint="the operator sees it in rackflow why")
        self.refusal = refusal
        self.boot_no = boot_no
        self.body_hash = body_hash


def refuse(session: Session, now: datetime, error: RefusedReportError) -> None:
    """Spend the token of a refused report-in and show why, in a transaction of its own."""
    row = session.get(BootRow, error.boot_no)
    if row is None:
        return
    row.body_hash, row.refused = error.body_hash, error.detail
    host_id = error.refusal.host_id or row.host_id
    timeline.add(
        session, now, "refused", f"report-in of boot {row.no}: {error.detail}", host_id=host_id, mac=row.mac,
        detail={"reason": error.refusal.reason},
    )  # fmt: skip
    host = session.get(HostRow, host_id) if host_id else None
    if host is not None:
        host.reason, host.message = error.refusal.reason, error.detail
    session.flush()


def _host_of(session: Session, now: datetime, found: Discovery) -> HostRow:
    if found.host_id is not None:
        host = hosts.get(session, found.host_id)
        host.uuid, host.serial = host.uuid or found.uuid, host.serial or found.serial
        hosts.add_macs(session, host, [found.mac])
    else:
        name = identify.host_name(None, None, found.mac)
        host = hosts.register(
            session,
            now,
            name,
            own_name=False,
            uuid=found.uuid,
            serial=found.serial,
            macs=[found.mac],
            by="discovery",
        )
    host.arch, host.firmware = found.arch, found.firmware
    host.boot_wish = "none"
    return host


def _note_boot(session: Session, now: datetime, row: BootRow, host: HostRow, found: Discovery) -> None:
    row.host_id, row.reported_at = host.id, now
    row.address, row.ssh_host_key = found.address, found.ssh_host_key
    if host.reason == "identity-conflict":
        host.reason, host.message = None, None
    session.flush()
    timeline.add(
        session, now, "report-in", f"boot {row.no} reports in from {found.address} ({found.firmware})",
        host_id=host.id, mac=found.mac, detail={"memory_bytes": found.memory_bytes},
    )  # fmt: skip
    hosts.set_condition(session, now, host.id, "Reachable", "True")


def install_token(session: Session, now: datetime, host: HostRow, *, job: int, deadline: datetime) -> str:
    """A fresh one-time token for the phone-home of the system that this job installs."""
    session.execute(
        update(InstallTokenRow)
        .where(InstallTokenRow.host_id == host.id, InstallTokenRow.used_at.is_(None))
        .values(deadline=now)
    )
    token = secrets.token_hex(TOKEN_BYTES)
    session.add(InstallTokenRow(token_hash=digest(token), host_id=host.id, job=job, deadline=deadline))
    session.flush()
    return token


def expect_os(session: Session, now: datetime, host_id: str) -> BootRow:
    """Number a boot of the deployed system before it starts, so that its serial log begins with it."""
    row = _expected_os(session, host_id)
    if row is None:
        row = BootRow(host_id=host_id, kind="os", started_at=now)
        session.add(row)
        session.flush()
    return row


def _expected_os(session: Session, host_id: str) -> BootRow | None:
    """The host's newest boot, if it is one of the deployed system that has not phoned home."""
    newest = session.scalars(
        select(BootRow).where(BootRow.host_id == host_id).order_by(BootRow.no.desc()).limit(1)
    ).first()
    return newest if newest is not None and newest.kind == "os" and newest.reported_at is None else None


def phone_home(
    session: Session, now: datetime, *, token: str, body: dict[str, str], peer: str
) -> HostRow | None:
    """Take the first word of a deployed system; its host key must be the one that the installer made."""
    row = session.get(InstallTokenRow, digest(token))
    if row is None:
        raise TokenError("this is no install token", code="token")
    body_hash = _body_hash(body)
    if row.used_at is not None:
        if row.body_hash == body_hash:
            return None
        raise GoneError("the token was used", code="token")
    if row.deadline <= now:
        raise GoneError("the token has expired", code="token")
    host = hosts.get(session, row.host_id)
    expected = (host.installed or {}).get("ssh_host_key")
    if not expected or _key(body["ssh_host_key"]) != _key(expected):
        raise HostKeyError(host.id, peer)
    row.used_at, row.body_hash = now, body_hash
    if host.reason == "identity-conflict":
        host.reason, host.message = None, None
    boot = _expected_os(session, host.id) or expect_os(session, now, host.id)
    boot.reported_at, boot.boot_id, boot.ssh_host_key = now, body["boot_id"], expected
    boot.address = (host.installed or {}).get("address") or peer
    timeline.add(session, now, "phone-home", f"the deployed system is up, from {peer}", host_id=host.id)
    hosts.set_condition(session, now, host.id, "Reachable", "True")
    waits.wake(session, now, host, "os")
    session.flush()
    return host


def _key(text: str) -> tuple[str, ...]:
    return tuple(text.split()[:2])


def forget_system(session: Session, now: datetime, host: HostRow) -> None:
    """Forget the deployed system of a host whose disks were erased: record, address, host key, token.

    In one transaction with the phase: a host is never ready and said to have a system. Its boots stay in the
    history; where it answered, and with which key, does not.
    """
    if host.installed is not None:
        timeline.add(session, now, "installed", "nothing is installed any more", host_id=host.id)
    host.installed = None
    systems = (BootRow.host_id == host.id, BootRow.kind == "os")
    session.execute(update(BootRow).where(*systems).values(reported_at=None, address=None, ssh_host_key=None))
    session.execute(delete(InstallTokenRow).where(InstallTokenRow.host_id == host.id))
    session.flush()


class HostKeyError(ConflictError):
    """A phone-home whose host key is not the installer's."""

    def __init__(self, host_id: str, peer: str) -> None:
        super().__init__("the host key is not the one that was installed", code="host-key")
        self.host_id = host_id
        self.peer = peer


def refuse_key(session: Session, now: datetime, error: HostKeyError) -> None:
    """Show a phone-home with a foreign host key, in a transaction of its own."""
    host = session.get(HostRow, error.host_id)
    if host is not None:
        host.reason, host.message = "identity-conflict", f"phone-home from {error.peer} with another host key"
        timeline.add(
            session,
            now,
            "refused",
            f"phone-home from {error.peer} refused: not the installer's host key",
            host_id=host.id,
        )
