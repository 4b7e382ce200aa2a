"""The power goes at every write of a prune: the books are whole, before or after, and go on."""

import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

from edge import pruning
from edge.pruning import forget_rows
from edge.tables import work
from protocol.journal import Position
from protocol.node.books import Books, opened
from protocol.node.database import Database
from protocol.node.projecting import project
from protocol.node.proving import read_digests
from protocol.node.snapshots import Seal, file_digest, file_of, write_file
from protocol.node.sqljournal import SqlRecords, read_line
from protocol.node.tables import READ_VERSION, journal, read, truth
from tests.builders import books_at, draft, received, sale
from tests.powercuts.disk import CrashDisk, Operation, apsw_engines, images

STREAM = "shop/a"
EVENTS, KEPT = 90, 30
CUTS = 40
CUTS_AT_NIGHT = 5_000
PAGES = 40  # the WAL is emptied into the file in between, too


@dataclass
class Recording:
    operations: list[Operation]
    snapshot: Path
    told: list[tuple[int, str]]  # (operations so far, sale)


def digests(books: Books) -> dict[str, str]:
    with books.database.reading() as connection:
        return read_digests(connection)


def say(books: Books, names: Sequence[str]) -> None:
    for n, name in enumerate(names):
        with books.begin() as tx:
            body = received(name) if n % 3 == 0 else sale(name)
            books.record(tx, {STREAM: [draft(body, name)]})


def sealed(books: Books, folder: Path) -> Seal:
    """What head office would seal of the oldest events."""
    with books.database.reading() as source:
        records = SqlRecords(source)
        upto = records.head(STREAM).seq - KEPT
        query = select(journal.c.epoch, journal.c.seq, journal.c.hash)
        at = Position(*source.execute(query.where(journal.c.seq == upto)).one())
        scratch = Database(f"sqlite:///{folder / 'scratch.db'}")
        truth.create_all(scratch.write)
        read.create_all(scratch.write)
        with scratch.begin() as tx:
            project(tx, [opened(e)[0] for e in read_line(source, STREAM, 0, limit=upto)])
        part = folder / "part"
        with scratch.reading() as tables:
            found = write_file(part, tables, ())
        scratch.close()
    seal = Seal(
        store="a",
        at_ms=1,
        read_version=READ_VERSION,
        positions={STREAM: at},
        heads={STREAM: at},
        digests=found,
        sha256=file_digest(part),
        size=part.stat().st_size,
    )
    part.replace(file_of(folder / "edge.db", seal))
    return seal


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A prune, and a till that sells between its steps."""
    folder, aside = (tmp_path_factory.mktemp(name) for name in ("data", "aside"))
    told = []
    with pytest.MonkeyPatch.context() as patch, apsw_engines():
        patch.setattr(pruning, "STEP", 7)
        disk = CrashDisk(folder, random.Random(1))
        books = books_at(Database(f"sqlite:///{folder / 'edge.db'}"), "a")
        work.create_all(books.database.write)
        say(books, [f"old-{n}" for n in range(EVENTS)])
        seal = sealed(books, aside)
        raw = books.database.write.raw_connection()
        raw.cursor().execute(f"PRAGMA wal_autocheckpoint={PAGES}")
        raw.close()
        disk.record()
        with books.database.begin() as tx:
            books.begin_at(tx, seal, [STREAM])

        def sells(_: float) -> None:
            name = f"new-{len(told)}"
            say(books, [name])
            told.append((len(disk.log), name))

        patch.setattr(pruning.time, "sleep", sells)
        forget_rows(books, STREAM)
        books.database.close()
        disk.forget()
    return Recording(disk.log, file_of(aside / "edge.db", seal), told)


def check(recording: Recording, folder: Path, cuts: int) -> set[int]:
    """Cut, look, go on; returns up to where the books began."""
    begins = set()
    image = folder / "image"
    image.mkdir()
    shutil.copy(recording.snapshot, image)
    rng, places = random.Random(5), len(recording.operations)
    for n in range(cuts):  # spread evenly over the whole prune
        only = 1 + n * (places - 2) // cuts
        cut, how = next(images(recording.operations, rng, 1, image, only=only))
        books = books_at(Database(f"sqlite:///{image / 'edge.db'}"), "a", "f" * 16)
        before = digests(books)
        with books.database.reading() as connection:
            begins.add(SqlRecords(connection).low(STREAM))
            ids = set(connection.execute(select(journal.c.id)).scalars())
        lost = [name for at, name in recording.told if at <= cut and name not in ids]
        assert not lost, f"cut at operation {cut} ({how})"
        assert books.verify() == []
        books.rebuild()
        assert digests(books) == before, f"cut at operation {cut} ({how})"
        forget_rows(books, STREAM, pause_s=0)
        say(books, ["after"])
        assert books.verify() == []
        with books.database.reading() as connection:
            lowest = connection.execute(select(func.min(journal.c.seq))).scalar_one()
            assert lowest == SqlRecords(connection).low(STREAM) + 1
        books.database.close()
    return begins


def test_every_cut_leaves_whole_books_that_prune_on(recording: Recording, tmp_path: Path) -> None:
    assert len(recording.told) >= 8
    assert check(recording, tmp_path, CUTS) == {0, EVENTS + 1 - KEPT}


@pytest.mark.nightly
def test_every_cut_of_a_prune_many_times(recording: Recording, tmp_path: Path) -> None:
    check(recording, tmp_path, CUTS_AT_NIGHT)
