"""The command line as a person starts it: real processes, sentences and exit codes."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from central.cli import main
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
ENV = {"LANG": "C.UTF-8", "LC_ALL": "", "HQ_PASSWORD": "correct horse", "PIN": "471100"}


def _run(folder: Path, *words: str, code: int = 0, lang: str = "C.UTF-8") -> str:
    """One command, in this process (a new one costs a second of imports)."""
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, words, env={**ENV, "LANG": lang})
    text = done.output
    assert done.exit_code == code, (text, done.exception)
    assert "Traceback" not in text
    return text


def _start(folder: Path) -> "subprocess.Popen[str]":
    """`run` as the operator starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "central.cli", "run"],
        cwd=folder,
        env={**os.environ, **ENV, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


INIT = (
    "init",
    *("--chain", "bakery", "--name-zh", "小麦", "--name-en", "Wheat"),
    *("--admin", "ann", "--admin-password-env", "HQ_PASSWORD"),
    *("--mqtt-port", "1", "--broker-host", "10.0.0.7", "--broker-port", "1884"),
)


@pytest.fixture(scope="module")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    _run(folder, *INIT, "--http-port", str(free_port()))
    return folder


@pytest.fixture
def home(first_home: Path, tmp_path: Path) -> Path:
    """A head office as `init` leaves it."""
    return Path(shutil.copytree(first_home, tmp_path / "home"))


def test_from_nothing_to_a_shop_with_people(home: Path) -> None:
    assert (home / "data" / "central.key").stat().st_mode & 0o777 == 0o600
    assert (home / "data").stat().st_mode & 0o777 == 0o700
    _run(
        home,
        *("add-store", "A", "--name-zh", "甲店", "--name-en", "Shop A"),
        *("--zone", "east", "--group", "town"),
    )
    joining = home / "A.join.toml"
    assert joining.stat().st_mode & 0o777 == 0o600
    assert tomllib.loads(joining.read_text())["broker"]["host"] == "10.0.0.7"
    _run(home, "accept-node", "tillmesh-node", "A", "ed25519", "ab" * 32)
    _run(
        home,
        *("add-person", "kim", "--name", "Kim", "--role", "manager", "--store", "A"),
        *("--pin-env", "PIN"),
    )
    _run(
        home,
        "add-account",
        "bob",
        "--name",
        "Bob",
        "--role",
        "buyer",
        "--password-env",
        "HQ_PASSWORD",
    )
    (home / "goods.csv").write_text("sku,name_zh,group,tax_rate\nX,吐司,none,13\n")
    told = _run(home, "import-products", "goods.csv", "--apply", code=1)
    assert "goods.csv:2 group:" in told
    assert "1 rows: 0 new" in told
    assert "all  3" in _run(home, "verify")  # the epoch, the chain, the shop
    assert "0 products  same" in _run(home, "rebuild")
    told = _run(home, "doctor", code=1)
    assert "WRONG  broker" in told
    assert "ok     shop A: joined" in told


def test_faults_are_sentences(home: Path) -> None:
    assert "INIT_DONE_BEFORE" in _run(home, *INIT, code=1)
    assert "没有门店" in _run(
        home, "accept-node", "tillmesh-node", "Z", "ed25519", "ab" * 32, code=1, lang="zh_CN.UTF-8"
    )
    assert "KEY_MISSING" in _without_key(home)
    (home / "central.toml").write_text('chain = "a b"\n[http]\nport = "x"\n')
    told = _run(home, "verify", code=2)
    assert len(told.splitlines()) == 5  # chain, data_dir, port, two names
    assert "central.toml: http.port must be" in told
    told = _run(home, "-s", "nowhere.toml", "run", code=2)
    assert "cannot be read" in told


def _without_key(home: Path) -> str:
    key = home / "data" / "central.key"
    key.rename(home / "kept.key")
    told = _run(home, "verify", code=1)
    (home / "kept.key").rename(key)
    return told


def test_a_failed_init_may_be_tried_again(tmp_path: Path) -> None:
    url = "postgresql+psycopg://tillmesh@127.0.0.1:1/x"
    assert "DATABASE_AWAY" in _run(tmp_path, *INIT, "--database-url", url, code=1)
    assert "PASSWORD_SHORT" in _run(tmp_path, *INIT, "--admin-password-env", "LANG", code=1)
    _run(tmp_path, *INIT)


def test_verify_names_the_first_wrong_row(home: Path) -> None:

    connection = sqlite3.connect(home / "data" / "central.db")
    connection.execute("UPDATE journal SET data = replace(data, '小麦', '大麦') WHERE seq = 2")
    connection.commit()
    connection.close()
    told = _run(home, "verify", code=1)
    assert "WRONG  all  event 2:" in told
    assert "[CHAIN_BROKEN]" in told


def test_a_backup_is_a_head_office_of_its_own(home: Path) -> None:
    assert "BACKUP_NOWHERE" in _run(home, "backup", code=1)
    _run(
        home,
        *("add-store", "A", "--name-zh", "甲店", "--name-en", "Shop A"),
        *("--zone", "east", "--group", "town"),
    )
    assert "BACKUP_KEY_MISSING" in _run(home, "backup", "--to", "kept", code=1)
    _run(home, "backup-key", "backup.key")
    text = (home / "central.toml").read_text().replace("# backup_key", "backup_key")
    (home / "central.toml").write_text(text)
    assert "all chains whole" in _run(home, "backup", "--to", "kept")
    assert "restored and checked" in _run(home, "drill", "--to", "kept")
    (archive,) = (home / "kept").glob("*.tmbk")
    copy = home / "copy"
    _run(home, "restore", str(archive), "--key", "backup.key", "--dir", "copy")
    assert _run(copy, "verify") == _run(home, "verify")
    for place in (home, copy):
        _run(place, "accept-node", "tillmesh-node", "A", "ed25519", "ab" * 32)
    assert _epochs(home).isdisjoint(_epochs(copy))


def _epochs(home: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(home / "data" / "central.db")) as connection:
        rows = connection.execute("SELECT epoch FROM journal WHERE stream = 'to/A'").fetchall()
    return {row[0] for row in rows}


def test_run_serves_until_it_is_told_to_stop(home: Path) -> None:
    port = tomllib.loads((home / "central.toml").read_text())["http"]["port"]
    process = _start(home)
    try:
        assert process.stdout is not None
        assert f":{port}" in process.stdout.readline()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert answer.status == 200
        second = _start(home)
        assert "PORT_IN_USE" in second.communicate(timeout=60)[1]
        assert second.returncode == 1
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopping" in out
    assert "Traceback" not in err


def test_where_the_broker_finds_its_files_is_not_looked_at(home: Path) -> None:
    """That folder is closed to head office's account, or on another machine."""
    (home / "elsewhere").write_text("no folder of ours")
    told = _run(home, "broker-files", "--to", "broker", "--at", str(home / "elsewhere"))
    assert "tillmesh.conf" in told
    assert f"acl_file {home}/elsewhere/" in (home / "broker" / "tillmesh.conf").read_text()


def test_the_brokers_list_of_revoked_certificates_comes_from_the_books(home: Path) -> None:
    """A kill between the commit and the list must not leave a stolen machine's door open."""
    _run(home, "broker-files", "--to", "broker")
    with contextlib.closing(sqlite3.connect(home / "data" / "central.db")) as books, books:
        books.execute(
            "INSERT INTO certificate (serial, node, public_key, from_ms, until_ms, revoked_ms, "
            "reason) VALUES ('ab12', 'A', '', 1, 9000000000000, 2, 'revoked')"
        )
    _run(home, "broker-files", "--to", "broker")
    crl = x509.load_pem_x509_crl((home / "broker" / "revoked.pem").read_bytes())
    assert [one.serial_number for one in crl] == [0xAB12]


def test_a_file_that_cannot_be_written_is_a_sentence(home: Path) -> None:
    (home / "broker" / "authority.pem").mkdir(parents=True)
    told = _run(home, "broker-files", "--to", "broker", code=1)
    assert "FILE_TROUBLE" in told
    assert "authority.pem" in told


def test_a_damaged_schema_is_a_sentence(home: Path) -> None:
    """SQLite quotes what it finds, which need not be text."""
    file = home / "data" / "central.db"
    with contextlib.closing(sqlite3.connect(file)) as books:
        books.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = file.read_bytes()
    file.write_bytes(data.replace(b"CREATE TABLE", b"CR\xecATE TABLE"))
    told = _run(home, "verify", code=1)
    assert "DATABASE_DAMAGED" in told
    assert "restore" in told


def test_an_emptied_database_is_no_sound_one(home: Path) -> None:
    (home / "data" / "central.db").unlink()
    assert "WRONG" in _run(home, "verify", code=1)
