"""Head office's backup on either database: everything but the epoch, proven, put back at once."""

import dataclasses
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import create_engine, select, text

from central import safekeeping
from central.alarms import Alarms
from central.backup import plan_of, restore
from central.backupstatus import BackupStatus, guarded, read_status
from central.compose import HeadOffice, compose
from central.safekeeping import back_up
from central.settings import Settings, write
from protocol.errors import Corrupt, Refusal, Unavailable
from protocol.node import backups, vault
from protocol.node.database import Database
from protocol.node.tables import journal, own_epoch
from tests.central.conftest import TestClock
from tests.central.shops import Shop


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of an office in `home`, with a place and a key for backups."""
    vault.make_backup_key(tmp_path / "backup.key")
    return msgspec.structs.replace(
        settings, backup_dir=tmp_path / "kept", backup_key=tmp_path / "backup.key"
    )


@pytest.fixture
def home(kept: Settings, office: HeadOffice, shops: dict[str, Shop]) -> Path:
    """A folder as `restore` sees it: settings on top, data below; the office is stopped."""
    shops["A"].open_with(bun=7_000)
    shops["A"].prove()
    shops["A"].deliver(office)
    return kept.data_dir / "home"


def _rows(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            "events": len(connection.execute(select(journal.c.seq)).all()),
            "epochs": len(connection.execute(select(own_epoch.c.epoch)).all()),
        }
    engine.dispose()
    return found


def test_a_backup_comes_back_as_a_head_office_of_its_own(
    kept: Settings, home: Path, office: HeadOffice, clock: TestClock, tmp_path: Path
) -> None:
    made = back_up(kept, to=None)
    assert made.proof.faults == ()
    assert made.proof.stock_milli == 7_000
    assert made.proof.events == _rows(kept.database_url)["events"]
    epoch = office.books.journal.epoch
    office.catalogue.define_group("after", zh="后来", en="Later", by="ann")
    office.books.database.close()
    home.mkdir()
    settings = msgspec.structs.replace(kept, data_dir=home / "data", path=home / "central.toml")
    write(settings, home / "central.toml")
    before = _rows(kept.database_url)
    assert kept.backup_key
    label, aside = restore(made.path, kept.backup_key, home, database_url=kept.database_url)
    assert (label.kind, label.chain) == ("central", "bakery")
    assert (home / "data" / "peppers" / "A").read_text() == (kept.peppers_dir / "A").read_text()
    url = kept.database_url
    if url.startswith("sqlite"):
        url = f"sqlite:///{home / 'data' / 'central.db'}"
    else:
        old = url.rsplit("/", 1)[0] + "/" + aside
        assert _rows(old) == before
    assert _rows(url) == {"events": made.proof.events, "epochs": 0}
    settings = msgspec.structs.replace(settings, database_url=url)
    again = compose(settings, clock=clock)
    assert again.books.journal.epoch != epoch
    assert again.books.verify() == []
    again.books.database.close()
    _put_back(kept.database_url, aside)


def _put_back(url: str, aside: str) -> None:
    """The next test finds the shared database under its own name."""
    if url.startswith("sqlite"):
        return
    name = url.rsplit("/", 1)[1]
    engine = create_engine(url.rsplit("/", 1)[0] + "/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        server.execute(text(f'ALTER DATABASE "{aside}" RENAME TO "{name}"'))
    engine.dispose()


def test_a_database_in_use_is_not_replaced(kept: Settings, home: Path, office: HeadOffice) -> None:
    if office.books.database.sqlite:
        with (
            safekeeping.held_by_server(kept.data_dir),
            pytest.raises(Unavailable, match="OFFICE_RUNS"),
            safekeeping.held_alone(kept.data_dir),
        ):
            pass
        return
    made = back_up(kept, to=None)
    assert kept.backup_key
    with office.books.database.reading(), pytest.raises(Refusal, match="DATABASE_IN_USE"):
        restore(made.path, kept.backup_key, home, database_url=kept.database_url)
    assert _rows(kept.database_url)["epochs"] == 1


def test_what_is_wrong_is_refused_and_changes_nothing(
    kept: Settings, home: Path, tmp_path: Path
) -> None:
    made = back_up(kept, to=None)
    vault.make_backup_key(tmp_path / "other.key")
    before = _rows(kept.database_url)
    with pytest.raises(Refusal, match="BACKUP_KEY_WRONG"):
        restore(made.path, tmp_path / "other.key", home, database_url=kept.database_url)
    data = bytearray(made.path.read_bytes())
    data[-40] ^= 8
    made.path.write_bytes(data)
    assert kept.backup_key
    with pytest.raises(Corrupt, match="BACKUP_DAMAGED"):
        restore(made.path, kept.backup_key, home, database_url=kept.database_url)
    assert _rows(kept.database_url) == before
    assert not (home / "data").exists()


def test_a_backup_that_fails_says_so(office: HeadOffice, kept: Settings) -> None:
    with pytest.raises(Refusal, match="BACKUP_NOWHERE"):
        plan_of(office.settings)
    kept.key_path.unlink()
    with pytest.raises(Unavailable, match="BACKUP_FAILED"):
        back_up(kept, to=None)
    assert read_status(kept.data_dir).code == "BACKUP_FAILED"
    assert not list(kept.data_dir.glob(".backup-*"))


def test_altered_books_make_no_backup(kept: Settings, home: Path) -> None:
    database = Database(kept.database_url)
    with database.begin() as tx:
        tx.execute(text("UPDATE journal SET at_ms = at_ms + 1 WHERE seq = 1"))
    database.close()
    with pytest.raises(Unavailable, match="BACKUP_UNSOUND"):
        back_up(kept, to=None)
    assert kept.backup_dir
    assert [p.suffix for p in kept.backup_dir.iterdir()] == [".unsound"]


def test_a_drill_restores_and_reports(kept: Settings, home: Path) -> None:
    made = back_up(kept, to=None)
    drilled, report = backups.drill(plan_of(kept), made.label.at_ms + 7_200_000)
    assert drilled.proof == made.proof
    told = report.read_text(encoding="utf-8")
    assert "2.0 h old" in told
    assert "`shop/A`" in told


def test_the_guard_stands_until_somebody_says_that_it_is_right() -> None:
    status = guarded(BackupStatus(), 10_000, accept=False)
    assert (status.stock_milli, status.dropped_to_milli) == (10_000, None)
    assert guarded(status, 5_000, accept=False).dropped_to_milli is None
    fallen = guarded(status, 4_999, accept=False)
    assert (fallen.stock_milli, fallen.dropped_to_milli) == (10_000, 4_999)
    assert guarded(fallen, 9_000, accept=False).dropped_to_milli == 9_000
    right = guarded(fallen, 4_999, accept=True)
    assert (right.stock_milli, right.dropped_to_milli) == (4_999, None)


def test_half_of_the_stock_gone_raises_an_alarm_and_keeps_old_backups(
    kept: Settings, home: Path, office: HeadOffice, shops: dict[str, Shop]
) -> None:
    desk = dataclasses.replace(office.desk, settings=kept)
    alarms = Alarms(desk, lambda: ("", ""))
    settings = msgspec.structs.replace(kept, backup_copies=1)
    first = back_up(settings, to=None)
    shops["A"].open_with(bun=-4_000)
    shops["A"].deliver(office)
    back_up(settings, to=None)
    told = {a.code: a for a in alarms.alarms()}
    assert "7" in told["ALARM_STOCK_DROP"].sentence("en")
    back_up(settings, to=None)
    assert first.path.exists(), "nothing is removed while the guard stands"
    back_up(settings, to=None, accept_drop=True)
    assert "ALARM_STOCK_DROP" not in {a.code for a in alarms.alarms()}
    assert not first.path.exists()
