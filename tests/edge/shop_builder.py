"""A real shop in a folder: SQLite file, key, pepper, a small catalogue as head office sends it."""

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge.compose import Shop, compose
from edge.people import HASHER, peppered
from edge.settings import PaymentSettings, Settings, TillSettings
from edge.views import BasketView, PaidSale, TenderIn
from protocol.clock import Clock, ClockState, Reading
from protocol.codec import Draft
from protocol.events import (
    ChainSettings,
    Event,
    GroupDefined,
    PersonSet,
    PriceSet,
    ProductCode,
    ProductListed,
    PromotionPublished,
    StoreAdded,
)
from protocol.ids import ALL, to_stream, zone_stream
from protocol.node.signing import make_key

PEPPER = bytes(range(32))
NOON_MS = 1_793_592_000_000  # 2026-11-02 04:00 UTC, noon in Shanghai
BUN, MILK, CAKE, BREAD = "6901028075831", "6921168509256", "6900000000014", "6900000000021"
PINS = {"anna": "1111", "mei": "2222"}


class FixedClock:
    """A clock that stands until a test moves it."""

    def __init__(self, at_ms: int = NOON_MS, *, state: ClockState = ClockState.TRUSTED) -> None:
        self.at_ms = at_ms
        self.u_ms = 20
        self.state = state
        self.high_water_ms = at_ms

    def read(self) -> Reading:
        return Reading(self.at_ms, self.u_ms, self.state)

    def later(self, ms: int) -> None:
        self.at_ms += ms


def settings_for(folder: Path, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "store": "s1",
        "chain": "demo",
        "zone": "east",
        "group": "g1",
        "tz": "Asia/Shanghai",
        "central_public_key": "ab" * 32,
        "data_dir": str(folder / "data"),
        "pepper_file": str(folder / "pepper"),
        "low_disk_bytes": 1_000_000,
        "payment": PaymentSettings(by_hand=("scan", "card")),
        "tills": (TillSettings(id="1"), TillSettings(id="2")),
    }
    return Settings(**(values | changes))


_hashes: dict[str, str] = {}


def pin_hash(pin: str) -> str:
    """Argon2 is slow on purpose; a test session needs each hash once."""
    if pin not in _hashes:
        _hashes[pin] = HASHER.hash(peppered(pin, PEPPER))
    return _hashes[pin]


def head_office(shop: Shop, stream: str, *bodies: Event) -> None:
    """What head office would have sent, as one commit."""
    at = shop.clock.read()
    drafts = [Draft(id=shop.node.new_id(), body=b, at=at) for b in bodies]
    with shop.books.begin() as tx:
        shop.books.record(tx, {stream: drafts})


def product(sku: str, zh: str, en: str, *codes: str, **changes: Any) -> ProductListed:
    values: dict[str, Any] = {
        "sku": sku,
        "name": {"zh": zh, "en": en},
        "group": "bread",
        "tax_rate_bp": 1300,
        "decimals": 0,
        "codes": tuple(ProductCode(code=c) for c in codes),
    }
    return ProductListed(**(values | changes))


def three_for_two(rule: str = "B3", version: int = 1) -> PromotionPublished:
    """买二送一 over the group bread."""
    document = {
        "id": rule,
        "version": version,
        "type": "bundle",
        "name": {"zh": "买二送一", "en": "Buy 2 get 1"},
        "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
        "effect": {"kind": "free", "on": "cheapest:1"},
    }
    return PromotionPublished(rule=rule, version=version, document=document)


def stock_up(shop: Shop) -> None:
    """Five products, prices, people; one group; no promotion yet."""
    head_office(
        shop,
        ALL,
        ChainSettings(
            name={"zh": "麦香", "en": "Maixiang"},
            receipt_footer={"zh": "谢谢惠顾", "en": "Thank you"},
            store_code_prefixes=("20:item5:weight5", "21:item5:price5"),
        ),
        StoreAdded(
            store="s1",
            name={"zh": "一店", "en": "Shop 1"},
            zone="east",
            group="g1",
            tz="Asia/Shanghai",
        ),
        StoreAdded(
            store="s2",
            name={"zh": "二店", "en": "Shop 2"},
            zone="east",
            group="g1",
            tz="Asia/Shanghai",
        ),
        GroupDefined(group="bread", name={"zh": "面包", "en": "Bread"}),
        GroupDefined(group="other", name={"zh": "其他", "en": "Other"}),
        product("bun", "豆沙包", "Bean bun", BUN),
        product("milk", "鲜牛奶", "Fresh milk", MILK, group="other"),
        product("cake", "蛋糕", "Cake", CAKE, group="other"),
        product("bread", "吐司", "Toast", BREAD),
        product(
            "ham",
            "火腿",
            "Ham",
            "2012345",
            group="other",
            decimals=3,
            unit="kg",
            weighed=True,
            tax_rate_bp=900,
        ),
        PriceSet(sku="bun", price_minor=350),
        PriceSet(sku="milk", price_minor=990),
        PriceSet(sku="bread", price_minor=1200),
        PriceSet(sku="ham", price_minor=8800),
    )  # cake has no price on purpose
    head_office(
        shop,
        to_stream("s1"),
        PersonSet(person="anna", name="Anna", role="cashier", pin_hash=pin_hash(PINS["anna"])),
        PersonSet(person="mei", name="梅", role="manager", pin_hash=pin_hash(PINS["mei"])),
    )
    head_office(shop, zone_stream("east"), PriceSet(sku="milk", price_minor=880))


def build(
    folder: Path,
    *,
    clock: Clock | None = None,
    settings: Settings | None = None,
    free_bytes: Callable[[], int] | None = None,
    empty: bool = False,
) -> Shop:
    """Compose a shop in `folder`; a second call on the same folder is a restart."""
    settings = settings or settings_for(folder)
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    (folder / "pepper").write_text(PEPPER.hex() + "\n")
    fresh = not settings.database_path.exists()
    make_key(settings.key_path)
    if fresh and not empty and settings.store == "s1":
        shutil.copy(template(), settings.database_path)
        fresh = False
    shop = compose(settings, clock or FixedClock(), free_bytes=free_bytes)
    if fresh and not empty:
        stock_up(shop)
        shop.rules.refresh()
    return shop


@functools.cache
def template() -> Path:
    """The books of a stocked shop, made once per test session."""
    folder = Path(tempfile.mkdtemp(prefix="tillmesh-shop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shop = build(folder, empty=True)
    stock_up(shop)
    shop.rules.refresh()
    shop.books.database.close()
    return shop.settings.database_path


def with_tills(settings: Settings, *tills: TillSettings) -> Settings:
    return msgspec.structs.replace(settings, tills=tills)


def open_shift(
    shop: Shop, till: str = "1", *, person: str = "anna", float_minor: int = 20_000
) -> str:
    shift = shop.node.new_id()
    shop.shifts.open(till, person=person, float_minor=float_minor, shift=shift)
    return shift


def ring_up(
    shop: Shop, codes: Sequence[str], till: str = "1", *, person: str = "anna"
) -> BasketView:
    view = shop.selling.view(till)
    for code in codes:
        view = shop.selling.scan(till, code, person)
    return view


def sell(shop: Shop, codes: Sequence[str], till: str = "1", *, person: str = "anna") -> PaidSale:
    """Scan, and pay with exactly the money."""
    view = ring_up(shop, codes, till, person=person)
    tender = TenderIn("cash", view.total_minor)
    return shop.selling.pay(till, view.sale, [tender], person=person)
