"""A composed head office over SQLite and over a real PostgreSQL, with a clock that tests move."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from central.compose import HeadOffice, compose
from central.migrations import upgrade
from central.settings import Names, Settings, sqlite_url
from central.stores import Store
from central.tables import work
from central.watching import watch
from protocol.clock import ClockState, Reading
from protocol.node.database import Database
from protocol.node.signing import make_key
from protocol.node.tables import read, truth
from tests.central.shops import NOON, Shop
from tests.servers import PostgresServer, find_program, missing, postgres_server


class TestClock:
    """Time stands until a test moves it."""

    __test__ = False

    def __init__(self, at_ms: int = NOON) -> None:
        self.at_ms = at_ms
        self.state = ClockState.TRUSTED

    def read(self) -> Reading:
        return Reading(self.at_ms, 20, self.state)

    def forward(self, ms: int) -> None:
        self.at_ms += ms


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if not find_program("initdb"):
        pytest.fail(missing("postgresql"))
    with postgres_server() as server:
        yield server


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database that migrations made; tests copy it."""
    file = tmp_path_factory.mktemp("template") / "central.db"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def migrated_database(postgres: PostgresServer) -> str:
    """The same on PostgreSQL; tests empty it, which is far faster than a new one."""
    url = postgres.fresh_database()
    _migrate(url)
    return url


def _emptied(url: str) -> str:
    database = Database(url)
    tables = [*truth.tables, *work.tables, *read.tables, *watch.tables]
    with database.begin() as tx:
        watch.create_all(tx)
        for table in tables:
            tx.execute(text(f'DELETE FROM "{table}"'))
    database.close()
    return url


def _migrate(url: str) -> None:
    database = Database(url)
    upgrade(database)
    read.create_all(database.write)
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = sqlite_url(tmp_path)
    if request.param == "postgresql":
        url = _emptied(request.getfixturevalue("migrated_database"))
    else:
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "central.db")
    return Settings(
        chain="bakery", name=Names(zh="小麦", en="Wheat"), data_dir=tmp_path, database_url=url
    )


@pytest.fixture
def office(settings: Settings, clock: TestClock) -> Iterator[HeadOffice]:
    make_key(settings.key_path)
    composed = compose(settings, clock=clock)
    yield composed
    composed.books.database.close()


@pytest.fixture
def shops(office: HeadOffice, tmp_path: Path) -> Iterator[dict[str, Shop]]:
    """Shops A and B: added at head office, with journals of their own."""
    found = {}
    for store in ("A", "B"):
        office.stores.add_store(
            Store(
                store=store,
                name_zh=f"{store}店",
                name_en=f"Shop {store}",
                zone="east",
                group="town",
                tz="Asia/Shanghai",
            ),
            by="ann",
        )
        found[store] = Shop(store, tmp_path)
    yield found
    for shop in found.values():
        shop.close()
