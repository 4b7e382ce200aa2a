"""The fate of a rule as a sentence that a cashier understands, in zh-CN and en.

`SENTENCES` is a table: code -> (zh, en), with named places that `_facts` fills from the outcome's
numbers. Where goods are short, the sentence names the nearest miss.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from promotions.rule import Rule
from promotions.trace import Outcome
from promotions.window import DAYS, EPOCH, zone_of
from protocol.money import format_minor
from protocol.quantity import format_milli

SENTENCES: Final[dict[str, tuple[str, str]]] = {
    "APPLIED": (
        "“{name}”已享受：优惠 {discount}{gifts}。",
        "“{name}” applied: {discount} off{gifts}.",
    ),
    "APPLIED_AT": (
        "“{name}”已享受：优惠 {discount}{gifts}（{zone} 时间 {time}，误差 ±{u}，时钟 {clock}）。",
        "“{name}” applied: {discount} off{gifts} ({time} {zone}, ±{u}, clock {clock}).",
    ),
    "RULE_UNKNOWN": (
        "本机没有促销“{name}”：请检查是否已下发到本店。",
        "This till does not hold “{name}”: check that it was sent to this shop.",
    ),
    "RULE_UNSUPPORTED": (
        "“{name}”本机无法识别，未参与计价；请升级或联系总部。",
        "“{name}” cannot be read by this version, so it was left out; update, or tell head office.",
    ),
    "RULE_ERROR": (
        "“{name}”计算出错（{fault}），已跳过并报警；其余优惠照常。",
        "“{name}” failed ({fault}) and was left out with an alarm; all else was priced.",
    ),
    "DISABLED": ("“{name}”已停用。", "“{name}” is switched off."),
    "RULES_STALE": (
        "“{name}”属于规则版本 {want}，本机只到版本 {have}：请刷新规则。",
        "“{name}” came with rule set {want}, this till holds {have}: refresh the rules.",
    ),
    "WRONG_ZONE": (
        "“{name}”只用于价格区 {need}，本店是 {have}。",
        "“{name}” is for price zone {need}; this shop is in {have}.",
    ),
    "WRONG_STORE": (
        "“{name}”只用于门店 {need}，本店是 {have}。",
        "“{name}” is for shops {need}; this is {have}.",
    ),
    "WRONG_CHANNEL": (
        "“{name}”只用于渠道 {need}，本单是 {have}。",
        "“{name}” is for channel {need}; this sale is {have}.",
    ),
    "WRONG_CURRENCY": (
        "“{name}”只用于货币 {need}，本单是 {have}。",
        "“{name}” is for {need}; this sale is in {have}.",
    ),
    "CLOCK_UNTRUSTED": (
        "“{name}”有时间限制，而本机时钟不可信（{clock}，{time}，误差 ±{u}）：请校准时间。",
        "“{name}” has a time limit and this clock cannot decide it ({clock}, {time}, ±{u}): "
        "set the clock.",
    ),
    "NOT_STARTED": (
        "“{name}”{start} 才开始，现在是 {time}（{zone}）。",
        "“{name}” starts at {start}; it is {time} ({zone}).",
    ),
    "EXPIRED": (
        "“{name}”已于 {end} 结束，现在是 {time}（{zone}）。",
        "“{name}” ended at {end}; it is {time} ({zone}).",
    ),
    "OUTSIDE_HOURS": (
        "“{name}”每天 {hours} 有效，现在是 {time}（{zone}）。",
        "“{name}” runs {hours} each day; it is {time} ({zone}).",
    ),
    "WRONG_DAY": (
        "“{name}”只在 {days} 有效，现在是 {time}（{zone}）。",
        "“{name}” runs on {days}; it is {time} ({zone}).",
    ),
    "MEMBER_REQUIRED": (
        "“{name}”仅限会员：请先登录会员。",
        "“{name}” is for members: enter the member.",
    ),
    "MEMBER_TIER": (
        "“{name}”仅限会员等级 {need}，该会员是 {have}。",
        "“{name}” is for tier {need}; this member is {have}.",
    ),
    "WRONG_TENDER": (
        "“{name}”仅限用 {need} 付款。",
        "“{name}” is for payment by {need}.",
    ),
    "COUPON_MISSING": ("“{name}”需要优惠券 {coupon}。", "“{name}” needs coupon {coupon}."),
    "COUPON_USED": ("优惠券 {coupon} 已使用过。", "Coupon {coupon} has been used."),
    "COUPON_EXPIRED": ("优惠券 {coupon} 已过期。", "Coupon {coupon} has expired."),
    "CUSTOMER_LIMIT": ("该顾客的“{name}”次数已用完。", "This customer has used up “{name}”."),
    "BUDGET_EXHAUSTED": ("“{name}”的预算已用完。", "The budget of “{name}” is used up."),
    "NO_ELIGIBLE_ITEM": (
        "篮中没有“{name}”的商品（{goods}）。若应参加，请检查商品的促销分组。",
        "Nothing in the basket is in “{name}” ({goods}). If it should be, check its group.",
    ),
    "SPEND_SHORT": (
        "再买 {gap} 即可享受“{name}”（需 {need_money}，现 {have_money}）。",
        "Spend {gap} more for “{name}” (needs {need_money}, now {have_money}).",
    ),
    "QTY_SHORT": (
        "再买 {gap_qty} 件{goods}即可享受“{name}”（需 {need_qty}，现 {have_qty}）。",
        "{gap_qty} more of {goods} for “{name}” (needs {need_qty}, now {have_qty}).",
    ),
    "ZERO_EFFECT": (
        "“{name}”对这些商品没有优惠：现价已更低，或未达到一次优惠的条件。",
        "“{name}” would take nothing off these goods: they cost less already, or its cap is below "
        "one application.",
    ),
    "EXCLUSIVE_OTHER": (
        "整单独享的 {winners} 已生效，“{name}”不能同享。",
        "{winners} applies alone in the basket, so “{name}” cannot.",
    ),
    "GROUP_TAKEN": (
        "同组促销 {winners} 已生效（优惠 {winners_money}），“{name}”不能同享。",
        "{winners} of the same group applied ({winners_money} off), so “{name}” cannot.",
    ),
    "LOST_TO_PRIORITY": (
        "优先级更高的 {winners} 已占用商品（优惠 {winners_money}），“{name}”未使用。",
        "{winners} ranks higher and took the goods ({winners_money} off); “{name}” was not used.",
    ),
    "LOST_TO_BETTER": (
        "已选更优惠的 {winners}（本单共优惠 {total_money}；单用“{name}”为 {alone_money}）。",
        "{winners} is better for the customer ({total_money} off in all; “{name}” alone gives "
        "{alone_money}).",
    ),
    "NOTHING_LEFT": (
        "其他优惠之后，“{name}”已无可优惠的金额。",
        "After the other discounts nothing is left for “{name}”.",
    ),
}


def _local(data: dict[str, Any]) -> str:
    zone = zone_of(str(data.get("zone") or "UTC")) or UTC
    at = data.get("time_ms")
    if not isinstance(at, int):
        return "?"
    return (EPOCH + timedelta(milliseconds=at)).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _clock_hours(data: dict[str, Any]) -> str:
    daily = data.get("daily")
    if not daily:
        return ""
    midnight = datetime(2000, 1, 1, tzinfo=UTC)
    return "-".join(f"{midnight + timedelta(milliseconds=ms):%H:%M}" for ms in daily)


def _days(data: dict[str, Any], *, zh: bool) -> str:
    days = data.get("days") or []
    if zh:
        return "、".join("周" + "一二三四五六日"[day] for day in days)
    return ", ".join(DAYS[day] for day in days)


def _goods(data: dict[str, Any], *, zh: bool) -> str:
    if data.get("all"):
        return "任意商品" if zh else "any goods"
    groups, skus = data.get("groups") or [], data.get("skus") or []
    parts = [f"{group}类" if zh else f"group {group}" for group in groups[:3]]
    parts += [str(sku) for sku in skus[:3]]
    if len(groups) > 3 or len(skus) > 3:
        parts.append("等" if zh else "...")
    if not parts:
        return "商品" if zh else "its goods"
    return ("、" if zh else ", ").join(parts)


def _listed(found: object, *, zh: bool) -> str:
    if isinstance(found, list | tuple):
        return ("、" if zh else ", ").join(str(each) for each in found) or "?"
    return ("无" if zh else "none") if found is None else str(found)


def _money(data: dict[str, Any], key: str) -> str:
    found = data.get(key)
    return (
        format_minor(found, str(data.get("currency") or "CNY")) if isinstance(found, int) else "?"
    )


def _gap(data: dict[str, Any], unit: str) -> int:
    need, have = data.get(f"need_{unit}"), data.get(f"have_{unit}")
    return max(0, need - have) if isinstance(need, int) and isinstance(have, int) else 0


def _gifts(data: dict[str, Any], *, zh: bool) -> str:
    gifts = "、".join(f"{sku} x{qty}" for sku, qty in data.get("gifts") or [])
    if not gifts:
        return ""
    return f"，赠 {gifts}" if zh else f", gift {gifts}"


def _facts(data: dict[str, Any], *, zh: bool) -> dict[str, str]:
    currency = str(data.get("currency") or "CNY")
    return {
        "discount": _money(data, "discount_minor"),
        "gifts": _gifts(data, zh=zh),
        "fault": str(data.get("fault", "")),
        "want": str(data.get("want")),
        "have": _listed(data.get("have"), zh=zh),
        "need": _listed(data.get("need"), zh=zh),
        "clock": str(data.get("clock_state")),
        "time": _local(data),
        "u": f"{(data.get('uncertainty_ms') or 0) / 1000:g} s",
        "zone": str(data.get("zone")),
        "start": str(data.get("start")).replace("T", " "),
        "end": str(data.get("end")).replace("T", " "),
        "hours": _clock_hours(data),
        "days": _days(data, zh=zh),
        "coupon": str(data.get("coupon")),
        "goods": _goods(data, zh=zh),
        "gap": format_minor(_gap(data, "minor"), currency),
        "need_money": _money(data, "need_minor"),
        "have_money": _money(data, "have_minor"),
        "gap_qty": format_milli(_gap(data, "milli")),
        "need_qty": format_milli(data.get("need_milli") or 0),
        "have_qty": format_milli(data.get("have_milli") or 0),
        "winners": _listed(data.get("winners"), zh=zh),
        "winners_money": _money(data, "winners_minor"),
        "total_money": _money(data, "total_minor"),
        "alone_money": _money(data, "alone_minor"),
    }


def _variant(outcome: Outcome, *, zh: bool) -> str:
    """A threshold that only other discounts undercut is said as such; a timed rule says when."""
    data = outcome.data
    if outcome.code == "SPEND_SHORT" and not _gap(data, "minor"):
        return (
            "其他优惠之后，“{name}”没有可优惠的金额（现 {have_money}）。"
            if zh
            else "After the other discounts “{name}” has nothing to take off (now {have_money})."
        )
    if outcome.code == "QTY_SHORT" and not _gap(data, "milli"):
        return (
            "“{name}”对这些商品的数量没有优惠。"
            if zh
            else "“{name}” takes nothing off this quantity of these goods."
        )
    timed = outcome.code == "APPLIED" and "time_ms" in data
    texts = SENTENCES.get("APPLIED_AT" if timed else outcome.code)
    if texts is None:
        return "{name}: " + outcome.code
    return texts[0] if zh else texts[1]


def explain(outcome: Outcome, language: str, rule: Rule | None = None) -> str:
    """One sentence; `rule` gives the display name in place of the id."""
    zh = language.startswith("zh")
    name = outcome.rule_id if rule is None else rule.title(language)
    return _variant(outcome, zh=zh).format(name=name, **_facts(outcome.data, zh=zh))
