"""An exhaustive evaluator, written from sections 2 to 4 of the specification alone.

It shares no code with the engine: exact fractions, every packing, no index, no pruning. Only for
baskets of a few units. `evaluate(case)` gives every accepted answer of a request.
"""

import itertools
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

UTC = timezone.utc  # noqa: UP017
LINE_TYPES = {"percent_off", "amount_off", "fixed_price", "tier_qty"}
ORDER_TYPES = {"order_amount", "order_percent", "gift"}
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


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


# ---- time


def reading(zone, t):
    return t.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def start_instant(zone, text):
    wall = datetime.fromisoformat(text)
    t = wall.replace(tzinfo=UTC) - timedelta(hours=26)
    while reading(zone, t + timedelta(hours=1)) < wall - timedelta(hours=3):
        t += timedelta(hours=1)
    while reading(zone, t) < wall:
        t += timedelta(minutes=1) if len(text) <= 16 else timedelta(seconds=1)
    return t


def end_instant(zone, text):
    """The last minute (or second) whose reading is not past the end, plus its precision."""
    wall = datetime.fromisoformat(text)
    step = timedelta(minutes=1) if len(text) <= 16 else timedelta(seconds=1)
    t = wall.replace(tzinfo=UTC) + timedelta(hours=26)
    while reading(zone, t - timedelta(hours=1)) > wall + timedelta(hours=3):
        t -= timedelta(hours=1)
    while reading(zone, t) > wall:
        t -= step
    return t + step


def minute(text):
    return int(text[:2]) * 60 + int(text[3:])


def window_reason(when, zone, t):
    if "start" in when and t < start_instant(zone, when["start"]):
        return "NOT_STARTED"
    if "end" in when and t >= end_instant(zone, when["end"]):
        return "EXPIRED"
    local = reading(zone, t)
    day = local.date()
    if "daily" in when:
        lo, hi = minute(when["daily"]["from"]), minute(when["daily"]["to"])
        now = local.hour * 60 + local.minute
        if lo < hi:
            if not lo <= now < hi:
                return "OUTSIDE_HOURS"
        elif now < hi:
            day -= timedelta(days=1)
        elif now < lo:
            return "OUTSIDE_HOURS"
    if "days" in when and WEEK[day.weekday()] not in when["days"]:
        return "WRONG_DAY"
    return ""


def time_reason(rule, ctx):
    when = rule.get("when", {})
    if not any(k in when for k in ("start", "end", "days", "daily")):
        return ""
    clock = ctx.get("clock", {})
    if clock.get("state") == "untrusted" or "time" not in ctx:
        return "CLOCK_UNTRUSTED"
    zone = when.get("tz", ctx.get("store_tz", "UTC"))
    t = datetime.fromisoformat(ctx["time"])
    u = timedelta(milliseconds=clock.get("uncertainty_ms", 0))
    here = window_reason(when, zone, t)
    if not u:
        return here
    ms = timedelta(milliseconds=1)
    probes = {t - u, t, t + u}
    tick = (t - u).replace(second=0, microsecond=0)
    while tick <= t + u:
        probes |= {p for p in (tick, tick - ms) if t - u <= p <= t + u}
        tick += timedelta(minutes=1)
    if "start" in when or "end" in when:
        for edge in ("start", "end"):
            if edge in when:
                at = (start_instant if edge == "start" else end_instant)(zone, when[edge])
                probes |= {p for p in (at, at - ms) if t - u <= p <= t + u}
    inside = [window_reason(when, zone, p) == "" for p in sorted(probes)]
    if all(inside):
        return ""
    return "CLOCK_UNTRUSTED" if any(inside) else here


def has(listed, value):
    return value in ([listed] if isinstance(listed, str) else listed)


def filter_reason(rule, ctx):
    when, limits = rule.get("when", {}), rule.get("limits", {})
    if rule.get("status", "active") != "active":
        return "DISABLED"
    if ctx.get("cache_version") is not None and rule.get("version", 0) > ctx["cache_version"]:
        return "RULES_STALE"
    if "zones" in when and ctx.get("price_zone") and ctx["price_zone"] not in when["zones"]:
        return "WRONG_ZONE"
    if "stores" in when and ctx.get("store") not in when["stores"]:
        return "WRONG_STORE"
    if "channels" in when and ctx.get("channel", "pos") not in when["channels"]:
        return "WRONG_CHANNEL"
    if "currency" in when and not has(when["currency"], ctx.get("currency", "CNY")):
        return "WRONG_CURRENCY"
    timed = time_reason(rule, ctx)
    if timed:
        return timed
    if "members" in when:
        if ctx.get("member") is None:
            return "MEMBER_REQUIRED"
        if "any" not in when["members"] and ctx["member"] not in when["members"]:
            return "MEMBER_TIER"
    if "tender" in when and (ctx.get("tender") is None or not has(when["tender"], ctx["tender"])):
        return "WRONG_TENDER"
    if "coupon" in when:
        coupons = ctx.get("coupons", {})
        if isinstance(coupons, list):
            coupons = dict.fromkeys(coupons, "ok")
        state = coupons.get(when["coupon"])
        if state != "ok":
            return {"used": "COUPON_USED", "expired": "COUPON_EXPIRED"}.get(state, "COUPON_MISSING")
    if limits.get("customer_left") == 0:
        return "CUSTOMER_LIMIT"
    if limits.get("budget_left_minor") == 0:
        return "BUDGET_EXHAUSTED"
    return ""


# ---- the arithmetic of rules


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
        shares = largest_remainder(total, [weights[i] if i in open_ else 0 for i in range(len(weights))])
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
    base_of = (lambda it: it.gross) if rule.get("basis") == "before" else lambda it: after_items[it.i]
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


# ---- packings and alternatives


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
    return {finish(items, enumerate(parts), applied, compounds, orders) for parts, applied in reduced}


def touches(rule, items):
    sels = [s["select"] for s in rule["slots"]] if rule["type"] == "bundle" else [
        rule.get("select", {"all": True})
    ]
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
    lone = rule | {"combine": {k: v for k, v in rule.get("combine", {}).items() if k == "mode" and v == "compound"}}
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
            amount += hu(nets[i] * (done[i] + k) / items[i].qty) - hu(nets[i] * done[i] / items[i].qty)
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
