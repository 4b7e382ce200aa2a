"""`tillmesh-central ingest`: one of several processes that take in the shops' journals."""

import signal
import threading
from pathlib import Path
from typing import Any

import click
import msgspec
from cheroot.wsgi import Server as Cheroot

from central.compose import HeadOffice, compose
from central.metering import figures
from central.safekeeping import held_by_server
from central.settings import load
from central.sharing import ALL_SHARDS, Share
from protocol.errors import Refusal, define
from protocol.node import metering
from protocol.topics import SHARDS

define(
    {
        "SHARDS_UNREADABLE": (
            "{text} names no shards. Write numbers from 0 to {last}, such as 0-31 or 0-9,40.",
            "{text} 不是分片编号。请填写 0 到 {last} 的数字，例如 0-31 或 0-9,40。",
        ),
    }
)


def read_shards(text: str) -> frozenset[int]:
    """`0-31`, `3`, `0-9,40` or `all`. Refusal SHARDS_UNREADABLE."""
    if text == "all":
        return ALL_SHARDS
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        found = set()
    if not found or not found <= ALL_SHARDS:
        raise Refusal("SHARDS_UNREADABLE", text=text[:40], last=SHARDS - 1)
    return frozenset(found)


def _meters(office: HeadOffice, port: int) -> Cheroot:
    """The worker's figures, for this machine only."""
    found = metering.registry(lambda: figures(office))

    def answer(environ: Any, start: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            start("200 OK", [("Content-Type", metering.CONTENT_TYPE)])
            return [metering.page(found)]
        parts = metering.health(office.books, office.syncing.replicator)
        state = "200 OK" if parts["alive"] else "503 Service Unavailable"
        start(state, [("Content-Type", "application/json")])
        return [msgspec.json.encode(parts)]

    server = Cheroot(("127.0.0.1", port), answer, numthreads=2)
    server.prepare()
    threading.Thread(target=server.serve, name="meters", daemon=True).start()
    return server


@click.command()
@click.option("--shards", default="all", show_default=True, help="Such as 0-31; others elsewhere.")
@click.option("--metrics-port", default=0, help="Serve /metrics and /healthz on 127.0.0.1.")
@click.pass_obj
def ingest(path: Path, shards: str, metrics_port: int) -> None:
    """Take in the journals of a share of the shops, beside other workers (PostgreSQL)."""
    wanted = read_shards(shards)
    settings = load(path)
    with held_by_server(settings.data_dir):
        office = compose(settings, share_of=lambda database: Share(database, wanted))
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        office.start("ingest")
        meters = _meters(office, metrics_port) if metrics_port else None
        name = office.share.name if office.share else ""
        click.echo(f"ingest worker {name} of {settings.chain}")
        stopping.wait()
        click.echo("stopping")
        if meters is not None:
            meters.stop()
        office.stop()
