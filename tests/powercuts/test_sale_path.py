"""The power goes at every write of the real sale path: a sale is whole or not there at all.

A real shop rings up and sells over a disk that notes each operation. Then every place in that
record is a power cut: what was not synced is lost, torn or reordered at random, SQLite recovers,
and the shop's books are examined. Some images are booted by the real shop, which sells on.
"""

import random
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.errors import TillmeshError
from tests.edge.shop_builder import BUN, MILK, build, open_shift, sell, settings_for
from tests.powercuts.disk import CrashDisk, Operation, apsw_engines, images
from tests.powercuts.shop import TILLS, examine

SALES = 14
CUTS = 2_000
CUTS_AT_NIGHT = 200_000
BOOTS = 12
CHECKPOINT_PAGES = 60  # small, so that the WAL is emptied into the file several times


@dataclass
class Recording:
    """What the disk did, and how many sales were answered after how many operations."""

    folder: Path
    operations: list[Operation]
    answered: list[tuple[int, str]]  # (operations so far, sale)

    def told(self, cut: int) -> list[str]:
        return [sale for at, sale in self.answered if at <= cut]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("shop"))


def record(folder: Path, *, synchronous: str = "FULL") -> Recording:
    """A real shop sells; what it made of the disk."""
    settings = settings_for(folder, tills=TILLS)
    data = Path(settings.data_dir)
    with apsw_engines():
        disk = CrashDisk(data, random.Random(1))
        shop = build(folder, settings=settings)
        writer = shop.books.database.write.raw_connection()
        writer.cursor().execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        writer.cursor().execute(f"PRAGMA synchronous={synchronous}")
        writer.close()
        open_shift(shop)
        disk.record()
        answered = []
        for n in range(SALES):
            paid = sell(shop, [BUN, MILK] if n % 3 else [BUN])
            answered.append((len(disk.log), paid.sale))
        log = disk.log
        shop.books.database.close()
        disk.forget()
    return Recording(folder, log, answered)


def check(recording: Recording, rng: random.Random, cuts: int, target: Path) -> set[str]:
    """Cut at every place in turn until there were so many; returns how images came about."""
    target.mkdir(exist_ok=True)
    ways = set()
    for cut, how in images(recording.operations, rng, cuts, target):
        told = recording.told(cut)
        sales = examine(_database(target)).sales
        going = [sale for _, sale in recording.answered][: len(told) + 1]
        assert sales in (told, going), f"cut at operation {cut} ({how}): {len(told)} were answered"
        ways.add(how)
    return ways


def _database(folder: Path) -> Path:
    (found,) = [f for f in folder.iterdir() if not f.name.endswith(("-wal", "-journal", "-shm"))]
    return found


def test_every_cut_leaves_whole_sales(recording: Recording, tmp_path: Path) -> None:
    assert len(recording.operations) > 300
    ways = check(recording, random.Random(7), CUTS, tmp_path / "image")
    assert ways == {"nothing", "some", "all"}


def test_a_shop_that_does_not_sync_is_found(tmp_path: Path) -> None:
    """The check is not blind: with synchronous=NORMAL the last sales are lost."""
    hasty = record(tmp_path / "hasty", synchronous="NORMAL")
    with pytest.raises(AssertionError, match="were answered"):
        check(hasty, random.Random(7), CUTS, tmp_path / "image")


@pytest.mark.nightly
def test_every_cut_leaves_whole_sales_many_times(recording: Recording, tmp_path: Path) -> None:
    check(recording, random.Random(11), CUTS_AT_NIGHT, tmp_path / "image")


def test_the_shop_boots_after_a_cut_and_sells_on(recording: Recording, tmp_path: Path) -> None:
    rng = random.Random(13)
    places = [rng.randrange(len(recording.operations)) for _ in range(BOOTS)]
    for n, place in enumerate(places):
        folder = tmp_path / f"shop{n}"
        shutil.copytree(recording.folder, folder, ignore=shutil.ignore_patterns("*.db*"))
        settings = settings_for(folder, tills=TILLS)
        next(images(recording.operations, rng, 1, Path(settings.data_dir), only=place))
        before = examine(settings.database_path)
        shop = build(folder, settings=settings)
        paid = sell(shop, [BUN])
        assert paid.receipt_number == f"1-1-{len(before.sales) + 1:06d}"
        assert shop.books.verify() == []
        shop.books.database.close()
        assert examine(settings.database_path).sales == [*before.sales, paid.sale]


def test_a_disk_that_lies_about_syncing_is_noticed(recording: Recording, tmp_path: Path) -> None:
    """What was answered may then be gone, but it never looks whole: 3 and 5 hold or it is told."""
    target = tmp_path / "image"
    target.mkdir()
    lost = noticed = 0
    for cut, _ in images(recording.operations, random.Random(17), 300, target, lies=True):
        try:
            lost += examine(_database(target)).sales != recording.told(cut)
        except (AssertionError, sqlite3.Error, TillmeshError):
            noticed += 1
    assert lost + noticed > 100  # the check is not blind
