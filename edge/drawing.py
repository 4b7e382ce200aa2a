"""From a priced basket to what the till's page draws."""

from collections.abc import Callable, Iterable
from typing import Any

from edge.catalogue import Product
from edge.pricing import Priced
from edge.till import BasketLine
from edge.views import GiftView, LineView, PromotionView, ReasonView
from edge.words import Notice, notice
from promotions.ruleset import Live
from promotions.trace import Outcome
from promotions.wording import explain


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
            )
        )
    return views


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


def gift_views(priced: Priced, product: Callable[[str], Product | None]) -> tuple[GiftView, ...]:
    """Goods given free, with their names."""
    views = []
    for applied in priced.result.applied:
        for sku, pieces in applied.gifts:
            found = product(sku)
            zh, en = (found.name_zh, found.name_en) if found else (sku, sku)
            views.append(GiftView(sku, zh, en, pieces * 1000, applied.rule_id))
    return tuple(views)


def oversold_skus(lines: Iterable[BasketLine], on_hand: dict[str, int]) -> set[str]:
    """Products of which the basket holds more than the book."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.qty_milli
    return {sku for sku, qty in wanted.items() if qty > on_hand.get(sku, 0)}
