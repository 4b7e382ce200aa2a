"""From a priced basket to what the till's page draws."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from edge.catalogue import Product
from edge.pricing import Priced
from edge.till import BasketLine
from edge.views import (
    BasketView,
    GiftView,
    LineView,
    PromotionView,
    ReasonView,
    ToWeigh,
    WeightView,
)
from edge.words import Notice, notice
from promotions.ruleset import Live
from promotions.trace import Outcome
from promotions.wording import explain
from protocol.errors import define
from protocol.events import Gift, SaleCompleted

UNCOVERED_MAX: Final = 100  # rules beside the line that are told on one panel

define(
    {
        "LINE_NOT_IN_RULE": (
            "“{name}” is for {goods_en}; {product_en} is in the group “{group_en}”, so it does "
            "not take part. If it should, head office must add it to the rule.",
            "“{name}”适用于{goods_zh}；{product_zh}属于“{group_zh}”分组，因此不参加。"
            "如应参加，请联系总部将其加入规则。",
        ),
        "LINE_LEFT_OUT": (
            "“{name}” is for {goods_en}, but leaves out {product_en}.",
            "“{name}”适用于{goods_zh}，但排除了{product_zh}。",
        ),
        "LINE_BARRED": (
            "{product_en} is barred from all discounts, so no promotion counts it.",
            "{product_zh}设为不参与任何优惠，所有促销都不计入。",
        ),
        "EVERY_GOODS": ("all goods", "全部商品"),
        "GOODS_OF_GROUP": ("the group “{group}”", "“{group}”分组"),
    }
)


def reason_view(priced: Priced, outcome: Outcome) -> ReasonView:
    """One rule's verdict in both languages."""
    live = priced.rule_set.live.get(outcome.rule_id)
    rule = live.rule if live else None
    return ReasonView(
        rule=outcome.rule_id,
        version=rule.version if rule else 0,
        applied=outcome.applied,
        name=Notice(
            outcome.rule_id,
            rule.title("en") if rule else outcome.rule_id,
            rule.title("zh") if rule else outcome.rule_id,
        ),
        why=Notice(outcome.code, explain(outcome, "en", rule), explain(outcome, "zh", rule)),
    )


def touching(priced: Priced, line: BasketLine) -> list[Outcome]:
    """The outcomes of the rules whose selectors cover this line, applied ones first."""
    if line.no_discount:
        return []
    rules = priced.rule_set
    groups = rules.by_group.get(line.group, ()) if line.group is not None else ()
    near: Iterable[Live] = (*rules.by_sku.get(line.sku, ()), *groups, *rules.by_all)
    found: dict[str, Outcome] = {}
    for live in near:
        outcome = priced.result.touching.get(live.id)
        if outcome and any(slot.covers(line.sku, line.group) for slot in live.slots):
            found[live.id] = outcome
    return sorted(found.values(), key=lambda o: (not o.applied, o.rule_id))


def line_reasons(
    priced: Priced, line: BasketLine, groups: Mapping[str, tuple[str, str]], *, every: bool
) -> list[ReasonView]:
    """Why each rule took something off this line or not: first those whose selectors cover it.

    The others follow with what they are for, when `every` is asked or when none covers the line.
    """
    near = [reason_view(priced, outcome) for outcome in touching(priced, line)]
    if near and not every:
        return near
    known = {view.rule for view in near}
    rules = sorted(priced.rule_set.live.items())
    far = [
        _beside(live, line, groups)
        for rule, live in rules
        if rule not in known and (line.no_discount or not _covers(live, line))
    ]
    return [*near, *far[:UNCOVERED_MAX]]


def _covers(live: Live, line: BasketLine) -> bool:
    return any(slot.covers(line.sku, line.group) for slot in live.slots)


def _beside(live: Live, line: BasketLine, groups: Mapping[str, tuple[str, str]]) -> ReasonView:
    """A rule that does not count this line, with what it is for."""
    rule = live.rule
    named = any(
        slot.all or line.sku in slot.skus or line.group in slot.groups for slot in live.slots
    )
    code = "LINE_BARRED" if line.no_discount else "LINE_LEFT_OUT" if named else "LINE_NOT_IN_RULE"
    zh, en = groups.get(line.group or "", (line.group or "—", line.group or "—"))
    goods = _goods(live, groups)
    said = {
        "product_zh": line.name.get("zh", line.sku),
        "product_en": line.name.get("en", line.sku),
        "group_zh": zh,
        "group_en": en,
        "goods_zh": "、".join(one.zh for one in goods),
        "goods_en": ", ".join(one.en for one in goods),
    }
    why = Notice(
        code,
        notice(code, {**said, "name": rule.title("en")}).en,
        notice(code, {**said, "name": rule.title("zh")}).zh,
    )
    name = Notice(rule.id, rule.title("en"), rule.title("zh"))
    return ReasonView(rule=rule.id, version=rule.version, applied=False, name=name, why=why)


def _goods(live: Live, groups: Mapping[str, tuple[str, str]]) -> list[Notice]:
    """What the selectors of a rule name, the first few of each."""
    found: list[Notice] = []
    for slot in live.slots:
        if slot.all:
            found.append(notice("EVERY_GOODS"))
        for group in sorted(slot.groups)[:3]:
            zh, en = groups.get(group, (group, group))
            told = notice("GOODS_OF_GROUP", {"group": en}).en
            found.append(Notice(group, told, notice("GOODS_OF_GROUP", {"group": zh}).zh))
        found += [Notice(sku, sku, sku) for sku in sorted(slot.skus)[:3]]
    return found or [Notice("", "—", "—")]


def promotions_of(priced: Priced) -> list[list[PromotionView]]:
    """Per product row, what each applied rule took off."""
    per_line: list[list[PromotionView]] = [[] for _ in priced.lines]
    for applied in priced.result.applied:
        live = priced.rule_set.live[applied.rule_id]
        for at, amount in applied.per_line:
            if amount:
                per_line[at].append(
                    PromotionView(
                        applied.rule_id,
                        applied.version,
                        live.rule.title("zh"),
                        live.rule.title("en"),
                        amount,
                    )
                )
    return per_line


def line_views(
    lines: Iterable[BasketLine], priced: Priced, on_hand: dict[str, int], oversold: set[str]
) -> list[LineView]:
    """All rows in their order, red ones included."""
    places = {line.line: at for at, line in enumerate(priced.lines)}
    promotions = promotions_of(priced)
    views = []
    for line in lines:
        at = places.get(line.line)
        if at is None:
            views.append(_red(line))
            continue
        views.append(
            LineView(
                line=line.line,
                kind="product",
                code=line.code,
                sku=line.sku,
                zh=line.name.get("zh", line.sku),
                en=line.name.get("en", line.sku),
                qty_milli=line.qty_milli,
                unit=line.unit,
                decimals=line.decimals,
                weighed=line.weighed,
                unit_price_minor=line.unit_price_minor,
                gross_minor=priced.gross[at],
                discount_minor=priced.result.per_line[at],
                net_minor=priced.net(at),
                promotions=tuple(promotions[at]),
                touching=tuple(reason_view(priced, o) for o in touching(priced, line)),
                oversold=line.sku in oversold,
                on_hand_milli=on_hand.get(line.sku, 0),
                weight=_weight(line),
            )
        )
    return views


def as_frozen(view: BasketView, body: SaleCompleted) -> BasketView:
    """The basket of a sale whose payment is open, at the price that is being paid.

    The rules may end or change meanwhile; its product rows are the body's lines, in their order.
    """
    places = iter(range(len(body.lines)))
    lines = [
        _at_price(row, body, next(places)) if row.kind == "product" else row for row in view.lines
    ]
    return msgspec.structs.replace(
        view,
        lines=tuple(lines),
        gross_minor=sum(line.gross_minor for line in body.lines),
        discount_minor=body.discount_minor,
        total_minor=body.total_minor,
        exact=body.exact,
        upper_bound_minor=body.upper_bound_minor,
        rules_hash=body.rules_hash,
    )


def _at_price(row: LineView, body: SaleCompleted, at: int) -> LineView:
    line = body.lines[at]
    return msgspec.structs.replace(
        row,
        unit_price_minor=line.unit_price_minor,
        gross_minor=line.gross_minor,
        discount_minor=line.discount_minor,
        net_minor=line.gross_minor - line.discount_minor,
        promotions=tuple(
            PromotionView(one.rule, one.version, one.name["zh"], one.name["en"], amount)
            for one in body.applied
            for place, amount in one.per_line
            if place == at and amount
        ),
    )


def _weight(line: BasketLine) -> WeightView | None:
    if line.weight is None:
        return None
    return WeightView(line.weight.by, line.weight.gross_g, line.weight.tare_g)


def to_weigh(lines: Iterable[BasketLine]) -> tuple[ToWeigh, ...]:
    """Goods that wait for their weight."""
    return tuple(
        ToWeigh(x.line, x.sku, x.name.get("zh", x.sku), x.name.get("en", x.sku)) for x in lines
    )


def _red(line: BasketLine) -> LineView:
    params: dict[str, Any] = dict(line.reason_params)
    return LineView(
        line=line.line,
        kind="unknown",
        code=line.code,
        sku="",
        zh=line.code,
        en=line.code,
        qty_milli=0,
        unit="",
        decimals=0,
        weighed=False,
        unit_price_minor=0,
        gross_minor=0,
        discount_minor=0,
        net_minor=0,
        reason=notice(line.reason, params),
    )


def gifts_of(priced: Priced) -> tuple[Gift, ...]:
    """Goods given free, as the sale records them."""
    return tuple(
        Gift(sku=sku, qty_milli=pieces * 1000, rule=applied.rule_id)
        for applied in priced.result.applied
        for sku, pieces in applied.gifts
    )


def gift_views(
    gifts: Iterable[Gift], product: Callable[[str], Product | None]
) -> tuple[GiftView, ...]:
    """Goods given free, with their names."""
    views = []
    for gift in gifts:
        found = product(gift.sku)
        zh, en = (found.name_zh, found.name_en) if found else (gift.sku, gift.sku)
        views.append(GiftView(gift.sku, zh, en, gift.qty_milli, gift.rule))
    return tuple(views)


def oversold_skus(lines: Iterable[BasketLine], on_hand: dict[str, int]) -> set[str]:
    """Products of which the basket holds more than the book."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.qty_milli
    return {sku for sku, qty in wanted.items() if qty > on_hand.get(sku, 0)}
