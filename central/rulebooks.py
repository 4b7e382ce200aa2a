"""The rule set a shop priced with, rebuilt from what was published and what the shop answered."""

from collections import OrderedDict
from typing import Final

from sqlalchemy import Connection, select

from central.reach import read_rule
from promotions.ruleset import RuleSet, compile_rules
from protocol.codec import body_of, decode
from protocol.errors import Corrupt
from protocol.events import PromotionPublished, RulesInForce
from protocol.ids import ALL, shop_stream
from protocol.node.tables import journal

KEPT_MAX: Final = 32


class Rulebooks:
    """Finds the rules behind a hash; keeps the last few compiled. One thread uses it."""

    def __init__(self) -> None:
        self._documents: dict[str, object] = {}  # "id@version" -> document
        self._read_to = 0
        self._compiled: OrderedDict[tuple[str, str], RuleSet | None] = OrderedDict()

    def find(
        self, connection: Connection, store: str, seq: int, rules_hash: str, *, tz: str
    ) -> RuleSet | None:
        """The rule set of this hash as the shop answered it before `seq`; None when unknown."""
        key = (rules_hash, tz)
        if key in self._compiled:
            self._compiled.move_to_end(key)
            return self._compiled[key]
        found = self._rebuild(connection, store, seq, rules_hash, tz)
        if found is not None:  # what is missing today may come tomorrow
            self._compiled[key] = found
            if len(self._compiled) > KEPT_MAX:
                self._compiled.popitem(last=False)
        return found

    def _rebuild(
        self, connection: Connection, store: str, seq: int, rules_hash: str, tz: str
    ) -> RuleSet | None:
        answer = _answer(connection, store, seq, rules_hash)
        if answer is None:
            return None
        self._follow(connection)
        rules = [read_rule(self._documents.get(name)) for name in answer.rules]
        built = compile_rules([rule for rule in rules if rule is not None], tz)
        return built if built.hash == rules_hash else None

    def _follow(self, connection: Connection) -> None:
        """Read what was published since the last time."""
        rows = connection.execute(
            select(journal.c.seq, journal.c.data)
            .where(
                journal.c.stream == ALL,
                journal.c.seq > self._read_to,
                journal.c.type == PromotionPublished.__name__,
            )
            .order_by(journal.c.seq)
        )
        for row in rows:
            body = _read(row.data)
            if isinstance(body, PromotionPublished):
                self._documents[f"{body.rule}@{body.version}"] = body.document
            self._read_to = max(self._read_to, row.seq)


def _read(data: bytes) -> object:
    try:
        return body_of(decode(data))
    except Corrupt:
        return None


def _answer(connection: Connection, store: str, seq: int, rules_hash: str) -> RulesInForce | None:
    """The newest answer with this hash before a sale."""
    rows = connection.execute(
        select(journal.c.data)
        .where(
            journal.c.stream == shop_stream(store),
            journal.c.type == RulesInForce.__name__,
            journal.c.seq < seq,
        )
        .order_by(journal.c.seq.desc())
    )
    for row in rows:
        body = _read(row.data)
        if isinstance(body, RulesInForce) and body.rules_hash == rules_hash:
            return body
    return None
