"""The command line: joining, verifying, rebuilding, and every fault as a sentence."""

import contextlib
import io
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from devices.sim.vprinter import VirtualPrinter
from edge.cli import main
from edge.safekeeping import held_alone
from edge.settings import load
from protocol.node.ntpclock import NtpClock
from tests.edge.shop_builder import BUN, build, open_shift, sell
from tests.edge.test_settings import joining

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def tillmesh(*arguments: str) -> Done:
    """The whole command with its exit code, in this process: starting Python costs a second."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["tillmesh-edge", *arguments]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    done = tillmesh(
        "init", "--join", str(joining(tmp_path)), "--dir", str(tmp_path / "shop"), "--port", "0"
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:3] == ["tillmesh-node", "s1", "ed25519"]
    assert len(words[3]) == 64
    path = tmp_path / "shop" / "edge.toml"
    text = path.read_text(encoding="utf-8").replace("10.0.0.5", "127.0.0.1")
    path.write_text(text.replace("ntp.aliyun.com:123", "127.0.0.1:9"), encoding="utf-8")
    return path


@pytest.fixture
def sold(joined: Path) -> Path:
    """The same shop with a sale in its books."""
    shop = build(joined.parent, settings=load(joined))
    open_shift(shop)
    sell(shop, [BUN])
    shop.books.database.close()
    return joined


def test_verify_and_rebuild_of_sound_books(sold: Path) -> None:
    verified = tillmesh("-s", str(sold), "verify")
    assert verified.returncode == 0
    assert [line.split() for line in verified.stdout.splitlines()] == [
        ["ok", "all"],
        ["ok", "shop/s1"],
        ["ok", "to/s1"],
        ["ok", "zone/east"],
    ]
    rebuilt = tillmesh("-s", str(sold), "rebuild")
    assert rebuilt.returncode == 0
    before, after = rebuilt.stdout.splitlines()
    assert before.split()[1] == after.split()[1] != "0" * 32


def test_verify_names_the_first_wrong_row(sold: Path) -> None:
    database = sqlite3.connect(sold.parent / "data" / "edge.db")
    with database:
        database.execute(
            "UPDATE journal SET data = replace(data, 'bun', 'bum') "
            "WHERE stream = 'shop/s1' AND type = 'SaleCompleted'"
        )
        seq = database.execute("SELECT seq FROM journal WHERE type = 'SaleCompleted'").fetchone()[0]
    database.close()
    verified = tillmesh("-s", str(sold), "verify")
    assert verified.returncode == 1
    wrong = [line for line in verified.stdout.splitlines() if line.startswith("WRONG")]
    assert len(wrong) == 1
    assert "shop/s1" in wrong[0]
    assert f"event {seq}:" in wrong[0]


@pytest.mark.parametrize("harm", ["gone", "older", "another's"])
def test_verify_says_when_the_journal_lacks_what_it_held(sold: Path, harm: str) -> None:
    data = sold.parent / "data"
    older = (data / "edge.db").read_bytes()
    shop = build(sold.parent, settings=load(sold))
    if harm == "older":
        sell(shop, [BUN])
    shop.prover.keep_head()
    shop.books.database.close()
    assert tillmesh("-s", str(sold), "verify").returncode == 0
    for name in ("edge.db", "edge.db-wal", "edge.db-shm"):
        (data / name).unlink(missing_ok=True)
    if harm == "older":
        (data / "edge.db").write_bytes(older)
    elif harm == "another's":
        other = build(sold.parent, settings=load(sold))
        open_shift(other)
        sell(other, [BUN, BUN])
        other.books.database.close()
    verified = tillmesh("-s", str(sold), "verify")
    assert verified.returncode == 1
    (wrong,) = [line for line in verified.stdout.splitlines() if line.startswith("WRONG")]
    assert "shop/s1" in wrong
    assert "set back" in wrong


def test_rebuild_repairs_a_read_table_and_says_so(sold: Path) -> None:
    database = sqlite3.connect(sold.parent / "data" / "edge.db")
    with database:
        database.execute("UPDATE shelf_digest SET digest = ?", ("f" * 32,))
    database.close()
    rebuilt = tillmesh("-s", str(sold), "rebuild")
    assert rebuilt.returncode == 1
    assert "changed" in rebuilt.stdout
    assert tillmesh("-s", str(sold), "rebuild").returncode == 0


def test_a_file_that_cannot_be_written_is_a_sentence(joined: Path) -> None:
    done = tillmesh("-s", str(joined), "backup-key", str(joined / "nowhere" / "key"))
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def test_wrong_settings_are_one_line_per_fault_and_exit_2(joined: Path) -> None:
    text = joined.read_text(encoding="utf-8")
    joined.write_text(
        text.replace("Asia/Shanghai", "Asia/Atlantis").replace("[http]\n", "[http]\nprot = 1\n"),
        encoding="utf-8",
    )
    for command in ("run", "verify", "rebuild", "doctor"):
        done = tillmesh("-s", str(joined), command)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 2
        assert "http.prot" in done.stderr
        assert "Traceback" not in done.stderr


def test_doctor_says_what_is_missing(joined: Path) -> None:
    (joined.parent / "pepper").unlink()
    done = tillmesh("-s", str(joined), "doctor")
    assert done.returncode == 1
    assert "WRONG     pepper" in done.stdout
    assert "WRONG     broker" in done.stdout
    assert "ok        books" in done.stdout
    run = tillmesh("-s", str(joined), "run")
    assert run.returncode == 1
    assert "PEPPER_MISSING" in run.stderr


def test_run_serves_pairs_and_ends_on_sigterm(joined: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "-s", str(joined), "run"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert "Code for till 1" in process.stdout.readline()
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.status == 200
        second = tillmesh("-s", str(joined), "run")
        assert second.returncode == 1
        assert "RUNNING_ALREADY" in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_a_port_in_use_says_what_to_do(joined: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = joined.read_text(encoding="utf-8").replace("port = 0", f"port = {port}")
        joined.write_text(text, encoding="utf-8")
        done = tillmesh("-s", str(joined), "run")
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_code_from_the_console_pairs_and_writes_no_event(sold: Path) -> None:
    def heads() -> list[tuple[str, int]]:
        database = sqlite3.connect(sold.parent / "data" / "edge.db")
        rows = database.execute("SELECT stream, seq FROM stream_head ORDER BY stream").fetchall()
        database.close()
        return rows

    before = heads()
    done = tillmesh("-s", str(sold), "pair", "--till", "1")
    assert done.returncode == 0
    assert heads() == before
    shop = build(sold.parent, settings=load(sold), clock=NtpClock(()))
    token = shop.pairing.pair(done.stdout.split()[0])
    browser = shop.pairing.browser(token)
    shop.books.database.close()
    assert browser is not None
    assert browser.till == "1"
    assert tillmesh("-s", str(sold), "pair", "--till", "9").returncode == 1


@pytest.fixture
def with_printer(joined: Path) -> Iterator[tuple[Path, VirtualPrinter]]:
    """Settings of a till with a printer that is there and a scanner that is not."""
    printer = VirtualPrinter()
    printer.start()
    text = joined.read_text(encoding="utf-8").split("[[tills]]")[0]
    missing = joined.parent / "no-scanner"
    joined.write_text(
        f'{text}[[tills]]\nid = "1"\nprinter = "{printer.url}"\nscanner = "{missing}"\n',
        encoding="utf-8",
    )
    yield joined, printer
    printer.stop()
    assert printer.faults == []


def test_doctor_devices_gives_one_verdict_with_a_reason_per_device(
    with_printer: tuple[Path, VirtualPrinter],
) -> None:
    path, printer = with_printer
    done = tillmesh("-s", str(path), "doctor", "devices")
    assert done.returncode == 1
    verdicts = [line for line in done.stdout.splitlines() if line[:1] != " "]
    assert [line.split()[:2] for line in verdicts] == [["ok", "printer-1"], ["WRONG", "scanner-1"]]
    assert "printer-1 answers and is ready." in done.stdout
    assert printer.receipts() == []
    printer.set(paper=0)
    done = tillmesh("-s", str(path), "doctor", "devices", "--language", "zh-CN")
    assert "打印机 printer-1 缺纸。收银不受影响" in done.stdout
    printer.set(paper=2)
    done = tillmesh("-s", str(path), "doctor", "devices", "--print")
    assert "printed a test page" in done.stdout
    assert len(printer.receipts()) == 1


def test_doctor_devices_while_the_shop_runs(with_printer: tuple[Path, VirtualPrinter]) -> None:
    path, printer = with_printer
    shop = build(path.parent, settings=load(path))
    try:
        with held_alone(Path(shop.settings.data_dir)):
            shop.printing.start()
            deadline = time.monotonic() + 60
            while not printer.connected and time.monotonic() < deadline:
                time.sleep(0.01)
            done = tillmesh("-s", str(path), "doctor", "devices")
        assert "printer-1 is in use by this running shop" in done.stdout
        assert [line.split()[0] for line in done.stdout.splitlines() if line[0] != " "] == [
            "ok",
            "WRONG",
        ]
    finally:
        shop.printing.stop()
        shop.books.database.close()


def test_doctor_devices_without_devices(joined: Path) -> None:
    text = joined.read_text(encoding="utf-8").split("[[tills]]")[0]
    joined.write_text(text + '[[tills]]\nid = "1"\n', encoding="utf-8")
    done = tillmesh("-s", str(joined), "doctor", "devices")
    assert (done.returncode, done.stdout.strip()) == (0, "The settings list no device.")


def test_a_receipt_is_shown_as_the_settings_lay_it_out(joined: Path, tmp_path: Path) -> None:
    text = joined.read_text(encoding="utf-8")
    more = '[receipt.zh-CN]\nfooter = ["为您节省 {saved}"]\npromotions = "summary"\ncode = "qr"\n'
    joined.write_text(text.replace("[[tills]]", f"{more}[[tills]]", 1), encoding="utf-8")
    shown = tillmesh("-s", str(joined), "receipt", "--png", str(tmp_path / "receipt.png"))
    assert shown.returncode == 0, shown.stderr
    assert "为您节省 ￥5.50" in shown.stdout
    assert "[QR: TMR:" in shown.stdout
    assert (tmp_path / "receipt.png").read_bytes().startswith(b"\x89PNG")
    english = tillmesh("-s", str(joined), "receipt", "--language", "en").stdout
    assert "TOTAL" in english
    assert "节省" not in english
    wrong = '[receipt.zh-CN]\nfooter = ["{nobody}"]\nsections = ["goods", "x"]\nlogo = "none.png"\n'
    joined.write_text(text.replace("[[tills]]", f"{wrong}[[tills]]", 1), encoding="utf-8")
    refused = tillmesh("-s", str(joined), "receipt")
    assert refused.returncode == 2
    for words in ("no section 'x'", "needs 'totals'", "no place {nobody}", "logo: The logo"):
        assert words in refused.stderr
