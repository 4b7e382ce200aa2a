"""Seeded random requests, small enough for the exhaustive evaluator, rich in traps."""

import random

UNITS_MAX = 7  # pieces in a basket: the exhaustive evaluator tries every packing
SKUS = ["A", "B", "C", "D"]
GROUPS = ["g", "h", None]
PRICES = [0, 1, 3, 5, 7, 10, 15, 25, 33, 50, 99, 100, 105, 199, 250, 333]
TIMES = [
    "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z",
    "2026-10-25T00:30:00Z", "2026-10-25T01:30:59Z", "2026-10-25T01:31:00Z",
    "2026-01-17T15:59:59.999Z", "2026-01-17T16:00:00Z", "2026-01-16T17:30:00Z",
    "2026-07-03T22:30:00+02:00", "2026-11-01T05:59:00Z", "2026-11-01T06:30:00Z",
]  # fmt: skip
WALLS = [
    "2026-03-29T02:30", "2026-03-29T02:00", "2026-03-29T03:00", "2026-10-25T02:30",
    "2026-10-25T02:30:59", "2026-10-25T02:00", "2026-10-25T03:00", "2026-01-17T23:59",
    "2026-01-18T00:00", "2026-01-17T23:59:59", "2026-11-01T01:30", "2026-07-03T22:30",
]  # fmt: skip
ZONES = ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC"]
HOURS = ["00:00", "01:30", "02:00", "02:30", "03:00", "12:00", "22:00", "23:59"]


def selector(r):
    roll = r.random()
    if roll < 0.35:
        chosen = {"all": True}
    elif roll < 0.65:
        chosen = {"skus": r.sample(SKUS, r.randint(1, 3))}
    elif roll < 0.95:
        chosen = {"groups": [r.choice(["g", "h"])]}
        if r.random() < 0.3:
            chosen["skus"] = [r.choice(SKUS)]
    else:
        chosen = {}
    if r.random() < 0.12:
        chosen["exclude_skus"] = [r.choice(SKUS)]
    if r.random() < 0.08:
        chosen["exclude_groups"] = [r.choice(["g", "h"])]
    return chosen


def percent(r):
    return r.choice([5, 10, 12.5, 20, 25, 33.3, 50, 100, "7.5", 0, 30])


def money(r):
    return r.choice([0, 1, 2, 5, 9, 10, 20, 30, 50, 80, 100, 150, 200])


def terms(r, kind):
    if kind == "percent_off":
        return {"percent": percent(r)}
    if kind == "amount_off":
        return {"off_minor": money(r)}
    if kind == "fixed_price":
        return {"price_minor": money(r)}
    low = r.choice([1, 2, "1.5", 3])
    mins = sorted({float(low), float(r.choice([2, 3, 4, 5]))})
    return {
        "tiers": [
            {"min_qty": str(m) if m != int(m) else int(m)}
            | r.choice(
                [{"percent": percent(r)}, {"off_minor": money(r)}, {"price_minor": money(r)}]
            )
            for m in mins
        ]
    }


def bundle(r):
    count = r.choice([1, 1, 1, 2, 2, 3])
    slots = [
        {"select": selector(r), "qty": r.choice([1, 1, 2] if count > 1 else [1, 2, 2, 3, 3, 4])}
        for _ in range(count)
    ]
    size = sum(s["qty"] for s in slots)
    kind = r.choice(["free", "percent", "amount", "fixed_price"])
    effect = {"kind": kind}
    if kind == "percent":
        effect["percent"] = percent(r)
    elif kind == "amount":
        effect["off_minor"] = money(r)
    elif kind == "fixed_price":
        effect["price_minor"] = money(r)
    on = r.choice(["all", "cheapest", "cheapest", "dearest", "slot", None])
    if on in ("cheapest", "dearest"):
        effect["on"] = f"{on}:{r.randint(1, size)}"
    elif on == "slot":
        effect["on"] = f"slot:{r.randrange(count)}"
    elif on:
        effect["on"] = on
    rule = {"slots": slots, "effect": effect}
    if r.random() < 0.3:
        rule["allocation"] = r.choice(["reward", "spread"])
    if count == 1 and str(effect.get("on", "")).startswith("cheapest") and r.random() < 0.4:
        rule["favor"] = "retailer"
    return rule


def order(r, kind):
    rule = {}
    if r.random() < 0.4:
        rule["select"] = selector(r)
    if r.random() < 0.4:
        rule["basis"] = r.choice(["before", "after"])
    least = r.choice([0, 50, 100, 150, 200, 300])
    if kind == "order_percent":
        return rule | {"percent": percent(r), "min_minor": least}
    if kind == "gift":
        return rule | {"gift_sku": "GIFT", "gift_qty": r.randint(1, 2), "min_minor": least}
    if r.random() < 0.3:
        return rule | {"every_minor": r.choice([30, 50, 100]), "off_minor": r.choice([1, 5, 10])}
    steps = sorted({least, r.choice([100, 250, 400])})
    return rule | {"tiers": [{"min_minor": m, "off_minor": money(r)} for m in steps]}


def when(r):  # noqa: PLR0912  a list of chances
    found = {}
    if r.random() < 0.35:
        a, b = sorted([r.choice(WALLS), r.choice(WALLS)])
        if r.random() < 0.6:
            found["start"] = a
        if r.random() < 0.6:
            found["end"] = b
        if r.random() < 0.5:
            found["tz"] = r.choice(ZONES)
    if r.random() < 0.25:
        found["daily"] = {"from": r.choice(HOURS), "to": r.choice(HOURS)}
    if r.random() < 0.2:
        found["days"] = r.sample(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], r.randint(1, 6))
    if r.random() < 0.1:
        found["stores"] = r.sample(["S1", "S2", "S3"], 2)
    if r.random() < 0.1:
        found["zones"] = [r.choice(["Z1", "Z2"])]
    if r.random() < 0.1:
        found["channels"] = [r.choice(["pos", "web"])]
    if r.random() < 0.05:
        found["currency"] = r.choice(["CNY", "EUR"])
    if r.random() < 0.15:
        found["members"] = r.choice([["any"], ["gold"], ["gold", "silver"]])
    if r.random() < 0.15:
        found["coupon"] = r.choice(["X", "Y"])
    if r.random() < 0.05:
        found["tender"] = r.choice(["cash", ["cash", "card"]])
    return found


def rule(r, rid, *, stage=None, conditions=0.2):  # noqa: PLR0912  a list of chances
    stage = stage or r.choices(["line", "bundle", "order"], [5, 4, 3])[0]
    if stage == "line":
        kind = r.choice(["percent_off", "amount_off", "fixed_price", "tier_qty"])
        made = {"id": rid, "type": kind, "select": selector(r)} | terms(r, kind)
    elif stage == "bundle":
        made = {"id": rid, "type": "bundle"} | bundle(r)
    else:
        kind = r.choice(["order_amount", "order_percent", "gift"])
        made = {"id": rid, "type": kind} | order(r, kind)
    combine = {}
    if r.random() < 0.5:
        combine["priority"] = r.randint(-1, 3)
    if r.random() < 0.2:
        combine["group"] = r.choice(["t", "u"])
    roll = r.random()
    if roll < 0.08:
        combine["mode"] = "exclusive_basket"
    elif roll < 0.28 and stage != "bundle":
        combine["mode"] = "compound"
    if combine:
        made["combine"] = combine
    limits = {}
    if r.random() < 0.12:
        limits["max_units"] = r.randint(0, 3)
    if r.random() < 0.12:
        limits["max_applications"] = r.randint(0, 2)
    if r.random() < 0.12:
        limits["max_discount_minor"] = money(r)
    if r.random() < 0.06:
        limits["budget_left_minor"] = money(r)
    if r.random() < 0.03:
        limits["customer_left"] = r.randint(0, 1)
    if limits:
        made["limits"] = limits
    if r.random() < conditions:
        made["when"] = when(r)
    if r.random() < 0.04:
        made["status"] = "paused"
    if r.random() < 0.05:
        made["version"] = r.choice([3, 4])
    return made


def line(r):
    made = {"sku": r.choice(SKUS), "group": r.choice(GROUPS), "unit_price_minor": r.choice(PRICES)}
    roll = r.random()
    if roll < 0.12:
        made |= {"qty": r.choice(["0.735", "1.5", "2", "2.150", "0.250"]), "weighed": True}
    elif roll < 0.16:
        made["qty"] = r.choice(["0.5", 1.25])
    else:
        made["qty"] = r.choice([1, 1, 1, 2, 2, 3])
    roll = r.random()
    if roll < 0.04:
        made["no_discount"] = True
    elif roll < 0.08:
        made["is_return"] = True
    if r.random() < 0.15:
        made["floor_minor"] = r.choice([1, 5, 20, 90, 100])
    return made


def context(r):
    made = {
        "currency": "CNY",
        "store_tz": r.choice(ZONES),
        "resolution": r.choice(["best", "best", "priority"]),
    }
    if r.random() < 0.85:
        made["time"] = r.choice(TIMES)
    if r.random() < 0.3:
        made["clock"] = r.choice(
            [{"state": "untrusted"}, {"state": "synced", "uncertainty_ms": 500},
             {"state": "holdover", "uncertainty_ms": 60_000}, {"uncertainty_ms": 3_600_000}]
        )  # fmt: skip
    for key, values in {
        "store": ["S1", "S2"], "price_zone": ["Z1", "Z2"], "member": ["gold", "silver", "bronze"],
        "tender": ["cash", "card", "voucher"], "cache_version": [3, 4],
    }.items():  # fmt: skip
        if r.random() < 0.3:
            made[key] = r.choice(values)
    if r.random() < 0.4:
        made["coupons"] = r.choice([{"X": "ok"}, {"X": "used", "Y": "ok"}, ["X"], {"X": "expired"}])
    return made


def case(seed):
    r = random.Random(seed)
    focus = r.random()
    rules_max = 3 if focus < 0.6 else 4
    basket = [line(r) for _ in range(r.randint(1, 3 if focus < 0.7 else 4))]
    while sum(each["qty"] for each in basket if isinstance(each["qty"], int)) > UNITS_MAX:
        basket.pop()
    kinds = None if focus < 0.8 else r.choice(["line", "bundle", "order"])
    rules = [
        rule(r, f"R{i}", stage=kinds if i == 0 else None, conditions=0.15 if focus < 0.9 else 0.9)
        for i in range(r.randint(1, rules_max))
    ]
    made = {
        "id": f"S{seed}",
        "kind": "price",
        "context": context(r),
        "rules": rules,
        "basket": basket,
    }
    if r.random() < 0.15:
        made |= {"kind": "refund", "refund_policy": r.choice(["allocated", "reprice"])}
        made["returns"] = returns(r, basket)
    return made


def returns(r, basket):
    first, steps = {}, []
    for each in basket:
        if not each.get("is_return"):
            first.setdefault(each["sku"], each)
    for sku, each in first.items():
        if each.get("weighed") or not isinstance(each["qty"], int):
            steps.append([{"sku": sku, "qty": each["qty"]}])
        else:
            steps += [[{"sku": sku, "qty": 1}] for _ in range(each["qty"])]
    r.shuffle(steps)
    return steps[: r.randint(1, max(1, len(steps)))] if steps else []
