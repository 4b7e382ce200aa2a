"""Why did this sale not get this promotion? From the sale's own record, and what shops answered.

The sale is priced again by the rules that it was sold by; around the engine's sentence stands the
checklist that people go through: time, group, cache, clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from central.campaigns import Campaigns
from central.reach import read_rule
from central.recording import Desk
from central.repricing import basket_of
from central.rulebooks import Rulebooks
from central.sales import SaleDetail, Sales
from central.watching import ShopReport, reports
from promotions.basket import Context
from promotions.engine import price
from promotions.rule import Rule, slots_of
from promotions.ruleset import RuleSet, compile_rules
from promotions.scope import Selector
from promotions.trace import Outcome
from promotions.window import DAYS, FAR_MS, Window
from promotions.wording import explain
from protocol.clock import calendar
from protocol.codec import body_of, decode
from protocol.errors import Corrupt
from protocol.events import PromotionPublished, PromotionWithdrawn, RulesInForce, SaleLine
from protocol.ids import ALL, shop_stream
from protocol.node.tables import READ, journal

OFFSET_MS: Final = 5_000  # a clock this far from head office's is worth a look
OK, BAD, LOOK, IDLE = "ok", "bad", "warn", "idle"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule in the sale."""

    rule: str
    version: int  # 0: the shop did not have it
    name_zh: str
    name_en: str
    code: str
    zh: str
    en: str
    discount_minor: int = 0

    @property
    def applied(self) -> bool:
        """Did it give something?"""
        return self.code == "APPLIED"


class TimeCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The sale's instant against the rule's window, in the rule's zone."""

    state: str
    code: str
    at_ms: int | None
    local: str
    zone: str
    store_tz: str
    start: str | None
    end: str | None
    hours: str
    days: tuple[str, ...]
    gap_ms: int  # after its end, or before its start


class LineCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One line against the rule's selectors. `how`: sku, group, all, excluded, barred or no."""

    sku: str
    name_zh: str
    name_en: str
    group: str
    group_now: str  # when it is another one today
    qty_milli: int
    price_version: str
    how: str
    parts: tuple[int, ...]  # parts of the rule that it fits, from 1


class GroupCheck(msgspec.Struct, frozen=True, kw_only=True):
    """All lines, and what each part of the rule asks for."""

    state: str
    lines: tuple[LineCheck, ...]
    parts: tuple[tuple[bool, tuple[str, ...], tuple[str, ...]], ...]  # all, groups, SKUs
    empty_parts: tuple[int, ...]


class CacheCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The version that the shop sold by against what head office had published by then."""

    state: str
    code: str  # SAME, BEHIND, MISSING, REFUSED, NOT_YET, ENDED or RULES_UNKNOWN
    rules_hash: str
    version: int  # in force in the shop at this sale; 0 = none
    answered_ms: int  # when the shop said so
    published: int  # newest version at head office at the sale's instant; 0 = none
    published_ms: int
    arrived_ms: int  # when the shop had that version; 0 = not yet
    reason_zh: str = ""
    reason_en: str = ""


class ClockCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The shop's clock at this sale, and as it was last heard of."""

    state: str
    clock: str
    uncertainty_ms: int
    offset_ms: int
    heard_ms: int


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer."""

    detail: SaleDetail
    fate: Fate
    had_it_been: Fate | None  # with the version that the shop lacked
    exact_rules: bool  # the sale's own rule set could be rebuilt
    timed: bool
    live_now: bool  # published at head office today
    time: TimeCheck
    group: GroupCheck
    cache: CacheCheck
    clock: ClockCheck


class Said(msgspec.Struct, frozen=True):
    """One publishing or withdrawing of a rule."""

    version: int
    at_ms: int
    rule: Rule | None  # None when it was withdrawn, or cannot be read here
    ended: bool


class Answered(msgspec.Struct, frozen=True):
    """One answer of the shop."""

    seq: int
    at_ms: int
    body: RulesInForce

    def version_of(self, rule: str) -> int:
        """The version that it has in force; 0 = none."""
        for name in self.body.rules:
            found, _, version = name.rpartition("@")
            if found == rule:
                return int(version)
        return 0


class WhyNot:
    """Answers for one sale and one rule, or for one sale and all rules."""

    def __init__(self, desk: Desk, sales: Sales, campaigns: Campaigns) -> None:
        self._desk = desk
        self._sales = sales
        self._campaigns = campaigns

    def fates(self, store: str, sale: str) -> list[Fate]:
        """Every rule that the shop had in force, those that touch the sale first."""
        detail = self._sales.sale(store, sale)
        context = _context(detail)
        with self._desk.books.database.reading() as connection:
            rules = _rules(connection, detail, context)
        if rules is None:
            return []
        priced = price(basket_of(detail.body), rules, context)
        found = [_fate(outcome, rules) for outcome in priced.outcomes().values()]
        order = {rule: n for n, rule in enumerate(priced.touching)}
        return sorted(found, key=lambda f: (not f.applied, order.get(f.rule, 10**6), f.rule))

    def why(self, store: str, sale: str, rule: str) -> Why:
        """The answer. Refusal HQ_SALE_UNKNOWN, HQ_RULE_UNKNOWN."""
        detail = self._sales.sale(store, sale)
        campaign = self._campaigns.campaign(rule)
        context = _context(detail)
        with self._desk.books.database.reading() as connection:
            rules = _rules(connection, detail, context)
            said = _said(connection, rule)
            answers = _answers(connection, store)
            groups = _groups_now(connection, detail.body.lines)
            report = reports(connection).get(store) or ShopReport(store=store)
        at_ms = context.time_ms if context.time_ms is not None else detail.row.at_ms
        held = rules.rules.get(rule) if rules else None
        cache = _cache(detail, rule, said, answers, at_ms)
        meant = _meant(said, at_ms) or read_rule(campaign.document)
        judged = held or meant
        return Why(
            detail=detail,
            fate=_fate_of(detail, rules, context, rule, judged),
            had_it_been=_had_it_been(detail, rules, context, meant, cache),
            exact_rules=rules is not None,
            timed=judged is not None and judged.when.timed,
            live_now=campaign.state == "published",
            time=_time(judged, context, at_ms),
            group=_group(judged, detail.body.lines, groups),
            cache=cache,
            clock=_clock(judged, context, report),
        )


def _context(detail: SaleDetail) -> Context:
    try:
        return msgspec.convert(detail.body.context, Context)
    except msgspec.ValidationError:
        return Context(time_ms=detail.row.at_ms, clock_state=detail.clock_state)


def _rules(connection: Connection, detail: SaleDetail, context: Context) -> RuleSet | None:
    row, body = detail.row, detail.body
    return Rulebooks().find(connection, row.store, row.seq, body.rules_hash, tz=context.store_tz)


# -- what head office and the shop said -------------------------------------------------------


def _bodies(connection: Connection, stream: str, *kinds: type) -> Iterable[tuple[int, int, Any]]:
    """(sequence, instant, body) of these events on the main line."""
    rows = connection.execute(
        select(journal.c.seq, journal.c.data)
        .where(
            journal.c.stream == stream,
            journal.c.branch == 0,
            journal.c.type.in_([kind.__name__ for kind in kinds]),
        )
        .order_by(journal.c.seq)
    )
    for row in rows:
        envelope = decode(row.data)
        try:
            body = body_of(envelope)
        except Corrupt:
            continue
        if isinstance(body, kinds):
            yield row.seq, envelope.ts, body


def _said(connection: Connection, rule: str) -> list[Said]:
    found = []
    for _, at_ms, body in _bodies(connection, ALL, PromotionPublished, PromotionWithdrawn):
        if body.rule == rule:
            ended = isinstance(body, PromotionWithdrawn)
            document = None if ended else read_rule(body.document)
            found.append(Said(body.version, at_ms, document, ended))
    return found


def _answers(connection: Connection, store: str) -> list[Answered]:
    found = _bodies(connection, shop_stream(store), RulesInForce)
    return [Answered(seq, at_ms, body) for seq, at_ms, body in found]


def _meant(said: Sequence[Said], at_ms: int) -> Rule | None:
    """The rule as head office had published it by then, else its first version."""
    before = [each for each in said if each.at_ms <= at_ms and each.rule is not None]
    rules = before[-1:] or [each for each in said if each.rule is not None][:1]
    return rules[0].rule if rules else None


def _groups_now(connection: Connection, lines: Sequence[SaleLine]) -> dict[str, str]:
    product = READ["product"]
    wanted = {line.sku for line in lines}
    query = select(product.c.sku, product.c.promo_group).where(product.c.sku.in_(wanted))
    return {row.sku: row.promo_group for row in connection.execute(query)}


# -- the engine's word ------------------------------------------------------------------------


def _fate(outcome: Outcome, rules: RuleSet, discount_minor: int = 0) -> Fate:
    rule = rules.rules.get(outcome.rule_id)
    return Fate(
        rule=outcome.rule_id,
        version=rule.version if rule else 0,
        name_zh=rule.title("zh") if rule else outcome.rule_id,
        name_en=rule.title("en") if rule else outcome.rule_id,
        code=outcome.code,
        zh=explain(outcome, "zh", rule),
        en=explain(outcome, "en", rule),
        discount_minor=discount_minor,
    )


def _priced(detail: SaleDetail, rules: RuleSet, context: Context, rule: str) -> Fate:
    priced = price(basket_of(detail.body), rules, context)
    given = sum(each.discount_minor for each in priced.applied if each.rule_id == rule)
    return _fate(priced.why_not(rule), rules, given)


def _fate_of(
    detail: SaleDetail,
    rules: RuleSet | None,
    context: Context,
    rule: str,
    judged: Rule | None,
) -> Fate:
    fate = _priced(detail, rules or compile_rules([], context.store_tz), context, rule)
    if fate.code != "RULE_UNKNOWN" or judged is None:
        return fate
    priced = price([], compile_rules([], context.store_tz), context)
    outcome = priced.why_not(rule)
    return msgspec.structs.replace(
        fate,
        name_zh=judged.title("zh"),
        name_en=judged.title("en"),
        zh=explain(outcome, "zh", judged),
        en=explain(outcome, "en", judged),
    )


def _had_it_been(
    detail: SaleDetail,
    rules: RuleSet | None,
    context: Context,
    meant: Rule | None,
    cache: CacheCheck,
) -> Fate | None:
    """The same sale under the version that the shop lacked."""
    if rules is None or meant is None or cache.code not in {"BEHIND", "MISSING", "NOT_YET"}:
        return None
    others = [rule for rule in rules.rules.values() if rule.id != meant.id]
    return _priced(detail, compile_rules([*others, meant], context.store_tz), context, meant.id)


# -- the checklist ----------------------------------------------------------------------------


def _local(at_ms: int, window: Window) -> str:
    return f"{calendar(at_ms).astimezone(window.zone):%Y-%m-%d %H:%M:%S}"


def _hours(rule: Rule) -> str:
    daily = rule.when.daily
    if daily is None:
        return ""
    return "-".join(
        f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}" for ms in (daily.from_ms, daily.to_ms)
    )


def _time(rule: Rule | None, context: Context, at_ms: int) -> TimeCheck:
    if rule is None:
        window, code = None, ""
    else:
        window = Window(rule.when, context.store_tz)
        code = window.judge(at_ms, context.uncertainty_ms) if rule.when.timed else ""
    state = BAD if code else OK
    if window is None or rule is None or not rule.when.timed:
        state = IDLE
    gap = 0
    if window is not None and code == "EXPIRED" and window.end < FAR_MS:
        gap = at_ms - window.end
    if window is not None and code == "NOT_STARTED":
        gap = window.start - at_ms
    return TimeCheck(
        state=state,
        code=code,
        at_ms=context.time_ms,
        local=_local(at_ms, window) if window else "",
        zone=window.tz_name if window else context.store_tz,
        store_tz=context.store_tz,
        start=rule.when.start if rule else None,
        end=rule.when.end if rule else None,
        hours=_hours(rule) if rule else "",
        days=tuple(DAYS[d] for d in sorted(rule.when.days or ())) if rule else (),
        gap_ms=gap,
    )


def _how(line: SaleLine, slots: Sequence[Selector]) -> str:
    if line.no_discount or line.is_return:
        return "barred"
    fits = [slot for slot in slots if slot.covers(line.sku, line.group)]
    if any(line.sku in slot.skus for slot in fits):
        return "sku"
    if any(line.group in slot.groups for slot in fits):
        return "group"
    if fits:
        return "all"
    named = any(s.all or line.sku in s.skus or line.group in s.groups for s in slots)
    return "excluded" if named else "no"


def _group(rule: Rule | None, lines: Sequence[SaleLine], now: Mapping[str, str]) -> GroupCheck:
    slots = slots_of(rule) if rule else ()
    found = []
    for line in lines:
        how = _how(line, slots)
        fits = tuple(
            n + 1
            for n, slot in enumerate(slots)
            if how != "barred" and slot.covers(line.sku, line.group)
        )
        group = line.group or ""
        today = now.get(line.sku, group)
        found.append(
            LineCheck(
                sku=line.sku,
                name_zh=line.name.get("zh") or line.name.get("en") or line.sku,
                name_en=line.name.get("en") or line.name.get("zh") or line.sku,
                group=group,
                group_now=today if today != group else "",
                qty_milli=line.qty_milli,
                price_version=line.price_version,
                how=how,
                parts=fits,
            )
        )
    empty = tuple(
        n + 1 for n in range(len(slots)) if not any(n + 1 in line.parts for line in found)
    )
    outside = any(line.how in {"no", "excluded", "barred"} for line in found)
    return GroupCheck(
        state=BAD if empty else LOOK if outside else OK,
        lines=tuple(found),
        parts=tuple((s.all, tuple(sorted(s.groups)), tuple(sorted(s.skus)[:20])) for s in slots),
        empty_parts=empty,
    )


def _cache(
    detail: SaleDetail,
    rule: str,
    said: Sequence[Said],
    answers: Sequence[Answered],
    at_ms: int,
) -> CacheCheck:
    hashed = detail.body.rules_hash
    before = [a for a in answers if a.seq < detail.row.seq and a.body.rules_hash == hashed]
    answer = before[-1] if before else None
    held = answer.version_of(rule) if answer else 0
    newest = next((each for each in reversed(said) if each.at_ms <= at_ms), None)
    wanted = 0 if newest is None or newest.ended else newest.version
    refused = next(
        (
            r
            for r in (answer.body.refused if answer else ())
            if (r.rule, r.version) == (rule, wanted)
        ),
        None,
    )
    code = (
        "RULES_UNKNOWN"
        if answer is None
        else _cache_code(held, newest, refused=refused is not None)
    )
    arrived = next((a.at_ms for a in answers if wanted and a.version_of(rule) == wanted), 0)
    return CacheCheck(
        state={"SAME": OK, "NOT_YET": LOOK, "ENDED": LOOK}.get(code, BAD),
        code=code,
        rules_hash=hashed,
        version=held,
        answered_ms=answer.at_ms if answer else 0,
        published=wanted,
        published_ms=newest.at_ms if newest else (said[0].at_ms if said else 0),
        arrived_ms=arrived,
        reason_zh=refused.detail.get("zh", refused.reason) if refused else "",
        reason_en=refused.detail.get("en", refused.reason) if refused else "",
    )


def _cache_code(held: int, newest: Said | None, *, refused: bool) -> str:
    if newest is None:
        return "NOT_YET"
    if newest.ended:
        return "BEHIND" if held else "ENDED"
    if refused:
        return "REFUSED"
    if held == newest.version:
        return "SAME"
    return "BEHIND" if held else "MISSING"


def _clock(rule: Rule | None, context: Context, report: ShopReport) -> ClockCheck:
    timed = rule is not None and rule.when.timed
    doubtful = context.clock_state != "trusted" or abs(report.skew_ms) > OFFSET_MS
    return ClockCheck(
        state=BAD if timed and not context.clock_trusted else LOOK if doubtful else OK,
        clock=context.clock_state,
        uncertainty_ms=context.uncertainty_ms,
        offset_ms=report.skew_ms,
        heard_ms=report.seen_ms,
    )
