"""Alembic for truth and work tables, driven from here (no alembic.ini); read tables are rebuilt.

`upgrade` runs at every start and does nothing when the database is at the head.
"""

from alembic import command
from alembic.config import Config

from protocol.node.database import Database


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", "central:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["engine"] = database.write
    return config


def upgrade(database: Database) -> None:
    """Bring truth and work tables up to the newest version."""
    command.upgrade(_config(database), "head")


def check(database: Database) -> None:
    """Raise when the tables in the code and the migrations differ (used by a test)."""
    command.check(_config(database))


def write_revision(database: Database, message: str) -> None:
    """Write a new version from what differs; a person reads it before it is committed."""
    command.revision(_config(database), message=message, autogenerate=True)
