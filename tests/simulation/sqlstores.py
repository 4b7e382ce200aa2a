"""What a simulated node keeps in real books: SQLite over a disk whose power goes at any write."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from protocol.codec import Draft
from protocol.errors import Unavailable
from protocol.ids import NodeId
from protocol.journal import Position, Stored
from protocol.ledger import balances
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import SqlJournal, SqlRecords, read_line, walk
from protocol.node.tables import READ, fork, journal, read
from tests.powercuts.disk import CrashDisk
from tests.simulation.stores import Crash, Faulty, Full, ListStore

COLUMNS = {"sales_day": (None, "total_minor"), "shift_tender": (None, "amount_minor")}


class SqlStore(Faulty):
    """The same questions as `ListStore` answers, put to a database."""

    def __init__(self, node: str, epoch: str, folder: Path, rng: random.Random) -> None:
        self.node = node
        self.full = False
        self.older = ListStore.older
        self.newer: Any = self.older
        self._folder = folder / f"{node}-{epoch}"
        self._folder.mkdir()
        self._file = self._folder / "books.db"
        self._rng = rng
        self._backups = 0
        self.disk = CrashDisk(self._folder, rng)
        self._open(epoch)
        self.books.create()

    def _open(self, epoch: str) -> None:
        self.epoch = epoch
        self.database = Database(f"sqlite:///{self._file}")
        self.books = Books(self.database, SqlJournal(NodeId(self.node), epoch))
        self._tx: Connection | None = None

    # -- life -------------------------------------------------------------------------------

    @contextmanager
    def begin(self) -> Iterator["SqlStore"]:
        if self.full:
            raise Full
        try:
            with self.books.begin() as tx:
                self._tx = tx
                try:
                    yield self
                finally:
                    self._tx = None
        except Unavailable as fault:
            if self.disk.dead:
                raise Crash from fault
            raise

    def fault_point(self, power_goes: bool) -> None:
        """Within a transaction the power goes at one of the writes that follow."""
        if power_goes and self._tx is not None:
            self.disk.cut_after = self._rng.randint(1, 12)
        elif power_goes:
            raise Crash

    def power_cut(self, epoch: str) -> None:
        self.disk.restart(self.database.close)
        self.full = False
        self._open(epoch)

    def backup(self) -> Path:
        """As an operator would: orderly, while nobody writes."""
        self._backups += 1
        target = self._file.with_suffix(f".{self._backups}")
        armed, self.disk.cut_after = self.disk.cut_after, None
        writer = self.database.write.raw_connection()
        writer.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        writer.close()
        shutil.copy(self._file, target)
        self.disk.cut_after = armed
        return target

    def restore(self, saved: Path, epoch: str) -> None:
        self.disk.restart(self.database.close)
        for file in self._folder.glob("books.db*"):
            file.unlink()
        shutil.copy(saved, self._file)
        self.full = False
        self._open(epoch)

    def twin(self, epoch: str) -> "SqlStore":
        other = SqlStore(self.node, epoch, self._folder.parent, self._rng)
        other.restore(self.backup(), epoch)
        other.newer = self.newer
        return other

    def close(self) -> None:
        self.database.close()
        self.disk.forget()

    # -- records ----------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        if self._tx is not None:
            yield self._tx
            return
        with self.database.reading() as connection:
            yield connection

    def head(self, stream: str) -> Position:
        with self._reading() as c:
            return SqlRecords(c).head(stream)

    def find(self, stream: str, event_hash: str) -> Position | None:
        with self._reading() as c:
            return SqlRecords(c).find(stream, event_hash)

    def hash_at(self, stream: str, seq: int) -> str | None:
        with self._reading() as c:
            return SqlRecords(c).hash_at(stream, seq)

    def line(self, stream: str, after_seq: int, limit: int) -> list[Stored]:
        with self._reading() as c:
            return read_line(c, stream, after_seq, limit=limit)

    def everything(self, stream: str) -> list[Stored]:
        with self._reading() as c:
            return [event for chunk in walk(c, stream) for event in chunk]

    def copies(self, stream: str) -> int:
        return 0  # a unique index forbids them

    def ids(self, stream: str) -> set[str]:
        with self._reading() as c:
            return set(c.execute(select(journal.c.id).where(journal.c.stream == stream)).scalars())

    def has_id(self, stream: str, id_: str) -> bool:
        with self._reading() as c:
            found = select(journal.c.seq).where(journal.c.id == id_, journal.c.stream == stream)
            return c.execute(found).first() is not None

    def forks(self, stream: str) -> int:
        with self._reading() as c:
            of_stream = select(func.count()).select_from(fork).where(fork.c.stream == stream)
            return c.execute(of_stream).scalar_one()

    # -- what was folded --------------------------------------------------------------------

    def stock(self) -> Counter[tuple[str, str]]:
        table = READ["stock"]
        with self._reading() as c:
            return Counter(
                {
                    (place, r.sku): qty
                    for r in c.execute(select(table))
                    for place, qty in balances(r.place, r.qty_milli, r.sold_milli)
                }
            )

    def sum_of(self, name: str, column: int) -> int:
        with self._reading() as c:
            value = READ[name].c[COLUMNS[name][column]]
            return c.execute(select(func.coalesce(func.sum(value), 0))).scalar_one()

    def price(self, sku: str) -> tuple[int, str] | None:
        table = READ["price"].c
        with self._reading() as c:
            for zone in ("z", ""):
                row = c.execute(
                    select(table.price_minor, table.version).where(
                        table.sku == sku, table.zone == zone
                    )
                ).first()
                if row is not None:
                    return row.price_minor, row.version
        return None

    def highest_receipt(self, series: str) -> int:
        table = READ["sale"].c
        with self._reading() as c:
            numbers = c.execute(
                select(table.receipt_number).where(
                    table.store == self.node, table.receipt_number.startswith(f"{series}-")
                )
            ).scalars()
            return max((int(n.rpartition("-")[2]) for n in numbers), default=0)

    def _tables(self) -> list[Any]:
        with self._reading() as c:
            return [
                sorted(map(repr, c.execute(select(table)).all()))
                for table in read.sorted_tables
                if table.name != "digest_check"  # what a digest found depends on when it came
            ]

    def folds_agree(self) -> bool:
        """Do the tables equal a rebuild in another order, and is every chain whole?"""
        if self.books.verify():
            return False
        before = self._tables()
        self.disk.cut_after = None  # armed in the storm, and nothing was written since
        self.books.rebuild(order=lambda streams: sorted(streams, reverse=True))
        return self._tables() == before

    # -- writing, inside `begin` ------------------------------------------------------------

    def state(self, name: str) -> str:
        with self._reading() as c:
            return self.books.state(c, f"sim {name}")

    def set_state(self, name: str, value: str) -> None:
        assert self._tx is not None
        self.books.set_state(self._tx, f"sim {name}", value)

    def append(self, stream: str, drafts: Sequence[Draft]) -> list[Stored]:
        assert self._tx is not None
        with self.newer():
            return [r.stored for r in self.books.record(self._tx, {stream: drafts})]
