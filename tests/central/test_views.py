"""Stock across shops, the stream of sales, the day's figures, alarms."""

import pytest
from sqlalchemy import insert

from central import watching
from central.catalogue import Product
from central.compose import HeadOffice
from promotions.ruleset import compile_rules
from protocol.errors import Corrupt, Refusal
from protocol.node.tables import fork
from protocol.wire import Clk, Complaint, Heartbeat
from tests.central.conftest import TestClock
from tests.central.shops import NOON, TZ, Shop

NO_RULES = compile_rules([], TZ)


@pytest.fixture
def goods(office: HeadOffice) -> None:
    office.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
    for sku, name in (("X", "吐司"), ("Y", "酥饼"), ("Z", "蛋挞")):
        office.catalogue.list_product(
            Product(sku=sku, name_zh=name, name_en=f"en {sku}", group="bread", tax_rate_bp=1300),
            by="ann",
        )


@pytest.mark.usefixtures("goods")
def test_stock_across_shops_with_its_age(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    a.open_with(X=5_000, Y=1_500)
    b.open_with(X=2_000)
    a.at_ms += 500
    a.dispatch("t1", "B", X=1_000)
    for shop in (a, b):
        shop.deliver(office)
    page = office.stock.stock()
    assert page.total == 3
    x = office.stock.row("X")
    assert (x.on_hand, x.in_transit_milli, x.total_milli) == (
        {"A": 4_000, "B": 2_000},
        1_000,
        7_000,
    )
    assert [r.sku for r in office.stock.stock(store="A").rows] == ["X", "Y"]
    assert [r.sku for r in office.stock.stock("酥", store="A").rows] == ["Y"]
    assert office.stock.stock("酥", store="B").total == 0
    assert [r.sku for r in office.stock.stock(page=2, size=2).rows] == ["Z"]
    ages = office.stock.as_of()
    assert (ages["A"].seq, ages["A"].at_ms, ages["B"].seq) == (3, NOON + 500, 2)
    assert sum(p.qty_milli for p in office.stock.places("X")) == 0
    newest = office.stock.movements("X")[0]
    assert (newest.source, newest.target, newest.kind, newest.actor) == (
        "shop/A",
        "transit/A>B",
        "TransferDispatched",
        "kim",
    )
    with pytest.raises(Refusal, match="HQ_PRODUCT_UNKNOWN"):
        office.stock.row("Q")


def test_sales_newest_first_in_pages(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    for n in range(6):
        shop = (a, b)[n % 2]
        shop.at_ms = NOON + n // 2  # two sales of one instant
        shop.sell(NO_RULES, f"s{n}", ("X", "bread", 100, 1000))
    for shop in (a, b):
        shop.deliver(office)
    first = office.sales.sales(limit=4)
    last = first[-1]
    rest = office.sales.sales(limit=4, before=(last.at_ms, last.store, last.sale))
    assert [r.sale for r in (*first, *rest)] == ["s5", "s4", "s3", "s2", "s1", "s0"]
    assert [r.sale for r in office.sales.sales(store="A")] == ["s4", "s2", "s0"]
    assert office.sales.sales(business_date="2020-01-01") == []
    detail = office.sales.sale("A", "s0")
    assert (detail.body.sale, detail.clock_state, detail.uncertainty_ms) == ("s0", "trusted", 20)
    for store, sale in (("A", "s1"), ("A", "zz"), ("Q", "s0")):
        with pytest.raises(Refusal, match="HQ_SALE_UNKNOWN"):
            office.sales.sale(store, sale)
    assert [r.sale for r in office.sales.find_receipt(detail.row.receipt_number)] == ["s1", "s0"]
    assert office.sales.find_receipt("%") == office.sales.find_receipt(" ") == []


def test_the_days_figures_in_each_shops_zone(
    office: HeadOffice, shops: dict[str, Shop], clock: TestClock
) -> None:
    shops["A"].sell(NO_RULES, "s1", ("X", "bread", 100, 2000))
    shops["A"].sell(NO_RULES, "s2", ("X", "bread", 100, 1000))
    shops["A"].deliver(office)
    assert office.sales.today("A") == "2026-11-18"
    a, b = office.sales.days()
    assert (a.store, a.sales, a.total_minor, a.items_milli) == ("A", 2, 300, 3000)
    assert [(t.kind, t.sales, t.amount_minor) for t in a.tenders] == [("cash", 2, 300)]
    assert (b.store, b.sales, b.total_minor) == ("B", 0, 0)
    clock.forward(24 * 3_600_000)
    assert office.sales.days()[0].sales == 0
    assert office.sales.days("2026-11-18")[0].sales == 2
    assert office.sales.today("Q") == ""


def _beat(office: HeadOffice, store: str, **changes: object) -> None:
    now = office.clock.read().at_ms
    values = {"clk": Clk("trusted", 20, now), "health": {"printer": "ok"}, **changes}
    heart = Heartbeat(node=store, sess="s", now=now, head=1, acked=1, **values)  # type: ignore[arg-type]
    with office.books.database.begin() as tx:
        watching.beat(tx, heart, now_ms=now)


def _codes(office: HeadOffice) -> list[tuple[str, str]]:
    return [(a.code, a.subject) for a in office.alarms.alarms() if a.code != "ALARM_BROKER"]


def test_alarms_say_what_and_what_to_do(
    office: HeadOffice, shops: dict[str, Shop], clock: TestClock
) -> None:
    assert _codes(office) == [("ALARM_NEVER", "A"), ("ALARM_NEVER", "B")]
    _beat(office, "A")
    _beat(office, "B")
    assert _codes(office) == []
    assert [a.code for a in office.alarms.alarms()] == ["ALARM_BROKER"]
    _beat(office, "A", clk=Clk("unknown", 0, NOON), health={"printer": "PAPER_OUT"})
    assert _codes(office) == [("ALARM_CLOCK", "A"), ("ALARM_PORTS", "A")]
    [ports] = [a for a in office.alarms.alarms() if a.code == "ALARM_PORTS"]
    assert ports.sentence("en") == "A reports: printer: PAPER_OUT"  # all that an older shop says
    paper = Complaint(
        state="bad",
        code="PAPER_OUT",
        name_en="Printer 1",
        name_zh="打印机 1",
        en="No paper.",
        zh="缺纸。",
    )
    _beat(office, "A", health={"printer/1": "bad PAPER_OUT"}, complaints={"printer/1": paper})
    [ports] = [a for a in office.alarms.alarms() if a.code == "ALARM_PORTS"]
    assert ports.sentence("en") == "A reports: Printer 1: No paper."
    assert ports.sentence("zh") == "A 报告：打印机 1: 缺纸。"
    with office.books.database.begin() as tx:  # kept by the version before
        tx.execute(watching.shop_report.update().values(health='{"clock": "ok", "disk": "bad D"}'))
        told = watching.reports(tx)["A"]
    assert {part: one.code for part, one in told.complaints.items()} == {"disk": "D"}
    clock.forward(46_000)
    assert _codes(office) == [("ALARM_SILENT", "A"), ("ALARM_SILENT", "B")]
    _beat(office, "A")
    _beat(office, "B")
    shops["A"].open_with(X=1_000)
    shops["A"].prove()
    shops["A"].deliver(office)
    assert _codes(office) == []
    shops["A"].prove(digest="f" * 32)
    shops["A"].deliver(office)
    office.books.refuse(
        "pos/1/x", b"{", Corrupt("SIGNATURE_WRONG", stream="shop/B", node="B"), at_ms=clock.at_ms
    )
    with office.books.database.begin() as tx:
        tx.execute(
            insert(fork),
            {
                "stream": "shop/B",
                "parent_hash": "0" * 64,
                "parent_seq": 7,
                "old_tip_seq": 9,
                "branch": 1,
                "at_ms": clock.at_ms,
            },
        )
    assert set(_codes(office)) == {
        ("ALARM_DIGEST", "A"),
        ("ALARM_FORK", "shop/B"),
        ("ALARM_REFUSED", "pos/1/x"),
    }
    for alarm in office.alarms.alarms():
        for language in ("en", "zh"):
            for text in (alarm.sentence(language), alarm.todo(language)):
                assert "{" not in text
                assert "ALARM" not in text
