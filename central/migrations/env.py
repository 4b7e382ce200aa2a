from typing import Any

from alembic import context

from central.tables import work
from protocol.node.tables import truth

TRUTH_AND_WORK = [truth, work]


BY_MONTHS = {"ix_journal_hash"}  # on PostgreSQL it holds the partition's key too


def ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    if kind == "index" and name in BY_MONTHS:
        return False
    return kind != "table" or any(name in metadata.tables for metadata in TRUTH_AND_WORK)


with context.config.attributes["engine"].begin() as connection:
    context.configure(
        connection=connection,
        target_metadata=TRUTH_AND_WORK,
        include_object=ours,
        version_table="central_version",
        transaction_per_migration=False,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()
