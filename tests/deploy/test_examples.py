"""What an operator copies: example settings, service units, the compose file, the backup."""

import configparser
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import central.settings
import edge.settings
from tests.edge.shop_builder import BUN, build, open_shift, sell

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(p for p in (DEPLOY / "systemd").iterdir())
SERVICES = [u for u in UNITS if u.name in {"tillmesh-edge.service", "tillmesh-central.service"}]
NEVER_IN_AN_EXAMPLE = {"central": {"path", "database_url"}, "edge": set()}


def shown(document: dict[str, Any]) -> set[str]:
    """Every setting in a document, tables as `table.setting`."""
    names = set()
    for name, value in document.items():
        inner = value[0] if isinstance(value, list) and value else value
        names |= {f"{name}.{k}" for k in inner} if isinstance(inner, dict) else {name}
    return names | set(document)


def possible(kind: Any) -> set[str]:
    """Every setting of a struct, one table deep."""
    names = set()
    for field in msgspec.structs.fields(kind):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            names |= {f"{field.name}.{f.name}" for f in msgspec.structs.fields(inner)}
        else:
            names.add(field.name)
    return names


def test_the_example_of_a_shop_is_read_without_faults(tmp_path: Path) -> None:
    target = tmp_path / "edge.toml"
    shutil.copy(DEPLOY / "edge.toml.example", target)
    settings = edge.settings.load(target)
    assert [till.id for till in settings.tills] == ["1", "2"]
    assert settings.database_path == tmp_path / "data" / "edge.db"
    assert settings.mqtt.username == settings.store, "the broker knows a shop by its id"


def test_the_example_of_head_office_is_read_without_faults(tmp_path: Path) -> None:
    target = tmp_path / "central.toml"
    shutil.copy(DEPLOY / "central.toml.example", target)
    settings = central.settings.load(target)
    assert settings.database_url == f"sqlite:///{tmp_path / 'data' / 'central.db'}"
    assert settings.mqtt.port != settings.public.broker_port


@pytest.mark.parametrize("house", ["edge", "central"])
def test_an_example_shows_every_setting(house: str) -> None:
    document = tomllib.loads((DEPLOY / f"{house}.toml.example").read_text(encoding="utf-8"))
    kind = edge.settings.Settings if house == "edge" else central.settings.Settings
    assert not possible(kind) - shown(document) - NEVER_IN_AN_EXAMPLE[house]


def unit(path: Path) -> configparser.ConfigParser:
    """A unit file; a key that stands there several times keeps its last value."""
    found = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_a_node_comes_back_by_itself_and_owns_nothing_but_its_folder(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == "tillmesh"
    assert service["Restart"] == "always"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert service["CapabilityBoundingSet"] == ""
    assert service["RestartPreventExitStatus"] == "2", "wrong settings do not mend themselves"
    assert unit(path)["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def test_the_units_hold_before_systemd(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd on this machine; the other tests read the units")
    for path in UNITS:  # a program that exists, whatever is installed here
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/tillmesh/bin/tillmesh-edge", "/bin/true")
        text = text.replace("/opt/tillmesh/bin/tillmesh-central", "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [x for x in done.stderr.splitlines() if "tillmesh" in x]
    assert not complaints, done.stderr


def test_the_compose_file_names_three_services_and_says_that_it_is_untried() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert "UNTRIED" in text.splitlines()[0]
    document = yaml.safe_load(text)
    assert set(document["services"]) == {"central", "postgres", "mosquitto"}
    for name, service in document["services"].items():
        for place in service.get("volumes", ()):
            source = place.split(":")[0]
            if source.startswith("."):
                there = (DEPLOY / source).exists() or f"touch {source[2:]}" in text
                assert there, f"{name} mounts {source}, which is not there"
            else:
                assert source in document["volumes"]
    build = document["services"]["central"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


def backup(node: Path, target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the timer does."""
    command = ["/bin/sh", str(DEPLOY / "backup.sh"), str(node), str(target), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """A node's folder with an open database in it."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the Debian package sqlite3 is not installed")
    node = tmp_path / "node"
    (node / "data").mkdir(parents=True)
    (node / "edge.toml").write_text("store = 'S1'\n")
    (node / "pepper").write_text("ab" * 32)
    (node / "data" / "node.key").write_bytes(b"k" * 32)
    return node


def test_a_backup_has_what_a_node_needs_while_it_runs(node_folder: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(node_folder / "data" / "edge.db")
    database.execute("PRAGMA journal_mode=wal")
    database.execute("CREATE TABLE journal (seq INTEGER)")
    database.executemany("INSERT INTO journal VALUES (?)", [(n,) for n in range(100)])
    database.commit()
    try:
        done = backup(node_folder, tmp_path / "kept")
    finally:
        database.close()
    assert done.returncode == 0, done.stderr
    copy = Path(done.stdout.strip())
    files = {str(p.relative_to(copy)) for p in copy.rglob("*") if p.is_file()}
    assert files == {"edge.toml", "pepper", "data/node.key", "data/edge.db", "data/last-head"}
    kept = sqlite3.connect(copy / "data" / "edge.db")
    assert kept.execute("SELECT count(*) FROM journal").fetchone() == (100,)
    kept.close()
    assert copy.stat().st_mode & 0o077 == 0, "keys are for their owner only"


def test_a_shop_started_from_its_backup_uses_no_receipt_number_twice(
    node_folder: Path, tmp_path: Path
) -> None:
    running = build(node_folder)
    open_shift(running)
    assert sell(running, [BUN]).receipt_number == "1-1-000001"
    running.prover.keep_head()
    done = backup(node_folder, tmp_path / "kept")
    lost = sell(running, [BUN]).receipt_number  # after the copy was made
    running.books.database.close()
    assert done.returncode == 0, done.stderr
    restored = build(Path(done.stdout.strip()))
    try:
        again = sell(restored, [BUN]).receipt_number
    finally:
        restored.books.database.close()
    assert (lost, again) == ("1-1-000002", "1-2-000001")


def test_old_backups_go_only_after_a_new_one_is_there(node_folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for day in range(1, 6):
        (kept / f"2026010{day}T000000Z").mkdir(parents=True)
    done = backup(node_folder, kept, "3")
    assert done.returncode == 0, done.stderr
    left = sorted(p.name for p in kept.iterdir())
    assert left[:2] == ["20260104T000000Z", "20260105T000000Z"]
    assert len(left) == 3


def test_a_broken_database_is_never_a_backup(node_folder: Path, tmp_path: Path) -> None:
    (node_folder / "data" / "edge.db").write_bytes(b"this is no database" * 500)
    kept = tmp_path / "kept"
    (kept / "20260101T000000Z").mkdir(parents=True)
    done = backup(node_folder, kept, "1")
    assert done.returncode != 0
    assert [p.name for p in kept.iterdir() if not p.name.startswith(".")] == ["20260101T000000Z"]


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_the_command_of_a_unit_is_one_that_the_program_knows(path: Path, tmp_path: Path) -> None:
    program, *words = unit(path)["Service"]["ExecStart"].split()
    command = [str(Path(sys.executable).parent / Path(program).name)]
    command += [str(tmp_path / "none.toml") if w.endswith(".toml") else w for w in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, "wrong settings, which systemd must not try again"
    assert "none.toml" in done.stderr
    assert "Usage" not in done.stderr
