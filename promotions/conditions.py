"""The first table of reason codes: is a rule filtered out, and by which condition first?

`CHECKS` is that table, in its order; a check answers a code or "".
"""

from collections.abc import Callable
from typing import Any, Final

from promotions.basket import Context
from promotions.ruleset import Live

COUPON_CODES: Final = {"used": "COUPON_USED", "expired": "COUPON_EXPIRED"}


def _status(live: Live, context: Context) -> str:
    if not live.rule.active:
        return "DISABLED"
    held = context.cache_version
    return "RULES_STALE" if held is not None and live.version > held else ""


def _place(live: Live, context: Context) -> str:
    when, zone = live.rule.when, context.price_zone
    if when.zones is not None and zone is not None and zone not in when.zones:
        return "WRONG_ZONE"
    if when.stores is not None and context.store not in when.stores:
        return "WRONG_STORE"
    if when.channels is not None and context.channel not in when.channels:
        return "WRONG_CHANNEL"
    if when.currency is not None and context.currency not in when.currency:
        return "WRONG_CURRENCY"
    return ""


def _time(live: Live, context: Context) -> str:
    if live.window is None:
        return ""
    if not context.clock_trusted or context.time_ms is None:
        return "CLOCK_UNTRUSTED"
    return live.window.judge(context.time_ms, context.uncertainty_ms)


def _person(live: Live, context: Context) -> str:
    when = live.rule.when
    if when.members is not None:
        if context.member is None:
            return "MEMBER_REQUIRED"
        if "any" not in when.members and context.member not in when.members:
            return "MEMBER_TIER"
    if when.tender is not None and context.tender not in when.tender:
        return "WRONG_TENDER"
    return ""


def _coupon(live: Live, context: Context) -> str:
    code = live.rule.when.coupon
    if code is None:
        return ""
    state = context.coupons.get(code)
    return "" if state == "ok" else COUPON_CODES.get(state or "", "COUPON_MISSING")


def _left(live: Live, context: Context) -> str:
    del context
    if live.rule.limits.customer_left == 0:
        return "CUSTOMER_LIMIT"
    return "BUDGET_EXHAUSTED" if live.rule.limits.budget_left_minor == 0 else ""


CHECKS: Final[tuple[Callable[[Live, Context], str], ...]] = (
    _status,
    _place,
    _time,
    _person,
    _coupon,
    _left,
)


def filtered(live: Live, context: Context) -> str:
    """The code of the first condition that keeps the rule out, or "" when it is active."""
    if live.broken:
        return "RULE_UNSUPPORTED"
    if live.free and (context.cache_version is None or live.version <= context.cache_version):
        return ""
    for check in CHECKS:
        code = check(live, context)
        if code:
            return code
    return ""


def numbers(live: Live, context: Context, code: str) -> dict[str, Any]:
    """The figures behind a code: have and need, instant, uncertainty, zone and window."""
    when, limits = live.rule.when, live.rule.limits
    if code == "RULES_STALE":
        return {"have": context.cache_version, "want": live.version}
    if code in TIME_CODES:
        return moment(live, context)
    pairs: dict[str, tuple[object, object]] = {
        "WRONG_ZONE": (context.price_zone, when.zones),
        "WRONG_STORE": (context.store, when.stores),
        "WRONG_CHANNEL": (context.channel, when.channels),
        "WRONG_CURRENCY": (context.currency, when.currency),
        "MEMBER_REQUIRED": (context.member, when.members),
        "MEMBER_TIER": (context.member, when.members),
        "WRONG_TENDER": (context.tender, when.tender),
    }
    if code in pairs:
        have, need = pairs[code]
        return {"have": have, "need": list(need) if isinstance(need, tuple) else need}
    if code.startswith("COUPON"):
        return {"coupon": when.coupon, "state": context.coupons.get(when.coupon or "")}
    if code == "RULE_UNSUPPORTED":
        return {"fault": live.broken}
    return {"left": limits.customer_left if code == "CUSTOMER_LIMIT" else 0}


def moment(live: Live, context: Context) -> dict[str, Any]:
    """When, how certain and in which window a timed rule was judged; {} of a rule without time."""
    if live.window is None:
        return {}
    when = live.rule.when
    return {
        "time_ms": context.time_ms,
        "uncertainty_ms": context.uncertainty_ms,
        "clock_state": context.clock_state,
        "zone": live.window.tz_name,
        "start": when.start,
        "end": when.end,
        "days": None if when.days is None else sorted(when.days),
        "daily": None if when.daily is None else [when.daily.from_ms, when.daily.to_ms],
    }


TIME_CODES: Final = frozenset(
    {"CLOCK_UNTRUSTED", "NOT_STARTED", "EXPIRED", "OUTSIDE_HOURS", "WRONG_DAY"}
)
