"""Which rules the exhaustive evaluator lets in: section 3, table A, by scanning the local clock."""

from datetime import datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo

UTC = timezone.utc  # noqa: UP017
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def reading(zone, t):
    return t.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@cache
def start_instant(zone, text):
    wall = datetime.fromisoformat(text)
    t = wall.replace(tzinfo=UTC) - timedelta(hours=26)
    while reading(zone, t + timedelta(hours=1)) < wall - timedelta(hours=3):
        t += timedelta(hours=1)
    while reading(zone, t) < wall:
        t += timedelta(minutes=1) if len(text) <= 16 else timedelta(seconds=1)
    return t


@cache
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


def filter_reason(rule, ctx):  # noqa: PLR0912  the table of section 3 in its order
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
