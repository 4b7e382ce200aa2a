"""Compiled rules: an inverted index, windows as instants, a content hash; swapped in one step.

The hash is a two-level SHA-256 over the documents (256 buckets by rule id), so it is independent of
the input order and one changed rule costs one bucket. A `RuleSet` is never changed: `with_rule` and
`without_rule` give a new one that shares what stayed the same.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from promotions.kinds import KINDS, Terms
from promotions.kinds.bundle import Bundle
from promotions.rule import Rule, slots_of
from promotions.scope import Selector
from promotions.window import Window, zone_of
from protocol.errors import Refusal, define

ENGINE_NUMBER: Final = 2  # rises with every change that may alter a result
BUCKETS: Final = 256

define(
    {
        "ZONE_UNKNOWN": (
            "There is no time zone “{zone}”. Use an IANA name like Asia/Shanghai.",
            "没有名为“{zone}”的时区。请使用 IANA 名称，例如 Asia/Shanghai。",
        ),
    }
)


class Live:
    """One compiled rule: what the engine asks again and again, as plain attributes."""

    __slots__ = (
        "broken",
        "cap",
        "digest",
        "free",
        "group",
        "id",
        "key",
        "mode",
        "module",
        "paid",
        "plain",
        "priority",
        "rule",
        "simple",
        "size",
        "slots",
        "stage",
        "terms",
        "version",
        "window",
    )

    def __init__(self, rule: Rule, store_tz: str, digest: bytes) -> None:
        self.rule = rule
        self.id = rule.id
        self.digest = digest
        self.version = rule.version
        self.mode = rule.mode
        self.group = rule.group
        self.priority = rule.priority
        self.key = (-rule.priority, rule.id)
        self.terms: Terms = rule.terms
        self.cap = rule.limits.cap
        self.broken = ""
        when, limits = rule.when, rule.limits
        self.window = Window(when, store_tz) if when.timed else None
        self.free = (
            rule.active
            and not when.timed
            and limits.customer_left != 0
            and limits.budget_left_minor != 0
            and when.coupon is None
            and not when.choosy
        )
        try:
            self.stage, self.module = KINDS[rule.type]
            self.slots = slots_of(rule)
        except (KeyError, AttributeError, TypeError) as fault:
            self.stage, self.slots, self.broken = "none", (), repr(fault)
            self.module = KINDS["gift"].module
        self.size = self.paid = 0
        self.simple = False
        if isinstance(rule.terms, Bundle):
            self._measure(rule.terms)
        plain = self.slots[0] if len(self.slots) == 1 else None
        self.plain = plain is not None and not plain.exclude_skus and not plain.exclude_groups

    def _measure(self, bundle: Bundle) -> None:
        """Units and rewarded units of an application; simple: one slot and no limit."""
        self.size = self.paid = bundle.size
        if bundle.on in {"cheapest", "dearest"}:
            self.paid = bundle.count
        self.simple = (
            len(bundle.slots) == 1
            and not bundle.retailer
            and self.cap is None
            and self.rule.limits.max_applications is None
        )


def document_digest(rule: Rule) -> bytes:
    """SHA-256 of the document in canonical JSON."""
    text = msgspec.json.encode(rule.document, order="sorted")
    return hashlib.sha256(rule.id.encode() + b"\n" + text).digest()


def _bucket(rule_id: str) -> int:
    return hashlib.sha256(rule_id.encode()).digest()[0]


Index = dict[str, tuple[Live, ...]]


def _keys(selectors: Iterable[Selector]) -> tuple[set[str], set[str], bool]:
    skus: set[str] = set()
    groups: set[str] = set()
    every = False
    for selector in selectors:
        every = every or selector.all
        skus |= selector.skus
        groups |= selector.groups
    return skus, groups, every


def _sorted(lives: Iterable[Live]) -> tuple[Live, ...]:
    return tuple(sorted(lives, key=lambda live: live.key))


class RuleSet:
    """All rules of one node. `hash` says which; `versions` lists "id@version"."""

    def __init__(self, store_tz: str, live: dict[str, Live]) -> None:
        self.store_tz = store_tz
        self.engine = ENGINE_NUMBER
        self.live = live
        self.by_sku: Index = {}
        self.by_group: Index = {}
        self.by_all: tuple[Live, ...] = ()
        self.exclusion_groups: Index = {}
        self._buckets: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        self._roots: list[bytes] = []

    @property
    def rules(self) -> Mapping[str, Rule]:
        """Every rule by id."""
        return {rule_id: live.rule for rule_id, live in self.live.items()}

    @property
    def versions(self) -> list[str]:
        """What a node answers to head office."""
        return sorted(f"{live.id}@{live.version}" for live in self.live.values())

    @property
    def hash(self) -> str:
        """The content hash, in hexadecimal."""
        text = b"".join(self._roots) + self.store_tz.encode()
        return hashlib.sha256(text).hexdigest()

    def fill(self) -> "RuleSet":
        """Build the indexes from `live`."""
        skus: dict[str, list[Live]] = {}
        groups: dict[str, list[Live]] = {}
        exclusive: dict[str, list[Live]] = {}
        every: list[Live] = []
        for live in sorted(self.live.values(), key=lambda each: each.key):
            in_skus, in_groups, in_all = _keys(live.slots)
            for sku in in_skus:
                skus.setdefault(sku, []).append(live)
            for group in in_groups:
                groups.setdefault(group, []).append(live)
            if in_all:
                every.append(live)
            if live.group is not None:
                exclusive.setdefault(live.group, []).append(live)
            self._buckets[_bucket(live.id)][live.id] = live.digest
        self.by_sku = {key: tuple(found) for key, found in skus.items()}
        self.by_group = {key: tuple(found) for key, found in groups.items()}
        self.exclusion_groups = {key: tuple(found) for key, found in exclusive.items()}
        self.by_all = tuple(every)
        self._roots = [_root(bucket) for bucket in self._buckets]
        return self

    def _copy(self) -> "RuleSet":
        copy = RuleSet(self.store_tz, dict(self.live))
        copy.by_sku, copy.by_group = dict(self.by_sku), dict(self.by_group)
        copy.by_all, copy.exclusion_groups = self.by_all, dict(self.exclusion_groups)
        copy._buckets, copy._roots = list(self._buckets), list(self._roots)
        return copy

    def rehash(self, rule_id: str, digest: bytes | None) -> None:
        """Renew the one bucket of the hash that a rule is in."""
        at = _bucket(rule_id)
        bucket = {key: found for key, found in self._buckets[at].items() if key != rule_id}
        if digest is not None:
            bucket[rule_id] = digest
        self._buckets[at] = bucket
        self._roots[at] = _root(bucket)

    def take_out(self, live: Live) -> None:
        """Forget a rule (only while a new set is being made)."""
        skus, groups, _ = _keys(live.slots)
        for index, keys in ((self.by_sku, skus), (self.by_group, groups)):
            for key in keys:
                left = tuple(each for each in index.get(key, ()) if each is not live)
                if left:
                    index[key] = left
                else:
                    index.pop(key, None)
        self.by_all = tuple(each for each in self.by_all if each is not live)
        if live.group is not None:
            left = tuple(each for each in self.exclusion_groups[live.group] if each is not live)
            self.exclusion_groups[live.group] = left

    def put_in(self, live: Live) -> None:
        """Index a rule (only while a new set is being made)."""
        skus, groups, every = _keys(live.slots)
        for index, keys in ((self.by_sku, skus), (self.by_group, groups)):
            for key in keys:
                index[key] = _sorted((*index.get(key, ()), live))
        if every:
            self.by_all = _sorted((*self.by_all, live))
        if live.group is not None:
            others = self.exclusion_groups.get(live.group, ())
            self.exclusion_groups[live.group] = _sorted((*others, live))

    def with_rule(self, rule: Rule) -> "RuleSet":
        """This set with one rule added or replaced."""
        changed = self._copy()
        old = changed.live.get(rule.id)
        if old is not None:
            changed.take_out(old)
        live = Live(rule, self.store_tz, document_digest(rule))
        changed.live[rule.id] = live
        changed.put_in(live)
        changed.rehash(rule.id, live.digest)
        return changed

    def without_rule(self, rule_id: str) -> "RuleSet":
        """This set without one rule (the same set when it is not there)."""
        old = self.live.get(rule_id)
        if old is None:
            return self
        changed = self._copy()
        changed.take_out(old)
        del changed.live[rule_id]
        changed.rehash(rule_id, None)
        return changed


def _root(bucket: Mapping[str, bytes]) -> bytes:
    return hashlib.sha256(b"".join(bucket[key] for key in sorted(bucket))).digest()


def compile_rules(rules: Sequence[Rule], store_tz: str) -> RuleSet:
    """Compile; of two rules with one id the later version (then the later place) stays."""
    check_zone(store_tz)
    latest: dict[str, Rule] = {}
    for rule in rules:
        known = latest.get(rule.id)
        if known is None or known.version <= rule.version:
            latest[rule.id] = rule
    live: dict[str, Live] = {}
    for rule in latest.values():
        live[rule.id] = Live(rule, store_tz, document_digest(rule))
    return RuleSet(store_tz, live).fill()


def check_zone(store_tz: str) -> str:
    """The zone's name, or the refusal ZONE_UNKNOWN."""
    if zone_of(store_tz) is None:
        raise Refusal("ZONE_UNKNOWN", zone=store_tz[:40])
    return store_tz
