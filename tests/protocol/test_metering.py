"""Figures for Prometheus, who may read them, and logs without secrets."""

import io
import json
import logging
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from protocol.node import logs, metering
from protocol.node.metering import Figure, may_read


def test_figures_are_what_prometheus_reads() -> None:
    found = metering.registry(
        lambda: [
            Figure("tillmesh_lag", "Behind.", 3, {"store": 'S"1\n'}),
            Figure("tillmesh_lag", "Behind.", 4, {"store": "S2"}),
            Figure("tillmesh_sent_total", "Sent.", 7),
        ]
    )
    families = {f.name: f for f in text_string_to_metric_families(metering.page(found).decode())}
    lags = {s.labels["store"]: s.value for s in families["tillmesh_lag"].samples}
    assert lags == {'S"1\n': 3.0, "S2": 4.0}
    assert families["tillmesh_sent"].type == "counter"
    assert families["tillmesh_sent"].samples[0].value == 7.0
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000


def test_only_this_machine_or_the_token_may_read(tmp_path: Path) -> None:
    assert may_read(tmp_path, "127.0.0.1", {})
    assert may_read(tmp_path, "::1", {})
    assert not may_read(tmp_path, "192.168.1.9", {})
    for header in ("X-Forwarded-For", "Forwarded", "Via"):  # somebody else, through a proxy here
        assert not may_read(tmp_path, "127.0.0.1", {header: "10.0.0.1"})
    right = {"Authorization": "Bearer 0123456789abcdef0123"}
    assert not may_read(tmp_path, "192.168.1.9", right)
    (tmp_path / metering.TOKEN_FILE).write_text("0123456789abcdef0123\n")
    assert may_read(tmp_path, "192.168.1.9", right)
    assert not may_read(tmp_path, "192.168.1.9", {"Authorization": "Bearer 0123456789abcdef012"})
    assert not may_read(tmp_path, "127.0.0.1", {"Authorization": "Bearer guess"})
    (tmp_path / metering.TOKEN_FILE).write_text("short")
    assert not may_read(tmp_path, "192.168.1.9", {"Authorization": "Bearer short"})


@pytest.fixture
def lines() -> "io.StringIO":
    """Where the log goes; everything is put back at the end."""
    before, handlers = structlog.get_config(), list(logging.getLogger().handlers)
    stream = io.StringIO()
    logs.set_up(stream)
    yield stream
    structlog.configure(**before)
    logging.getLogger().handlers = handlers


def test_a_log_line_is_json_with_a_name_and_no_secret(lines: io.StringIO) -> None:
    log = structlog.get_logger("any")
    pin, words = "135790", "x" * 5_000
    log.info("signed_in", person="wang", pin=pin, broker_password=pin, text=words, shopping=1)
    logging.getLogger("library").warning("said %s", "this")
    try:
        int("broken 名")
    except ValueError:
        log.exception("it_broke")
    first, second, third = (json.loads(line) for line in lines.getvalue().splitlines())
    assert first["event"] == "signed_in"
    assert first["level"] == "info"
    assert first["at"].endswith("Z")
    assert first["pin"] == first["broker_password"] == logs.HIDDEN
    assert first["shopping"] == 1
    assert len(first["text"]) < 2_100
    assert pin not in lines.getvalue()
    assert second["event"] == "said this"
    assert "broken 名" in third["exception"]
