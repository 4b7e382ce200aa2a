"""Promotions: draft, check, publish, withdraw, and how each shop answered."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from central.reach import Published, published
from central.recording import Desk, record
from central.stores import Store, all_stores
from central.tables import rule_draft
from promotions.reading import Fault
from promotions.rule import DOCUMENT_BYTES_MAX, Rule, RuleFaults, parse
from promotions.ruleset import compile_rules
from protocol.errors import Refusal, define
from protocol.events import PromotionPublished, PromotionWithdrawn, RefusedRule
from protocol.ids import ALL, check_id
from protocol.node.sqljournal import upsert
from protocol.node.tables import READ, peer_ack

_promotion, _answers = READ["promotion"], READ["rules_in_force"]
KIND_UNREAD: Final = "?"

define(
    {
        "DRAFT_NONE": (
            "There is no draft of {rule}. Save one first.",
            "{rule} 没有草稿。请先保存。",
        ),
        "HQ_RULE_UNKNOWN": ("There is no promotion {rule}.", "没有促销 {rule}。"),
        "RULE_NOT_PUBLISHED": (
            "The promotion {rule} is not published, so there is nothing to withdraw.",
            "促销 {rule} 未发布，无需撤回。",
        ),
        "RULE_NOT_REVISED": (
            "The promotion {rule} is not published, so there is nothing to change at once. "
            "Change its draft.",
            "促销 {rule} 未发布，无法立即更改。请修改草稿。",
        ),
        "DRAFT_TOO_LARGE": (
            "This document is larger than 64 kB. Nothing was saved; split the rule.",
            "文档超过 64 kB，未保存。请拆分规则。",
        ),
    }
)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A rule document being written; `text` is JSON as the person left it, right or wrong."""

    rule: str
    text: str
    saved_ms: int
    person: str


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: published, withdrawn or only drafted (`state`: draft, published, withdrawn)."""

    rule: str
    name_zh: str
    name_en: str
    kind: str
    state: str
    version: int  # 0 before the first publishing
    at_ms: int  # of the last publishing, withdrawing or saving
    document: dict[str, Any] | None = None
    has_draft: bool = False
    in_force: int = 0  # shops
    refused: int = 0
    shops: int = 0


class ShopStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far one rule is in one shop.

    `state`: sent (not acknowledged yet), received (not answered yet), in_force, refused, ended.
    """

    store: str
    name_zh: str
    name_en: str
    state: str
    sent_ms: int
    received: bool
    in_force: bool
    refused_code: str = ""
    refused_en: str = ""
    refused_zh: str = ""
    rules_hash: str = ""  # the whole rule set that the shop answered with
    expected_hash: str = ""
    answered_ms: int = 0
    engine: int = 0
    tzdata: str = ""

    @property
    def agrees(self) -> bool:
        """Does the shop price with exactly the rules that head office expects?"""
        return bool(self.rules_hash) and self.rules_hash == self.expected_hash


class Answer(msgspec.Struct, frozen=True):
    """What a shop said last about its rules."""

    rules_hash: str = ""
    rules: tuple[str, ...] = ()
    refused: tuple[RefusedRule, ...] = ()
    engine: int = 0
    tzdata: str = ""
    at_ms: int = 0
    upto: dict[str, int] = {}


# What a rule may not ask yet: shops do not fill these fields of the pricing context.
NOT_FILLED: Final[tuple[tuple[str, str], ...]] = (
    ("when.members", "no members yet: shops do not know them | 暂不支持会员条件：门店尚无会员数据"),
    (
        "when.tender",
        "no tender yet: shops price before payment | 暂不支持支付方式条件：门店在付款前计价",
    ),
    ("when.coupon", "no coupons yet: shops do not check them | 暂不支持优惠券：门店尚不能核验"),
    (
        "limits.customer_left",
        "no customer limit yet: nobody counts it | 暂不支持顾客限次：尚无计数",
    ),
    (
        "limits.budget_left_minor",
        "no budget yet: nobody counts it down | 暂不支持活动预算：尚无扣减",
    ),
)


def not_filled(rule: Rule) -> list[Fault]:
    """Fields that the engine prices but shops do not fill yet, by name."""
    faults = []
    for path, expected in NOT_FILLED:
        part, _, name = path.partition(".")
        found = getattr(getattr(rule, part), name)
        if found is not None:
            shown = ", ".join(sorted(found)) if isinstance(found, frozenset) else str(found)
            faults.append(Fault(path, shown[:60], expected))
    return faults


class Campaigns:
    """Verbs of promotions; `by` is the person."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # -- drafts -------------------------------------------------------------------------------

    def save_draft(self, rule: str, text: str, *, by: str) -> tuple[Fault, ...]:
        """Keep the text as it is and answer what is wrong with it; nothing is lost by a fault."""
        check_id(rule, "promotion")
        if len(text.encode()) > DOCUMENT_BYTES_MAX or "\0" in text:
            raise Refusal("DRAFT_TOO_LARGE")
        values = {"text": text, "saved_ms": self._desk.clock.read().at_ms, "person": by}
        with self._desk.books.database.begin() as tx:
            tx.execute(
                upsert(tx, rule_draft).on_conflict_do_update(index_elements=["rule"], set_=values),
                {"rule": rule, **values},
            )
        return self.faults_of_text(rule, text)

    def faults_of_text(self, rule: str, text: str) -> tuple[Fault, ...]:
        """Every fault of a draft's text."""
        try:
            document = msgspec.json.decode(text)
        except msgspec.DecodeError as fault:
            return (Fault("document", str(fault)[:80], "JSON"),)
        if isinstance(document, dict) and document.setdefault("id", rule) != rule:
            return (Fault("id", str(document["id"])[:60], f"{rule}"),)
        return self.check(document)

    def draft(self, rule: str) -> Draft | None:
        """The draft of a rule."""
        with self._desk.books.database.reading() as connection:
            return _draft(connection, rule)

    def discard_draft(self, rule: str) -> None:
        """Forget a draft."""
        with self._desk.books.database.begin() as tx:
            tx.execute(delete(rule_draft).where(rule_draft.c.rule == rule))

    def check(self, document: object) -> tuple[Fault, ...]:
        """Every fault, the ones that only forbid publishing included; empty = may be published."""
        try:
            rule = parse(document)
        except RuleFaults as refusal:
            return refusal.faults
        return tuple(not_filled(rule))

    # -- publishing ---------------------------------------------------------------------------

    def publish(self, rule: str, *, by: str) -> int:
        """Publish the draft; return its version. Refusal RULE_UNREADABLE, DRAFT_NONE."""
        with self._desk.books.begin() as tx:
            draft = _draft(tx, rule)
            if draft is None:
                raise Refusal("DRAFT_NONE", rule=rule[:40])
            faults = self.faults_of_text(rule, draft.text)
            if faults:
                raise RuleFaults(rule, faults)
            document = {**msgspec.json.decode(draft.text), "id": rule}
            tx.execute(delete(rule_draft).where(rule_draft.c.rule == rule))
            return self._publish(tx, rule, document, by=by)

    def publish_unchecked(self, document: dict[str, Any], *, by: str) -> int:
        """Publish a document of a newer version, which this one cannot read."""
        rule = check_id(str(document.get("id", "")), "promotion")
        with self._desk.books.begin() as tx:
            return self._publish(tx, rule, document, by=by)

    def _publish(self, tx: Connection, rule: str, document: dict[str, Any], *, by: str) -> int:
        before = tx.execute(select(_promotion.c.version).where(_promotion.c.rule == rule)).scalar()
        version = int(before or 0) + 1
        said = PromotionPublished(
            rule=rule, version=version, document={**document, "version": version}
        )
        record(self._desk, tx, {ALL: [(self._desk.new_id(), said)]}, by=by)
        return version

    def revise(
        self, rule: str, change: Callable[[dict[str, Any]], dict[str, Any]], *, by: str
    ) -> int:
        """Publish a changed copy of what is published; return its version.

        A waiting draft gets the same change, so that publishing it later undoes no repair.
        """
        with self._desk.books.begin() as tx:
            row = tx.execute(select(_promotion).where(_promotion.c.rule == rule)).first()
            if row is None or not row.published:
                raise Refusal("RULE_NOT_REVISED", rule=rule[:40])
            before = msgspec.json.decode(row.document)
            after = change({k: v for k, v in before.items() if k != "version"})
            faults = self.check(after)
            if faults:
                raise RuleFaults(rule, faults)
            self._revise_draft(tx, rule, change)
            return self._publish(tx, rule, after, by=by)

    def _revise_draft(
        self, tx: Connection, rule: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        draft = _draft(tx, rule)
        if draft is None:
            return
        with suppress(msgspec.DecodeError, Refusal, AttributeError, TypeError):
            text = msgspec.json.encode(change(msgspec.json.decode(draft.text)))
            pretty = msgspec.json.format(text, indent=2).decode()
            tx.execute(update(rule_draft).where(rule_draft.c.rule == rule).values(text=pretty))

    def withdraw(self, rule: str, *, by: str) -> None:
        """End a rule in all shops now. Refusal RULE_NOT_PUBLISHED."""
        with self._desk.books.begin() as tx:
            row = tx.execute(select(_promotion).where(_promotion.c.rule == rule)).first()
            if row is None or not row.published:
                raise Refusal("RULE_NOT_PUBLISHED", rule=rule[:40])
            said = PromotionWithdrawn(rule=rule, version=row.version)
            tx.execute(  # its document stays at hand, as a draft that may be published again
                upsert(tx, rule_draft).on_conflict_do_nothing(),
                {
                    "rule": rule,
                    "text": row.document,
                    "saved_ms": self._desk.clock.read().at_ms,
                    "person": by,
                },
            )
            record(self._desk, tx, {ALL: [(self._desk.new_id(), said)]}, by=by)

    # -- views --------------------------------------------------------------------------------

    def campaigns(self) -> list[Campaign]:
        """All rules, drafts included, newest first."""
        with self._desk.books.database.reading() as connection:
            shops = len(all_stores(connection))
            answers = answers_of(connection)
            drafts = {
                row.rule: Draft(
                    rule=row.rule, text=row.text, saved_ms=row.saved_ms, person=row.person
                )
                for row in connection.execute(select(rule_draft))
            }
            rows = {row.rule: row for row in connection.execute(select(_promotion))}
        found = [
            _campaign(rule, rows.get(rule), drafts.get(rule), answers.values(), shops)
            for rule in {*rows, *drafts}
        ]
        return sorted(found, key=lambda c: (-c.at_ms, c.rule))

    def campaign(self, rule: str) -> Campaign:
        """One rule; Refusal HQ_RULE_UNKNOWN."""
        found = next((c for c in self.campaigns() if c.rule == rule), None)
        if found is None:
            raise Refusal("HQ_RULE_UNKNOWN", rule=rule[:40])
        return found

    def status(self, rule: str) -> list[ShopStatus]:
        """Shop by shop: sent, received, in force or refused because."""
        with self._desk.books.database.reading() as connection:
            row = connection.execute(select(_promotion).where(_promotion.c.rule == rule)).first()
            if row is None:
                raise Refusal("HQ_RULE_UNKNOWN", rule=rule[:40])
            answers, acks = answers_of(connection), _acked(connection)
            rules = published(connection)
            stores = all_stores(connection)
        hashes = {tz: expected_hash_of(rules, tz) for tz in {s.tz for s in stores}}
        return [
            _status(row, s, answers.get(s.store, Answer()), acks.get(s.store, 0), hashes[s.tz])
            for s in stores
        ]

    def expected_hash(self, store: str) -> str:
        """The hash of the rule set that this shop must answer with (refused rules left out)."""
        with self._desk.books.database.reading() as connection:
            return expected_hashes(connection).get(store, "")


def _draft(connection: Connection, rule: str) -> Draft | None:
    row = connection.execute(select(rule_draft).where(rule_draft.c.rule == rule)).first()
    if row is None:
        return None
    return Draft(rule=row.rule, text=row.text, saved_ms=row.saved_ms, person=row.person)


def answers_of(connection: Connection) -> dict[str, Answer]:
    """Store -> its last answer."""
    return {
        row.store: Answer(
            rules_hash=row.rules_hash,
            rules=msgspec.json.decode(row.rules, type=tuple[str, ...]),
            refused=msgspec.json.decode(row.refused, type=tuple[RefusedRule, ...]),
            engine=row.engine,
            tzdata=row.tzdata,
            at_ms=row.at_ms,
            upto=msgspec.json.decode(row.upto, type=dict[str, int]),
        )
        for row in connection.execute(select(_answers))
    }


def _acked(connection: Connection) -> dict[str, int]:
    """Store -> how far it holds the stream `all`."""
    query = select(peer_ack.c.peer, func.max(peer_ack.c.seq)).where(peer_ack.c.stream == ALL)
    return {row[0]: row[1] for row in connection.execute(query.group_by(peer_ack.c.peer))}


def expected_hash_of(rules: Iterable[Published], tz: str) -> str:
    """The hash of all rules that can be read, compiled in this zone."""
    return compile_rules([p.rule for p in rules if p.rule is not None], tz).hash


def expected_hashes(connection: Connection) -> dict[str, str]:
    """Store -> the hash that it must answer with."""
    rules = published(connection)
    stores = all_stores(connection)
    by_tz = {tz: expected_hash_of(rules, tz) for tz in {s.tz for s in stores}}
    return {s.store: by_tz[s.tz] for s in stores}


def _status(row: Any, store: Store, answer: Answer, acked: int, expected: str) -> ShopStatus:
    named = f"{row.rule}@{row.version}"
    refused = next(
        (r for r in answer.refused if (r.rule, r.version) == (row.rule, row.version)), None
    )
    answered = answer.upto.get(ALL, 0) >= row.rank
    received = answered or acked >= row.rank
    in_force = bool(row.published) and named in answer.rules
    detail = refused.detail if refused else {}
    return ShopStatus(
        store=store.store,
        name_zh=store.name_zh,
        name_en=store.name_en,
        state=_state(row, received=received, answered=answered, in_force=in_force, refused=refused),
        sent_ms=row.at_ms,
        received=received,
        in_force=in_force,
        refused_code=refused.reason if refused else "",
        refused_en=detail.get("en", refused.reason if refused else ""),
        refused_zh=detail.get("zh", refused.reason if refused else ""),
        rules_hash=answer.rules_hash,
        expected_hash=expected,
        answered_ms=answer.at_ms,
        engine=answer.engine,
        tzdata=answer.tzdata,
    )


def _state(
    row: Any, *, received: bool, answered: bool, in_force: bool, refused: RefusedRule | None
) -> str:
    if not row.published:
        return "ended" if answered else ("received" if received else "sent")
    if refused is not None:
        return "refused"
    if in_force:
        return "in_force"
    return "received" if received else "sent"


def _title(document: Mapping[str, Any], rule: str) -> tuple[str, str]:
    name = document.get("name")
    if isinstance(name, str) and name:
        return name, name
    if isinstance(name, dict):
        zh, en = name.get("zh"), name.get("en")
        return str(zh or en or rule), str(en or zh or rule)
    return rule, rule


def _document(row: Any, draft: Draft | None) -> dict[str, Any] | None:
    texts = [row.document] if row is not None and row.published else []
    texts += [draft.text] if draft else []
    for text in texts:
        try:
            document = msgspec.json.decode(text)
        except msgspec.DecodeError:
            continue
        if isinstance(document, dict):
            return document
    return None


def _campaign(
    rule: str, row: Any, draft: Draft | None, answers: Iterable[Answer], shops: int
) -> Campaign:
    document = _document(row, draft)
    zh, en = _title(document or {}, rule)
    version = int(row.version) if row is not None else 0
    state = "draft" if row is None else "published" if row.published else "withdrawn"
    named = f"{rule}@{version}"
    live = state == "published"
    return Campaign(
        rule=rule,
        name_zh=zh,
        name_en=en,
        kind=str((document or {}).get("type", KIND_UNREAD)),
        state=state,
        version=version,
        at_ms=max(row.at_ms if row is not None else 0, draft.saved_ms if draft else 0),
        document=document,
        has_draft=draft is not None,
        in_force=sum(live and named in a.rules for a in answers),
        refused=sum(
            live and any((r.rule, r.version) == (rule, version) for r in a.refused) for a in answers
        ),
        shops=shops,
    )
