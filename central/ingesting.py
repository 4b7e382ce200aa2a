"""`tillmesh-central ingest`: one of several processes that take in the shops' journals."""

import signal
import threading
from pathlib import Path

import click

from central.compose import compose
from central.safekeeping import held_by_server
from central.settings import load
from central.sharing import ALL_SHARDS, Share
from protocol.errors import Refusal, define
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


@click.command()
@click.option("--shards", default="all", show_default=True, help="Such as 0-31; others elsewhere.")
@click.pass_obj
def ingest(path: Path, shards: str) -> None:
    """Take in the journals of a share of the shops, beside other workers (PostgreSQL)."""
    wanted = read_shards(shards)
    settings = load(path)
    with held_by_server(settings.data_dir):
        office = compose(settings, share_of=lambda database: Share(database, wanted))
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        office.start("ingest")
        name = office.share.name if office.share else ""
        click.echo(f"ingest worker {name} of {settings.chain}")
        stopping.wait()
        click.echo("stopping")
        office.stop()
