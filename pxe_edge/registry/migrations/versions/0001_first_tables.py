"""The first tables of the registry."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, those that others point to first."""
    _dhcp_leases()
    _fleet_runs()
    _hosts()
    _images()
    _plans()
    _secrets()
    _sightings()
    _site_keys()
    _specsets()
    _timeline()
    _tokens()
    _addresses()
    _bindings()
    _bmc_locks()
    _boots()
    _conditions()
    _consents()
    _credentials()
    _former_names()
    _host_leases()
    _host_macs()
    _install_tokens()
    _job_runs()
    _jobs()
    _journal()
    _observations()


def downgrade() -> None:
    """Not offered: an older edge cannot read what a newer one wrote; restore a backup instead."""
    raise RuntimeError("there is nothing before the first tables")


def _dhcp_leases() -> None:
    op.create_table(
        "dhcp_leases",
        sa.Column("address", sa.String(length=15), nullable=False),
        sa.Column("mac", sa.String(length=600), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("client_id", sa.LargeBinary(), nullable=False),
        sa.Column("circuit_id", sa.LargeBinary(), nullable=False),
        sa.Column("remote_id", sa.LargeBinary(), nullable=False),
        sa.Column("host_name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_index(op.f("ix_dhcp_leases_mac"), "dhcp_leases", ["mac"], unique=False)


def _fleet_runs() -> None:
    op.create_table(
        "fleet_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("posted", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("own_name", sa.Boolean(), nullable=False),
        sa.Column("phase", sa.String(length=20), nullable=False),
        sa.Column("phase_since", sa.DateTime(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("uuid", sa.String(length=36), nullable=True),
        sa.Column("serial", sa.String(), nullable=True),
        sa.Column("manufacturer", sa.String(), nullable=True),
        sa.Column("arch", sa.String(length=16), nullable=True),
        sa.Column("firmware", sa.String(length=8), nullable=True),
        sa.Column("boot_wish", sa.String(length=10), nullable=False),
        sa.Column("bmc_address", sa.String(length=15), nullable=True),
        sa.Column("last_job", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("installed", sa.JSON(), nullable=True),
        sa.Column("console_released_until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index(op.f("ix_hosts_serial"), "hosts", ["serial"], unique=False)


def _images() -> None:
    op.create_table(
        "images",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("digest", sa.String(length=71), nullable=True),
        sa.Column("format", sa.String(length=8), nullable=True),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("blob_bytes", sa.Integer(), nullable=False),
        sa.Column("done_bytes", sa.Integer(), nullable=False),
        sa.Column("total_bytes", sa.Integer(), nullable=False),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )


def _secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version"),
    )


def _sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("uuid", sa.String(length=36), nullable=True),
        sa.Column("arch", sa.String(), nullable=True),
        sa.Column("network", sa.String(), nullable=True),
        sa.Column("first_at", sa.DateTime(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("mac"),
    )
    op.create_index(op.f("ix_sightings_last_at"), "sightings", ["last_at"], unique=False)


def _site_keys() -> None:
    op.create_table(
        "site_keys",
        sa.Column("purpose", sa.String(length=30), nullable=False),
        sa.Column("public", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("purpose"),
    )


def _specsets() -> None:
    op.create_table(
        "specsets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("commit", sa.String(), nullable=True),
        sa.Column("author", sa.String(), nullable=True),
        sa.Column("dirty", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _timeline() -> None:
    op.create_table(
        "timeline",
        sa.Column("no", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("subject", sa.String(length=20), nullable=True),
        sa.Column("mac", sa.String(length=17), nullable=True),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("no"),
    )
    op.create_index("timeline_mac", "timeline", ["mac", "no"], unique=False)
    op.create_index("timeline_subject", "timeline", ["subject", "no"], unique=False)


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scope", sa.String(length=10), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
        sa.UniqueConstraint("name"),
    )


def _addresses() -> None:
    op.create_table(
        "addresses",
        sa.Column("address", sa.String(length=15), nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("kept_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_index("one_address_per_key", "addresses", ["host_id", "key"], unique=True)


def _bindings() -> None:
    op.create_table(
        "bindings",
        sa.Column("spec", sa.String(length=63), nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("bound_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("spec"),
        sa.UniqueConstraint("host_id"),
    )


def _bmc_locks() -> None:
    op.create_table(
        "bmc_locks",
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id"),
    )


def _boots() -> None:
    op.create_table(
        "boots",
        sa.Column("no", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=True),
        sa.Column("network", sa.String(), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("reported_at", sa.DateTime(), nullable=True),
        sa.Column("body_hash", sa.String(length=64), nullable=True),
        sa.Column("boot_id", sa.String(), nullable=True),
        sa.Column("address", sa.String(length=45), nullable=True),
        sa.Column("ssh_host_key", sa.String(), nullable=True),
        sa.Column("refused", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("no"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(op.f("ix_boots_host_id"), "boots", ["host_id"], unique=False)
    op.create_index(op.f("ix_boots_mac"), "boots", ["mac"], unique=False)


def _conditions() -> None:
    op.create_table(
        "conditions",
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", "type"),
    )


def _consents() -> None:
    op.create_table(
        "consents",
        sa.Column("no", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("plan", sa.String(length=80), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.Column("spent_by_job", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("no"),
    )
    op.create_index(op.f("ix_consents_host_id"), "consents", ["host_id"], unique=False)


def _credentials() -> None:
    op.create_table(
        "credentials",
        sa.Column("no", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.DateTime(), nullable=False),
        sa.Column("verified_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("no"),
    )
    op.create_index(op.f("ix_credentials_host_id"), "credentials", ["host_id"], unique=False)


def _former_names() -> None:
    op.create_table(
        "former_names",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_former_names_host_id"), "former_names", ["host_id"], unique=False)


def _host_leases() -> None:
    op.create_table(
        "host_leases",
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("job", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("expires", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id"),
    )


def _host_macs() -> None:
    op.create_table(
        "host_macs",
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("mac"),
    )
    op.create_index(op.f("ix_host_macs_host_id"), "host_macs", ["host_id"], unique=False)


def _install_tokens() -> None:
    op.create_table(
        "install_tokens",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("deadline", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.Column("body_hash", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index(op.f("ix_install_tokens_host_id"), "install_tokens", ["host_id"], unique=False)


def _job_runs() -> None:
    op.create_table(
        "job_runs",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("job_no", sa.Integer(), nullable=False),
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(), nullable=True),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_job_runs_run_id"), "job_runs", ["run_id"], unique=False)
    op.create_index(op.f("ix_job_runs_state"), "job_runs", ["state"], unique=False)
    op.create_index("one_run_per_number", "job_runs", ["host_id", "job_no", "run_no"], unique=True)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("no", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("run_no", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("result", sa.String(length=16), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("next_step", sa.String(), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.Column("plan", sa.String(length=80), nullable=True),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id", "no"),
    )
    op.create_index(op.f("ix_jobs_idempotency_key"), "jobs", ["idempotency_key"], unique=False)
    op.create_index(op.f("ix_jobs_state"), "jobs", ["state"], unique=False)


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("no", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("job", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("phase", sa.String(length=8), nullable=False),
        sa.Column("plan", sa.String(length=80), nullable=True),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("no"),
    )
    op.create_index(op.f("ix_journal_host_id"), "journal", ["host_id"], unique=False)


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("host_id", sa.String(length=20), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["host_id"], ["hosts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("host_id"),
    )
