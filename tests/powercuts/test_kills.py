"""kill -9 of real writers, over and over on the same files: nothing that was answered is gone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import postgres_server

ROOT = Path(__file__).parents[2]
ROUNDS = {"shop": 24, "office": 14, "office on PostgreSQL": 12}
ROUNDS_AT_NIGHT = 1_500


def kill_often(kind: str, folder: Path, rounds: int, *url: str) -> None:
    command = [sys.executable, "-m", "tests.powercuts.writers", kind, str(folder), str(rounds), "7"]
    done = subprocess.run(
        [*command, *url], cwd=ROOT, capture_output=True, text=True, check=False, timeout=7_200
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    said = re.fullmatch(r"(\d+) rounds, (\d+) answers\n", done.stdout)
    assert said, done.stdout
    assert int(said[2]) >= rounds == int(said[1])


def test_a_shop_is_killed(tmp_path: Path) -> None:
    kill_often("shop", tmp_path, ROUNDS["shop"])


def test_head_office_is_killed(tmp_path: Path) -> None:
    kill_often("office", tmp_path, ROUNDS["office"])


def test_head_office_on_postgresql_is_killed(tmp_path: Path) -> None:
    with postgres_server(durable=True) as server:
        kill_often("office", tmp_path, ROUNDS["office on PostgreSQL"], server.fresh_database())


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["shop", "office"])
def test_killed_all_night(kind: str, tmp_path: Path) -> None:
    kill_often(kind, tmp_path, ROUNDS_AT_NIGHT)
