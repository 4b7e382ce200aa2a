"""The promotions in force: compiled from what head office published, swapped in one step.

A rule that this shop cannot read is refused with its reasons; the others go on. The shop answers
`RulesInForce` in its own journal before the new set prices anything, and again whenever head office
asks (`RulesRefreshRequested`), even when nothing changed.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, and_, select

from edge.node import ShopNode
from edge.words import Notice, notice, notice_of
from promotions.rule import Rule, RuleFaults, parse
from promotions.ruleset import ENGINE_NUMBER, RuleSet, compile_rules
from protocol.codec import Draft
from protocol.errors import TillmeshError, define
from protocol.events import (
    PromotionPublished,
    PromotionWithdrawn,
    RefusedRule,
    RulesInForce,
    RulesRefreshRequested,
)
from protocol.ids import ALL
from protocol.node.sqljournal import Recorded, SqlRecords
from protocol.node.tables import READ

RETRY_S: Final = 2.0
ANSWERS_MAX: Final = 100  # requests answered by one event

define(
    {
        "RULE_ID_DIFFERS": (
            "The document of rule {rule} calls itself {found}. It was left out.",
            "促销 {rule} 的内容自称为 {found}，未启用。",
        ),
        "RULE_BROKEN": (
            "Rule {rule} could not be read by this version ({detail}). It was left out.",
            "本版本无法读取促销 {rule}（{detail}），未启用。",
        ),
    }
)


NEWS: Final = (PromotionPublished, PromotionWithdrawn, RulesRefreshRequested)


class RefusedHere(msgspec.Struct, frozen=True):
    """A published rule that this shop cannot read, with every reason."""

    rule: str
    version: int
    why: Notice


class RulesNow(msgspec.Struct, frozen=True):
    """What prices now, as it was answered to head office."""

    hash: str
    versions: tuple[str, ...]
    refused: tuple[RefusedHere, ...]
    upto: dict[str, int]  # stream -> sequence it was compiled from
    changed_ms: int  # when the newest of its rules was published


class _Published(msgspec.Struct, frozen=True):
    rule: str
    version: int
    document: dict[str, Any]
    at_ms: int


class Rules:
    """Holder of the rule set; `start` runs the worker that compiles anew."""

    def __init__(
        self,
        node: ShopNode,
        tzdata: str,
        tills_alive: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._node = node
        self._tzdata = tzdata
        self._tills_alive = tills_alive
        self._compiling = threading.Lock()
        self._current = (
            compile_rules([], node.settings.tz),
            RulesNow("", (), (), {}, 0),
        )
        self._answered_hash = ""  # what the journal says is in force
        self._stale = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.fault: Notice | None = None  # why the newest rules could not be taken

    @property
    def current(self) -> tuple[RuleSet, RulesNow]:
        """The compiled rules and what to show of them, both of one moment."""
        return self._current

    @property
    def rule_set(self) -> RuleSet:
        """The compiled rules, whole; never changed, only replaced."""
        return self._current[0]

    @property
    def in_force(self) -> RulesNow:
        """What to show of them."""
        return self._current[1]

    def refresh(self, *, answer: bool = True) -> RulesNow:
        """Compile what is published now, answer `RulesInForce` when due, then swap.

        Without `answer` nothing is appended: a shop that was restored from a backup must hear from
        head office first. A sale before that carries the answer along (`answer_missing`).
        """
        with self._compiling:
            with self._node.books.database.reading() as connection:
                published = self._published(connection)
                upto = {str(ALL): SqlRecords(connection).head(ALL).seq}
                answered = self._answered(connection)
                asked = self._asked(connection)
            rule_set, refused = self._compile(published)
            left_out = {one.rule for one in refused}
            in_force = RulesNow(
                rule_set.hash,
                tuple(f"{p.rule}@{p.version}" for p in published if p.rule not in left_out),
                tuple(refused),
                upto,
                max((p.at_ms for p in published), default=0),
            )
            said = self._answer(in_force)
            fresh = answered == _essence(said)
            if answer and (asked or not fresh):
                if asked:
                    tills = tuple(self._tills_alive())
                    said = msgspec.structs.replace(said, answers=tuple(asked), tills=tills)
                with self._node.books.begin() as tx:
                    self._node.books.record(tx, {self._node.stream: [self._node.draft(said)]})
            self._answered_hash = in_force.hash if fresh or answer else ""
            changed = rule_set.hash != self.in_force.hash
            self._current = (rule_set, in_force)
            self.fault = None
        if changed:
            self._node.hub.publish("rules", {"hash": in_force.hash})
        if answer and len(asked) == ANSWERS_MAX:
            self._stale.set()
        return in_force

    def _asked(self, connection: Connection) -> list[str]:
        """Requests of head office that this shop has not answered."""
        asked, told = READ["rules_refresh"], READ["rules_answer"]
        mine = and_(told.c.request == asked.c.request, told.c.store == self._node.store)
        rows = connection.execute(
            select(asked.c.request)
            .outerjoin(told, mine)
            .where(told.c.request.is_(None))
            .order_by(asked.c.at_ms, asked.c.request)
            .limit(ANSWERS_MAX)
        )
        return list(rows.scalars())

    def _published(self, connection: Connection) -> list[_Published]:
        table = READ["promotion"].c
        rows = connection.execute(
            select(table.rule, table.version, table.document, table.at_ms)
            .where(table.published)
            .order_by(table.rule)
        )
        return [
            _Published(r.rule, r.version, msgspec.json.decode(r.document), r.at_ms) for r in rows
        ]

    def _answered(self, connection: Connection) -> tuple[Any, ...] | None:
        table = READ["rules_in_force"].c
        row = connection.execute(
            select(table.rules_hash, table.rules, table.refused, table.engine, table.tzdata).where(
                table.store == self._node.store
            )
        ).first()
        if row is None:
            return None
        refused = msgspec.json.decode(row.refused, type=list[RefusedRule])
        rules = msgspec.json.decode(row.rules, type=tuple[str, ...])
        return _essence(
            RulesInForce(
                rules_hash=row.rules_hash,
                rules=rules,
                refused=tuple(refused),
                engine=row.engine,
                tzdata=row.tzdata,
            )
        )

    def _compile(self, published: Sequence[_Published]) -> tuple[RuleSet, list[RefusedHere]]:
        rules: list[Rule] = []
        refused: list[RefusedHere] = []
        for one in published:
            try:
                rule = parse(one.document)
                if rule.id != one.rule:
                    why = notice("RULE_ID_DIFFERS", {"rule": one.rule, "found": rule.id})
                    refused.append(RefusedHere(one.rule, one.version, why))
                    continue
                rules.append(rule)
            except RuleFaults as fault:
                refused.append(RefusedHere(one.rule, one.version, notice_of(fault)))
            except Exception as fault:  # noqa: BLE001 - one bad rule must not cost the others
                why = notice("RULE_BROKEN", {"rule": one.rule, "detail": repr(fault)[:100]})
                refused.append(RefusedHere(one.rule, one.version, why))
        return compile_rules(rules, self._node.settings.tz), refused

    def _answer(self, in_force: RulesNow) -> RulesInForce:
        return RulesInForce(
            rules_hash=in_force.hash,
            rules=in_force.versions,
            refused=tuple(
                RefusedRule(
                    rule=r.rule,
                    version=r.version,
                    reason=r.why.code,
                    detail={"en": r.why.en[:800], "zh": r.why.zh[:800]},
                )
                for r in in_force.refused
            ),
            engine=ENGINE_NUMBER,
            tzdata=self._tzdata,
            upto=in_force.upto,
        )

    def answer_missing(self, rules_hash: str) -> Draft | None:
        """The answer that must precede a sale under these rules; None when it is in the journal.

        `refresh` answers before it swaps, so this speaks up only in the seconds after a boot and
        after a fault in between.
        """
        in_force = self.in_force
        if rules_hash == self._answered_hash or in_force.hash != rules_hash:
            return None
        return self._node.draft(self._answer(in_force))

    def document(self, rule: str) -> dict[str, Any] | None:
        """The published document of a rule."""
        live = self.rule_set.live.get(rule)
        return live.rule.document if live else None

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """Listener of the books: notes what was answered, and wakes the worker."""
        for one in recorded:
            if isinstance(one.body, RulesInForce) and one.stored.stream == self._node.stream:
                self._answered_hash = one.body.rules_hash
        if any(isinstance(one.body, NEWS) for one in recorded):
            self.look_again()

    def look_again(self) -> None:
        """Compile anew soon, in the worker."""
        self._stale.set()

    def start(self) -> None:
        """Answer what is in force, then compile anew whenever something is published."""
        self._stale.set()
        self._thread = threading.Thread(target=self._run, name="rules", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._stale.wait()
            if self._stopping.is_set():
                return
            self._stale.clear()
            try:
                self.refresh()
            except TillmeshError as fault:  # the old rules go on; health shows why
                self.fault = notice_of(fault)
                self._stale.set()
                self._stopping.wait(RETRY_S)

    def stop(self) -> None:
        """End the worker."""
        self._stopping.set()
        self._stale.set()
        if self._thread:
            self._thread.join(timeout=5)


def _essence(answer: RulesInForce) -> tuple[Any, ...]:
    """What makes an answer another answer; how far it was compiled is not part of it."""
    refused = sorted((r.rule, r.version, r.reason) for r in answer.refused)
    return (answer.rules_hash, tuple(answer.rules), tuple(refused), answer.engine, answer.tzdata)
