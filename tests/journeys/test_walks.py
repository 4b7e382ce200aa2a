"""The four walks over real processes, brokers and databases."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import postgres_server

ROOT = Path(__file__).parent.parent.parent


def walk(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.demo", "--check", "--sales", "20", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["mosquitto", "amqtt"])
def test_walks_on_sqlite(broker: str) -> None:
    said = walk("--broker", broker)
    assert f"broker {broker}" in said
    assert "All four walks held." in said


@pytest.mark.slow
def test_walks_on_postgresql() -> None:
    with postgres_server() as postgres:
        said = walk("--broker", "mosquitto", "--postgres", postgres.fresh_database())
    assert "All four walks held." in said
