"""BMC credentials, the BMC lock, named secrets, and the site's management key. All sealed at rest.

A BMC password is stored as candidate before it is set, because a run that dies between would leave a
BMC that nobody can log in to. The proven one is current; the one before stays as previous.

Runs tell of their logins before and after they make them, as lines of the timeline. By these a credential
that was refused is held back, so that no sequence of dying runs adds up to a locked account.
"""

import secrets
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pxe_edge.registry import bmc_logins as login_rules
from pxe_edge.registry import hosts, timeline
from pxe_edge.registry.bmc_logins import Login, Result
from pxe_edge.registry.errors import ConflictError, NotFoundError
from pxe_edge.registry.sealing import Seal, Sealed
from pxe_edge.registry.site_tables import SecretRow, SiteKeyRow, TimelineRow
from pxe_edge.registry.tables import BmcLockRow, CredentialRow, HostRow
from specs.records import BmcCredential, SecretValue

BMC_PASSWORD_CHARS = 16
"""IPMI 2.0 stores 20 bytes, 1.5 firmware 16; the alphabet needs no quoting anywhere."""
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_ORDER = ("current", "candidate", "previous", "factory")
_MANAGEMENT = "management"
_LOGIN = "bmc-login"
_REMEMBERED = 50
_NEVER = datetime.min.replace(tzinfo=UTC)


def _context(row: CredentialRow) -> str:
    return f"bmc:{row.host_id}:{row.user}"


def _value(row: CredentialRow, seal: Seal) -> BmcCredential:
    return BmcCredential.model_validate(
        {
            "address": row.address,
            "user": row.user,
            "password": seal.open(Sealed(row.key_id, row.sealed), _context(row)),
            "state": row.state,
            "verified_at": row.verified_at,
        }
    )


def of_host(session: Session, seal: Seal, host: HostRow) -> list[BmcCredential]:
    """All credentials of a host's BMC, the ones to try first in front: those never refused, then by state."""
    return [_value(row, seal) for row in _ordered(session, host.id, _logins(session, host.id))]


def to_try(session: Session, now: datetime, seal: Seal, host: HostRow) -> list[BmcCredential]:
    """The credentials that a run may log in with now, the likeliest first."""
    logins = _logins(session, host.id)
    wrong = login_rules.wrong(logins, since=_since(session, host.id, now))
    if len(wrong) >= login_rules.MOST_WRONG:
        return []
    held_back = {login.credential for login in wrong if login.result == "refused"}
    return [_value(row, seal) for row in _ordered(session, host.id, logins) if row.no not in held_back]


def _ordered(session: Session, host_id: str, logins: list[Login]) -> list[CredentialRow]:
    rows = session.scalars(select(CredentialRow).where(CredentialRow.host_id == host_id))
    refused = {login.credential: login.at for login in logins if login.result == "refused"}

    def rank(row: CredentialRow) -> tuple[datetime, int, int]:
        return (refused.get(row.no, _NEVER), _ORDER.index(row.state), -row.no)

    return sorted(rows, key=rank)


def _logins(session: Session, host_id: str) -> list[Login]:
    """The newest logins at a host's BMC that runs told of, oldest first."""
    query = (
        select(TimelineRow)
        .where(TimelineRow.subject == host_id, TimelineRow.kind == _LOGIN)
        .order_by(TimelineRow.no.desc())
        .limit(_REMEMBERED)
    )
    return [_login(row) for row in reversed(session.scalars(query).all())]


def _login(row: TimelineRow) -> Login:
    return Login(row.at, row.detail["credential"], row.detail["result"], fresh=row.detail["fresh"])


def _since(session: Session, host_id: str, now: datetime) -> datetime:
    """From when on wrong logins may still count at the BMC: a right one ends its count."""
    right = select(func.max(CredentialRow.verified_at)).where(CredentialRow.host_id == host_id)
    return max(now - login_rules.LOCKOUT, session.scalar(right) or _NEVER)


def note_login(
    session: Session,
    now: datetime,
    host: HostRow,
    *,
    owner: str,
    address: str,
    user: str,
    state: str,
    result: Result,
    fresh: bool,
) -> None:
    """Note a login before it is made, or what came of it."""
    query = select(CredentialRow).where(
        CredentialRow.host_id == host.id,
        CredentialRow.address == address,
        CredentialRow.user == user,
        CredentialRow.state == state,
    )
    row = session.scalar(query.order_by(CredentialRow.no.desc()).limit(1))
    timeline.add(
        session, now, _LOGIN, f"BMC login as {user} at {address} ({state}) by {owner}: {result}",
        host_id=host.id, detail={"credential": row.no if row else 0, "result": result, "fresh": fresh},
    )  # fmt: skip


def candidate(
    session: Session,
    now: datetime,
    seal: Seal,
    host: HostRow,
    *,
    address: str,
    user: str,
    password: str | None,
) -> BmcCredential:
    """Store a candidate; without a password an unproven one for the same account is given again.

    The candidate before it is kept too, unless the BMC refused it: the run that stored it may have set it.
    """
    there = _candidates(session, host.id)
    same = [r for r in there if (r.user, r.address) == (user, address)]
    if same and password is None:
        return _value(same[0], seal)
    stored = [r for r in there if password is not None and _value(r, seal).password == password]
    logins = _logins(session, host.id)
    if not stored:
        _not_locked_out(host, login_rules.may_set_at(logins, since=_since(session, host.id, now)), now)
    bad = {login.credential for login in logins if login.result == "refused"}
    kept = [row for row in there if row not in stored and row.no not in bad][:1]
    for row in there:
        if row not in kept:
            session.delete(row)
    chosen = password or "".join(secrets.choice(_ALPHABET) for _ in range(BMC_PASSWORD_CHARS))
    row = _sealed_row(seal, now, host, address=address, user=user, password=chosen, state="candidate")
    session.add(row)
    session.flush()
    timeline.add(session, now, "credential", f"candidate for {user} at {address} stored", host_id=host.id)
    return _value(row, seal)


def _candidates(session: Session, host_id: str) -> list[CredentialRow]:
    """Candidates, newest first."""
    query = select(CredentialRow).where(CredentialRow.host_id == host_id, CredentialRow.state == "candidate")
    return list(session.scalars(query.order_by(CredentialRow.no.desc())))


def _not_locked_out(host: HostRow, free_at: datetime | None, now: datetime) -> None:
    """409 while one more wrong login could lock the account."""
    if free_at is None or free_at <= now:
        return
    raise ConflictError(
        f"the BMC refused a password that had just been set; no login is made until {free_at.isoformat()}, "
        "so that it does not lock the account",
        code="bmc-unverified",
        hint=f"try again in {(free_at - now).total_seconds() / 60:.0f} min",
        host=host.name,
    )


def _sealed_row(
    seal: Seal, now: datetime, host: HostRow, *, address: str, user: str, password: str, state: str
) -> CredentialRow:
    row = CredentialRow(host_id=host.id, address=address, user=user, state=state, stored_at=now)
    sealed = seal.seal(password, _context(row))
    row.key_id, row.sealed = sealed.key_id, sealed.blob
    return row


def factory(
    session: Session, now: datetime, seal: Seal, host: HostRow, *, address: str, user: str, password: str
) -> None:
    """Store the account that an operator named for a BMC when registering its host."""
    session.add(_sealed_row(seal, now, host, address=address, user=user, password=password, state="factory"))
    session.flush()


def promote(session: Session, now: datetime, seal: Seal, host: HostRow, *, user: str) -> BmcCredential:
    """Make the proven candidate, the newest, current, the current one previous, and forget the others."""
    candidates = _candidates(session, host.id)
    query = select(CredentialRow).where(
        CredentialRow.host_id == host.id, CredentialRow.state.in_(("current", "previous"))
    )
    rows = {row.state: row for row in session.scalars(query)}
    current = rows.get("current")
    if not candidates and current is not None and current.user == user:
        current.verified_at = now
        proven = current
    elif not candidates or candidates[0].user != user:
        raise ConflictError(f"no candidate for BMC user {user} is stored", code="credential", host=host.name)
    else:
        proven = candidates[0]
        for row in (rows.get("previous"), *candidates[1:]):
            if row is not None:
                session.delete(row)
        if current is not None:
            current.state = "previous"
        proven.state, proven.verified_at = "current", now
        timeline.add(
            session, now, "credential", f"{user} at {proven.address} proven, now current", host_id=host.id
        )
    host.bmc_address = proven.address
    hosts.set_condition(session, now, host.id, "BmcVerified", "True")
    session.flush()
    return _value(proven, seal)


def lock(session: Session, now: datetime, host: HostRow, *, owner: str, ttl_s: int) -> datetime:
    """Take or prolong the BMC lock; 409 names the owner."""
    row = session.get(BmcLockRow, host.id)
    if row is not None and row.owner != owner and row.expires > now:
        raise ConflictError(
            f"{row.owner} holds the BMC lock until {row.expires.isoformat()}",
            code="bmc-lock",
            hint="wait",
            host=host.name,
        )
    if row is None:
        row = BmcLockRow(host_id=host.id)
        session.add(row)
    row.owner, row.expires = owner, now + timedelta(seconds=ttl_s)
    session.flush()
    return row.expires


def unlock(session: Session, host: HostRow, *, owner: str) -> None:
    """Give the BMC lock back; another's is left alone."""
    session.execute(delete(BmcLockRow).where(BmcLockRow.host_id == host.id, BmcLockRow.owner == owner))


def set_secret(session: Session, now: datetime, seal: Seal, name: str, value: str) -> int:
    """Store a named secret under its next version; the same value again keeps the version."""
    newest = session.scalar(
        select(SecretRow).where(SecretRow.name == name).order_by(SecretRow.version.desc()).limit(1)
    )
    version = newest.version if newest else 0
    if newest is not None and _open_secret(newest, seal) == value:
        return version
    sealed = seal.seal(value, f"secret:{name}@{version + 1}")
    session.add(
        SecretRow(name=name, version=version + 1, key_id=sealed.key_id, sealed=sealed.blob, created_at=now)
    )
    timeline.add(session, now, "secret", f"secret:{name}@{version + 1} set")
    session.flush()
    return version + 1


def secret_versions(session: Session) -> dict[str, int]:
    """All secrets by name, with their newest version."""
    query = select(SecretRow.name, func.max(SecretRow.version)).group_by(SecretRow.name)
    return {row[0]: row[1] for row in session.execute(query)}


def _open_secret(row: SecretRow, seal: Seal) -> str:
    return seal.open(Sealed(row.key_id, row.sealed), f"secret:{row.name}@{row.version}")


def read_secret(session: Session, seal: Seal, name: str, version: int | None = None) -> SecretValue:
    """A named secret's value; 404 when it is not set."""
    query = select(SecretRow).where(SecretRow.name == name).order_by(SecretRow.version.desc()).limit(1)
    if version is not None:
        query = query.where(SecretRow.version == version)
    row = session.scalar(query)
    if row is None:
        raise NotFoundError(
            f"secret {name} is not set", code="secret-missing", hint=f"rackflow secret set {name}"
        )
    return SecretValue(name=name, version=row.version, value=_open_secret(row, seal))


def management_key(session: Session, now: datetime, seal: Seal) -> SiteKeyRow:
    """The site's SSH key pair, made once."""
    row = session.get(SiteKeyRow, _MANAGEMENT)
    if row is None:
        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        sealed = seal.seal(private, f"site-key:{_MANAGEMENT}")
        row = SiteKeyRow(
            purpose=_MANAGEMENT,
            public=f"{public} rackflow",
            key_id=sealed.key_id,
            sealed=sealed.blob,
            created_at=now,
        )
        session.add(row)
        session.flush()
    return row


def management_private(row: SiteKeyRow, seal: Seal) -> str:
    """The private half, to be handed to a worker's memory."""
    return seal.open(Sealed(row.key_id, row.sealed), f"site-key:{row.purpose}")
