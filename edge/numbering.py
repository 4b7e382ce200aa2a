"""Receipt numbers: till, generation, counter; gap-free within a generation.

A new generation begins when the journal turns out to be a restored one, and whenever a receipt
beyond the counter exists already (events that head office gave back): no number is ever used twice.
"""

from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from edge.node import ShopNode
from edge.tables import receipt_counter
from protocol.node.tables import READ

DIGITS = 6
AFTER_DIGITS = ":"  # sorts right after "9"


_insert = sqlite_insert(receipt_counter)
_USE: Final = _insert.on_conflict_do_update(
    index_elements=["till"],
    set_={name: _insert.excluded[name] for name in ("generation", "counter")},
)

_LAST: Final = select(receipt_counter.c.generation, receipt_counter.c.counter).where(
    receipt_counter.c.till == bindparam("at_till")
)
_sale = READ["sale"].c
_BEYOND: Final = (
    select(_sale.receipt_number)
    .where(_sale.receipt_number > bindparam("last"), _sale.receipt_number < bindparam("beyond"))
    .limit(1)
)


class Number(msgspec.Struct, frozen=True):
    """The next receipt of a till."""

    till: str
    generation: int
    counter: int

    def __str__(self) -> str:
        """As it is printed."""
        return f"{self.till}-{self.generation}-{self.counter:0{DIGITS}d}"


class Numbering:
    """Counters in the work tables, checked against the receipts that exist."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    def next(self, connection: Connection, till: str) -> Number:
        """What the next receipt will be; `use` it in the sale's transaction."""
        row = connection.execute(_LAST, {"at_till": till}).first()
        generation, counter = (row.generation, row.counter) if row else (1, 0)
        while self._taken(connection, Number(till, generation, counter)):
            generation, counter = generation + 1, 0
        return Number(till, generation, counter + 1)

    def _taken(self, connection: Connection, last: Number) -> bool:
        """Is there a receipt of this generation beyond the counter?"""
        beyond = f"{last.till}-{last.generation}-{AFTER_DIGITS}"
        found = connection.execute(_BEYOND, {"last": str(last), "beyond": beyond}).first()
        return found is not None

    def use(self, tx: Connection, number: Number) -> None:
        """Move the counter, with the sale."""
        tx.execute(_USE, msgspec.structs.asdict(number))

    def new_generation(self) -> None:
        """Every till starts a new one: the books were restored from a backup."""
        tills = {till.id for till in self._node.settings.tills}
        with self._node.books.begin() as tx:
            rows = tx.execute(select(receipt_counter.c.till, receipt_counter.c.generation)).all()
            highest = max((r.generation for r in rows), default=1)
            for till in sorted(tills | {r.till for r in rows}):
                self.use(tx, Number(till, highest + 1, 0))
