# ruff: noqa: B905  lengths are equal by construction
"""The arithmetic of single rules for the exhaustive evaluator: exact fractions, no shortcuts."""

import itertools
from fractions import Fraction

LINE_TYPES = {"percent_off", "amount_off", "fixed_price", "tier_qty"}
ORDER_TYPES = {"order_amount", "order_percent", "gift"}


def hu(x):
    x = Fraction(x)
    return (2 * x.numerator + x.denominator) // (2 * x.denominator)


def dec(x):
    return Fraction(str(x))


def largest_remainder(total, weights):
    s = sum(weights)
    if s == 0:
        return [0] * len(weights)
    exact = [Fraction(total * w, s) for w in weights]
    parts = [int(e) for e in exact]
    order = sorted(range(len(weights)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


class Item:
    def __init__(self, i, doc):
        self.i = i
        self.doc = doc
        self.qty = abs(dec(doc["qty"]))
        self.ret = doc.get("is_return", False)
        self.dead = self.ret or doc.get("no_discount", False)
        self.lot = bool(doc.get("weighed")) or self.qty.denominator != 1
        price = doc["unit_price_minor"]
        self.gross = 0 if self.ret else hu(price * self.qty)
        self.n = 0 if self.ret else (1 if self.lot else int(self.qty))
        self.p = self.gross if self.lot else price
        f = doc.get("floor_minor")
        self.floor = None if f is None else (hu(f * self.qty) if self.lot else f)

    def whole_floor(self):
        return 0 if self.floor is None else self.floor * self.n


def matches(sel, item):
    if item.dead:
        return False
    sku, group = item.doc["sku"], item.doc.get("group")
    if sku in sel.get("exclude_skus", []):
        return False
    if group is not None and group in sel.get("exclude_groups", []):
        return False
    if sel.get("all") or sku in sel.get("skus", []):
        return True
    return group is not None and group in sel.get("groups", [])


def mode(rule):
    found = rule.get("combine", {}).get("mode", "exclusive_unit")
    return "plain" if rule["type"] in ORDER_TYPES and found == "compound" else found


def prio(rule):
    return rule.get("combine", {}).get("priority", 0)


def by_rank(rules):
    return sorted(rules, key=lambda r: (-prio(r), r["id"]))


def cap_of(rule):
    limits = rule.get("limits", {})
    found = [limits[k] for k in ("max_discount_minor", "budget_left_minor") if k in limits]
    return min(found) if found else None


def lines_of(rule, items):
    sel = rule.get("select", {"all": True})
    return [it for it in items if matches(sel, it)]


def given_on(terms, item, k):
    """k units of one line under percent, off_minor or price_minor."""
    if "percent" in terms:
        saved = hu(item.p * k * dec(terms["percent"]) / 100)
    elif "off_minor" in terms:
        off = hu(terms["off_minor"] * item.qty) if item.lot else terms["off_minor"]
        saved = min(item.p, off) * k
    else:
        price = hu(terms["price_minor"] * item.qty) if item.lot else terms["price_minor"]
        saved = max(0, item.p - price) * k
    if item.floor is not None:
        saved = min(saved, max(0, item.p - item.floor) * k)
    return saved


def cut(parts, cap):
    return parts if cap is None or sum(parts) <= cap else largest_remainder(cap, parts)


def line_choices(rule, items, free):
    own = lines_of(rule, items)
    most = rule.get("limits", {}).get("max_units")
    for ks in itertools.product(*(range(free[it.i] + 1) for it in own)):
        if not any(ks) or (most is not None and sum(ks) > most):
            continue
        terms = rule
        if rule["type"] == "tier_qty":
            covered = sum(it.qty if it.lot else k for it, k in zip(own, ks) if k)
            reached = [t for t in rule["tiers"] if dec(t["min_qty"]) <= covered]
            if not reached:
                continue
            terms = reached[-1]
        parts = cut([given_on(terms, it, k) for it, k in zip(own, ks)], cap_of(rule))
        if sum(parts):
            yield ({it.i: k for it, k in zip(own, ks)}, {it.i: d for it, d in zip(own, parts)})


def effect_saving(effect, s, times=1):
    kind = effect["kind"]
    if kind == "free":
        return s
    if kind == "percent":
        return hu(s * dec(effect["percent"]) / 100)
    if kind == "amount":
        return min(s, effect["off_minor"] * times)
    return max(0, s - effect["price_minor"] * times)


def room_fill(total, weights, rooms):
    total = min(total, sum(rooms))
    out = [0] * len(weights)
    while total:
        open_ = [i for i in range(len(weights)) if out[i] < rooms[i]]
        shares = largest_remainder(
            total, [weights[i] if i in open_ else 0 for i in range(len(weights))]
        )
        total = 0
        for i, s in enumerate(shares):
            take = min(s, rooms[i] - out[i])
            out[i] += take
            total += s - take
    return out


def one_application(rule, items, used, rewarded, times=1):
    saved = effect_saving(rule["effect"], sum(items[i].p * k for i, k in rewarded.items()), times)
    if saved <= 0:
        return None
    base = used if rule.get("allocation", "reward") == "spread" else rewarded
    keys = sorted(i for i, k in base.items() if k)
    weights = [items[i].p * base[i] for i in keys]
    rooms = [
        (items[i].p if items[i].floor is None else max(0, items[i].p - items[i].floor)) * base[i]
        for i in keys
    ]
    parts = room_fill(saved, weights, rooms)
    if not sum(parts):
        return None
    return used, dict(zip(keys, parts))


def unit_list(items, free, sel):
    return [it.i for it in items if not it.lot and matches(sel, it) for _ in range(free[it.i])]


def count(units):
    return {i: units.count(i) for i in units}


def applications(rule, items, free):
    """Every single application, as (used, parts)."""
    slots, on = rule["slots"], rule["effect"].get("on", "all")
    seen = []

    def choose(s, left, chosen):
        if s == len(slots):
            yield chosen
            return
        pool = unit_list(items, left, slots[s]["select"])
        for units in set(itertools.combinations(pool, slots[s].get("qty", 1))):
            rest = dict(left)
            for u in units:
                rest[u] -= 1
            yield from choose(s + 1, rest, [*chosen, units])

    for chosen in choose(0, free, []):
        units = [u for part in chosen for u in part]
        word, _, num = on.partition(":")
        if word == "all":
            reward = units
        elif word == "slot":
            reward = list(chosen[int(num)])
        elif word == "cheapest":
            reward = sorted(units, key=lambda u: (items[u].p, u))[: int(num)]
        else:
            reward = sorted(units, key=lambda u: (-items[u].p, -u))[: int(num)]
        made = one_application(rule, items, count(units), count(reward))
        if made is not None and made not in seen:
            seen.append(made)
    return seen


def bundle_choices(rule, items, free):
    limits, cap = rule.get("limits", {}), cap_of(rule)
    most = limits.get("max_applications", 99)
    if rule.get("favor") == "retailer":
        yield from retailer_choices(rule, items, free, most, cap)
        return
    every = applications(rule, items, free)
    done = set()

    def more(at, left, times, used, parts):
        for j in range(at, len(every)):
            u, d = every[j]
            if times + 1 > most or any(left[i] < k for i, k in u.items()):
                continue
            rest = dict(left)
            used2, parts2 = dict(used), dict(parts)
            for i, k in u.items():
                rest[i] -= k
                used2[i] = used2.get(i, 0) + k
            for i, k in d.items():
                parts2[i] = parts2.get(i, 0) + k
            key = (tuple(sorted(used2.items())), tuple(sorted(parts2.items())))
            if cap is None or sum(parts2.values()) <= cap:
                if key not in done:
                    done.add(key)
                    yield used2, parts2
                yield from more(j, rest, times + 1, used2, parts2)

    yield from more(0, free, 0, {}, {})


def retailer_choices(rule, items, free, most, cap):
    size, cheap = rule["slots"][0].get("qty", 1), int(rule["effect"]["on"].split(":")[1])
    full = {it.i: it.n for it in items}
    pool = unit_list(items, full, rule["slots"][0]["select"])
    for m in range(1, min(most, len(pool) // size) + 1):
        rising = sorted(pool, key=lambda u: (items[u].p, -u))
        reward = rising[: cheap * m]
        rest = sorted(rising[cheap * m :], key=lambda u: (-items[u].p, u))
        others = rest[: (size - cheap) * m]
        used = count(reward + others)
        if any(free[i] < k for i, k in used.items()):
            continue
        made = one_application(rule, items, used, count(reward), m)
        if made is not None and (cap is None or sum(made[1].values()) <= cap):
            yield made


def compound_step(rule, items, nets):
    own = lines_of(rule, items)
    parts = []
    covered = sum(it.qty for it in own)
    for it in own:
        net, n = nets[it.i], it.n
        terms = rule
        if rule["type"] == "tier_qty":
            reached = [t for t in rule["tiers"] if dec(t["min_qty"]) <= covered]
            if not reached:
                return {}
            terms = reached[-1]
            u = hu(Fraction(net, n))
            if "percent" in terms:
                x = hu(u * n * dec(terms["percent"]) / 100)
            elif "off_minor" in terms:
                off = hu(terms["off_minor"] * it.qty) if it.lot else terms["off_minor"]
                x = min(u, off) * n
            else:
                price = hu(terms["price_minor"] * it.qty) if it.lot else terms["price_minor"]
                x = max(0, u - price) * n
        elif rule["type"] == "percent_off":
            x = hu(net * dec(rule["percent"]) / 100)
        elif rule["type"] == "amount_off":
            x = hu(rule["off_minor"] * it.qty) if it.lot else rule["off_minor"] * n
        else:
            x = net - (hu(rule["price_minor"] * it.qty) if it.lot else rule["price_minor"] * n)
        x = max(0, min(x, net))
        if it.floor is not None:
            x = min(x, max(0, net - it.whole_floor()))
        parts.append(x)
    parts = cut(parts, cap_of(rule))
    return {it.i: d for it, d in zip(own, parts) if d}


def order_step(rule, items, nets, after_items):
    own = lines_of(rule, items)
    base_of = (
        (lambda it: it.gross) if rule.get("basis") == "before" else lambda it: after_items[it.i]
    )
    b = sum(base_of(it) for it in own)
    if rule["type"] == "gift":
        return ({}, bool(own) and b >= rule.get("min_minor", 0))
    run = sum(nets[it.i] for it in own)
    if rule["type"] == "order_percent":
        x = hu(run * dec(rule["percent"]) / 100) if b >= rule.get("min_minor", 0) else 0
    elif "every_minor" in rule:
        x = b // rule["every_minor"] * rule["off_minor"]
    else:
        reached = [t["off_minor"] for t in rule["tiers"] if b >= t["min_minor"]]
        x = reached[-1] if reached else 0
    rooms = [max(0, nets[it.i] - it.whole_floor()) for it in own]
    x = min(x, run, sum(rooms))
    if cap_of(rule) is not None:
        x = min(x, cap_of(rule))
    parts = room_fill(x, [nets[it.i] for it in own], rooms)
    return ({it.i: d for it, d in zip(own, parts) if d}, False)
