"""What head office said it holds of this shop's journal, day by day, in its own signed words."""

from typing import Final

import msgspec
from sqlalchemy import Connection

from edge.node import ShopNode
from protocol.checkpoints import Checkpoint, Checkpoints
from protocol.clock import DAY_MS
from protocol.ids import CENTRAL
from protocol.node import signing
from protocol.node.books import Books
from protocol.node.sqljournal import SqlRecords
from protocol.wire import Ack

NAME: Final = "checkpoints"  # a small fact of the books


def read(books: Books, connection: Connection) -> list[Checkpoint]:
    """All that are kept, the oldest first."""
    text = books.state(connection, NAME)
    return msgspec.json.decode(text, type=list[Checkpoint]) if text else []


def forget(books: Books) -> None:
    """These books are a copy of older ones: what they were told does not count any more."""
    with books.database.begin() as tx:
        books.set_state(tx, NAME, "")


class Noting:
    """Notes one acknowledgement a day; used by the replication thread alone."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        with node.books.database.reading() as connection:
            kept = read(node.books, connection)
        self._notes = Checkpoints(node.stream, DAY_MS, kept)

    def heard(self, ack: Ack) -> None:
        """An acknowledgement came."""
        now, books = self._node.clock.read(), self._node.books
        trusted_ms = now.at_ms if now.state.trusted else None
        with books.database.reading() as connection:
            records = SqlRecords(connection)
            changed = self._notes.heard(
                ack,
                lambda seq: records.hash_at(self._node.stream, seq),
                trusted_ms=trusted_ms,
            )
        if changed:
            with books.database.begin() as tx:
                books.set_state(tx, NAME, msgspec.json.encode(self._notes.kept).decode())


def newest_older(node: ShopNode, connection: Connection, *, by_ms: int) -> Checkpoint | None:
    """The newest one that was noted by then, is head office's own word, and is on our line."""
    notes = Checkpoints(node.stream, DAY_MS, read(node.books, connection))
    records, key = SqlRecords(connection), node.settings.central_public_key
    return notes.newest(
        lambda seq: records.hash_at(node.stream, seq),
        noted_by_ms=by_ms,
        signed=lambda ack: ack.node == CENTRAL and signing.check(key, ack.signed_part(), ack.sig),
    )
