"""One bound lease per hardware address and network, by an index; leases stand in the order of addresses."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table anew, in the order of addresses: a lease then writes two pages and not five."""
    op.drop_index("ix_dhcp_leases_mac", "dhcp_leases")
    op.rename_table("dhcp_leases", "dhcp_leases_before")
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
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO dhcp_leases SELECT * FROM dhcp_leases_before")
    op.drop_table("dhcp_leases_before")
    # Of several bound rows of one client the one that ends last is its lease.
    op.execute(
        "UPDATE dhcp_leases SET state = 'released' WHERE state = 'bound' AND EXISTS ("
        "SELECT 1 FROM dhcp_leases AS newer WHERE newer.mac = dhcp_leases.mac "
        "AND newer.network = dhcp_leases.network AND newer.state = 'bound' "
        "AND (newer.expires_at, newer.address) > (dhcp_leases.expires_at, dhcp_leases.address))"
    )
    op.create_index(
        "one_lease_per_holder",
        "dhcp_leases",
        ["mac", "network"],
        unique=True,
        sqlite_where=sa.text("state = 'bound'"),
    )


def downgrade() -> None:
    """Not offered: an older edge cannot read what a newer one wrote; restore a backup instead."""
    raise RuntimeError("an older edge may write two leases of one client; restore a backup instead")
