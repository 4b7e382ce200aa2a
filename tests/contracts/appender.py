"""A process that appends: `python -m tests.contracts.appender URL NODE EPOCH NAME COUNT`."""

import sys

from protocol.ids import NodeId
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import SqlJournal
from tests.builders import draft, received


def main() -> None:
    """Append to two streams at once, so that locks are taken in name order or deadlock."""
    url, node, epoch, name, count = sys.argv[1:]
    database = Database(url)
    books = Books(database, SqlJournal(NodeId(node), epoch))
    for n in range(int(count)):
        with books.begin() as tx:
            one = [draft(received(f"{name}-{n}"), f"{name}-{n}")]
            books.record(tx, {"shop/a": one, "shop/b": one})
    database.close()


if __name__ == "__main__":
    main()
