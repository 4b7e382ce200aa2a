"""A shop's backup: encrypted, proven, put back in one step; receipts go on in a new generation."""

import contextlib
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.backup import read_status
from edge.safekeeping import chores_of
from edge.settings import load
from protocol.node.chores import Chores
from protocol.node.vault import backups_in
from tests.edge.shop_builder import BUN, build, open_shift, ring_up, sell
from tests.edge.test_command import Done, tillmesh
from tests.edge.test_settings import joining

WAIT_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A joined shop with a sale, and settings that say where backups go."""
    folder = tmp_path / "shop"
    done = tillmesh("init", "--join", str(joining(tmp_path)), "--dir", str(folder), "--port", "0")
    assert done.returncode == 0, done.stderr
    assert tillmesh("backup-key", str(tmp_path / "backup.key")).returncode == 0
    path = folder / "edge.toml"
    text = path.read_text(encoding="utf-8").replace("10.0.0.5", "127.0.0.1")
    text = text.replace("ntp.aliyun.com:123", "127.0.0.1:9")
    extra = 'backup_dir = "../kept"\nbackup_key = "../backup.key"\nbackup_copies = 2\n'
    path.write_text(extra + text, encoding="utf-8")
    sell_one(folder, first=True)
    return folder


def sell_one(home: Path, *, first: bool = False) -> str:
    shop = build(home, settings=load(home / "edge.toml"))
    if first:
        open_shift(shop)
    number = sell(shop, [BUN]).receipt_number
    shop.prover.keep_head()
    shop.books.database.close()
    return number


def sales_in(data: Path) -> int:
    with contextlib.closing(sqlite3.connect(data / "edge.db")) as books:
        return int(books.execute("SELECT count(*) FROM sale").fetchone()[0])


def edge(home: Path, *words: str) -> Done:
    return tillmesh("-s", str(home / "edge.toml"), *words)


def backed_up(home: Path) -> Path:
    done = edge(home, "backup")
    assert done.returncode == 0, done.stderr
    assert "all chains whole" in done.stdout
    return Path(done.stdout.split(": written")[0]).resolve()


def restored(archive: Path, home: Path) -> Done:
    key = archive.parents[1] / "backup.key"
    return tillmesh("restore", str(archive), "--key", str(key), "--dir", str(home))


def test_a_dead_pc_is_started_again_from_its_backup(home: Path, tmp_path: Path) -> None:
    archive = backed_up(home)
    assert "麦" not in archive.read_bytes().decode("latin-1")
    assert read_status(home / "data").code == ""  # type: ignore[union-attr]
    lost = sell_one(home)
    shutil.rmtree(home)
    fresh = tmp_path / "fresh"
    done = restored(archive, fresh)
    assert done.returncode == 0, done.stderr
    assert (fresh / "data" / "node.key").stat().st_mode & 0o777 == 0o600
    assert edge(fresh, "verify").returncode == 0
    assert lost == "1-1-000002"
    assert sell_one(fresh) == "1-2-000001"


def ids_that_wait(home: Path) -> set[str]:
    """Of sales that are on a till or on hold; each has lines of its own."""
    with contextlib.closing(sqlite3.connect(home / "data" / "edge.db")) as books:
        states = books.execute("SELECT state FROM basket UNION ALL SELECT state FROM held_basket")
        return {json.loads(state)["sale"] for (state,) in states}


def test_a_sale_after_a_restore_is_not_taken_for_a_forgotten_one(home: Path) -> None:
    """What waited at the backup may have been paid since, and comes back from head office."""
    shop = build(home, settings=load(home / "edge.toml"))
    ring_up(shop, [BUN])
    shop.selling.hold("1", person="anna", note="")
    ring_up(shop, [BUN])
    shop.books.database.close()
    archive, waited = backed_up(home), ids_that_wait(home)
    assert len(waited) == 2
    assert restored(archive, home).returncode == 0
    shop = build(home, settings=load(home / "edge.toml"))
    try:
        assert not ids_that_wait(home) & waited
        assert len(shop.selling.view("1").lines) == 1, "the goods stay"
    finally:
        shop.books.database.close()


def test_an_empty_till_has_a_new_sale_at_every_start(home: Path) -> None:
    """Two machines that start from one disk must not sell under one id."""
    sell_one(home)
    before = ids_that_wait(home)
    build(home, settings=load(home / "edge.toml")).books.database.close()
    assert not ids_that_wait(home) & before


def test_a_restore_puts_the_old_folder_aside(home: Path) -> None:
    archive = backed_up(home)
    sell_one(home)
    done = restored(archive, home)
    assert done.returncode == 0, done.stderr
    (aside,) = home.glob("data.before-*")
    assert str(aside) in done.stdout
    with (
        sqlite3.connect(aside / "edge.db") as old,
        sqlite3.connect(home / "data" / "edge.db") as new,
    ):
        counts = [c.execute("SELECT count(*) FROM sale").fetchone()[0] for c in (old, new)]
    assert counts == [2, 1]
    assert not list(home.glob(".restoring-*"))


def test_what_is_wrong_is_refused_in_words_and_changes_nothing(home: Path, tmp_path: Path) -> None:
    archive = backed_up(home)
    before = (home / "data" / "edge.db").read_bytes()
    assert tillmesh("backup-key", str(tmp_path / "other.key")).returncode == 0
    other = tillmesh(
        "restore", str(archive), "--key", str(tmp_path / "other.key"), "--dir", str(home)
    )
    assert "[BACKUP_KEY_WRONG]" in other.stderr
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    assert "[BACKUP_DAMAGED]" in restored(archive, home).stderr
    assert "[BACKUP_DAMAGED]" in edge(home, "drill").stderr
    text = (home / "edge.toml").read_text(encoding="utf-8")
    (home / "edge.toml").write_text(text.replace('store = "s1"', 'store = "s9"'), encoding="utf-8")
    assert "[RESTORE_OTHER]" in restored(archive, home).stderr
    assert (home / "data" / "edge.db").read_bytes() == before
    assert not list(home.glob(".restoring-*"))
    assert not list(home.glob("data.before-*"))


def test_books_that_are_not_whole_make_no_backup(home: Path) -> None:
    backed_up(home)
    with contextlib.closing(sqlite3.connect(home / "data" / "edge.db")) as books, books:
        books.execute("UPDATE stock SET qty_milli = qty_milli + 1000 WHERE place LIKE 'shop/%'")
    done = edge(home, "backup")
    assert done.returncode == 1
    assert "[BACKUP_UNSOUND]" in done.stderr
    assert read_status(home / "data").code == "BACKUP_UNSOUND"  # type: ignore[union-attr]
    kept = home.parent / "kept"
    assert len(list(kept.glob("*.tmbk"))) == len(list(kept.glob("*.unsound"))) == 1


def test_a_drill_writes_a_dated_report(home: Path) -> None:
    assert "[BACKUP_NONE]" in edge(home, "drill").stderr
    archive = backed_up(home)
    done = edge(home, "drill")
    assert done.returncode == 0, done.stderr
    (report,) = (home.parent / "kept").glob("drill-s1-*.md")
    told = report.read_text(encoding="utf-8")
    assert archive.name in told
    assert re.search(r"\| `shop/s1` \| \d+ \|", told)
    assert read_status(home / "data").code == ""  # type: ignore[union-attr]


def test_a_kill_during_a_restore_leaves_the_old_or_the_new(home: Path) -> None:
    archive = backed_up(home)
    sell_one(home)
    done = 0
    for delay_ms in (300, 600, 700, 800, 900, 1000, 1200, 1600):
        command = [sys.executable, "-m", "edge.cli", "restore", str(archive)]
        command += ["--key", str(home.parent / "backup.key"), "--dir", str(home)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(delay_ms / 1000)  # any moment will do
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done += process.returncode == 0
        assert edge(home, "verify").returncode == 0
        assert sales_in(home / "data") in {1, 2}
    assert restored(archive, home).returncode == 0
    assert not list(home.glob(".restoring-*")), "the next one clears up"


def test_the_node_makes_its_backups_by_itself(home: Path) -> None:
    settings = load(home / "edge.toml")
    jobs = chores_of(settings, home / "edge.toml")._scheduler.get_jobs()
    assert [job.id for job in jobs] == ["backup", "prune"]
    assert (due := edge(home, "prune", "--due")).returncode == 0, due.stderr
    assert due.stdout == "", "there is no week of events to gain"
    by_hand = edge(home, "prune")
    assert by_hand.returncode == 1
    assert "[PRUNE_" in by_hand.stderr, "no word of head office is 35 days old"
    chores = Chores(first_s=0)
    command = ["edge.cli", "-s", str(home / "edge.toml"), "backup"]
    chores.add("backup", command, every_h=6, last_ms=lambda: 0)
    chores.start()
    try:
        until = time.monotonic() + WAIT_S
        while not backups_in(home.parent / "kept", "edge") and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        chores.stop()
    assert len(backups_in(home.parent / "kept", "edge")) == 1
