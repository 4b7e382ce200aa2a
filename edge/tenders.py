"""What each tender covers of a total, and the change: pure arithmetic."""

from collections.abc import Sequence

from edge.views import TenderIn
from protocol.errors import Refusal, define
from protocol.events import Tender
from protocol.money import MINOR_MAX, format_minor

CASH = "cash"
TENDER_KINDS = (CASH, "scan", "card")

define(
    {
        "PAY_SHORT": (
            "{missing} is still missing. Nothing was booked; take the rest.",
            "还差 {missing}。尚未记账，请补收。",
        ),
        "PAY_TOO_MUCH": (
            "{kind} payments come to {over} more than the total. Only cash gives change; nothing "
            "was booked.",
            "{kind} 支付超出应付 {over}。只有现金可以找零；尚未记账。",
        ),
        "TENDER_UNKNOWN": (
            "“{kind}” is no means of payment here.",
            "“{kind}”不是本店的支付方式。",
        ),
        "TENDER_NOT_BY_HAND": (
            "“{kind}” is collected through this till, never typed in. Nothing was booked; start "
            "the payment on the payment screen.",
            "“{kind}”须通过本收银台收款，不能手工录入。尚未记账，请在收款界面发起。",
        ),
    }
)


def settle(total_minor: int, tenders: Sequence[TenderIn]) -> tuple[tuple[Tender, ...], int]:
    """What each tender covers, and the change; only cash gives change."""
    for one in tenders:
        if one.kind not in TENDER_KINDS:
            raise Refusal("TENDER_UNKNOWN", kind=one.kind[:20])
        if not 0 <= one.given_minor <= MINOR_MAX:
            raise Refusal("AMOUNT_OUT_OF_RANGE", amount=one.given_minor)
    left = total_minor
    covered = []
    for one in sorted(tenders, key=lambda t: t.kind == CASH):
        if one.kind != CASH and one.given_minor > left:
            over = format_minor(one.given_minor - left)
            raise Refusal("PAY_TOO_MUCH", kind=one.kind, over=over)
        part = min(one.given_minor, left)
        left -= part
        covered.append(
            Tender(
                kind=one.kind,
                amount_minor=part,
                given_minor=one.given_minor,
                reference=one.reference[:60],
                provider=one.provider,
                attempt=one.attempt,
            )
        )
    if left:
        raise Refusal("PAY_SHORT", missing=format_minor(left))
    change = sum(t.given_minor - t.amount_minor for t in covered)
    return tuple(covered), change


def demand_by_hand(tenders: Sequence[TenderIn], by_hand: Sequence[str]) -> None:
    """Refuse a claim that money came over a device of ours: only its own answer says so."""
    for one in tenders:
        if one.kind in TENDER_KINDS and one.kind != CASH and one.kind not in by_hand:
            raise Refusal("TENDER_NOT_BY_HAND", kind=one.kind)
