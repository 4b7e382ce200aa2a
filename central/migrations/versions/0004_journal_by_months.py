"""the journal by months, on PostgreSQL"""

import time

from alembic import op

from protocol.node.partitioning import partition

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    partition(op.get_bind(), int(time.time() * 1000))


def downgrade() -> None:
    # Rows stay where they are: a journal by months is read like any other.
    pass
