"""What the pages do with a head office behind them: forms in, verbs, sentences out."""

import csv
import io
import re
from collections.abc import Callable

import pytest

from central.compose import HeadOffice
from protocol.errors import Corrupt
from protocol.wire import Complaint
from tests.central.web import bakery
from tests.central.web.bakery import EVENING_MS, Shop
from tests.central.web.conftest import Person

Who = Callable[[str], Person]
NASTY = "<script>alert(1)</script>\"'>"
PRODUCT = {
    "name_zh": "新面包",
    "name_en": "New bread",
    "group": "bread",
    "tax_rate": "9",
    "decimals": "0",
    "unit": "pc",
    "active": "1",
}


def code(page: str) -> str:
    """The code of the fault that a page shows."""
    return re.findall(r'<span class="code">([A-Z_]+)</span>', page)[0]


def test_a_product_is_listed_with_codes_and_price(office: HeadOffice, person: Who) -> None:
    """One form, one product, all its codes."""
    page = person("qian").send(
        "/products/new",
        sku="N1",
        price="¥1,012.50",
        code=["6901234567892", "16901234567899"],
        pack=["1", "6"],
        **PRODUCT,
    )
    assert "New bread" in page
    found = office.catalogue.product("N1")
    assert found.price_minor == 101250
    assert {c.code: c.pack_qty_milli for c in found.codes} == {
        "6901234567892": 1000,
        "16901234567899": 6000,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"group": ""}, "GROUP_MISSING"),
        ({"tax_rate": "eleven"}, "PERCENT_WRONG"),
        ({"price": "1.234"}, "MONEY_UNREADABLE"),
        ({"code": "6901234567890"}, "GTIN_WRONG"),
        ({"code": "1", "pack": "x"}, "QUANTITY_UNREADABLE"),
    ],
)
def test_a_wrong_product_is_refused_and_keeps_what_was_typed(
    office: HeadOffice, person: Who, changes: dict[str, str], expected: str
) -> None:
    """A sentence, a code, the form as it was; nothing saved."""
    page = person("qian").send("/products/new", status=422, sku="N2", **{**PRODUCT, **changes})
    assert expected in code(page)
    assert 'value="N2"' in page
    assert "新面包" in page
    assert office.catalogue.products("N2").total == 0


def test_names_are_data(office: HeadOffice, person: Who, shops: dict[str, Shop]) -> None:
    """Markup in a name is text on every page that shows it."""
    product = {**PRODUCT, "name_zh": NASTY, "name_en": NASTY}
    person("qian").send("/products/new", sku="X1", price="2", **product)
    office.people.change_person(
        bakery.Person(person="chen", name=NASTY, role="cashier", stores=("south",)), by="zhao"
    )
    sale = shops["south"].sell([("X1", 1000)], EVENING_MS, cashier="chen")
    for path in (
        "/products?search=X1",
        "/products/X1",
        "/prices?search=X1",
        "/prices/X1",
        "/stock?search=X1",
        "/stock/X1",
        "/sales",
        f"/sales/south/{sale}",
        "/people",
        "/people/chen",
        "/",
        "/products?search=" + NASTY,
        "/people?lang=" + NASTY,
    ):
        page = person("zhao").get(path)
        assert "<script>alert" not in page, path


def test_csv_is_looked_at_before_it_is_taken(office: HeadOffice, person: Who) -> None:
    """Preview changes nothing; good rows are taken; faults come as a list."""
    text = office.catalogue.export_csv().lstrip("\ufeff")
    heading = text.splitlines()[0]
    columns = next(csv.reader([heading]))
    rows = list(csv.DictReader(io.StringIO(text)))
    good = {**rows[0], "sku": "C1", "name_zh": "可颂", "name_en": "Kouign", "codes": ""}
    bad = {**rows[0], "sku": "=C2", "group": "nowhere", "codes": ""}
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows([good, bad])

    page = person("qian").send(
        "/products/import",
        status=200,
        do="preview",
        file=(io.BytesIO(out.getvalue().encode("gb18030")), "new.csv"),
    )
    assert "nothing has been changed yet" in page
    assert office.catalogue.products("C1").total == 0

    listed = person("qian").client.post(
        "/products/import",
        data={"csrf": person("qian").csrf, "do": "faults", "text": out.getvalue()},
    )
    assert listed.mimetype == "text/csv"
    faults = list(csv.reader(io.StringIO(listed.text.lstrip("\ufeff"))))
    assert len(faults) > 1
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in faults for cell in row)

    person("qian").send("/products/import", status=200, do="apply", text=out.getvalue())
    assert office.catalogue.product("C1").name_en == "Kouign"
    assert office.catalogue.products("=C2").total == 0


def test_an_empty_or_binary_file_is_refused_in_words(person: Who) -> None:
    """No file, and bytes that are no text."""
    assert code(person("qian").send("/products/import", status=422)) == "UPLOAD_MISSING"
    page = person("qian").send(
        "/products/import", status=422, file=(io.BytesIO(b"\xff\xfe\x00\x81\xff"), "x.csv")
    )
    assert code(page) == "UPLOAD_UNREADABLE"


def test_the_export_holds_no_formulas(person: Who) -> None:
    """A spreadsheet takes every cell for text."""
    names = {**PRODUCT, "name_zh": "=1+1", "name_en": "@SUM(A1)"}
    person("qian").send("/products/new", sku="F1", **names)
    answer = person("qian").client.get("/products/export.csv")
    assert answer.headers["Content-Disposition"].endswith('filename="products.csv"')
    cells = [c for row in csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))) for c in row]
    assert any("=1+1" in cell for cell in cells)
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []


def test_prices_for_the_chain_a_zone_and_later(office: HeadOffice, person: Who) -> None:
    """Now, in a zone, and from a moment in head office's zone."""
    buyer = person("qian")
    buyer.send("/prices/P0110", price="3.50")
    buyer.send("/prices/P0110", price="3.80", zone="suburb")
    page = buyer.send("/prices/P0110", **{"price": "4", "from": "2026-12-01T08:00"})
    assert "Coming" in page
    prices = office.catalogue.prices("P0110")
    assert {p.zone: p.price_minor for p in prices if p.in_force} == {"": 350, "suburb": 380}
    assert {p.effective_from_ms: p.price_minor for p in prices}[1_796_083_200_000] == 400
    for amount in ("¥3.20", "¥3.50", "¥3.80", "¥4.00"):  # the journal forgets no change
        assert amount in page
    assert code(buyer.send("/prices/P0110", status=422, price="")) == "AMOUNT_MISSING"
    wrong = {"price": "1", "from": "soon"}
    assert code(buyer.send("/prices/P0110", status=422, **wrong)) == "MOMENT_WRONG"


def test_a_promotion_from_draft_to_withdrawal(office: HeadOffice, person: Who) -> None:
    """Wrong drafts are kept with all faults; a right one is published; shops answer; it ends."""
    buyer = person("qian")
    wrong = '{"type": "percent_off", "percent": 130, "choose": {}}'
    page = buyer.send("/promotions/save", status=422, rule="ten", new="1", do="publish", text=wrong)
    for path in ("percent", "select", "choose"):
        assert f"<code>{path}</code>" in page
    assert office.campaigns.draft("ten") is not None
    torn = buyer.send("/promotions/save", status=200, rule="ten", do="check", text='{"type": ')
    assert "<code>document</code>" in torn
    right = '{"type": "percent_off", "percent": 10, "select": {"groups": ["drink"]}}'
    page = buyer.send("/promotions/save", rule="ten", do="publish", text=right)
    assert "Before publishing ten" in page
    assert "Reaches" in page
    assert office.campaigns.campaign("ten").version == 0
    assert code(buyer.send("/promotions/ten/publish", status=422, seen="1")) == "DRAFT_CHANGED"
    seen = page.split('name="seen" value="')[1].split('"')[0]
    page = buyer.send("/promotions/ten/publish", seen=seen)
    assert "Published as version 1" in page
    assert office.campaigns.campaign("ten").document["id"] == "ten"
    assert "Sent" in buyer.get("/promotions/ten/shops")
    again = buyer.get("/promotions/ten/edit")
    assert "&#34;version&#34;" not in again
    assert code(buyer.send("/promotions/ten/withdraw", status=422)) == "NOT_SURE"
    assert "Withdrawn" in buyer.send("/promotions/ten/withdraw", sure="1")
    assert office.campaigns.campaign("ten").state == "withdrawn"


def test_the_push_page_says_why_a_shop_refused(person: Who) -> None:
    """Sent, refused because, the hash, the clock."""
    page = person("zhao").get("/promotions/lottery")
    assert "This shop&#39;s engine does not know the kind" in page
    assert "RULE_UNSUPPORTED" in page
    assert "as expected" in page


def test_two_persons_settle_a_dispute(office: HeadOffice, person: Who) -> None:
    """Neither oneself, nor a wrong password, nor more than is missing."""
    admin = person("zhao")
    path = "/transfers/tr-1/settle"
    wish = {"qty-P0103": "2", "reason": "broken in the van", "second": "qian"}
    wrong = admin.send(path, status=422, password="not this one", **wish)
    assert code(wrong) == "SIGN_IN_WRONG"
    oneself = {**wish, "second": "zhao", "password": bakery.PASSWORD}
    assert code(admin.send(path, status=422, **oneself)) == "SECOND_PERSON"
    much = {**wish, "qty-P0103": "3", "password": bakery.PASSWORD}
    assert code(admin.send(path, status=422, **much)) == "SETTLE_TOO_MUCH"
    nothing = {**wish, "qty-P0103": "", "password": bakery.PASSWORD}
    assert code(admin.send(path, status=422, **nothing)) == "SETTLE_NOTHING"
    page = admin.send(path, password=bakery.PASSWORD, **wish)
    assert "Written off" in page
    assert office.transfers.transfer("tr-1").state == "done"
    assert office.stock.sum_of_places() == {}


def test_people_get_pins_and_lose_them(office: HeadOffice, person: Who) -> None:
    """Two equal PINs, shops as ticks, removal only when sure."""
    admin = person("zhao")
    wish = {"person": "gao", "name": "高远", "role": "cashier", "store": ["south", "north"]}
    differ = admin.send("/people/new", status=422, pin="1234", pin_again="1243", **wish)
    assert code(differ) == "PINS_DIFFER"
    assert "1234" not in differ.replace("1234567", "")
    admin.send("/people/new", pin="5937", pin_again="5937", **wish)
    assert office.people.person("gao").stores == ("north", "south")
    admin.send("/people/gao", name="高远", role="cashier", store=["south"])
    assert office.people.person("gao").stores == ("south",)
    admin.send("/people/gao/remove", status=422)
    admin.send("/people/gao/remove", sure="1")
    assert not office.people.person("gao").active


def test_accounts_of_head_office(office: HeadOffice, person: Who) -> None:
    """Add, promote, new password, close; never the last admin."""
    admin = person("zhao")
    wish = {"person": "zhou", "name": "周洁", "role": "buyer", "password": "long enough 1"}
    differ = admin.send("/accounts/new", status=422, password_again="other", **wish)
    assert code(differ) == "PASSWORDS_DIFFER"
    short = {**wish, "password": "short"}
    refused = admin.send("/accounts/new", status=422, password_again="short", **short)
    assert code(refused) == "PASSWORD_SHORT"
    admin.send("/accounts/new", password_again="long enough 1", **wish)
    admin.send("/accounts/zhou", do="change", name="周洁", role="admin")
    fresh = {"password": "another long one", "password_again": "another long one"}
    admin.send("/accounts/zhou", do="password", **fresh)
    assert office.accounts.sign_in("zhou", "another long one").account.role == "admin"
    admin.send("/accounts/zhou", do="stop")
    assert not next(a for a in office.accounts.accounts() if a.person == "zhou").active
    admin.send("/accounts/zhou", do="allow")


def test_a_shop_is_added_and_joined(office: HeadOffice, person: Who) -> None:
    """Its file by a form only; its key only from its own line."""
    admin = person("zhao")
    wish = {
        "store": "east",
        "name_zh": "城东店",
        "name_en": "East Lane",
        "zone": "city",
        "group": "town",
    }
    faulty = admin.send("/shops/new", status=422, tz="Mars/Olympus", **wish)
    assert "ZONE_UNKNOWN" in code(faulty)
    admin.send("/shops/new", tz="Asia/Shanghai", **wish)
    file = admin.client.post("/shops/east/joining-file", data={"csrf": admin.csrf})
    assert file.headers["Content-Disposition"].endswith('filename="east.join.toml"')
    assert "east" in file.text
    assert admin.client.get("/shops/east/joining-file").status_code == 405
    other = "tillmesh-node south ed25519 " + "ab" * 32
    assert code(admin.send("/shops/east/key", status=422, line=other)) == "KEY_OTHER_SHOP"
    assert code(admin.send("/shops/east/key", status=422, line="east")) == "NODE_LINE_WRONG"
    assert office.stores.node_key("south") != "ab" * 32
    admin.send("/shops/east/key", line="tillmesh-node east ed25519 " + "cd" * 32)
    assert office.stores.node_key("east") == "cd" * 32


def test_the_chain_says_its_name_and_codes(office: HeadOffice, person: Who) -> None:
    """Names, footer, layouts; a wrong layout is named."""
    wish = {"name_zh": "麦香", "name_en": "Maixiang", "footer_zh": "谢谢光临", "footer_en": ""}
    for wrong in ("20:item5", "20:item5:weight4", "99:item5:weight5", "20:item5:kilos5"):
        page = person("zhao").send("/chain", status=422, prefixes=wrong, **wish)
        assert code(page) == "BARCODE_LAYOUT_WRONG"
        assert wrong in page
    long = person("zhao").send("/chain", status=422, **{**wish, "footer_en": "x" * 201})
    assert code(long) == "FOOTER_LONG"
    layouts = "20:item5:weight5\r\n21:item5:check1:price4\r\n"
    page = person("zhao").send("/chain", prefixes=layouts, **wish)
    assert "谢谢光临" in page
    assert "21:item5:check1:price4" in page
    assert "disabled" in person("qian").get("/chain")


def test_one_sale_shows_why_it_cost_that(person: Who, shops: dict[str, Shop]) -> None:
    """Lines, promotions, clock, rule set, the journal's place."""
    sale = shops["south"].sell([("P0101", 3000), ("P0102", 1000)], EVENING_MS)
    page = person("zhao").get(f"/sales/south/{sale}?lang=en")
    for text in (
        "Bread: buy two, get one free",
        "Red bean bun",
        "Trusted",
        "shop/south #",
        "−¥4.50",
    ):
        assert text in page


def test_older_sales_go_on_where_the_page_ended(person: Who, shops: dict[str, Shop]) -> None:
    """No row twice, none left out; a torn cursor starts anew."""
    first = person("zhao").get("/sales?store=south")
    assert "Older" not in first
    for _ in range(52):
        shops["south"].sell([("P0125", 1000)], EVENING_MS)
    first = person("zhao").get("/sales?store=south&lang=en")
    older = re.findall(r'href="(/sales\?[^"]*before=[^"]+)"', first)[0].replace("&amp;", "&")
    second = person("zhao").get(older)
    numbers = re.findall(r">(T1-1-\d+)<", first), re.findall(r">(T1-1-\d+)<", second)
    assert len(numbers[0]) == 50
    assert not set(numbers[0]) & set(numbers[1])
    assert person("zhao").get("/sales?before=x~y")
    assert numbers[1][0] in person("zhao").get(f"/sales?receipt={numbers[1][0]}")


def test_health_shows_what_was_refused_and_parked(office: HeadOffice, person: Who) -> None:
    """The reason stands there; nothing crashes."""
    fault = Corrupt("MESSAGE_UNREADABLE", detail="junk")
    office.books.refuse("pos/1/x/up", b"junk", fault, at_ms=EVENING_MS)
    page = person("qian").get("/health?lang=en")
    assert "MESSAGE_UNREADABLE" in page
    assert "South Gate" in page
    assert "Agree" in page


def test_health_names_the_parts_of_a_shop_in_the_readers_language(
    office: HeadOffice, shops: dict[str, Shop], person: Who
) -> None:
    zone = Complaint(
        state="warn",
        code="HEALTH_SCREEN_ZONE",
        name_en="Browser clock at till 1",
        name_zh="收银台浏览器时钟 1",
        en="Another <time> zone.",
        zh="时区不同。",
    )
    shops["north"].beat(now_ms=EVENING_MS, screen_1=zone)
    page = person("qian").get("/health?lang=en")
    assert "Browser clock at till 1" in page
    assert "Another &lt;time&gt; zone." in page
    assert "All well" in page
    assert not any(key in page for key in ("screen/1", "HEALTH_SCREEN_ZONE"))
    page = person("qian").get("/health?lang=zh")
    assert "收银台浏览器时钟 1" in page
    assert "时区不同。" in page
    person("qian").get("/health?lang=en")
    shops["north"].beat(now_ms=EVENING_MS)


def test_a_gift_of_stock_below_zero_is_said(person: Who, shops: dict[str, Shop]) -> None:
    """Oversold goods are named in words, not only in red."""
    shops["north"].sell([("P0126", 900_000)], EVENING_MS)
    page = person("zhao").get("/stock?search=P0126&lang=en")
    assert "oversold" in page
