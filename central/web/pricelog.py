"""Who changed a price when: read from the journal, where nothing is ever overwritten.

A price that holds at once takes the place of the one before it in the read table, so the table
knows only starts; the journal knows every change.
"""

from typing import Final

import msgspec
from sqlalchemy import or_, select

from central.web.office import office
from protocol.codec import body_of, decode
from protocol.events import PriceSet
from protocol.ids import ALL
from protocol.node.tables import journal

LOOKED_AT_MAX: Final = 50_000  # newest price events that one page looks through
SHOWN_MAX: Final = 50


class PriceChange(msgspec.Struct, frozen=True, kw_only=True):
    """One `PriceSet` as it was said."""

    at_ms: int
    actor: str
    zone: str
    price_minor: int
    effective_from_ms: int
    version: str


def changes(sku: str) -> list[PriceChange]:
    """The newest changes of a product's prices, chain and zones together."""
    columns = journal.c
    query = (
        select(columns.stream, columns.seq, columns.data)
        .where(
            columns.type == PriceSet.__name__,
            columns.branch == 0,
            or_(columns.stream == ALL, columns.stream.like("zone/%")),
        )
        .order_by(columns.at_ms.desc(), columns.seq.desc())
        .limit(LOOKED_AT_MAX)
    )
    needle = b'"sku":' + msgspec.json.encode(sku)
    found = []
    with office().books.database.reading() as connection:
        for row in connection.execute(query):
            if needle not in row.data:
                continue
            envelope = decode(row.data)
            body = body_of(envelope)
            if isinstance(body, PriceSet) and body.sku == sku:
                found.append(
                    PriceChange(
                        at_ms=envelope.ts,
                        actor=envelope.actor,
                        zone=row.stream.partition("/")[2],
                        price_minor=body.price_minor,
                        effective_from_ms=body.effective_from_ms,
                        version=f"{row.stream}@{row.seq}",
                    )
                )
            if len(found) == SHOWN_MAX:
                break
    return found
