"""Books of a node on both databases."""

from collections.abc import Callable, Iterator

import pytest

from protocol.node.books import Books
from protocol.node.database import Database
from tests.builders import EPOCHS, books_at

OpenDatabase = Callable[[str], Database]


@pytest.fixture
def boot(database_url: str, open_database: OpenDatabase) -> Callable[[str, int], Books]:
    """(node, n): open the one database as this node in its n-th epoch."""
    return lambda node, n: books_at(open_database(database_url), node, EPOCHS[n])


@pytest.fixture
def central(boot: Callable[[str, int], Books]) -> Books:
    """Head office's books, empty."""
    return boot("central", 50)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def one_for_all(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    """Head office's books that several tests share, each with its own streams."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('books') / 'books.db'}"
    else:
        url = request.getfixturevalue("postgres").fresh_database()
    database = Database(url)
    yield books_at(database, "central", EPOCHS[50])
    database.close()


@pytest.fixture
def shop(boot: Callable[[str, int], Books]) -> Books:
    """Shop a's books, empty."""
    return boot("a", 0)
