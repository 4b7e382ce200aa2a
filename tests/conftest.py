"""Shared by all tests: hypothesis profiles, a shared PostgreSQL cluster, databases to run on.

`ci` (default) is derandomized: the same examples at every run. `night` tries 10,000 examples;
HYPOTHESIS_PROFILE chooses.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import expect

from protocol.node.database import Database
from tests.servers import PostgresServer, postgres_server

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("night", parent=settings.get_profile("ci"), max_examples=10_000)
expect.set_options(timeout=60_000)  # a busy machine; a wait ends as soon as its condition holds
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One private cluster for the whole run; each test takes a fresh database in it."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh, empty database: each test runs on both engines."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'books.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.fresh_database()


@pytest.fixture
def open_database() -> Iterator[Callable[[str], Database]]:
    """Opens databases and closes them at the end of the test."""
    opened: list[Database] = []

    def open_one(url: str) -> Database:
        opened.append(Database(url))
        return opened[-1]

    yield open_one
    for database in opened:
        database.close()
