# ruff: noqa: B905  lengths are equal by construction
"""An exhaustive evaluator, written from sections 2 to 4 of the specification alone.

It shares no code with the engine: exact fractions, every packing, no index, no pruning. Only for
baskets of a few units. `evaluate(case)` gives every accepted answer of a request.
"""

import itertools
from fractions import Fraction

from tests.promotions.brute_filter import filter_reason
from tests.promotions.brute_rules import (
    LINE_TYPES,
    ORDER_TYPES,
    Item,
    bundle_choices,
    by_rank,
    compound_step,
    dec,
    hu,
    line_choices,
    matches,
    mode,
    order_step,
    prio,
)


def finish(items, item_parts, applied, compounds, orders):
    nets = {it.i: it.gross for it in items}
    for i, d in item_parts:
        nets[i] -= d
    applied = set(applied)
    gifts = 0
    for rule in by_rank(compounds):
        got = compound_step(rule, items, nets)
        if got:
            applied.add(rule["id"])
            for i, d in got.items():
                nets[i] -= d
    after = dict(nets)
    for rule in by_rank(orders):
        got, gift = order_step(rule, items, nets, after)
        if gift:
            gifts += 1
        if gift or got:
            applied.add(rule["id"])
        for i, d in got.items():
            nets[i] -= d
    per_line = tuple(it.gross - nets[it.i] for it in items)
    return sum(per_line), gifts, frozenset(applied), per_line


class TooLargeError(Exception):
    """The case has too many packings to try them all."""


STEPS = [0]
STEPS_MAX = 20_000


def packings(items, rules):
    """{(item discount per line, applied, saving per level)} of all packings."""
    levels = sorted({prio(r) for r in rules}, reverse=True)
    states = {(tuple(it.n for it in items), (0,) * len(items), frozenset(), (0,) * len(levels))}
    for rule in by_rank(rules):
        at = levels.index(prio(rule))
        after = set(states)
        for free, parts, applied, saved in states:
            room = dict(enumerate(free))
            choices = line_choices if rule["type"] in LINE_TYPES else bundle_choices
            for used, given in choices(rule, items, room):
                STEPS[0] -= 1
                if STEPS[0] < 0:
                    raise TooLargeError
                rest = tuple(k - used.get(i, 0) for i, k in enumerate(free))
                more = tuple(d + given.get(i, 0) for i, d in enumerate(parts))
                lev = list(saved)
                lev[at] += sum(given.values())
                after.add((rest, more, applied | {rule["id"]}, tuple(lev)))
        states = after
    return {(parts, applied, saved) for _, parts, applied, saved in states}


def alternative(items, rules, *, levels):
    units = [r for r in rules if r["type"] not in ORDER_TYPES and mode(r) != "compound"]
    compounds = [r for r in rules if r["type"] in LINE_TYPES and mode(r) == "compound"]
    orders = [r for r in rules if r["type"] in ORDER_TYPES]
    found = packings(items, units)
    if levels:
        top = max(saved for _, _, saved in found)
        found = {each for each in found if each[2] == top}
    reduced = {(parts, applied) for parts, applied, _ in found}
    return {
        finish(items, enumerate(parts), applied, compounds, orders) for parts, applied in reduced
    }


def touches(rule, items):
    sels = (
        [s["select"] for s in rule["slots"]]
        if rule["type"] == "bundle"
        else [rule.get("select", {"all": True})]
    )
    return all(any(matches(sel, it) for it in items) for sel in sels)


def price_all(ctx, rules, items):
    """Every accepted result, after the ties of section 2.4."""
    active = [r for r in rules if not filter_reason(r, ctx)]
    levels = ctx.get("resolution", "best") == "priority"
    alone = by_rank(r for r in active if mode(r) == "exclusive_basket")
    results = set()
    for rule in alone:
        got = alternative(items, [r | {"combine": {}} for r in [rule]], levels=levels)
        top = max(total for total, *_ in got)
        if levels and top > 0:
            return best_of(got)
        results |= got
    groups = {}
    for rule in active:
        if mode(rule) != "exclusive_basket":
            key = rule.get("combine", {}).get("group") or ("own", rule["id"])
            groups.setdefault(key, []).append(rule)
    free = [rs[0] for key, rs in groups.items() if isinstance(key, tuple)]
    choices = [rs for key, rs in groups.items() if not isinstance(key, tuple)]
    for chosen in itertools.product(*choices):
        results |= alternative(items, [*free, *chosen], levels=levels)
    return best_of(results)


def best_of(results):
    rank = max((t, g, -len(a)) for t, g, a, _ in results)
    return {r for r in results if (r[0], r[1], -len(r[2])) == rank}


def can_fill(rule, items):
    units = [it.i for it in items if not it.lot for _ in range(it.n)]
    need = [s["select"] for s in rule["slots"] for _ in range(s.get("qty", 1))]

    def place(at, free):
        if at == len(need):
            return True
        tried = set()
        for j, u in enumerate(free):
            if u not in tried and matches(need[at], items[u]):
                tried.add(u)
                if place(at + 1, free[:j] + free[j + 1 :]):
                    return True
        return False

    return len(units) >= len(need) and place(0, units)


def reason(rule, ctx, rules, items, applied):
    """The code of a rule that is not in `applied`, for a chosen result."""
    code = filter_reason(rule, ctx)
    if code:
        return code
    if not touches(rule, items):
        return "NO_ELIGIBLE_ITEM"
    lone = rule | {
        "combine": {
            k: v for k, v in rule.get("combine", {}).items() if k == "mode" and v == "compound"
        }
    }
    result = best_of(alternative(items, [lone], levels=False))
    if not any(t or g for t, g, _, _ in result):
        if rule["type"] in ORDER_TYPES:
            return "SPEND_SHORT"
        if rule["type"] == "tier_qty":
            return "QTY_SHORT"
        if rule["type"] == "bundle" and not can_fill(rule, items):
            return "QTY_SHORT"
        return "ZERO_EFFECT"
    by_id = {r["id"]: r for r in rules}
    winners = [by_id[a] for a in applied]
    if any(mode(w) == "exclusive_basket" for w in winners):
        return "EXCLUSIVE_OTHER"
    if mode(rule) == "exclusive_basket":
        return "LOST_TO_BETTER"
    if mode(rule) == "compound":
        return "NOTHING_LEFT"
    group = rule.get("combine", {}).get("group")
    if group and any(w.get("combine", {}).get("group") == group for w in winners):
        return "GROUP_TAKEN"
    if rule["type"] in ORDER_TYPES:
        return "SPEND_SHORT"
    if ctx.get("resolution") == "priority" and any(prio(w) > prio(rule) for w in winners):
        return "LOST_TO_PRIORITY"
    return "LOST_TO_BETTER"


def items_of(basket):
    return [Item(i, doc) for i, doc in enumerate(basket)]


def check(case, answer):
    """The differences between an engine's answer and the specification, as a list of texts."""
    ctx, rules = case.get("context", {}), case["rules"]
    items = items_of(case["basket"])
    STEPS[0] = STEPS_MAX
    accepted = price_all(ctx, rules, items)
    total, gifts, applied, _ = next(iter(accepted))
    wrong = []
    got = (
        answer["total_discount_minor"],
        frozenset(answer["applied_rules"]),
        tuple(answer["per_line"]),
    )
    if got[0] != total:
        wrong.append(f"total {got[0]}, wanted {total} by {sorted(applied)}")
    elif got not in {(t, a, p) for t, _, a, p in accepted}:
        wrong.append(f"answer {got} not in {sorted(map(str, accepted))[:5]} gifts {gifts}")
    if answer["exact"] is not True or answer["upper_bound_minor"] != got[0]:
        wrong.append("not proven")
    want = {
        r["id"]: reason(r, ctx, rules, items, answer["applied_rules"])
        for r in rules
        if r["id"] not in answer["applied_rules"]
    }
    if answer["reasons"] != want:
        wrong.append(f"reasons {answer['reasons']}, wanted {want}")
    if "refunds_minor" in answer and not wrong:
        want_refunds = refunds(case, items, answer["per_line"])
        if want_refunds is not None and answer["refunds_minor"] != want_refunds:
            wrong.append(f"refunds {answer['refunds_minor']}, wanted {want_refunds}")
    return wrong


def refunds(case, items, per_line):
    nets = [it.gross - d for it, d in zip(items, per_line)]
    done = [Fraction(0)] * len(items)
    first = {}
    for it in items:
        if not it.ret:
            first.setdefault(it.doc["sku"], it.i)
    amounts, paid = [], sum(nets)
    for step in case["returns"]:
        amount = 0
        for entry in step:
            i, k = first[entry["sku"]], dec(entry["qty"])
            amount += hu(nets[i] * (done[i] + k) / items[i].qty) - hu(
                nets[i] * done[i] / items[i].qty
            )
            done[i] += k
        if case.get("refund_policy") == "reprice":
            kept = []
            for it, gone in zip(items, done):
                left = it.qty - gone
                if left:
                    text = str(float(left)) if left.denominator != 1 else int(left)
                    kept.append(it.doc | {"qty": text})
            kept_items = items_of(kept)
            total = next(iter(price_all(case["context"], case["rules"], kept_items)))[0]
            amount = max(0, paid - sum(it.gross for it in kept_items) + total)
            paid -= amount
        amounts.append(amount)
    return amounts
