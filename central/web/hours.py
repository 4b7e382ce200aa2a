"""Takings by hour of the day, for the bars on the overview."""

import msgspec
from sqlalchemy import func, select

from central.web.language import local
from central.web.office import office
from protocol.node.tables import READ

QUARTER_MS = 900_000  # every zone's offset is a whole number of these

_sale = READ["sale"].c


class HourFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One shop's sales that began in one hour of its own day."""

    store: str
    hour: int
    sales: int
    total_minor: int


def hours(dates: dict[str, str]) -> list[HourFigures]:
    """The hours in which there were sales; `dates` maps a shop to its business date."""
    quarter = _sale.at_ms - _sale.at_ms % QUARTER_MS
    found: dict[tuple[str, int], tuple[int, int]] = {}
    with office().books.database.reading() as connection:
        for store, date in dates.items():
            rows = connection.execute(
                select(quarter, func.count(), func.sum(_sale.total_minor))
                .where(_sale.store == store, _sale.business_date == date)
                .group_by(quarter)
            )
            for at_ms, sales, total in rows:
                key = (store, local(int(at_ms), store).hour)
                before = found.get(key, (0, 0))
                found[key] = (before[0] + int(sales), before[1] + int(total))
    return [
        HourFigures(store=store, hour=hour, sales=sales, total_minor=total)
        for (store, hour), (sales, total) in sorted(found.items())
    ]
