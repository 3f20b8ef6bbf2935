"""DHCPv6 leases, and room for an IPv6 address in what IPAM keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of IPv6 leases."""
    op.create_table(
        "dhcp6_leases",
        sa.Column("address", sa.String(length=39), nullable=False),
        sa.Column("mac", sa.String(length=600), nullable=False),
        sa.Column("network", sa.String(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("duid", sa.LargeBinary(), nullable=False),
        sa.Column("iaid", sa.BigInteger(), nullable=False),
        sa.Column("interface_id", sa.LargeBinary(), nullable=False),
        sa.Column("remote_id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("address"),
    )
    op.create_index("ix_dhcp6_leases_mac", "dhcp6_leases", ["mac"])
    if op.get_bind().dialect.name != "sqlite":  # SQLite keeps no lengths
        op.alter_column("addresses", "address", type_=sa.String(length=39))


def downgrade() -> None:
    """Not offered: an older edge cannot read what a newer one wrote; restore a backup instead."""
    raise RuntimeError("an older edge knows no IPv6 leases; restore a backup instead")
