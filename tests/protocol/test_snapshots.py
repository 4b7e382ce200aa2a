"""A snapshot file that is not what it should be: a sentence, and not one row of it stays."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from protocol.errors import Corrupt, Unavailable
from protocol.node.database import Database
from protocol.node.snapshots import load_tables, read_tail
from protocol.node.tables import READ, read

GOOD = ["bread", "面包", "Bread", 3]
ROWS: dict[str, object] = {
    "a short row": [GOOD[:3]],
    "a long row": [[*GOOD, 1]],
    "nothing where something must be": [[None, *GOOD[1:]]],
    "a list": [[[], *GOOD[1:]]],
    "an object": [[{}, *GOOD[1:]]],
    "a number that no database holds": [[*GOOD[:3], 2**70]],
    "the same row twice": [GOOD, GOOD],
}
EVENTS: dict[str, object] = {
    "too little": [1, "e"],
    "too much": [1, "e" * 16, 0, "f" * 64, "{}", 1],
    "no text": [1, "e" * 16, 0, "f" * 64, 7],
    "no number": ["1", "e" * 16, 0, "f" * 64, "{}"],
}


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/tables.db")
    read.create_all(database.write)
    yield database
    database.close()


def packed(path: Path, *lines: object) -> Path:
    path.write_bytes(gzip.compress(b"".join(msgspec.json.encode(line) + b"\n" for line in lines)))
    return path


@pytest.mark.parametrize("name", ROWS)
def test_an_odd_row_is_damage(tables: Database, tmp_path: Path, name: str) -> None:
    first = {"table": "promo_group", "rows": [["cake", "糕", "Cake", 1]]}
    file = packed(tmp_path / "s", first, {"table": "promo_group", "rows": ROWS[name]})
    with pytest.raises(Corrupt, match="SNAPSHOT_DAMAGED"), tables.begin() as tx:
        load_tables(tx, file)
    with tables.reading() as connection:
        assert connection.execute(READ["promo_group"].select()).first() is None


@pytest.mark.parametrize("name", EVENTS)
def test_an_odd_event_is_damage(tmp_path: Path, name: str) -> None:
    with pytest.raises(Corrupt, match="SNAPSHOT_DAMAGED"):
        list(read_tail(packed(tmp_path / "s", {"event": EVENTS[name]}), "shop/a"))


def test_every_flipped_bit_is_damage_or_harmless(tables: Database, tmp_path: Path) -> None:
    """Whichever byte of the packing it hits; the seal's hash would tell it before."""
    file = packed(tmp_path / "s", {"table": "promo_group", "rows": [GOOD]})
    whole = file.read_bytes()
    seen = set()
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= 0x10
        file.write_bytes(altered)
        try:
            with tables.begin() as tx:
                load_tables(tx, file)
                tx.rollback()
            seen.add("read")
        except Corrupt as fault:
            seen.add(fault.code)
    assert "SNAPSHOT_DAMAGED" in seen
    file.unlink()
    with pytest.raises(Unavailable, match="SNAPSHOT_MISSING"), tables.begin() as tx:
        load_tables(tx, file)
