"""A bakery chain with two shops, thirty products and a day of sales, on a real head office."""

import random
from pathlib import Path
from typing import Any

import msgspec

from central import watching
from central.accounts import Accounts
from central.catalogue import Product
from central.compose import HeadOffice, compose
from central.people import Person
from central.settings import Https, Mqtt, Names, Settings
from central.stores import Store
from promotions.basket import BasketLine, Context
from promotions.engine import price
from promotions.rule import parse
from promotions.ruleset import compile_rules
from protocol import events as ev
from protocol.ids import ALL, shop_stream
from protocol.ledger import shelf
from protocol.node.projecting import shelf_proof
from protocol.node.signing import make_key
from protocol.node.sqljournal import SqlRecords
from protocol.wire import Clk, Complaint, Cursor, Heartbeat
from tests.builders import StillClock, draft
from tests.servers import free_port

MORNING_MS = 1_793_491_200_000  # 2026-11-01 08:00 in Shanghai
EVENING_MS = MORNING_MS + 11 * 3_600_000 + 1_260_000
PASSWORD = "warm bread every day"
GROUPS = {
    "bread": ("面包", "Bread"),
    "pastry": ("糕点", "Pastry"),
    "cake": ("蛋糕", "Cake"),
    "drink": ("饮品", "Drinks"),
    "sweet": ("糖果", "Sweets"),
}
GOODS = [
    ("bread", "豆沙包", "Red bean bun", 450),
    ("bread", "法棍", "Baguette", 980),
    ("bread", "全麦吐司", "Wholemeal toast", 1680),
    ("bread", "牛角包", "Croissant", 880),
    ("bread", "肉松面包", "Pork floss bun", 750),
    ("bread", "奶黄包", "Custard bun", 500),
    ("bread", "核桃欧包", "Walnut loaf", 2280),
    ("bread", "葱油花卷", "Scallion roll", 380),
    ("pastry", "蛋挞", "Egg tart", 600),
    ("pastry", "桃酥", "Walnut cookie", 320),
    ("pastry", "凤梨酥", "Pineapple cake", 850),
    ("pastry", "绿豆糕", "Mung bean cake", 550),
    ("pastry", "蝴蝶酥", "Palmier", 720),
    ("pastry", "麻薯", "Mochi", 480),
    ("cake", "提拉米苏", "Tiramisu", 3200),
    ("cake", "芝士蛋糕", "Cheesecake", 2800),
    ("cake", "抹茶卷", "Matcha roll", 2600),
    ("cake", "黑森林", "Black forest", 3600),
    ("cake", "草莓奶油蛋糕", "Strawberry cream cake", 16800),
    ("cake", "慕斯杯", "Mousse cup", 1800),
    ("drink", "豆浆", "Soy milk", 400),
    ("drink", "美式咖啡", "Americano", 1500),
    ("drink", "拿铁", "Latte", 1900),
    ("drink", "鲜牛奶", "Fresh milk", 900),
    ("drink", "酸梅汤", "Plum juice", 800),
    ("drink", "乌龙茶", "Oolong tea", 700),
    ("sweet", "手工牛轧糖", "Nougat", 5800),
    ("sweet", "芝麻糖", "Sesame candy", 4200),
    ("sweet", "龙须糖", "Dragon beard candy", 2600),
    ("sweet", "花生酥", "Peanut brittle", 3800),
]
STORES = [
    Store(
        store="south",
        name_zh="城南店",
        name_en="South Gate",
        zone="city",
        group="town",
        tz="Asia/Shanghai",
    ),
    Store(
        store="north",
        name_zh="城北店",
        name_en="North Bridge",
        zone="suburb",
        group="town",
        tz="Asia/Shanghai",
    ),
]
RULES: list[dict[str, Any]] = [
    {
        "id": "buy2get1",
        "type": "bundle",
        "name": {"zh": "面包买二送一", "en": "Bread: buy two, get one free"},
        "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
        "effect": {"kind": "free", "on": "cheapest:1"},
    },
    {
        "id": "evening-cake",
        "type": "percent_off",
        "name": {"zh": "晚间蛋糕八折", "en": "Evening cakes, 20 % off"},
        "percent": 20,
        "select": {"groups": ["cake"]},
        "when": {"daily": {"from": "19:00", "to": "22:00"}},
    },
    {
        "id": "coffee-second",
        "type": "bundle",
        "name": {"zh": "第二杯半价", "en": "Second cup at half price"},
        "slots": [{"select": {"skus": ["P0122", "P0123"]}, "qty": 2}],
        "effect": {"kind": "percent", "percent": 50, "on": "cheapest:1"},
    },
]

NO_LOTTERY = {
    "en": "This shop's engine does not know the kind “lottery”.",
    "zh": "本店引擎不认识“lottery”类型的促销。",
}
WEEKEND = {
    "id": "weekend",
    "type": "percent_off",
    "name": {"zh": "周末糕点九折", "en": "Weekend pastry"},
    "percent": 10,
    "select": {"groups": ["pastry"]},
    "when": {"days": ["sat", "sun"]},
}


def gtin(n: int) -> str:
    """A valid EAN-13."""
    body = f"690{n:09d}"
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(body))
    return body + str(-total % 10)


def product(n: int) -> Product:
    """The n-th product of the list."""
    group, zh, en, _ = GOODS[n]
    weighed = group == "sweet"
    codes = [ev.ProductCode(code=gtin(n + 100))]
    if group == "pastry":
        codes.append(ev.ProductCode(code=gtin(n + 500), pack_qty_milli=6000))
    return Product(
        sku=f"P{n + 101:04d}",
        name_zh=zh,
        name_en=en,
        group=group,
        tax_rate_bp=1300 if group == "drink" else 900,
        decimals=3 if weighed else 0,
        unit="kg" if weighed else "pc",
        weighed=weighed,
        codes=tuple(codes),
    )


class Shop:
    """Says what happens in a shop, as its node would."""

    def __init__(self, office: HeadOffice, store: str, seed: int, count: int) -> None:
        self.office = office
        self.store = store
        self.stream = shop_stream(store)
        self.chance = random.Random(seed)
        self.count = count

    def say(self, id_: str, body: ev.Event, at_ms: int, actor: str = "lina") -> None:
        """Record one event in the shop's stream."""
        with self.office.books.begin() as tx:
            recorded = self.office.books.record(
                tx, {self.stream: [draft(body, id_, at_ms=at_ms, actor=actor, till="T1")]}
            )
            self.office.transfers.react(tx, recorded)

    def open_stock(self, figures: dict[str, int], at_ms: int = MORNING_MS) -> None:
        """The first figures."""
        lines = tuple(
            ev.Counted(sku=sku, counted_qty_milli=milli, book_qty_milli=0)
            for sku, milli in figures.items()
        )
        body = ev.StockCounted(document=f"open-{self.store}", lines=lines, opening=True)
        self.say(f"open-{self.store}", body, at_ms, "wang")

    def answer(
        self,
        *,
        refuse: str = "",
        at_ms: int = EVENING_MS,
        answers: tuple[str, ...] = (),
        tills: tuple[str, ...] = (),
    ) -> None:
        """Put the published rules in force, but refuse one."""
        found = [c for c in self.office.campaigns.campaigns() if c.state == "published"]
        readable = [c for c in found if c.rule != refuse]
        upto = self.head_of_all()
        refused = tuple(
            ev.RefusedRule(
                rule=c.rule,
                version=c.version,
                reason="RULE_UNSUPPORTED",
                detail=NO_LOTTERY,
            )
            for c in found
            if c.rule == refuse
        )
        self.count += 1
        body = ev.RulesInForce(
            rules_hash=self.rules().hash,
            rules=tuple(f"{c.rule}@{c.version}" for c in readable),
            refused=refused,
            engine=self.rules().engine,
            tzdata="2026.2",
            upto={ALL: upto},
            answers=answers,
            tills=tills,
        )
        self.say(f"rules-{self.store}-{self.count}", body, at_ms, "")

    def head_of_all(self) -> int:
        """How far `all` goes."""
        with self.office.books.database.reading() as connection:
            return SqlRecords(connection).head(ALL).seq

    def rules(self) -> Any:
        """The compiled rules that this version can read."""
        documents = [
            c.document
            for c in self.office.campaigns.campaigns()
            if c.state == "published" and c.document and c.document["type"] != "lottery"
        ]
        return compile_rules([parse(d) for d in documents], "Asia/Shanghai")

    def sell(self, skus: list[tuple[str, int]], at_ms: int, *, cashier: str = "lina") -> str:
        """Ring up (sku, milli), price it with the engine, take cash."""
        self.count += 1
        rules = self.rules()
        goods = [self.office.catalogue.product(sku) for sku, _ in skus]
        prices = {
            p.sku: p
            for g in goods
            for p in self.office.catalogue.prices(g.sku)
            if p.in_force and not p.zone
        }
        context = Context(
            store_tz="Asia/Shanghai",
            time_ms=at_ms,
            clock_state="trusted",
            uncertainty_ms=5,
            store=self.store,
            currency="CNY",
            price_zone="city",
        )
        basket = [
            BasketLine(
                sku=g.sku,
                group=g.group,
                unit_price_minor=prices[g.sku].price_minor,
                qty_milli=q,
                weighed=g.weighed,
            )
            for g, (_, q) in zip(goods, skus, strict=True)
        ]
        priced = price(basket, rules, context)
        lines = tuple(
            ev.SaleLine(
                sku=g.sku,
                code=g.codes[0].code if g.codes else "",
                name={"zh": g.name_zh, "en": g.name_en},
                group=g.group,
                qty_milli=b.qty_milli,
                unit_price_minor=b.unit_price_minor,
                price_version=prices[g.sku].version,
                gross_minor=(b.unit_price_minor * b.qty_milli + 500) // 1000,
                discount_minor=cut,
                tax_rate_bp=g.tax_rate_bp,
                tax_minor=0,
                weighed=g.weighed,
            )
            for g, b, cut in zip(goods, basket, priced.per_line, strict=True)
        )
        total = sum(x.gross_minor - x.discount_minor for x in lines)
        given = -(-total // 1000) * 1000
        tax = tuple(
            ev.TaxPart(rate_bp=rate, gross_minor=part, tax_minor=part * rate // (10_000 + rate))
            for rate in sorted({x.tax_rate_bp for x in lines})
            if (
                part := sum(
                    x.gross_minor - x.discount_minor for x in lines if x.tax_rate_bp == rate
                )
            )
        )
        sale = f"sale-{self.store}-{self.count:05d}"
        body = ev.SaleCompleted(
            sale=sale,
            receipt_number=f"T1-1-{self.count:06d}",
            till="T1",
            shift=f"shift-{self.store}",
            cashier=cashier,
            business_date="2026-11-01",
            currency="CNY",
            lines=lines,
            tenders=(ev.Tender(kind="cash", amount_minor=total, given_minor=given),),
            total_minor=total,
            discount_minor=priced.total_discount_minor,
            change_minor=given - total,
            tax=tax,
            rules_hash=rules.hash,
            engine=rules.engine,
            context=msgspec.to_builtins(context),
            applied=tuple(
                ev.AppliedRule(
                    rule=a.rule_id,
                    version=1,
                    discount_minor=a.discount_minor,
                    per_line=tuple(a.per_line),
                    name=next(r["name"] for r in RULES if r["id"] == a.rule_id),
                )
                for a in priced.applied
            ),
            exact=priced.exact,
        )
        self.say(sale, body, at_ms, cashier)
        return sale

    def beat(self, *, now_ms: int, head: int | None = None, **ill: Complaint) -> None:
        """Report as alive; what is ill as `screen_1=...`."""
        with self.office.books.database.begin() as tx:
            held = SqlRecords(tx).head(self.stream).seq
            heart = Heartbeat(
                node=self.store,
                sess="s1",
                now=now_ms,
                head=head if head is not None else held,
                acked=held,
                clk=Clk(state="trusted", u_ms=240, at_ms=now_ms + 180),
                cursors=(Cursor(stream=ALL, epoch="", upto=9, hash=""),),
                complaints={part.replace("_", "/"): one for part, one in ill.items()},
                version="0.1.0",
            )
            watching.beat(tx, heart, now_ms=now_ms)

    def day(self, sales: int) -> None:
        """A day of small sales."""
        everything = [f"P{n + 101:04d}" for n in range(len(GOODS))]
        span = EVENING_MS - MORNING_MS - 600_000
        moments = sorted(MORNING_MS + self.chance.randrange(span) for _ in range(sales))
        for at_ms in moments:
            picked = self.chance.sample(everything[:26], self.chance.choice([1, 1, 2, 2, 3, 4]))
            lines = [(sku, self.chance.choice([1000, 1000, 2000, 3000])) for sku in picked]
            if self.chance.random() < 0.2:
                lines.append((self.chance.choice(everything[26:]), self.chance.randrange(120, 900)))
            self.sell(lines, at_ms, cashier=self.chance.choice(["lina", "chen"]))


def open_office(folder: Path, url: str = "") -> HeadOffice:
    """A head office in this folder, new or as it was left; `url` of another database."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        chain="bakery",
        name=Names(zh="麦香面包", en="Maixiang Bakery"),
        data_dir=folder,
        database_url=url or f"sqlite:///{folder / 'central.db'}",
        https=Https(port=8743),  # where machines would enrol
        mqtt=Mqtt(port=free_port()),  # where nobody listens
    )
    make_key(settings.key_path)
    return compose(settings, clock=StillClock(EVENING_MS))


def add_accounts(office: HeadOffice) -> None:
    """Two admins and a buyer."""
    accounts: Accounts = office.accounts
    accounts.add_account("zhao", name="赵敏", role="admin", password=PASSWORD, by="")
    accounts.add_account("qian", name="钱进", role="buyer", password=PASSWORD, by="")
    accounts.add_account("sun", name="孙丽", role="admin", password=PASSWORD, by="")


def shops_of(office: HeadOffice, *, count: int = 0) -> dict[str, Shop]:
    """Hands in every shop; `count` numbers what comes."""
    return {s.store: Shop(office, s.store, i, count) for i, s in enumerate(STORES, 1)}


def add_chain(office: HeadOffice) -> dict[str, Shop]:
    """Shops, groups, products, prices, people: no events of shops yet."""
    for store in STORES:
        office.stores.add_store(store, by="zhao")
        office.stores.accept_node(
            f"tillmesh-node {store.store} ed25519 {store.store.encode().hex():0<64}", by="zhao"
        )
    for group, (zh, en) in GROUPS.items():
        office.catalogue.define_group(group, zh=zh, en=en, by="qian")
    for n, (_, _, _, minor) in enumerate(GOODS):
        office.catalogue.list_product(product(n), by="qian")
        office.catalogue.set_price(
            f"P{n + 101:04d}", minor, by="qian", effective_from_ms=MORNING_MS - 86_400_000
        )
    office.catalogue.set_price("P0101", 480, by="qian", zone="suburb", effective_from_ms=MORNING_MS)
    office.catalogue.set_price(
        "P0102", 1080, by="qian", effective_from_ms=EVENING_MS + 13 * 3_600_000
    )
    both = ("south", "north")
    office.people.add_person(
        Person(person="wang", name="王芳", role="manager", stores=both), pin="246810", by="zhao"
    )
    office.people.add_person(
        Person(person="lina", name="李娜", role="cashier", stores=both), pin="1357", by="zhao"
    )
    office.people.add_person(
        Person(person="chen", name="陈伟", role="cashier", stores=("south",)), pin="8642", by="zhao"
    )
    return shops_of(office)


def publish(office: HeadOffice, document: dict[str, Any]) -> None:
    """Publish a rule as the buyer does."""
    office.campaigns.save_draft(document["id"], msgspec.json.encode(document).decode(), by="qian")
    office.campaigns.publish(document["id"], by="qian")


def live_a_day(office: HeadOffice, shops: dict[str, Shop], *, sales: int = 40) -> None:
    """Promotions, stock, a day of sales, transfers with a dispute, reports."""
    office.clock.at_ms = MORNING_MS - 3_600_000
    for rule in RULES:
        publish(office, rule)
    for at, shop in enumerate(shops.values()):
        shop.answer(at_ms=MORNING_MS - 1_800_000)
        shop.open_stock(
            {f"P{n + 101:04d}": (60 + (n * 7 + at * 13) % 80) * 1000 for n in range(len(GOODS))}
        )
    south, north = shops["south"], shops["north"]
    south.day(sales)
    north.day(sales * 2 // 3)
    office.clock.at_ms = EVENING_MS
    south.say(
        "tr-1",
        ev.TransferDispatched(
            transfer="tr-1",
            to_store="north",
            lines=(
                ev.Moved(sku="P0109", qty_milli=24_000),
                ev.Moved(sku="P0103", qty_milli=10_000),
            ),
            note="下午补货",
        ),
        EVENING_MS - 7_200_000,
        "wang",
    )
    north.say(
        "rc-1",
        ev.TransferReceived(
            transfer="tr-1",
            receipt="rc-1",
            from_store="south",
            lines=(
                ev.ReceivedLine(sku="P0109", qty_milli=24_000),
                ev.ReceivedLine(sku="P0103", qty_milli=8_000, broken_qty_milli=1_000),
            ),
        ),
        EVENING_MS - 3_600_000,
        "lina",
    )
    north.say(
        "tr-2",
        ev.TransferDispatched(
            transfer="tr-2", to_store="south", lines=(ev.Moved(sku="P0115", qty_milli=4_000),)
        ),
        EVENING_MS - 1_200_000,
        "wang",
    )
    lottery = {
        "id": "lottery",
        "type": "lottery",
        "name": {"zh": "抽奖立减", "en": "Lucky draw"},
        "odds": 7,
    }
    office.clock.at_ms = EVENING_MS - 1_800_000
    office.campaigns.publish_unchecked(lottery, by="qian")
    office.campaigns.save_draft(
        "weekend",
        msgspec.json.encode(WEEKEND).decode(),
        by="qian",
    )
    office.clock.at_ms = EVENING_MS
    south.answer(refuse="lottery", at_ms=EVENING_MS - 1_700_000)
    with office.books.database.reading() as connection:
        proofs = {name: shelf_proof(connection, shelf(name)) for name in shops}
    for name, shop in shops.items():
        shop.say(
            f"digest-{name}",
            ev.StockDigest(digest=proofs[name][0], products=proofs[name][1]),
            EVENING_MS - 300_000,
            "",
        )
    south.beat(now_ms=EVENING_MS - 4_000)
    north.beat(now_ms=EVENING_MS - 900_000, head=999)
