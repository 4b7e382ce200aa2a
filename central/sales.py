"""Sales as they come in, and the day's figures."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection, Select, and_, or_, select, tuple_

from central.people import names_of
from central.recording import Desk
from central.stores import all_stores
from central.tables import reprice_result
from protocol.codec import body_of, decode
from protocol.errors import Refusal, define
from protocol.events import SaleCompleted
from protocol.ids import shop_stream
from protocol.node.tables import READ, journal

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LIMIT_MAX: Final = 500
_sale, _day, _tender = READ["sale"], READ["sales_day"], READ["tender_day"]

define(
    {
        "HQ_SALE_UNKNOWN": (
            "There is no sale {sale} of shop {store}.",
            "门店 {store} 没有销售单 {sale}。",
        ),
    }
)


class SaleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One sale in the stream."""

    store: str
    sale: str
    receipt_number: str
    till: str
    cashier: str  # name
    business_date: str
    at_ms: int
    total_minor: int
    discount_minor: int
    items_milli: int
    seq: int
    repriced: str = ""  # "" (not yet) or an outcome of central.repricing


class TenderFigures(msgspec.Struct, frozen=True):
    """What one kind of payment brought in a day; a sale paid in two ways counts in both."""

    kind: str  # cash, scan, card
    sales: int
    amount_minor: int


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One shop's figures of one business day."""

    store: str
    name_zh: str
    name_en: str
    business_date: str
    sales: int
    total_minor: int
    discount_minor: int
    tax_minor: int
    items_milli: int
    currency: str = "CNY"
    tenders: tuple[TenderFigures, ...] = ()


class SaleDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A sale with everything that its event says."""

    row: SaleRow
    body: SaleCompleted
    clock_state: str
    uncertainty_ms: int
    difference: str = ""  # JSON of the repricing when it differs


class Sales:
    """Views of sales."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def sales(
        self,
        *,
        store: str = "",
        business_date: str = "",
        before: tuple[int, str, str] | None = None,
        limit: int = 50,
    ) -> list[SaleRow]:
        """Newest first; `before` = (at_ms, store, sale) of the last row goes on from there."""
        query = _query()
        if store:
            query = query.where(_sale.c.store == store)
        if business_date:
            query = query.where(_sale.c.business_date == business_date)
        if before is not None:
            key = tuple_(_sale.c.at_ms, _sale.c.store, _sale.c.sale)
            query = query.where(_sale.c.at_ms <= before[0], key < tuple_(*before))
        with self._desk.books.database.reading() as connection:
            return _rows(connection, query, limit)

    def days(self, business_date: str = "") -> list[DayFigures]:
        """Every shop's figures of a day; "" = today in each shop's own zone."""
        found = []
        with self._desk.books.database.reading() as connection:
            for shop in all_stores(connection):
                date = business_date or self._date(shop.tz)
                row = connection.execute(
                    select(_day).where(_day.c.store == shop.store, _day.c.business_date == date)
                ).first()
                found.append(
                    DayFigures(
                        store=shop.store,
                        name_zh=shop.name_zh,
                        name_en=shop.name_en,
                        business_date=date,
                        sales=row.sales if row else 0,
                        total_minor=row.total_minor if row else 0,
                        discount_minor=row.discount_minor if row else 0,
                        tax_minor=row.tax_minor if row else 0,
                        items_milli=row.items_milli if row else 0,
                        currency=shop.currency,
                        tenders=_tenders(connection, shop.store, date),
                    )
                )
        return found

    def today(self, store: str) -> str:
        """The calendar date now in the shop's zone, YYYY-MM-DD; "" for an unknown shop."""
        with self._desk.books.database.reading() as connection:
            tz = next((s.tz for s in all_stores(connection) if s.store == store), "")
        return self._date(tz) if tz else ""

    def _date(self, tz: str) -> str:
        at = EPOCH + timedelta(milliseconds=self._desk.clock.read().at_ms)
        return at.astimezone(ZoneInfo(tz)).date().isoformat()

    def sale(self, store: str, sale: str) -> SaleDetail:
        """One sale, read from the journal; Refusal HQ_SALE_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            query = _query().where(_sale.c.store == store, _sale.c.sale == sale)
            rows = _rows(connection, query, 1)
            found = connection.execute(
                select(journal.c.data, reprice_result.c.detail)
                .join(
                    _sale,
                    and_(_sale.c.epoch == journal.c.epoch, _sale.c.seq == journal.c.seq),
                )
                .outerjoin(
                    reprice_result,
                    and_(
                        reprice_result.c.store == _sale.c.store,
                        reprice_result.c.sale == _sale.c.sale,
                    ),
                )
                .where(
                    journal.c.stream == shop_stream(store),
                    _sale.c.store == store,
                    _sale.c.sale == sale,
                )
            ).first()
        envelope = decode(found.data) if found else None
        body = body_of(envelope) if envelope else None
        if not rows or found is None or envelope is None or not isinstance(body, SaleCompleted):
            raise Refusal("HQ_SALE_UNKNOWN", store=store[:40], sale=sale[:60])
        return SaleDetail(
            row=rows[0],
            body=body,
            clock_state=envelope.clk,
            uncertainty_ms=envelope.u,
            difference=found.detail or "",
        )

    def find_receipt(self, text: str, *, limit: int = 50) -> list[SaleRow]:
        """Sales whose receipt number contains the text, newest first."""
        safe = text.strip()[:60].replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        if not safe:
            return []
        query = _query().where(
            or_(
                _sale.c.receipt_number == text.strip(),
                _sale.c.receipt_number.ilike(f"%{safe}%", escape="\\"),
            )
        )
        with self._desk.books.database.reading() as connection:
            return _rows(connection, query, limit)


def _tenders(connection: Connection, store: str, date: str) -> tuple[TenderFigures, ...]:
    rows = connection.execute(
        select(_tender.c.kind, _tender.c.sales, _tender.c.amount_minor)
        .where(_tender.c.store == store, _tender.c.business_date == date)
        .order_by(_tender.c.kind)
    )
    return tuple(TenderFigures(row.kind, row.sales, row.amount_minor) for row in rows)


def _query() -> Select[Any]:
    return select(_sale, reprice_result.c.outcome).outerjoin(
        reprice_result,
        and_(reprice_result.c.store == _sale.c.store, reprice_result.c.sale == _sale.c.sale),
    )


def _rows(connection: Connection, query: Select[Any], limit: int) -> list[SaleRow]:
    newest = query.order_by(_sale.c.at_ms.desc(), _sale.c.store.desc(), _sale.c.sale.desc())
    rows = connection.execute(newest.limit(min(max(1, limit), LIMIT_MAX))).all()
    names = names_of(connection, {row.cashier for row in rows})
    return [
        SaleRow(
            store=row.store,
            sale=row.sale,
            receipt_number=row.receipt_number,
            till=row.till,
            cashier=names.get(row.cashier, row.cashier),
            business_date=row.business_date,
            at_ms=row.at_ms,
            total_minor=row.total_minor,
            discount_minor=row.discount_minor,
            items_milli=row.items_milli,
            seq=row.seq,
            repriced=row.outcome or "",
        )
        for row in rows
    ]
