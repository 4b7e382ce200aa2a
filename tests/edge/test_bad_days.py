"""kill -9 in mid-sale, a full disk, a restored backup: what was scanned and sold stays true."""

import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from edge.compose import Shop
from edge.settings import OversellPolicy, Settings
from edge.tables import basket
from edge.views import PaidSale, TenderIn
from protocol.errors import Refusal, Unavailable
from protocol.events import SaleCompleted
from protocol.node.tables import READ, journal
from tests.edge.shop_builder import (
    BUN,
    MILK,
    FixedClock,
    build,
    open_shift,
    ring_up,
    sell,
    settings_for,
)

ROOT = Path(__file__).parents[2]
CASHIER = """
import sys
from pathlib import Path
from tests.edge.shop_builder import BUN, MILK, build, open_shift, ring_up, sell
shop = build(Path(sys.argv[1]))
open_shift(shop)
print(sell(shop, [BUN]).receipt_number, flush=True)
for code in (BUN, MILK, "6999999999997"):
    view = shop.selling.scan("1", code, "anna")
    print(view.version, flush=True)
if sys.argv[2] == "paying":
    shop.selling.dismiss_unknown("1", 3, person="anna")
    while True:
        view = ring_up(shop, [BUN])
        print("paying", flush=True)
        sell(shop, [MILK])
        print("paid", flush=True)
else:
    sys.stdin.read()
"""


def run_and_kill(folder: Path, mode: str, *, until: str, delay_s: float = 0.0) -> list[str]:
    """Start a till, read its lines until `until` comes, kill -9."""
    process = subprocess.Popen(
        [sys.executable, "-c", CASHIER, str(folder), mode],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    lines: list[str] = []
    with process:
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == until:
                break
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().split()
    return lines


def test_kill_in_mid_sale_returns_to_the_same_basket(tmp_path: Path, clock: FixedClock) -> None:
    lines = run_and_kill(tmp_path, "scanning", until="5")
    assert lines[0] == "1-1-000001"
    shop = build(tmp_path, clock=clock)
    view = shop.selling.view("1")
    assert [(x.kind, x.sku or x.code) for x in view.lines] == [
        ("product", "bun"),
        ("product", "milk"),
        ("unknown", "6999999999997"),
    ]
    assert view.version == 5
    shop.selling.dismiss_unknown("1", 3, person="anna")
    paid = shop.selling.pay("1", view.sale, [TenderIn("cash", 1230)], person="anna")
    assert paid.receipt_number == "1-1-000002"  # a crash is no new generation
    assert shop.books.verify() == []
    shop.books.database.close()


@pytest.mark.parametrize("delay_s", [0.001, 0.004, 0.011])
def test_kill_while_paying_leaves_a_whole_sale_or_none(tmp_path: Path, delay_s: float) -> None:
    lines = run_and_kill(tmp_path, "paying", until="paid", delay_s=delay_s)
    shop = build(tmp_path)
    with shop.books.database.reading() as connection:
        numbers = (
            connection.execute(select(READ["sale"].c.receipt_number).order_by(READ["sale"].c.seq))
            .scalars()
            .all()
        )
        sold = connection.execute(
            select(func.count()).where(journal.c.type == SaleCompleted.__name__)
        ).scalar_one()
        place = select(READ["stock"].c.qty_milli).where(READ["stock"].c.place == "shop/s1")
        moved = sum(connection.execute(place).scalars())
    told = 1 + lines.count("paid")
    assert told <= len(numbers) == sold <= told + 1
    assert numbers == [f"1-1-{n + 1:06d}" for n in range(len(numbers))]
    sales = [shop.selling.find_receipt(number) for number in numbers]
    assert moved == -sum(x.qty_milli for s in sales if s for x in s.lines)
    assert shop.shifts.x_report("1").sales == len(numbers)
    assert shop.books.verify() == []
    before = shop.books.proof("shop/s1")
    shop.books.rebuild()
    assert shop.books.proof("shop/s1") == before
    shop.books.database.close()


def sales(shop: Shop) -> int:
    with shop.books.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(READ["sale"])).scalar_one()


def test_a_low_disk_refuses_before_money_is_taken(tmp_path: Path) -> None:
    free = [10_000_000]
    shop = build(tmp_path, free_bytes=lambda: free[0])
    open_shift(shop)
    view = ring_up(shop, [BUN])
    assert view.payable
    free[0] = 900_000
    view = shop.selling.view("1")
    assert not view.payable
    assert "DISK_LOW" in [w.code for w in view.warnings]
    with pytest.raises(Unavailable, match="DISK_LOW"):
        shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    assert sales(shop) == 0
    disk = next(v for v in shop.health.verdicts() if v.part == "disk")
    assert (disk.state, disk.code) == ("bad", "DISK_LOW")
    free[0] = 10_000_000
    assert shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna").again is False
    shop.books.database.close()


def cap(shop: Shop, pages: int | None) -> None:
    """Make SQLite meet its end of the disk (SQLITE_FULL), or lift that again."""
    with shop.books.database.write.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        used = raw.execute("PRAGMA page_count").fetchone()[0]
        limit = 1_073_741_823 if pages is None else used + pages
        raw.execute(f"PRAGMA max_page_count={limit}").fetchone()


def test_a_full_disk_in_mid_payment_books_nothing_and_says_so(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN])
    for n in range(60):  # a sale so large that its commit needs new pages
        view = open_shop.selling.add_product("1", "milk" if n % 2 else "bun", 1000, person="anna")
    cap(open_shop, 0)
    with pytest.raises(Unavailable) as fault:
        open_shop.selling.pay("1", view.sale, [TenderIn("cash", 90_000)], person="anna")
    assert fault.value.code == "DISK_FULL"
    assert "磁盘已满" in fault.value.sentence("zh-CN")
    assert sales(open_shop) == 0
    same = open_shop.selling.view("1")
    assert (same.sale, len(same.lines)) == (view.sale, len(view.lines))
    cap(open_shop, None)
    paid = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 90_000)], person="anna")
    assert paid.receipt_number == "1-1-000001"  # no number was lost either


@contextmanager
def no_file_may_grow(settings: Settings) -> Iterator[None]:
    """The operating system refuses to let the books grow (RLIMIT_FSIZE): a disk that fails."""
    wal = Path(f"{settings.database_path}-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failing_disk_books_nothing_and_is_asked_before_the_next_sale(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN])
    with no_file_may_grow(open_shop.settings):
        for _ in range(2):  # the second one is refused by asking, not by trying
            with pytest.raises(Unavailable) as fault:
                open_shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
            assert fault.value.code in {"DISK_FULL", "DISK_FAULT"}
            assert not open_shop.books.database.healthy
        seen = open_shop.selling.view("1")
        assert not seen.payable
        assert seen.warnings[0].code == fault.value.code
    assert sales(open_shop) == 0
    paid = open_shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    assert (paid.again, paid.receipt_number) == (False, "1-1-000001")
    assert open_shop.books.database.healthy
    assert open_shop.books.verify() == []


def test_many_clicks_at_once_are_one_sale(open_shop: Shop) -> None:
    view = ring_up(open_shop, [BUN, MILK])
    barrier = threading.Barrier(6)

    def click(_: int) -> PaidSale:
        barrier.wait()
        return open_shop.selling.pay("1", view.sale, [TenderIn("cash", 1230)], person="anna")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(click, range(6)))
    assert sorted(a.again for a in answers) == [False, True, True, True, True, True]
    assert {a.receipt_number for a in answers} == {"1-1-000001"}
    assert sales(open_shop) == 1


def test_scans_of_many_threads_are_all_there(shop: Shop) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shop.selling.scan("1", BUN, "anna"), range(40)))
    view = shop.selling.view("1")
    assert sum(x.qty_milli for x in view.lines) == 40_000
    assert view.version == 40


def test_a_restored_backup_starts_a_new_generation(tmp_path: Path, clock: FixedClock) -> None:
    settings = settings_for(tmp_path)
    shop = build(tmp_path, clock=clock)
    open_shift(shop)
    sell(shop, [BUN])
    shop.prover.keep_head()
    shop.books.database.close()
    shutil.copy(settings.database_path, tmp_path / "backup.db")
    shop = build(tmp_path, clock=clock)
    assert sell(shop, [BUN]).receipt_number == "1-1-000002"  # a restart goes on counting
    shop.prover.keep_head()
    shop.books.database.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{settings.database_path}{suffix}").unlink(missing_ok=True)
    (tmp_path / "backup.db").replace(settings.database_path)
    shop = build(tmp_path, clock=clock)
    assert shop.prover.was_restored()
    assert sell(shop, [BUN]).receipt_number == "1-2-000001"
    shop.prover.keep_head()
    shop.books.database.close()
    shop = build(tmp_path, clock=clock)
    assert not shop.prover.was_restored()
    assert sell(shop, [BUN]).receipt_number == "1-2-000002"
    open_shift(shop, "2", person="mei")
    assert sell(shop, [BUN], "2", person="mei").receipt_number == "2-2-000001"
    shop.books.database.close()


def test_receipts_that_came_back_from_head_office_are_never_numbered_again(
    open_shop: Shop,
) -> None:
    first = sell(open_shop, [BUN])
    body = open_shop.selling.sale(first.sale)
    assert isinstance(body, SaleCompleted)
    lost = msgspec.structs.replace(body, sale="lost-1", receipt_number="1-1-000007")
    with open_shop.books.begin() as tx:
        draft = open_shop.node.draft(lost, event="lost-1")
        open_shop.books.record(tx, {open_shop.node.stream: [draft]})
    assert sell(open_shop, [BUN]).receipt_number == "1-2-000001"


def test_the_basket_row_is_never_deleted_so_versions_only_rise(open_shop: Shop) -> None:
    versions = []
    for _ in range(3):
        sell(open_shop, [BUN])
        with open_shop.books.database.reading() as connection:
            versions.append(
                connection.execute(select(basket.c.version).where(basket.c.till == "1")).scalar()
            )
    assert versions == sorted(set(versions))


def test_a_policy_may_refuse_what_the_book_lacks(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings_for(tmp_path), oversell=OversellPolicy("refuse"))
    shop = build(tmp_path, settings=settings)
    open_shift(shop)
    view = ring_up(shop, [BUN])
    assert view.oversold == ("bun",)
    with pytest.raises(Refusal, match="STOCK_SHORT"):
        shop.selling.pay("1", view.sale, [TenderIn("cash", 350)], person="anna")
    shop.books.database.close()
