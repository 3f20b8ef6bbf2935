"""The registry's site-wide tables: spec sets, DHCP leases, sightings, images, secrets, tokens, history."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from pxe_edge.registry.tables import Base


class SpecSetRow(Base):
    """One immutable, checked set of spec files; the id is the digest of the files."""

    __tablename__ = "specsets"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    commit: Mapped[str | None]
    author: Mapped[str | None]
    dirty: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    current: Mapped[bool] = mapped_column(default=False)
    findings: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    files: Mapped[dict[str, Any]]


class DhcpLeaseRow(Base):
    """A DHCP binding, bound to the hardware address; one row per address."""

    __tablename__ = "dhcp_leases"

    address: Mapped[str] = mapped_column(String(15), primary_key=True)
    mac: Mapped[str] = mapped_column(String(600))
    network: Mapped[str]
    state: Mapped[str] = mapped_column(String(12))
    expires_at: Mapped[float]
    """Seconds since the epoch, as the packet plane counts."""
    client_id: Mapped[bytes] = mapped_column(LargeBinary)
    circuit_id: Mapped[bytes] = mapped_column(LargeBinary)
    remote_id: Mapped[bytes] = mapped_column(LargeBinary)
    host_name: Mapped[str]

    __table_args__ = (
        # The one index: each more costs a page written per lease, and only `why MAC` would use it.
        Index("one_lease_per_holder", "mac", "network", unique=True, sqlite_where=text("state = 'bound'")),
        {"sqlite_with_rowid": False},
    )


class Dhcp6LeaseRow(Base):
    """A DHCPv6 binding of one address, bound to the hardware address where it is known."""

    __tablename__ = "dhcp6_leases"

    address: Mapped[str] = mapped_column(String(39), primary_key=True)
    mac: Mapped[str] = mapped_column(String(600), index=True)
    network: Mapped[str]
    state: Mapped[str] = mapped_column(String(12))
    expires_at: Mapped[float]
    """Seconds since the epoch, as the packet plane counts."""
    duid: Mapped[bytes] = mapped_column(LargeBinary)
    iaid: Mapped[int] = mapped_column(BigInteger)
    interface_id: Mapped[bytes] = mapped_column(LargeBinary)
    remote_id: Mapped[bytes] = mapped_column(LargeBinary)


class SightingRow(Base):
    """A PXE request of an unknown machine: not a host; the table is bounded."""

    __tablename__ = "sightings"

    mac: Mapped[str] = mapped_column(String(17), primary_key=True)
    uuid: Mapped[str | None] = mapped_column(String(36))
    arch: Mapped[str | None]
    network: Mapped[str | None]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime] = mapped_column(index=True)
    count: Mapped[int] = mapped_column(default=1)
    reason: Mapped[str | None] = mapped_column(String(40))


class PlanRow(Base):
    """A plan under its hash; immutable."""

    __tablename__ = "plans"

    hash: Mapped[str] = mapped_column(String(80), primary_key=True)
    body: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class SecretRow(Base):
    """One version of a named secret, sealed."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class SiteKeyRow(Base):
    """A key pair of the site itself; the private half is sealed."""

    __tablename__ = "site_keys"

    purpose: Mapped[str] = mapped_column(String(30), primary_key=True)
    public: Mapped[str]
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class TokenRow(Base):
    """An API token, kept as a hash."""

    __tablename__ = "tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    scope: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]


class ImageRow(Base):
    """An image of the store, and how far its conversion is."""

    __tablename__ = "images"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    digest: Mapped[str | None] = mapped_column(String(71))
    format: Mapped[str | None] = mapped_column(String(8))
    manifest_sha256: Mapped[str | None] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(default=0)
    blob_bytes: Mapped[int] = mapped_column(default=0)
    done_bytes: Mapped[int] = mapped_column(default=0)
    total_bytes: Mapped[int] = mapped_column(default=0)
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[str | None]
    changed_at: Mapped[datetime]


class TimelineRow(Base):
    """One line of history: of a host, of a MAC, or of the site. Secrets read and keys used stand here too."""

    __tablename__ = "timeline"

    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    subject: Mapped[str | None] = mapped_column(String(20))
    mac: Mapped[str | None] = mapped_column(String(17))
    kind: Mapped[str] = mapped_column(String(20))
    text: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)

    __table_args__ = (Index("timeline_subject", "subject", "no"), Index("timeline_mac", "mac", "no"))


class FleetRunRow(Base):
    """What a fleet run did."""

    __tablename__ = "fleet_runs"

    run_id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    planned: Mapped[int]
    posted: Mapped[list[str]]
