"""The shop's goods apart from sales: look, count, receive, scrap."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, func, or_, select

from edge.catalogue import Catalogue, Product, matches_name
from edge.node import ShopNode
from edge.people import People
from edge.recognising import Recogniser
from protocol.errors import Refusal, define
from protocol.events import Counted, Event, GoodsReceived, GoodsScrapped, Moved, StockCounted
from protocol.ids import check_id
from protocol.node.tables import READ
from protocol.quantity import MILLI_MAX, check_precision, format_milli

PAGE_ROWS: Final = 50
LINES_MAX: Final = 500
WORDS_MAX: Final = 200

define(
    {
        "DOCUMENT_EMPTY": (
            "There is nothing on this document yet. Add a product first.",
            "单据还没有商品，请先添加。",
        ),
        "DOCUMENT_TOO_LONG": (
            "A document has at most {limit} lines. Nothing was saved; split it in two.",
            "一张单据最多 {limit} 行。没有保存，请拆成两张。",
        ),
        "LINE_TWICE": (
            "“{sku}” is on this document twice. Nothing was saved; add the two up.",
            "“{sku}”在单据中出现两次。没有保存，请合并数量。",
        ),
        "QUANTITY_WRONG": (
            "The quantity of “{sku}” must be {what}. Nothing was saved.",
            "“{sku}”的数量必须{what}。没有保存。",
        ),
        "OPENING_DONE": (
            "“{sku}” already has movements, so there is no opening figure any more. Count it.",
            "“{sku}”已有出入库记录，不能再录入期初。请改用盘点。",
        ),
        "SHELF_SHORT": (
            "The book has only {have} of “{sku}”, {want} were asked for. Nothing was saved. Count "
            "the shelf first, or take less.",
            "“{sku}”账面只有 {have}，需要 {want}。没有保存。请先盘点或减少数量。",
        ),
        "REASON_MISSING": (
            "Say why. Nothing was saved.",
            "请填写原因。没有保存。",
        ),
    }
)


class StockRow(msgspec.Struct, frozen=True, kw_only=True):
    """One product on the shelf."""

    sku: str
    zh: str
    en: str
    group: str
    unit: str
    decimals: int
    code: str
    on_hand_milli: int
    price_minor: int | None
    oversold: bool


class StockPage(msgspec.Struct, frozen=True):
    """A page of the list; pages count from 1."""

    rows: tuple[StockRow, ...]
    total: int
    page: int
    pages: int


class Piece(msgspec.Struct, frozen=True):
    """So much of a product, as typed or scanned on a page."""

    sku: str
    qty_milli: int


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One movement on the time axis of a product."""

    at_ms: int
    kind: str  # event type: SaleCompleted, StockCounted, ...
    document: str
    source: str
    target: str
    change_milli: int  # of this shop's shelf
    after_milli: int  # on the shelf after it
    actor: str
    till: str


class Stockroom:
    """Verbs take the document's id from the page: the same id twice is one document."""

    def __init__(
        self, node: ShopNode, catalogue: Catalogue, *, people: People, recogniser: Recogniser
    ) -> None:
        self._node = node
        self._catalogue = catalogue
        self._people = people
        self._recogniser = recogniser

    # -- look ---------------------------------------------------------------------------------

    def on_hand(self, search: str = "", *, page: int = 1, oversold: bool = False) -> StockPage:
        """What lies here, 50 to a page, by name; `oversold` lists only what the book lacks."""
        product, stock = READ["product"].c, READ["stock"].c
        here = and_(stock.sku == product.sku, stock.place == self._node.shelf)
        held = func.coalesce(stock.qty_milli, 0)
        source = READ["product"].outerjoin(READ["stock"], here)
        condition: Any = held < 0 if oversold else or_(product.active, held != 0)
        if search.strip():
            condition = and_(condition, self._matches(search.strip()[:60]))
        with self._node.books.database.reading() as connection:
            total = connection.execute(
                select(func.count()).select_from(source).where(condition)
            ).scalar_one()
            pages = max(1, -(-total // PAGE_ROWS))
            page = min(max(1, page), pages)
            rows = connection.execute(
                select(product.sku, held.label("held"))
                .select_from(source)
                .where(condition)
                .order_by(product.name_zh, product.sku)
                .limit(PAGE_ROWS)
                .offset((page - 1) * PAGE_ROWS)
            ).all()
            return StockPage(
                self._rows(connection, {r.sku: r.held for r in rows}), total, page, pages
            )

    def _matches(self, text: str) -> Any:
        product, code = READ["product"].c, READ["product_code"].c
        upper = text + "\U0010ffff"
        coded = select(code.sku).where(
            code.code >= text, code.code < upper, code.rank == product.rank
        )
        return or_(
            matches_name(text),
            and_(product.sku >= text, product.sku < upper),
            product.sku.in_(coded),
        )

    def _rows(self, connection: Connection, held: dict[str, int]) -> tuple[StockRow, ...]:
        judged = self._node.judged_ms(self._node.clock.read())
        products = self._catalogue.products(connection, list(held))
        rows = []
        for sku, qty in held.items():
            product = products[sku]
            price = self._catalogue.price_at(connection, sku, judged)
            rows.append(
                StockRow(
                    sku=sku,
                    zh=product.name_zh,
                    en=product.name_en,
                    group=product.group,
                    unit=product.unit,
                    decimals=product.decimals,
                    code=self._catalogue.first_code(connection, sku),
                    on_hand_milli=qty,
                    price_minor=price.price_minor if price else None,
                    oversold=qty < 0,
                )
            )
        return tuple(rows)

    def find(self, raw: str) -> StockRow | None:
        """The product behind a scanned or typed code, an id included."""
        with self._node.books.database.reading() as connection:
            found = self._recogniser.goods(connection, raw)
            if found is None:
                return None
            sku = found.product.sku
            return self._rows(connection, self._catalogue.on_hand(connection, [sku]))[0]

    def stock_log(self, sku: str, *, limit: int = 100) -> list[LogRow]:
        """Every movement of a product in this shop, newest first."""
        move, shelf = READ["stock_move"].c, self._node.shelf
        with self._node.books.database.reading() as connection:
            after = self._catalogue.on_hand(connection, [sku])[sku]
            rows = connection.execute(
                select(READ["stock_move"])
                .where(move.sku == sku, or_(move.source == shelf, move.target == shelf))
                .order_by(move.at_ms.desc(), move.seq.desc(), move.line.desc())
                .limit(limit)
            ).all()
        log = []
        for row in rows:
            change = row.qty_milli if row.target == shelf else -row.qty_milli
            log.append(
                LogRow(
                    at_ms=row.at_ms,
                    kind=row.kind,
                    document=row.document,
                    source=row.source,
                    target=row.target,
                    change_milli=change,
                    after_milli=after,
                    actor=row.actor,
                    till=row.till,
                )
            )
            after -= change
        return log

    # -- move ---------------------------------------------------------------------------------

    def count(
        self,
        document: str,
        lines: Sequence[Piece],
        *,
        person: str,
        opening: bool = False,
        note: str = "",
    ) -> int:
        """Counted figures: the shelf moves by counted minus book at this very position.

        Returns how many products differed. `opening` books the first figures of a shop.
        """
        self._people.demand(person, "count")
        self.demand_lines(lines, allow_zero=True)
        with self._node.books.begin() as tx:
            book = self._catalogue.on_hand(tx, [x.sku for x in lines])
            if opening:
                self._demand_unmoved(tx, document, lines)
            counted = tuple(
                Counted(sku=x.sku, counted_qty_milli=x.qty_milli, book_qty_milli=book[x.sku])
                for x in lines
            )
            body = StockCounted(
                document=document, lines=counted, opening=opening, note=note[:WORDS_MAX]
            )
            self._record(tx, body, document, person)
        return sum(x.counted_qty_milli != x.book_qty_milli for x in counted)

    def _demand_unmoved(self, tx: Connection, document: str, lines: Sequence[Piece]) -> None:
        move = READ["stock_move"].c
        moved = tx.execute(
            select(move.sku)
            .where(
                move.sku.in_([x.sku for x in lines]),
                or_(move.source == self._node.shelf, move.target == self._node.shelf),
                move.document != document,
            )
            .limit(1)
        ).scalar()
        if moved:
            raise Refusal("OPENING_DONE", sku=moved)

    def receive(
        self, document: str, supplier: str, lines: Sequence[Piece], *, person: str, note: str = ""
    ) -> None:
        """From a supplier onto the shelf."""
        self._people.demand(person, "receive")
        self.demand_lines(lines)
        body = GoodsReceived(
            document=document,
            supplier=supplier.strip()[:WORDS_MAX] or "-",
            lines=moved(lines),
            note=note[:WORDS_MAX],
        )
        with self._node.books.begin() as tx:
            self._record(tx, body, document, person)

    def scrap(self, document: str, reason: str, lines: Sequence[Piece], *, person: str) -> None:
        """Thrown away; refused when the shelf has less."""
        self._people.demand(person, "scrap")
        self.demand_lines(lines)
        if not reason.strip():
            raise Refusal("REASON_MISSING")
        body = GoodsScrapped(
            document=document, reason=reason.strip()[:WORDS_MAX], lines=moved(lines)
        )
        with self._node.books.begin() as tx:
            if not self._node.recorded(tx, document):
                self.demand_shelf(tx, lines)
            self._record(tx, body, document, person)

    def _record(self, tx: Connection, body: Event, document: str, person: str) -> None:
        draft = self._node.draft(body, event=check_id(document, "document"), actor=person)
        self._node.books.record(tx, {self._node.stream: [draft]})

    def demand_lines(self, lines: Sequence[Piece], *, allow_zero: bool = False) -> None:
        """Every line a known product, once, in its precision."""
        if not lines:
            raise Refusal("DOCUMENT_EMPTY")
        if len(lines) > LINES_MAX:
            raise Refusal("DOCUMENT_TOO_LONG", limit=LINES_MAX)
        seen: set[str] = set()
        with self._node.books.database.reading() as connection:
            known = self._catalogue.products(connection, [x.sku for x in lines])
        for line in lines:
            if line.sku in seen:
                raise Refusal("LINE_TWICE", sku=line.sku)
            seen.add(line.sku)
            self._demand_quantity(line, known.get(line.sku), allow_zero=allow_zero)

    @staticmethod
    def _demand_quantity(line: Piece, product: Product | None, *, allow_zero: bool) -> None:
        if product is None:
            raise Refusal("PRODUCT_UNKNOWN", sku=line.sku[:60])
        if line.qty_milli < 0 or (line.qty_milli == 0 and not allow_zero):
            what = "0 or more / 不小于 0" if allow_zero else "above 0 / 大于 0"
            raise Refusal("QUANTITY_WRONG", sku=line.sku, what=what)
        if line.qty_milli > MILLI_MAX:
            raise Refusal("QUANTITY_TOO_LARGE", text=str(line.qty_milli // 1000))
        check_precision(line.qty_milli, decimals=product.decimals)

    def demand_shelf(self, tx: Connection, lines: Sequence[Piece]) -> None:
        """Raise SHELF_SHORT when the book has less than is taken."""
        have = self._catalogue.on_hand(tx, [x.sku for x in lines])
        for line in lines:
            if have[line.sku] < line.qty_milli:
                raise Refusal(
                    "SHELF_SHORT",
                    sku=line.sku,
                    have=format_milli(have[line.sku]),
                    want=format_milli(line.qty_milli),
                )


def moved(lines: Sequence[Piece]) -> tuple[Moved, ...]:
    """For the event."""
    return tuple(Moved(sku=x.sku, qty_milli=x.qty_milli) for x in lines)
