"""Writers killed with -9: `python -m tests.powercuts.writers KIND FOLDER ROUNDS SEED [URL]`.

This process forks a writer per round (a real shop that sells, or a real head office that sets
prices), kills it at a random moment, looks at what stands, and goes on over the same files. Every
answer went through a pipe, so the kernel has it whatever happens to the writer. Says at the end
`ROUNDS rounds, ANSWERS answers`, or ends with an AssertionError.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select

from central.compose import compose
from central.goods import Product
from central.settings import Names, Settings, sqlite_url
from edge.compose import Shop
from protocol.codec import body_of, decode
from protocol.events import PriceSet
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.signing import make_key
from protocol.node.sqljournal import SqlJournal, read_line
from protocol.node.tables import READ
from tests.central.conftest import TestClock
from tests.edge.shop_builder import BUN, build, open_shift, sell, settings_for, template
from tests.powercuts.shop import TILLS, examine

Writer = Callable[[Callable[[str], None]], None]
Look = Callable[[list[str]], None]  # gets all answers; AssertionError when the books differ


def shop(folder: Path) -> tuple[Writer, Look]:
    """A till that sells as fast as it can."""
    settings = settings_for(folder, tills=TILLS)
    template()  # once, before the forks

    def write(answer: Callable[[str], None]) -> None:
        made: Shop = build(folder, settings=settings)
        if made.shifts.current("1") is None:
            open_shift(made)
        while True:
            answer(sell(made, [BUN]).sale)

    def look(answers: list[str]) -> None:
        if not answers:
            return
        sales = examine(settings.database_path).sales
        lost = set(answers) - set(sales)
        assert not lost, f"{len(lost)} sales were answered and are gone"

    return write, look


def office(folder: Path, url: str) -> tuple[Writer, Look]:
    """A head office that sets one price after the other."""
    settings = Settings(
        chain="bakery",
        name=Names(zh="小麦", en="Wheat"),
        data_dir=folder,
        database_url=url or sqlite_url(folder),
    )
    make_key(settings.key_path)

    def write(answer: Callable[[str], None]) -> None:
        made = compose(settings, clock=TestClock())
        made.catalogue.define_group("bread", zh="面包", en="Bread", by="ann")
        bread = Product(sku="bread", name_zh="面包", name_en="Bread", group="bread", tax_rate_bp=0)
        made.catalogue.list_product(bread, by="ann")
        with made.books.database.reading() as connection:
            head = read_line(connection, "all", 0, limit=1_000_000)[-1].position.seq
        for price in range(head + 1, 1_000_000):
            made.catalogue.set_price("bread", price, by="ann")
            answer(str(price))

    def look(answers: list[str]) -> None:
        if not answers:
            return
        database = Database(settings.database_url)
        books = Books(database, SqlJournal("central", "0" * 16))
        try:
            assert books.verify() == []
            with database.reading() as connection:
                line = read_line(connection, "all", 0, limit=1_000_000)
                kept = connection.execute(select(READ["price"].c.price_minor)).scalars().all()
        finally:
            database.close()
        prices = [b for e in line if isinstance(b := body_of(decode(e.data)), PriceSet)]
        lost = set(answers) - {str(p.price_minor) for p in prices}
        assert not lost, f"{len(lost)} prices were answered and are gone"
        assert kept == [prices[-1].price_minor], "the price in force is not the last one"

    return write, look


def _forked(write: Writer) -> tuple[int, int]:
    """(pid of a new writer, what to read its answers from)."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    try:
        write(lambda text: void(os.write(writing, text.encode() + b"\n")))
    finally:
        os._exit(1)


def void(_: object) -> None:
    """A callback's answer that nobody needs."""


def main() -> None:
    """Rounds of write, kill, look."""
    kind, folder, rounds, seed, *url = sys.argv[1:]
    write, look = shop(Path(folder)) if kind == "shop" else office(Path(folder), *(url or [""]))
    rng = random.Random(int(seed))
    answers: list[str] = []
    for n in range(int(rounds)):
        pid, reading = _forked(write)
        with os.fdopen(reading) as lines:
            first = lines.readline().strip()
            assert first, f"round {n}: the writer ended by itself"
            answers.append(first)
            time.sleep(rng.uniform(0.0, 0.08))
            os.kill(pid, signal.SIGKILL)
            answers += [line.strip() for line in lines if line.endswith("\n")]
        os.waitpid(pid, 0)
        look(answers)
    print(f"{rounds} rounds, {len(answers)} answers")


if __name__ == "__main__":
    main()
