"""A journal that went on in two ways: what each way holds, and what a person says it was.

A *restored backup* is history: both ways stay and count. A *clone* is a second machine that still
runs: its epoch is banned by two persons, and what it goes on writing is set aside, not applied.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from central.accounts import Account
from central.enrolment import Enrolment
from central.recording import Desk, record
from protocol.codec import body_of, decode
from protocol.errors import Corrupt, Refusal, define
from protocol.events import ForkJudged, SaleCompleted
from protocol.ids import ALL, to_stream
from protocol.node.banning import Ban, ban
from protocol.node.sqljournal import Recorded, put_first, upsert
from protocol.node.tables import banned_epoch, fork, fork_ruling, journal, spooled
from protocol.roles import demand

SALES_MAX: Final = 5_000  # of one way; more are counted as "at least"
SHOWN: Final = 8
CLONE, RESTORED = "clone", "restored"
COPIED: Final = "its disk was copied"

define(
    {
        "ALARM_FORK": (
            "{stream} went on from one point in two ways (after event {seq}): a restored backup or "
            "a copied disk. Both are kept and counted.",
            "{stream} 在第 {seq} 条之后出现两个分支：可能是恢复了备份或复制了磁盘。"
            "两个分支均已保留并计入。",
        ),
        "ALARM_FORK_DO": (
            "Ask the shop what happened, then say it on the page Forks. If two machines run as "
            "this shop, switch one off now.",
            "请询问门店，然后在“分叉”页面作出判断。"
            "如果有两台机器以该门店身份运行，请立即关闭其中一台。",
        ),
        "ALARM_CLONE": (
            "A banned copy of {stream} still runs: {count} of its messages were set aside, none "
            "was applied.",
            "{stream} 的一台已封禁副本仍在运行：其 {count} 条消息已留存，均未计入。",
        ),
        "ALARM_CLONE_DO": (
            "Find that machine and switch it off. Look at what it sold on the page Forks; the shop "
            "enters anew what really happened. With certificates its key counts no more: it is let "
            "in again only as the machine that gets the shop's next token.",
            "请找到该机器并关机。在“分叉”页面查看其销售，真实发生的由门店重新录入。"
            "使用证书时其密钥已失效：只有获得该门店新令牌的机器才能重新加入。",
        ),
        "FORK_UNKNOWN": (
            "There is no such fork. It may have been judged on another page; look again.",
            "没有这个分叉。可能已在其他页面处理，请重新查看。",
        ),
        "BAN_NEEDS_TWO": (
            "To ban a machine needs two persons: somebody else must confirm it. Nothing was "
            "banned.",
            "封禁一台机器需要两个人：请由另一人确认。没有封禁任何机器。",
        ),
        "BAN_NOT_A_SHOP": (
            "Only a shop's machine can be banned. Head office's own journal keeps both ways.",
            "只能封禁门店的机器。总部自己的日志保留两个分支。",
        ),
        "STALE_EPOCH": (
            "Head office has banned this machine as a copy of another one. What it sells is kept "
            "here and set aside there. Switch it off and call head office.",
            "总部已将本机认定为另一台机器的副本并封禁。本机的销售保存在本地，"
            "总部只留存不计入。请关机并联系总部。",
        ),
    }
)


class SoldThere(msgspec.Struct, frozen=True):
    """A sale as the fork's page shows it."""

    receipt: str
    till: str
    at_ms: int
    total_minor: int


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ways a journal went on. `more`: there are sales beyond those that were counted."""

    main: bool
    branch: int
    epochs: tuple[str, ...]
    first_seq: int
    last_seq: int
    events: int
    first_ms: int
    last_ms: int
    sales: int
    total_minor: int
    more: bool
    newest: tuple[SoldThere, ...]
    banned: bool


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """Where a journal parted, and what became of it. `ruling`: empty, restored or clone."""

    stream: str
    store: str  # empty for a journal of head office
    parent_hash: str
    parent_seq: int
    parent_ms: int
    found_ms: int
    ways: tuple[Way, ...]
    ruling: str
    ruled_by: tuple[str, ...]
    ruled_ms: int
    set_aside: int  # batches of banned machines


def open_forks(connection: Connection) -> list[tuple[str, int, int]]:
    """(stream, parent's sequence, found at) of forks that nobody has judged."""
    judged = (fork_ruling.c.stream == fork.c.stream) & (
        fork_ruling.c.parent_hash == fork.c.parent_hash
    )
    query = (
        select(fork.c.stream, fork.c.parent_seq, fork.c.at_ms)
        .outerjoin(fork_ruling, judged)
        .where(fork_ruling.c.stream.is_(None))
        .order_by(fork.c.at_ms.desc())
    )
    return [(r.stream, r.parent_seq, r.at_ms) for r in connection.execute(query)]


def speaking_clones(connection: Connection) -> list[tuple[str, int, int]]:
    """(stream, batches set aside, the last one at) of banned machines that go on."""
    c = spooled.c
    query = select(c.stream, func.count(), func.max(c.at_ms)).group_by(c.stream)
    return [(stream, int(n), int(at)) for stream, n, at in connection.execute(query)]


class Forks:
    """Verbs of forks."""

    def __init__(self, desk: Desk, enrolment: Enrolment) -> None:
        self._desk = desk
        self._enrolment = enrolment

    def forks(self) -> list[Fork]:
        """All forks, the newest first."""
        with self._desk.books.database.reading() as connection:
            rows = connection.execute(select(fork).order_by(fork.c.at_ms.desc())).all()
            return [_fork(connection, row) for row in rows]

    def find(self, stream: str, parent_hash: str) -> Fork:
        """One fork; Refusal FORK_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            row = connection.execute(
                select(fork).where(fork.c.stream == stream, fork.c.parent_hash == parent_hash)
            ).first()
            if row is None:
                raise Refusal("FORK_UNKNOWN")
            return _fork(connection, row)

    def call_restored(self, stream: str, parent_hash: str, *, person: Account) -> None:
        """It was a restored backup: both ways stay, the alarm may rest."""
        demand(person.role, "manage_stores")
        self._rule(self.find(stream, parent_hash), RESTORED, person.person, "")

    def call_clone(
        self, stream: str, parent_hash: str, branch: int, *, person: Account, second: Account
    ) -> None:
        """The machine that wrote this way is a copy: ban its epochs (BAN_NEEDS_TWO).

        It holds the shop's key and certificate too. With TLS both are revoked, and the shop's own
        machine comes back with a token.
        """
        for one in (person, second):
            demand(one.role, "manage_stores")
        if second.person == person.person or not second.active:
            raise Refusal("BAN_NEEDS_TWO")
        found = self.find(stream, parent_hash)
        way = next((w for w in found.ways if w.branch == branch), None)
        if way is None or not way.epochs:
            raise Refusal("FORK_UNKNOWN")
        if not found.store:
            raise Refusal("BAN_NOT_A_SHOP")
        self._rule(found, CLONE, person.person, second.person, way)

    def _rule(self, found: Fork, ruling: str, by: str, second: str, way: Way | None = None) -> None:
        body = ForkJudged(
            stream=found.stream,
            parent_seq=found.parent_seq,
            parent_hash=found.parent_hash,
            ruling=ruling,
            epochs=way.epochs if way else (),
            second=second,
        )
        tls = way is not None and self._desk.settings.mqtt.tls
        with self._desk.books.begin() as tx:
            _apply(tx, body, by=by, at_ms=self._desk.clock.read().at_ms)
            stream = to_stream(found.store) if found.store else ALL
            record(self._desk, tx, {stream: [(self._desk.new_id(), body)]}, by=by)
            if tls:  # what a copied disk holds opens nothing any more
                with suppress(Refusal):  # it was revoked before
                    self._enrolment.lock_out(tx, found.store, by=by, second=second, reason=COPIED)
        if tls:
            self._enrolment.publish_revoked()

    @staticmethod
    def regain(tx: Connection, kept: Sequence[Recorded]) -> None:
        """Own words that came back after a restore: what was judged stays judged."""
        for event in kept:
            if isinstance(event.body, ForkJudged):
                _apply(tx, event.body, by=event.envelope.actor, at_ms=event.envelope.ts)


def _apply(tx: Connection, body: ForkJudged, *, by: str, at_ms: int) -> None:
    values = {"ruling": body.ruling, "asked_by": by, "confirmed_by": body.second, "at_ms": at_ms}
    tx.execute(
        upsert(tx, fork_ruling).on_conflict_do_update(
            index_elements=["stream", "parent_hash"], set_=values
        ),
        {"stream": body.stream, "parent_hash": body.parent_hash, **values},
    )
    c = journal.c
    leads = select(c.seq).where(
        c.stream == body.stream,
        c.branch == 0,
        c.epoch.in_(body.epochs),
        c.seq > body.parent_seq,
    )
    if tx.execute(leads.limit(1)).first() is not None:  # the copy had become the main line
        put_first(tx, body.stream, body.parent_hash)
    for epoch in body.epochs:
        one = Ban(
            stream=body.stream,
            epoch=epoch,
            after_seq=body.parent_seq,
            at_ms=at_ms,
            asked_by=by,
            confirmed_by=body.second,
        )
        ban(tx, one)


def _fork(connection: Connection, row: object) -> Fork:
    stream, parent_seq = str(row.stream), int(row.parent_seq)  # type: ignore[attr-defined]
    parent_hash, branch = row.parent_hash, row.branch  # type: ignore[attr-defined]
    kind, _, name = stream.partition("/")
    parent_ms = connection.execute(
        select(journal.c.at_ms).where(journal.c.stream == stream, journal.c.hash == parent_hash)
    ).scalar()
    ruled = connection.execute(
        select(fork_ruling).where(
            fork_ruling.c.stream == stream, fork_ruling.c.parent_hash == parent_hash
        )
    ).first()
    aside = select(func.count()).select_from(spooled).where(spooled.c.stream == stream)
    banned = set(
        connection.execute(
            select(banned_epoch.c.epoch).where(banned_epoch.c.stream == stream)
        ).scalars()
    )
    return Fork(
        stream=stream,
        store=name if kind == "shop" else "",
        parent_hash=parent_hash,
        parent_seq=parent_seq,
        parent_ms=int(parent_ms or 0),
        found_ms=row.at_ms,  # type: ignore[attr-defined]
        ways=tuple(_way(connection, stream, n, parent_seq, banned) for n in (0, branch)),
        ruling=ruled.ruling if ruled else "",
        ruled_by=tuple(p for p in (ruled.asked_by, ruled.confirmed_by) if p) if ruled else (),
        ruled_ms=ruled.at_ms if ruled else 0,
        set_aside=int(connection.execute(aside).scalar() or 0),
    )


def _way(
    connection: Connection, stream: str, branch: int, parent_seq: int, banned: set[str]
) -> Way:
    c = journal.c
    here = (c.stream == stream) & (c.branch == branch) & (c.seq > parent_seq)
    count, first, last, first_ms, last_ms = connection.execute(
        select(
            func.count(), func.min(c.seq), func.max(c.seq), func.min(c.at_ms), func.max(c.at_ms)
        ).where(here)
    ).one()
    epochs = connection.execute(
        select(c.epoch).where(here).group_by(c.epoch).order_by(func.min(c.seq))
    ).scalars()
    is_sale = here & (c.type == SaleCompleted.__name__)
    sales = int(connection.execute(select(func.count()).where(is_sale)).scalar() or 0)
    rows = connection.execute(
        select(c.data).where(is_sale).order_by(c.seq.desc()).limit(SALES_MAX)
    ).scalars()
    sold = [one for data in rows if (one := _sold(data)) is not None]
    named = tuple(epochs)
    return Way(
        main=branch == 0,
        branch=branch,
        epochs=named,
        first_seq=int(first or 0),
        last_seq=int(last or 0),
        events=int(count),
        first_ms=int(first_ms or 0),
        last_ms=int(last_ms or 0),
        sales=sales,
        total_minor=sum(one.total_minor for one in sold),
        more=sales > len(sold),
        newest=tuple(sold[:SHOWN]),
        banned=bool(banned & set(named)),
    )


def _sold(data: bytes) -> SoldThere | None:
    envelope = decode(data)
    try:
        body = body_of(envelope)
    except Corrupt:
        return None  # parked, and shown there
    if not isinstance(body, SaleCompleted):
        return None
    return SoldThere(body.receipt_number, body.till, envelope.ts, body.total_minor)
