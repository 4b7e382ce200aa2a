"""Products, groups, prices and their CSV."""

import csv
import io

import msgspec
import pytest

from central.catalogue import Product
from central.compose import HeadOffice
from central.goods import ProductFaults
from central.stores import Store
from protocol.errors import Conflict, Refusal
from protocol.events import ProductCode
from protocol.node.sqljournal import SqlRecords
from tests.central.conftest import TestClock
from tests.central.shops import NOON

BREAD = Product(
    sku="B1",
    name_zh="吐司",
    name_en="Toast",
    group="bread",
    tax_rate_bp=1300,
    codes=(ProductCode(code="6901234567892"),),
)


@pytest.fixture(autouse=True)
def groups(office: HeadOffice) -> None:
    office.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
    office.catalogue.define_group("cake", zh="蛋糕", en="", by="ann")


def _events(office: HeadOffice) -> int:
    with office.books.database.reading() as connection:
        return SqlRecords(connection).head("all").seq


def test_a_product_is_listed_once_and_found_by_all_its_names(office: HeadOffice) -> None:
    first = office.catalogue.list_product(BREAD, by="ann")
    count = _events(office)
    again = office.catalogue.list_product(BREAD, by="ann")
    assert first.changed
    assert not again.changed
    assert _events(office) == count
    for text in ("b1", "吐司", "TOAST", "bread", "690123456", "吐 toa"):
        assert [p.sku for p in office.catalogue.products(text).rows] == ["B1"], text
    assert office.catalogue.products("%").total == 0
    assert office.catalogue.product("B1").codes == BREAD.codes


def test_no_product_without_a_group(office: HeadOffice) -> None:
    with pytest.raises(ProductFaults) as refused:
        office.catalogue.list_product(msgspec.structs.replace(BREAD, group="gone"), by="ann")
    assert refused.value.code == "GROUP_UNKNOWN"
    assert "gone" in refused.value.sentence("zh")
    assert office.catalogue.products().total == 0


def test_all_faults_of_a_product_come_at_once(office: HeadOffice) -> None:
    wrong = Product(
        sku="a b",
        name_zh="",
        name_en="",
        group="bread",
        tax_rate_bp=99_999,
        decimals=0,
        unit="mile",
        floor_minor=-1,
        codes=(
            ProductCode(code="6901234567891"),
            ProductCode(code="X1", pack_qty_milli=1500),
            ProductCode(code="X1"),
            ProductCode(code="好"),
        ),
    )
    with pytest.raises(ProductFaults) as refused:
        office.catalogue.list_product(wrong, by="ann")
    codes = {fault.code for fault in refused.value.faults}
    assert codes >= {
        "ID_UNREADABLE",
        "NAME_TOO_LONG",
        "TAX_WRONG",
        "UNIT_WRONG",
        "FLOOR_WRONG",
        "GTIN_WRONG",
        "PACK_WRONG",
        "CODE_TWICE",
        "CODE_WRONG",
    }
    assert all(fault.sentence("zh") and fault.sentence("en") for fault in refused.value.faults)


def test_a_barcode_belongs_to_one_product_until_it_is_taken_away(office: HeadOffice) -> None:
    office.catalogue.list_product(BREAD, by="ann")
    other = msgspec.structs.replace(BREAD, sku="B2")
    with pytest.raises(Conflict, match="CODE_TAKEN"):
        office.catalogue.list_product(other, by="ann")
    office.catalogue.list_product(msgspec.structs.replace(BREAD, codes=()), by="ann")
    assert office.catalogue.product("B1").codes == ()
    office.catalogue.list_product(other, by="ann")
    assert [p.sku for p in office.catalogue.products("6901234567892").rows] == ["B2"]


def test_a_group_that_no_promotion_reaches_is_warned_about(office: HeadOffice) -> None:
    assert office.catalogue.list_product(BREAD, by="ann").warnings
    office.campaigns.save_draft(
        "R1", '{"type": "percent_off", "percent": 10, "select": {"groups": ["bread"]}}', by="ann"
    )
    office.campaigns.publish("R1", by="ann")
    assert not office.catalogue.list_product(BREAD, by="ann").warnings
    cake = msgspec.structs.replace(BREAD, sku="C1", group="cake", codes=())
    ((english, chinese),) = office.catalogue.list_product(cake, by="ann").warnings
    assert "cake" in english
    assert "cake" in chinese
    reached = {g.group: g.promotions for g in office.catalogue.groups()}
    assert reached == {"bread": ("R1",), "cake": ()}


def test_prices_chain_zone_and_later(office: HeadOffice, clock: TestClock) -> None:
    catalogue = office.catalogue
    catalogue.list_product(BREAD, by="ann")
    office.stores.add_store(
        Store(store="A", name_zh="甲", name_en="A", zone="east", group="g", tz="Asia/Shanghai"),
        by="ann",
    )
    assert catalogue.product("B1").price_minor is None
    assert catalogue.set_price("B1", 1250, by="ann").in_force
    count = _events(office)
    catalogue.set_price("B1", 1250, by="ann")
    assert _events(office) == count
    east = catalogue.set_price("B1", 1300, by="ann", zone="east")
    assert east.version == "zone/east@2"
    later = catalogue.set_price("B1", 1100, by="ann", effective_from_ms=NOON + 1000)
    assert not later.in_force
    assert catalogue.product("B1").price_minor == 1250
    clock.forward(1000)
    assert catalogue.product("B1").price_minor == 1100
    assert [(p.zone, p.price_minor, p.in_force) for p in catalogue.prices("B1")] == [
        ("", 1100, True),
        ("", 1250, False),
        ("east", 1300, True),
    ]
    now = catalogue.set_price("B1", 900, by="ann")
    assert now.in_force
    assert now.effective_from_ms == NOON + 1000  # takes the place of the one in force
    for call in (
        lambda: catalogue.set_price("B1", -1, by="ann"),
        lambda: catalogue.set_price("NO", 1, by="ann"),
        lambda: catalogue.set_price("B1", 1, by="ann", zone="west"),
        lambda: catalogue.set_price("B1", 1, by="ann", effective_from_ms=10**15),
    ):
        with pytest.raises(Refusal):
            call()


CSV = """\
sku,name_zh,name_en,group,tax_rate,unit,decimals,weighed,no_discount,floor,codes,active,price
B1,吐司,Toast,bread,13,pc,0,no,no,,6901234567892 6901234567908*12,yes,12.50
B2,"面包, 大",Big bread,bread,9.5%,kg,3,是,否,5,20001,yes,
B3,,,nogroup,x,mile,9,maybe,,abc,6901234567891,yes,1.234
B1,吐司,Toast,bread,13,pc,0,no,no,,,yes,1
B4,短,Short,bread
B5,偷,Thief,bread,13,pc,0,no,no,,6901234567892,yes,3
"""


def test_csv_takes_the_good_rows_and_names_every_fault(office: HeadOffice) -> None:
    preview = office.catalogue.import_csv(CSV, by="ann")
    assert not preview.applied
    assert preview.new == ("B1", "B2")
    assert preview.priced == 1
    assert office.catalogue.products().total == 0
    done = office.catalogue.import_csv(CSV, by="ann", apply=True)
    assert (done.new, done.priced, done.rows) == (("B1", "B2"), 1, 6)
    places = {(f.row, f.column, f.code) for f in done.faults}
    assert places == {
        (4, "name_zh", "NAME_TOO_LONG"),
        (4, "name_en", "NAME_TOO_LONG"),
        (4, "tax_rate", "TAX_WRONG"),
        (4, "unit", "UNIT_WRONG"),
        (4, "decimals", "DECIMALS_WRONG"),
        (4, "weighed", "YES_NO_WRONG"),
        (4, "floor", "FLOOR_WRONG"),
        (4, "codes", "GTIN_WRONG"),
        (4, "price", "PRICE_WRONG"),
        (5, "sku", "CSV_SKU_TWICE"),
        (6, "", "CSV_CELLS"),
        (7, "codes", "CODE_TAKEN"),
    }
    assert office.catalogue.product("B1").price_minor == 1250
    assert office.catalogue.product("B2").weighed
    assert office.catalogue.product("B1").codes[1].pack_qty_milli == 12_000
    count = _events(office)
    again = office.catalogue.import_csv(CSV, by="ann", apply=True)
    assert (again.new, again.changed, again.priced, again.unchanged) == ((), (), 0, 2)
    assert _events(office) == count


def test_csv_export_is_calm_and_comes_back_unchanged(office: HeadOffice) -> None:
    names = ["=1+1", "+cmd", "-2", "@x", "'=x", "plain", "'quoted", '"a",b']
    for n, name in enumerate(names):
        office.catalogue.list_product(
            Product(sku=f"S{n}", name_zh=name, name_en=name, group="bread", tax_rate_bp=1300),
            by="ann",
        )
    office.catalogue.set_price("S1", 705, by="ann")
    text = office.catalogue.export_csv()
    for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))):
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    again = office.catalogue.import_csv(text, by="ann", apply=True)
    assert (again.unchanged, again.changed, again.faults) == (len(names), (), ())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "CSV_HEADING"),
        ("sku,group\nB1,bread\n", "CSV_HEADING"),
        ("sku,sku,group,tax_rate,name_zh\n", "CSV_COLUMN_TWICE"),
        ('sku,group,tax_rate,name_zh\n"B1,bread,13,x\n', "CSV_UNREADABLE"),
        ("sku,group,tax_rate,name_zh,colour\nB1,bread,13,x,red\n", "CSV_COLUMN_UNKNOWN"),
    ],
)
def test_csv_files_that_are_none(office: HeadOffice, text: str, code: str) -> None:
    result = office.catalogue.import_csv(text, by="ann")
    assert code in {f.code for f in result.faults}
    assert all("{" not in f.sentence("zh") + f.sentence("en") for f in result.faults)


def test_csv_in_chinese_with_semicolons(office: HeadOffice) -> None:
    text = "编码;中文名;促销组;税率;价格\nB9;酥饼;bread;13;¥3.5\n"
    assert office.catalogue.import_csv(text, by="ann", apply=True).new == ("B9",)
    assert office.catalogue.product("B9").price_minor == 350
