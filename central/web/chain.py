"""How the chain is: each shop's last report beside what head office holds of it."""

from collections.abc import Mapping
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from central import watching
from central.stores import Store
from central.watching import ShopReport
from central.web.office import now_ms, office
from protocol.ids import shop_stream
from protocol.node.tables import READ, digest_check, journal, parked, refused, stream_head

REFUSED_SHOWN: Final = 100
TEXT_SHOWN: Final = 4_000


class Proof(msgspec.Struct, frozen=True):
    """The last comparison of a shelf's digest."""

    agreed: bool
    seq: int
    at_ms: int
    claimed: str
    computed: str


class Rules(msgspec.Struct, frozen=True):
    """What the shop last said about its rules."""

    rules_hash: str
    engine: int
    tzdata: str
    at_ms: int


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    """One shop with all that is known of its node. `state`: online, offline, never, unjoined."""

    store: Store
    report: ShopReport
    state: str
    held_seq: int
    proof: Proof | None
    rules: Rules | None

    @property
    def lag(self) -> int:
        """Events that the shop wrote and head office does not hold yet."""
        return max(0, self.report.head - self.held_seq)

    @property
    def online(self) -> bool:
        """Does it speak?"""
        return self.state == "online"


class Refused(msgspec.Struct, frozen=True):
    """A message that was not taken, and why."""

    at_ms: int
    topic: str
    code: str
    detail: str


class Parked(msgspec.Struct, frozen=True):
    """An event that cannot be folded, and why."""

    stream: str
    seq: int
    type: str
    reason: str
    text: str


def _state(store: Store, report: ShopReport) -> str:
    if not store.public_key:
        return "unjoined"
    if not report.seen_ms:
        return "never"
    return "offline" if report.offline(now_ms()) else "online"


def _proofs(connection: Connection) -> dict[str, Proof]:
    columns = digest_check.c
    newest = (
        select(columns.store, func.max(columns.seq).label("seq")).group_by(columns.store).subquery()
    )
    query = (
        select(digest_check)
        .join(newest, (newest.c.store == columns.store) & (newest.c.seq == columns.seq))
        .order_by(columns.store, columns.at_ms)  # of a fork's two, the later one
    )
    return {
        row.store: Proof(row.agreed, row.seq, row.at_ms, row.claimed, row.computed)
        for row in connection.execute(query)
    }


def _rules(connection: Connection) -> dict[str, Rules]:
    table = READ["rules_in_force"]
    return {
        row.store: Rules(row.rules_hash, row.engine, row.tzdata, row.at_ms)
        for row in connection.execute(select(table))
    }


def _heads(connection: Connection) -> Mapping[str, int]:
    return {row.stream: row.seq for row in connection.execute(select(stream_head))}


def shops() -> list[Shop]:
    """All shops with their nodes."""
    known = office().stores.stores()
    with office().books.database.reading() as connection:
        reports = watching.reports(connection)
        proofs, rules, heads = _proofs(connection), _rules(connection), _heads(connection)
    found = []
    for store in known:
        report = reports.get(store.store) or ShopReport(store=store.store)
        found.append(
            Shop(
                store=store,
                report=report,
                state=_state(store, report),
                held_seq=heads.get(shop_stream(store.store), 0),
                proof=proofs.get(store.store),
                rules=rules.get(store.store),
            )
        )
    return found


def refused_messages() -> list[Refused]:
    """The newest messages that were not taken."""
    columns = refused.c
    with office().books.database.reading() as connection:
        rows = connection.execute(
            select(columns.at_ms, columns.topic, columns.code, columns.detail)
            .order_by(columns.n.desc())
            .limit(REFUSED_SHOWN)
        )
        return [Refused(*row) for row in rows]


def parked_events() -> list[Parked]:
    """Events that wait for somebody."""
    columns = parked.c
    with office().books.database.reading() as connection:
        rows = connection.execute(
            select(columns.stream, columns.seq, columns.type, columns.reason, journal.c.data)
            .outerjoin(journal, journal.c.hash == columns.hash)
            .order_by(columns.stream, columns.seq)
            .limit(REFUSED_SHOWN)
        )
        return [Parked(*row[:4], text=readable(row.data or b"")) for row in rows]


def readable(data: bytes) -> str:
    """An event's own words, for whoever investigates; cut when long."""
    return data.decode("utf-8", errors="replace").replace("\0", "")[:TEXT_SHOWN]
