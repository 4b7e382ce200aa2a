"""What head office signed, sealed bases, banned copies."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "witness",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "last", "last_hash"),
    )
    op.create_table(
        "stream_base",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("stream"),
    )
    op.create_table(
        "banned_epoch",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "epoch"),
    )
    op.create_table(
        "fork_ruling",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("parent_hash", sa.String(64), nullable=False),
        sa.Column("ruling", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("confirmed_by", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "parent_hash"),
    )
    op.create_table(
        "spooled",
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
        sa.Column("epoch", sa.String(16), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "last_hash"),
    )


def downgrade() -> None:
    for name in ("spooled", "fork_ruling", "banned_epoch", "stream_base", "witness"):
        op.drop_table(name)
