"""How fast promotions are priced: seeded instances as in the reference, figures of this machine.

Rules in equal parts: percent 5-20, 3 for 2, any 2 for 0.50-2.00 off, any 3 at 80 % of three times
the mean price; 5 random SKUs each; prices 1.50-49.99; half of the lines from promoted SKUs, 1-4
pieces each. Milliseconds are those of the processor, so that other work on the machine does not
count; on a core of its own they are those of the wall.
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
        begun = time.thread_time_ns()
        result = price(basket, rule_set, CONTEXT)
        times.append((time.thread_time_ns() - begun) / 1e6)
        priced.append(Answer(result.exact, result.total_discount_minor, result.upper_bound_minor))
    return times, priced


def milliseconds(times, goal=""):
    middle, high, most = spread(times)
    aim = f"   goal {goal}" if goal else ""
    return f"p50 {middle:.2f} ms, p99 {high:.2f} ms, max {most:.2f} ms{aim}"


def best_of(work, repeats=5):
    times = []
    for _ in range(repeats):
        begun = time.thread_time_ns()
        work()
        times.append((time.thread_time_ns() - begun) / 1e6)
    return min(times)


def pricing_rows():
    rows = []
    for name, products, goal in (("2.5", 20_000, "0.5 / 2"), ("25", 2_000, "3 / 15")):
        rule_set, found = instance(10_000, 20, products, 11, 400)
        timed(rule_set, found[:20])
        times, priced = timed(rule_set, found)
        exact = sum(each.exact for each in priced)
        rows.append((f"20 lines, 10,000 rules, {name} per product", milliseconds(times, goal)))
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
        ("200 rules x 20 lines over 100 products", milliseconds(times, "20 for all")),
        ("  gap <= 2 %", f"{good} of 100 (median {middle:.2%}, worst {worst:.2%})   goal 95"),
    ]


def compile_rows():
    made, _ = documents(10_000, 2_000, 11)
    rules = [parse(each) for each in made]
    rule_set = compile_rules(rules, "Asia/Shanghai")
    changed = parse({**made[17], "version": 2})
    basket = [BasketLine(sku="P1", unit_price_minor=500, qty_milli=3000)]
    priced = price(basket, rule_set, CONTEXT)
    fresh = price(basket, rule_set, CONTEXT)
    whole = best_of(lambda: compile_rules(rules, "UTC"))
    one = best_of(lambda: rule_set.with_rule(changed))
    every, why = best_of(priced.outcomes), best_of(lambda: fresh.why_not("R09999"))
    return [
        ("compile 10,000 rules", f"{whole:.0f} ms   goal 150"),
        ("one changed rule of 10,000", f"{one:.2f} ms   goal 1"),
        ("all outcomes on demand, 10,000 rules", f"{every:.1f} ms   goal 20"),
        ("why not rule R", f"{why:.3f} ms   goal 1"),
    ]


def hard_component(units, seed):
    """Six bundles of 2 and 3 that overlap (216 states) and a percent rule (reference, section 8).

    Each rule covers about 70 % of the units; all prices differ.
    """
    r = random.Random(seed)
    skus = [f"P{n}" for n in range(units)]
    covers = [{"skus": [sku for sku in skus if r.random() < 0.7] or skus} for _ in range(7)]
    made = [{"id": "percent", "type": "percent_off", "percent": 10, "select": covers[6]}]
    for n, select in enumerate(covers[:6]):
        effect = {"kind": "free", "on": "cheapest:1"}
        if n % 2:
            effect = {"kind": "amount", "off_minor": r.randint(300, 900), "on": "all"}
        slots = [{"select": select, "qty": 2 + n % 2}]
        made.append({"id": f"bundle{n}", "type": "bundle", "slots": slots, "effect": effect})
    prices = r.sample(range(150, 5000), units)
    basket = [
        BasketLine(sku=sku, unit_price_minor=minor, qty_milli=1000)
        for sku, minor in zip(skus, prices, strict=True)
    ]
    return compile_rules([parse(each) for each in made], "Asia/Shanghai"), basket


def component_rows():
    rows = []
    for units in (10, 20, 30):
        times, exact = [], 0
        for seed in range(30):
            rule_set, basket = hard_component(units, 9000 + seed)
            spent, priced = timed(rule_set, [basket, basket])
            times.append(spent[1])
            exact += priced[1].exact
        figure = f"{milliseconds(times, '5')}, exact {exact} of 30"
        rows.append((f"one component of 216 states, {units} units", figure))
    return rows


def run() -> list[tuple[str, str]]:
    """All rows that need no third-party peer."""
    return [*pricing_rows(), *compile_rows(), *component_rows(), *gap_rows(), *sizes_rows()]


if __name__ == "__main__":
    for name, figure in run():
        print(f"{name:50} {figure}")
