"""The whole sale path of a shop with 100,000 products: scan, price, pay, durable."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from edge.compose import Shop
from edge.views import TenderIn
from protocol.codec import Draft
from protocol.events import PriceSet, ProductCode, ProductListed
from protocol.ids import ALL
from tests.bench.figures import spread, timed
from tests.bench.journal_bench import raw_commits
from tests.edge import shop_builder as sb

PRODUCTS = 100_000
SALES = 400
CHUNK = 1_000


def code(n: int) -> str:
    return f"9{n:07d}"


def fill(shop: Shop, count: int = PRODUCTS) -> None:
    """Products and prices as head office would have sent them."""
    at = shop.clock.read()
    for start in range(0, count, CHUNK):
        drafts = []
        for n in range(start, min(count, start + CHUNK)):
            sku = f"N{n:06d}"
            listed = ProductListed(
                sku=sku,
                name={"zh": f"商品{n}号", "en": f"Product {n}"},
                group=f"g{n % 50}",
                tax_rate_bp=1300,
                decimals=0,
                codes=(ProductCode(code=code(n)),),
            )
            price = PriceSet(sku=sku, price_minor=500 + n % 3000)
            drafts.append(Draft(id=f"l-{sku}", body=listed, at=at))
            drafts.append(Draft(id=f"p-{sku}", body=price, at=at))
        with shop.books.begin() as tx:
            shop.books.record(tx, {ALL: drafts})


@cache
def big_shop() -> tuple[Path, float]:
    """The folder of a shop with all products, made once a run; and how long the filling took."""
    folder = Path(tempfile.mkdtemp(prefix="tillmesh-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shop = sb.build(folder)
    seconds = timed(lambda: fill(shop))
    sb.open_shift(shop)
    shop.books.database.close()
    return folder, seconds


def one_sale(shop: Shop, n: int) -> tuple[list[float], float]:
    scans = []
    for i in range(10):
        raw = code((n * 37 + i * 997) % PRODUCTS)
        scans.append(timed(lambda raw=raw: shop.selling.scan("1", raw, "anna")))
    view = shop.selling.view("1")
    money = [TenderIn("cash", view.total_minor)]
    paid = timed(lambda: shop.selling.pay("1", view.sale, money, person="anna"))
    return scans, paid


def _boot(folder: Path) -> tuple[float, str]:
    """A fresh process: compose the shop again, ring up one scan; seconds and memory."""
    text = (
        "import sys,time,resource; t=time.perf_counter()\n"
        "from pathlib import Path\n"
        "from tests.edge import shop_builder as sb\n"
        f"shop=sb.build(Path({str(folder)!r}))\n"
        f"shop.selling.scan('1', '{code(4711)}', 'anna')\n"
        "s=time.perf_counter()-t\n"
        "print(s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024)\n"
        "shop.books.database.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, env=os.environ
    )
    seconds, megabytes = done.stdout.split()
    return float(seconds), megabytes


def run() -> list[tuple[str, str]]:
    folder, filled = big_shop()
    raw = raw_commits(folder / "raw.db", 1_000)
    shop = sb.build(folder)
    scans, pays = [], []
    for n in range(SALES):
        scanned, paid = one_sale(shop, n)
        scans += scanned
        pays.append(paid)
    shop.books.database.close()
    boot_s, megabytes = _boot(folder)
    return [
        ("baseline: bare SQLite commit, 2.5 kB row, WAL + FULL", spread(raw)),
        ("scan -> basket priced and kept (server side)", spread(scans)),
        ("pay: price, receipt, events, print job; durable", spread(pays, "p50 <= 3, p99 <= 15 ms")),
        ("100,000 products and prices received and folded", f"{filled:.1f} s"),
        ("start of a fresh process to the first scan", f"{boot_s:.2f} s   goal <= 10 s"),
        ("its memory", f"{float(megabytes):.0f} MB   goal <= 150 MB"),
    ]
