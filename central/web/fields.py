"""Read what people type into forms; a wrong field is a sentence, never a crash."""

from flask import request

from protocol.errors import Refusal, define
from protocol.money import parse_minor
from protocol.quantity import parse_milli

define(
    {
        "AMOUNT_MISSING": (
            "Type an amount, like 12.50. Nothing was saved.",
            "请输入金额，例如 12.50。尚未保存。",
        ),
        "PERCENT_WRONG": (
            "“{text}” is not a tax rate. Type a number from 0 to 100, like 13 or 9.5.",
            "“{text}”不是税率。请输入 0 到 100 之间的数字，例如 13 或 9.5。",
        ),
        "NOT_SURE": (
            "Tick the box beside the button first. Nothing was changed.",
            "请先勾选按钮旁的确认框。没有任何更改。",
        ),
        "MOMENT_WRONG": (
            "“{text}” is not a date and time. Type it like 2026-01-17 08:00.",
            "“{text}”不是日期时间。请按 2026-01-17 08:00 的格式输入。",
        ),
    }
)


def demand_sure() -> None:
    """A dangerous button has a box beside it that must be ticked."""
    if "sure" not in request.form:
        raise Refusal("NOT_SURE")


def typed(name: str) -> str:
    """A form field without the spaces around it."""
    return request.form.get(name, "").strip()


def amount(text: str) -> int:
    """An amount that must be there; people may type the sign of the currency and commas."""
    bare = text.strip().lstrip("¥￥$€£").replace(",", "").strip()
    if not bare:
        raise Refusal("AMOUNT_MISSING")
    return parse_minor(bare)


def optional_amount(text: str) -> int | None:
    """An amount, or None for an empty field."""
    return amount(text) if text.strip() else None


def percent_bp(text: str) -> int:
    """`13` or `9.5` as basis points."""
    bare = text.strip().rstrip("%").strip()
    try:
        milli = parse_milli(bare, decimals=2)
    except Refusal:
        milli = -1
    if not 0 <= milli <= 100_000:
        raise Refusal("PERCENT_WRONG", text=text[:20])
    return milli // 10
