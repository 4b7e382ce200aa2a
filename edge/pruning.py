"""A shop forgets the oldest events of its own journal, when head office surely has them.

It prunes up to a place that head office held, by its own signed word, at least 35 days ago (see
`edge.checkpoints`): from whichever of its backups head office comes back, nothing is missing. What
stood there stays in the read tables and in a sealed snapshot, from which a rebuild starts. The
order of steps is such that a power cut at any moment leaves whole books:

1. the snapshot is fetched, checked and synced under a name of its own;
2. it is folded with what follows in a scratch database: the same tables, or nothing is done;
3. one transaction says that the books begin there;
4. the rows before are deleted, a few at a time, so that no till waits.

Head office's streams are kept whole: they are its backup.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, literal, select

from edge.checkpoints import newest_older
from edge.fetching import held_here, obtain
from edge.node import ShopNode
from edge.tables import pruned_document
from protocol import events as ev
from protocol.clock import DAY_MS, Reading
from protocol.errors import Corrupt, Refusal, define
from protocol.journal import Position
from protocol.node import signing
from protocol.node.backups import working
from protocol.node.books import Books
from protocol.node.proving import prove_snapshot
from protocol.node.snapshots import Seal, agreed, check_file, check_seal, file_of
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import READ, fork, journal, stream_base

STEP: Final = 50  # events deleted in one transaction
PAUSE_S: Final = 0.02  # between two of them the tills write
WORTH_MS: Final = 7 * DAY_MS  # what the schedule waits for
DOCUMENTS: Final = (  # their ids were made by whoever asked, and may be asked again
    ev.GoodsReceived,
    ev.GoodsScrapped,
    ev.StockCounted,
    ev.TransferDispatched,
    ev.TransferReceived,
    ev.ShiftOpened,
    ev.ShiftClosed,
    ev.CashMoved,
)

define(
    {
        "PRUNE_CLOCK": (
            "This shop's clock is not trusted now, so nobody can say how old an event is. Nothing "
            "was pruned. It is tried again by itself.",
            "本店时钟目前不可信，无法判断记录的年龄，没有清理任何内容。系统会自动重试。",
        ),
        "PRUNE_NOTHING": (
            "There is nothing to prune: head office has not yet confirmed for {days} days that it "
            "holds more of this shop's journal than what was pruned before.",
            "没有可清理的内容：总部确认持有更多本店日志的时间还不到 {days} 天。",
        ),
        "PRUNE_UNSURE": (
            "Head office's snapshot does not fit this shop's journal ({detail}). Nothing was "
            "pruned. Run `tillmesh-edge verify`; look at head office's alarms.",
            "总部快照与本店日志不符（{detail}），没有清理任何内容。"
            "请运行 `tillmesh-edge verify` 并查看总部告警。",
        ),
        "PRUNE_OFF": (
            "keep_days is 0 in the settings: this shop keeps its whole journal.",
            "设置中 keep_days 为 0：本店保留全部日志。",
        ),
    }
)


class Pruned(msgspec.Struct, frozen=True):
    """What was done: events deleted, the place up to which, the snapshot's bytes."""

    events: int
    upto: int
    size: int
    seconds: float


def oldest_ms(connection: Connection, stream: str) -> int | None:
    """The writer's time of the oldest event that is held."""
    base = SqlRecords(connection).base(stream)
    query = select(journal.c.at_ms).where(
        journal.c.stream == stream, journal.c.branch == 0, journal.c.seq > base.seq
    )
    found = connection.execute(query.order_by(journal.c.seq).limit(1)).scalar()
    return None if found is None else int(found)


def is_due(node: ShopNode) -> bool:
    """Is there a week of events to gain?"""
    keep_ms = node.settings.keep_days * DAY_MS
    with node.books.database.reading() as connection:
        oldest = oldest_ms(connection, node.stream)
    return oldest is not None and oldest < node.clock.read().at_ms - keep_ms - WORTH_MS


def prune(
    node: ShopNode, key: signing.NodeKey, *, say: Callable[[str], None] = lambda _: None
) -> Pruned:
    """Prune what may be pruned now; selling goes on meanwhile.

    Refusal PRUNE_OFF, PRUNE_CLOCK, PRUNE_NOTHING; Unavailable SNAPSHOT_AWAY; Corrupt
    PRUNE_UNSURE, SNAPSHOT_DISAGREES. Then nothing was deleted.
    """
    started = time.monotonic()
    books, settings = node.books, node.settings
    if not settings.keep_days:
        raise Refusal("PRUNE_OFF")
    forget_rows(books, node.stream)  # an earlier run was cut off
    now = node.clock.read()
    if not now.state.trusted:
        raise Refusal("PRUNE_CLOCK")
    limit, held_ms = _limit(node, now)
    upto = {**held_here(books, node.stream), node.stream: limit}
    seal = obtain(settings, key, books, upto=upto, say=say)
    _check(node, seal, now, limit=limit, held_ms=held_ms)
    say("folding the snapshot and what follows, to compare ...")
    with working(Path(settings.data_dir), "prune") as work:
        prove_snapshot(books, seal, file_of(books.path, seal), work)
    with books.database.begin() as tx:
        books.begin_at(tx, seal, [node.stream])
    count = forget_rows(books, node.stream)
    return Pruned(count, seal.positions[node.stream].seq, seal.size, time.monotonic() - started)


def _limit(node: ShopNode, now: Reading) -> tuple[int, int]:
    """The last event that may go, and when head office said that it has it, by its clock."""
    keep_ms = node.settings.keep_days * DAY_MS
    with node.books.database.reading() as connection:
        found = newest_older(node, connection, by_ms=now.surely_past_ms - keep_ms)
        parted = connection.execute(
            select(func.min(fork.c.parent_seq)).where(fork.c.stream == node.stream)
        ).scalar()
        base = SqlRecords(connection).base(node.stream)
    place = found.place(node.stream) if found else None
    if found is None or place is None:
        raise Refusal("PRUNE_NOTHING", days=node.settings.keep_days)
    limit = place.seq if parted is None else min(place.seq, int(parted))
    if limit <= base.seq:
        raise Refusal("PRUNE_NOTHING", days=node.settings.keep_days)
    return limit, found.ack.now


def _check(node: ShopNode, seal: Seal, now: Reading, *, limit: int, held_ms: int) -> None:
    keep_ms = node.settings.keep_days * DAY_MS
    place = seal.positions[node.stream]
    with node.books.database.reading() as connection:
        records = SqlRecords(connection)
        base = records.base(node.stream)
        if seal.at_ms - held_ms < keep_ms:  # by head office's clock, as ours may be wrong
            raise Refusal("PRUNE_NOTHING", days=node.settings.keep_days)
        if place.seq <= base.seq:
            raise Refusal("PRUNE_NOTHING", days=node.settings.keep_days)
        wrong = [
            stream
            for stream, at in seal.positions.items()
            if not agreed(records, seal, stream) or at.seq < records.low(stream)
        ]
        if place.seq > limit or wrong:
            raise Corrupt("PRUNE_UNSURE", detail=", ".join(wrong) or f"event {place.seq}")
        at_ms = connection.execute(
            select(journal.c.at_ms).where(
                journal.c.stream == node.stream, journal.c.hash == place.hash
            )
        ).scalar_one()
    if at_ms > now.surely_past_ms - keep_ms:
        raise Refusal("PRUNE_NOTHING", days=node.settings.keep_days)


def forget_rows(books: Books, stream: str, *, pause_s: float = PAUSE_S) -> int:
    """Delete the events before the base, a few at a time; the ids of documents stay known."""
    count, c = 0, journal.c
    while True:
        with books.database.begin() as tx:
            base = SqlRecords(tx).base(stream)
            mine = (c.stream == stream) & (c.seq <= base.seq)
            lowest = tx.execute(select(func.min(c.seq)).where(mine)).scalar()
            if lowest is None:
                return count
            gone = mine & (c.seq < lowest + STEP)
            names = [kind.__name__ for kind in DOCUMENTS]
            ids = select(c.id).where(gone, c.type.in_(names))
            tx.execute(insert(pruned_document).from_select(["id"], ids).prefix_with("OR IGNORE"))
            count += tx.execute(delete(journal).where(gone)).rowcount
        time.sleep(pause_s)


def remembered(tx: Connection, stream: str, ids: Sequence[str], *, store: str) -> set[str]:
    """Which of these ids belong to events that were pruned."""
    found: set[str] = set()
    sale = READ["sale"].c
    begins = select(stream_base.c.seq).where(stream_base.c.stream == stream)
    if tx.execute(begins).scalar() is None:
        return found
    for name in ids:
        old = select(literal(1)).where(pruned_document.c.id == name)
        sold = select(literal(1)).where(sale.store == store, sale.sale == name)
        if tx.execute(old.union_all(sold).limit(1)).first() is not None:
            found.add(name)
    return found


def examine_base(node_books: Books, central_key: str, store: str) -> str:
    """Where the books begin, in words; empty when they are whole. Corrupt when it is not so."""
    with node_books.database.reading() as connection:
        seal = node_books.base(connection)
        records = SqlRecords(connection)
        bases = {s: records.base(s) for s in node_books.streams(connection)}
    if seal is None:
        return ""
    check_seal(seal, central_key, store=store)
    check_file(file_of(node_books.path, seal), seal)
    for stream, base in bases.items():
        if base.seq > seal.positions.get(stream, Position("", 0, "")).seq:
            raise Corrupt("SNAPSHOT_DAMAGED", path=stream, detail="the books begin after it")
    told = ", ".join(f"{s} after {at.seq}" for s, at in sorted(bases.items()) if at.seq)
    return f"{file_of(node_books.path, seal).name}, sealed by head office: {told}"
