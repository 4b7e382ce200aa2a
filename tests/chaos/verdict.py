"""The end of chaos: all level, `verify` green everywhere, and the books equal the oracle."""

import sqlite3
import time
from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import create_engine, text

from deploy import bakery
from protocol.codec import body_of, decode
from protocol.events import SaleCompleted
from protocol.ids import shop_stream, to_stream
from tests.chaos.chain import CASHIERS, ChaosChain

LEVEL_S = 240
HEAD = "SELECT seq, hash FROM stream_head WHERE stream = :stream"


class Books(msgspec.Struct, frozen=True):
    """What one database says of a shop's sales and shelf."""

    sales: list[tuple[str, str, int]]  # (sale, receipt, total)
    shelf: dict[str, int]


class Eyes:
    """Reads one database, whichever it is."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with self._engine.connect() as connection:
            return [tuple(r) for r in connection.execute(text(sql), values)]

    def books(self, store: str) -> Books:
        data = self.rows(
            "SELECT data FROM journal WHERE stream = :stream ORDER BY seq, epoch",
            stream=shop_stream(store),
        )
        bodies = [body_of(decode(bytes(d))) for (d,) in data]
        sales = [b for b in bodies if isinstance(b, SaleCompleted)]
        shelf = self.rows(
            "SELECT sku, qty_milli FROM stock WHERE place = :place AND qty_milli <> 0",
            place=f"shop/{store}",
        )
        return Books([(s.sale, s.receipt_number, s.total_minor) for s in sales], dict(shelf))

    def close(self) -> None:
        self._engine.dispose()


def come_level(chain: ChaosChain) -> str:
    """Wait until head office and all shops hold the same; says what is not level, or nothing."""
    central = Eyes(chain.office_settings().database_url)
    shops = {s: Eyes(f"sqlite:///{shop.database}") for s, shop in chain.shops.items()}
    until = time.monotonic() + LEVEL_S
    try:
        while True:
            apart = [
                f"{store} {stream}"
                for store, eyes in shops.items()
                for stream in (shop_stream(store), to_stream(store), "all")
                if eyes.rows(HEAD, stream=stream) != central.rows(HEAD, stream=stream)
            ]
            if not apart or time.monotonic() > until:
                return ", ".join(apart)
            time.sleep(0.5)
    finally:
        for eyes in (central, *shops.values()):
            eyes.close()


def verified(chain: ChaosChain) -> dict[str, str]:
    """The `verify` command on every database: node -> what it said, where it is not whole."""
    said = {"central": chain.central_command("verify")}
    said |= {store: shop.command("verify") for store, shop in chain.shops.items()}
    return {node: one.stdout + one.stderr for node, one in said.items() if one.returncode}


def judged(chain: ChaosChain, answers: list[dict[str, Any]], asked: set[str]) -> list[str]:
    """Everything that is wrong, in words."""
    wrong: list[str] = []
    central = Eyes(chain.office_settings().database_url)
    for store, shop in chain.shops.items():
        eyes = Eyes(f"sqlite:///{shop.database}")
        here, there = eyes.books(store), central.books(store)
        eyes.close()
        told = {(a["sale"], a["receipt"], a["total"]) for a in answers if a["store"] == store}
        if here.sales != there.sales:
            wrong.append(f"{store}: head office has other sales")
        if here.shelf != there.shelf:
            wrong.append(f"{store}: head office counts another shelf")
        if missing := told - set(there.sales):
            wrong.append(f"{store}: {len(missing)} answered sales are gone: {sorted(missing)[:3]}")
        ids = Counter(sale for sale, *_ in there.sales)
        if doubled := [sale for sale, n in ids.items() if n > 1]:
            wrong.append(f"{store}: doubled {doubled[:3]}")
        if forged := set(ids) - asked:
            wrong.append(f"{store}: {len(forged)} sales that nobody made")
        wrong += _numbering(store, [receipt for _, receipt, _ in there.sales])
    sums = central.rows(
        "SELECT sku FROM stock GROUP BY sku HAVING SUM(qty_milli + sold_milli) <> 0"
    )
    if sums:
        wrong.append(f"goods came from nowhere: {sums[:3]}")
    central.close()
    return wrong


def _numbering(store: str, receipts: list[str]) -> list[str]:
    series: dict[str, list[int]] = {}
    for receipt in receipts:
        name, _, number = receipt.rpartition("-")
        series.setdefault(name, []).append(int(number))
    return [
        f"{store}: receipts of {name} have a gap"
        for name, numbers in series.items()
        if numbers != list(range(1, len(numbers) + 1))
    ]


def leaked(chain: ChaosChain) -> list[str]:
    """Files in which a password or a PIN stands as it was typed (17)."""
    secrets = [row[3].encode() for row in bakery.HQ_ACCOUNTS]
    pins = [pin.encode() for people in CASHIERS.values() for _, pin in people]
    found = []
    for path in [p for p in chain.folder.rglob("*") if p.is_file() and p.stat().st_size < 10**8]:
        data = path.read_bytes()
        if any(secret in data for secret in secrets) or (
            path.suffix == ".log" and any(b"pin=" + pin in data for pin in pins)
        ):
            found.append(str(path.relative_to(chain.folder)))
    return found + [f"{s}: {v}" for s, v in _pins_in(chain).items()]


def _pins_in(chain: ChaosChain) -> dict[str, str]:
    """Any text column that is exactly a PIN."""
    found = {}
    pins = {pin for people in CASHIERS.values() for _, pin in people}
    for store, shop in chain.shops.items():
        connection = sqlite3.connect(shop.database)
        named = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = connection.execute(named).fetchall()
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                if hit := pins & {v for v in row if isinstance(v, str)}:
                    found[store] = f"{table} holds {hit}"
        connection.close()
    return found


def wait_for_people(chain: ChaosChain, store: str) -> None:
    """Prices and people have come down to this shop."""
    eyes = Eyes(f"sqlite:///{chain.shops[store].database}")
    until = time.monotonic() + LEVEL_S
    while time.monotonic() < until:
        counted = eyes.rows("SELECT (SELECT COUNT(*) FROM person), (SELECT COUNT(*) FROM price)")
        if all(counted[0]):
            break
        time.sleep(0.2)
    eyes.close()
