"""How fast promotions are priced: seeded instances as in the reference, figures of this machine.

Rules in equal parts: percent 5-20, 3 for 2, any 2 for 0.50-2.00 off, any 3 at 80 % of three times
the mean price; 5 random SKUs each; prices 1.50-49.99; half of the lines from promoted SKUs, 1-4
pieces each.
"""

import gc
import random
import time
from typing import NamedTuple

from promotions import compile_rules, price
from promotions.basket import BasketLine, Context
from promotions.rule import parse

CONTEXT = Context(currency="CNY", store_tz="Asia/Shanghai", time_ms=1_768_600_000_000)


def documents(count, products, seed):
    r = random.Random(seed)
    prices = [r.randint(150, 4999) for _ in range(products)]
    mean = sum(prices) // products
    made = []
    for i in range(count):
        skus = [f"P{p}" for p in r.sample(range(products), 5)]
        select = {"skus": skus}
        kind = i % 4
        if kind == 0:
            rule = {"type": "percent_off", "percent": r.randint(5, 20), "select": select}
        else:
            size = 2 if kind == 2 else 3
            effect = [
                {"kind": "free", "on": "cheapest:1"},
                {"kind": "amount", "off_minor": r.randint(50, 200), "on": "all"},
                {"kind": "fixed_price", "price_minor": mean * 3 * 80 // 100, "on": "all"},
            ][kind - 1]
            rule = {"type": "bundle", "slots": [{"select": select, "qty": size}], "effect": effect}
        made.append({"id": f"R{i:05d}", **rule})
    return made, prices


def baskets(count, lines, made, prices, seed):
    r = random.Random(seed)
    promoted = sorted(
        {sku for rule in made for sku in (rule.get("select") or rule["slots"][0]["select"])["skus"]}
    )
    found = []
    for _ in range(count):
        skus = r.sample(promoted, min(lines // 2, len(promoted)))
        while len(skus) < lines:
            sku = f"P{r.randrange(len(prices))}"
            if sku not in skus:
                skus.append(sku)
        r.shuffle(skus)
        found.append(
            [
                BasketLine(
                    sku=sku, unit_price_minor=prices[int(sku[1:])], qty_milli=1000 * r.randint(1, 4)
                )
                for sku in skus
            ]
        )
    return found


def instance(rules, lines, products, seed, count):
    made, prices = documents(rules, products, seed)
    rule_set = compile_rules([parse(each) for each in made], "Asia/Shanghai")
    return rule_set, baskets(count, lines, made, prices, seed + 1)


def spread(times):
    times = sorted(times)
    return times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)], times[-1]


class Answer(NamedTuple):
    """What is kept of a result: a till does not keep the outcomes of a hundred baskets either."""

    exact: bool
    total_discount_minor: int
    upper_bound_minor: int


def timed(rule_set, found):
    gc.collect()
    gc.freeze()  # as a node does once its rules are compiled
    times, priced = [], []
    for basket in found:
        begun = time.perf_counter_ns()
        result = price(basket, rule_set, CONTEXT)
        times.append((time.perf_counter_ns() - begun) / 1e6)
        priced.append(Answer(result.exact, result.total_discount_minor, result.upper_bound_minor))
    return times, priced


def milliseconds(times):
    middle, high, most = spread(times)
    return f"p50 {middle:.2f} ms, p99 {high:.2f} ms, max {most:.2f} ms"


def best_of(work, repeats=5):
    times = []
    for _ in range(repeats):
        begun = time.perf_counter_ns()
        work()
        times.append((time.perf_counter_ns() - begun) / 1e6)
    return min(times)


def pricing_rows():
    rows = []
    for name, products in (("2.5", 20_000), ("25", 2_000)):
        rule_set, found = instance(10_000, 20, products, 11, 400)
        timed(rule_set, found[:20])
        times, priced = timed(rule_set, found)
        exact = sum(each.exact for each in priced)
        rows.append((f"20 lines, 10,000 rules, {name} per product", milliseconds(times)))
        rows.append((f"  proven optimal, {name} per product", f"{exact} of {len(priced)}"))
    return rows


def sizes_rows():
    rows = []
    for count in (10, 100, 1000):
        for lines in (5, 20, 100):
            for name, products in (("dense", 500), ("sparse", 5_000)):
                rule_set, found = instance(count, lines, products, 7, 30)
                times, priced = timed(rule_set, found)
                exact = sum(each.exact for each in priced)
                figure = f"{milliseconds(times)}, exact {exact} of {len(priced)}"
                rows.append((f"{count} rules x {lines} lines, {name}", figure))
    return rows


def gap_rows():
    gaps, times = [], []
    for seed in range(100):
        rule_set, found = instance(200, 20, 100, 1000 + seed, 1)
        spent, priced = timed(rule_set, found)
        times += spent
        for each in priced:
            bound = each.upper_bound_minor
            gaps.append((bound - each.total_discount_minor) / bound if bound else 0.0)
    good = sum(gap <= 0.02 for gap in gaps)
    middle, _, worst = spread(gaps)
    return [
        ("200 rules x 20 lines over 100 products", milliseconds(times)),
        ("  gap <= 2 %", f"{good} of 100 (median {middle:.2%}, worst {worst:.2%})"),
    ]


def compile_rows():
    made, _ = documents(10_000, 2_000, 11)
    rules = [parse(each) for each in made]
    rule_set = compile_rules(rules, "Asia/Shanghai")
    changed = parse({**made[17], "version": 2})
    basket = [BasketLine(sku="P1", unit_price_minor=500, qty_milli=3000)]
    priced = price(basket, rule_set, CONTEXT)
    fresh = price(basket, rule_set, CONTEXT)
    return [
        ("compile 10,000 rules", f"{best_of(lambda: compile_rules(rules, 'UTC')):.0f} ms"),
        ("one changed rule of 10,000", f"{best_of(lambda: rule_set.with_rule(changed)):.2f} ms"),
        ("all outcomes on demand, 10,000 rules", f"{best_of(priced.outcomes):.1f} ms"),
        ("why not rule R", f"{best_of(lambda: fresh.why_not('R09999')):.3f} ms"),
    ]


def run() -> list[tuple[str, str]]:
    """All rows that need no third-party peer."""
    return [*pricing_rows(), *compile_rows(), *gap_rows(), *sizes_rows()]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name:50} {figure}")
