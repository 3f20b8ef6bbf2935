"""Waits, lost runs, holder words, the phase's clock, and outbox rows of several kinds."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a job needs to outlive its runs."""
    op.add_column("jobs", sa.Column("wait", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("waiting_since", sa.DateTime(), nullable=True))
    op.add_column("jobs", sa.Column("lost_runs", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("epoch", sa.Integer(), nullable=True))
    op.add_column("hosts", sa.Column("phase_stood_s", sa.Float(), nullable=False, server_default="0"))
    op.add_column("host_leases", sa.Column("holder", sa.String(), nullable=True))
    op.add_column("job_runs", sa.Column("kind", sa.String(length=8), nullable=False, server_default="start"))
    op.add_column("job_runs", sa.Column("message", sa.String(), nullable=True))
    _carry_over()
    op.drop_index("one_run_per_number", "job_runs")
    op.create_index("one_run_per_number", "job_runs", ["host_id", "job_no", "run_no", "kind"], unique=True)


def _carry_over() -> None:
    """Say of the jobs that are open what the first tables had no column for."""
    op.execute("UPDATE jobs SET epoch = 0 WHERE state IN ('claimed', 'cancelling', 'waiting-consent')")
    op.execute("UPDATE jobs SET waiting_since = CURRENT_TIMESTAMP WHERE state = 'waiting-consent'")


def downgrade() -> None:
    """Not offered: an older edge cannot read what a newer one wrote; restore a backup instead."""
    raise RuntimeError("an older edge knows no waits; restore a backup instead")
