"""The registry's tables: hosts and all that hangs on one.

Site-wide tables stand in `site_tables`. Values with a shape of their own (observations, arguments,
plans) are JSON, checked by their models at the border; what is looked up or compared is a column.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, Index, LargeBinary, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes outside, UTC without zone in the file; a naive one is a mistake and refused."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Turn into naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone: {value}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012


class HostRow(Base):
    """A registered host. `own_name` is false while the name is one that we made up."""

    __tablename__ = "hosts"

    id: Mapped[str] = mapped_column(String(20), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    own_name: Mapped[bool] = mapped_column(default=True)
    phase: Mapped[str] = mapped_column(String(20))
    phase_since: Mapped[datetime]
    phase_stood_s: Mapped[float] = mapped_column(default=0.0)
    """How long the phase's clock stood still, in waits for consent that are over."""
    reason: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None]
    uuid: Mapped[str | None] = mapped_column(String(36), unique=True)
    serial: Mapped[str | None] = mapped_column(index=True)
    manufacturer: Mapped[str | None]
    arch: Mapped[str | None] = mapped_column(String(16))
    firmware: Mapped[str | None] = mapped_column(String(8))
    boot_wish: Mapped[str] = mapped_column(String(10), default="none")
    bmc_address: Mapped[str | None] = mapped_column(String(15))
    last_job: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    installed: Mapped[dict[str, Any] | None]
    console_released_until: Mapped[datetime | None]


class FormerNameRow(Base):
    """A name that a host once had; it finds the host until another host takes it."""

    __tablename__ = "former_names"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)


class MacRow(Base):
    """A MAC of a host's NIC."""

    __tablename__ = "host_macs"

    mac: Mapped[str] = mapped_column(String(17), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)


class AddressRow(Base):
    """An address of a site network kept for a host (IPAM); `key` is `bmc` or `<interface>/<index>`."""

    __tablename__ = "addresses"

    address: Mapped[str] = mapped_column(String(39), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"))
    key: Mapped[str]
    network: Mapped[str]
    kept_at: Mapped[datetime]

    __table_args__ = (Index("one_address_per_key", "host_id", "key", unique=True),)


class BindingRow(Base):
    """Spec name -> host; never moves by itself."""

    __tablename__ = "bindings"

    spec: Mapped[str] = mapped_column(String(63), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), unique=True)
    bound_at: Mapped[datetime]


class JobRow(Base):
    """A wish for a change of one host."""

    __tablename__ = "jobs"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    no: Mapped[int] = mapped_column(primary_key=True)
    verb: Mapped[str] = mapped_column(String(16))
    args: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(16), index=True)
    by: Mapped[str]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    run_no: Mapped[int] = mapped_column(default=1)
    run_id: Mapped[str | None]
    result: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None]
    next_step: Mapped[str | None]
    outcome: Mapped[dict[str, Any]] = mapped_column(default=dict)
    plan: Mapped[str | None] = mapped_column(String(80))
    idempotency_key: Mapped[str | None] = mapped_column(index=True)
    epoch: Mapped[int | None]
    """The epoch of its newest claim; none before the first."""
    wait: Mapped[dict[str, Any] | None]
    """What it waits for in state "waiting": a WaitRecord."""
    waiting_since: Mapped[datetime | None]
    lost_runs: Mapped[int] = mapped_column(default=0)


class RunRow(Base):
    """The outbox: what Prefect has to be told about a job's flow runs, delivered whenever Prefect is there.

    `kind`: `start` makes the run of this number, `resume` wakes it, `cancel` and `crash` set its state.
    """

    __tablename__ = "job_runs"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"))
    job_no: Mapped[int]
    run_no: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    run_id: Mapped[str | None] = mapped_column(index=True)
    error: Mapped[str | None]
    kind: Mapped[str] = mapped_column(String(8), default="start")
    message: Mapped[str | None]
    """What Prefect's UI shows with the state that is set."""

    __table_args__ = (Index("one_run_per_number", "host_id", "job_no", "run_no", "kind", unique=True),)


class LeaseRow(Base):
    """The host's lease; the row stays when nobody holds it, because the epoch only rises."""

    __tablename__ = "host_leases"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(default=0)
    job: Mapped[int | None]
    run_id: Mapped[str | None]
    expires: Mapped[datetime | None]
    holder: Mapped[str | None]


class JournalEntryRow(Base):
    """Intent or outcome of one step."""

    __tablename__ = "journal"

    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)
    job: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[str]
    kind: Mapped[str]
    phase: Mapped[str] = mapped_column(String(8))
    plan: Mapped[str | None] = mapped_column(String(80))
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    at: Mapped[datetime]


class ObservationRow(Base):
    """The newest reading of a host, its parts merged; JSON text, see `readings`."""

    __tablename__ = "observations"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime]
    value: Mapped[str] = mapped_column(Text)


class ConditionRow(Base):
    """A facet of a host beside its phase."""

    __tablename__ = "conditions"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    type: Mapped[str] = mapped_column(String(20), primary_key=True)
    status: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str] = mapped_column(String(40))
    message: Mapped[str]
    since: Mapped[datetime]


class ConsentRow(Base):
    """Leave to destroy what one plan names."""

    __tablename__ = "consents"

    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)
    plan: Mapped[str] = mapped_column(String(80))
    by: Mapped[str]
    at: Mapped[datetime]
    expires: Mapped[datetime]
    spent_by_job: Mapped[int | None]


class CredentialRow(Base):
    """A BMC account in one of its states; the password is sealed."""

    __tablename__ = "credentials"

    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)
    address: Mapped[str] = mapped_column(String(45))
    user: Mapped[str]
    state: Mapped[str] = mapped_column(String(10))
    key_id: Mapped[str] = mapped_column(String(16))
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    stored_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]


class BmcLockRow(Base):
    """Who may command the host's BMC now."""

    __tablename__ = "bmc_locks"

    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), primary_key=True)
    owner: Mapped[str]
    expires: Mapped[datetime]


class BootRow(Base):
    """One boot of the boot OS or of the deployed system; the token is kept as a hash only."""

    __tablename__ = "boots"

    no: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    host_id: Mapped[str | None] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    mac: Mapped[str | None] = mapped_column(String(17), index=True)
    network: Mapped[str | None]
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    body_hash: Mapped[str | None] = mapped_column(String(64))
    boot_id: Mapped[str | None]
    address: Mapped[str | None] = mapped_column(String(45))
    ssh_host_key: Mapped[str | None]
    refused: Mapped[str | None]


class InstallTokenRow(Base):
    """One-time token of a deployed system's phone-home, kept as a hash."""

    __tablename__ = "install_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("hosts.id", ondelete="CASCADE"), index=True)
    job: Mapped[int]
    deadline: Mapped[datetime]
    used_at: Mapped[datetime | None]
    body_hash: Mapped[str | None] = mapped_column(String(64))
