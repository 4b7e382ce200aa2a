"""Where a payment stands and what is being done about it, in words for the till."""

from devices.payment import PayState
from edge.payments import Row
from edge.words import Notice, notice
from protocol.errors import define
from protocol.money import format_minor

define(
    {
        "PAY_SAYS_ASKING": (
            "Asking {provider} for {amount}…",
            "正在向{provider}发起收款 {amount}…",
        ),
        "PAY_SAYS_PENDING": (
            "Waiting for the customer to confirm {amount} (password or PIN)…",
            "等待顾客确认支付 {amount}（输入密码）…",
        ),
        "PAY_SAYS_LOST": (
            "{provider} did not answer. Whether {amount} was paid is being asked; do not take the "
            "money again.",
            "{provider}没有应答，正在查询 {amount} 是否已支付，请勿重复收款。",
        ),
        "PAY_SAYS_REVERSING": (
            "{amount} is being taken back at {provider}. If the customer paid, the money returns.",
            "正在向{provider}撤销 {amount}。如顾客已支付，款项将退回。",
        ),
        "PAY_SAYS_REVERSING_LOST": (
            "{amount} must be taken back, but {provider} does not answer. It is asked again until "
            "it does; the till stays on this sale.",
            "需撤销 {amount}，但{provider}没有应答。系统会持续重试，本单暂不能更改。",
        ),
        "PAY_SAYS_UNHEARD": (
            "{provider} knows nothing of this payment. Sell on; it is asked for a while longer, "
            "and money that still comes goes back.",
            "{provider}没有收到这笔付款。可继续销售；系统会继续查询，若之后到账将自动退回。",
        ),
        "PAY_SAYS_HELD": (
            "{amount} is paid and kept for this sale. Take the rest, or give it back.",
            "已收 {amount}，计入本单。请收取余款，或退回该款。",
        ),
        "PAY_SAYS_BOOKED": (
            "{amount} is paid; the sale is recorded.",
            "已收 {amount}，销售已记账。",
        ),
        "PAY_SAYS_REFUSED": (
            "{provider} refused the payment: {reason}. Nothing was taken; try again or choose "
            "another way to pay.",
            "{provider}拒绝了付款：{reason}。未扣款，请重试或更换支付方式。",
        ),
        "PAY_SAYS_REVERSED": (
            "The payment was undone: {amount} was not taken, or went back to the customer.",
            "付款已撤销：{amount} 未扣款，或已退回顾客。",
        ),
        "PAY_SAYS_UNRECORDED": (
            "{amount} is paid, but the sale could not be recorded yet ({detail}). It is tried "
            "again by itself; do not take the money again.",
            "已收 {amount}，但销售尚未记账（{detail}）。系统会自动重试，请勿重复收款。",
        ),
    }
)


def said(row: Row, *, heard: bool, trouble: str, currency: str) -> Notice:
    """The sentence of one try.

    Args:
        row: as the table holds it.
        heard: did its last message get an answer?
        trouble: code of why the sale with this money cannot be recorded just now; "" when it can.
        currency: of the amount.
    """
    words = {
        "provider": row.provider,
        "amount": format_minor(row.amount_minor, currency),
        "reason": row.reason or "—",
        "detail": trouble,
    }
    code = f"PAY_SAYS_{row.state.name}"
    if row.state is PayState.POLLING:
        code = "PAY_SAYS_PENDING" if heard else "PAY_SAYS_LOST"
    elif row.state is PayState.REVERSING and not heard:
        code = "PAY_SAYS_REVERSING_LOST"
    elif row.state is PayState.PAID and row.booked:
        code = "PAY_SAYS_BOOKED"
    elif row.state is PayState.PAID:
        code = "PAY_SAYS_UNRECORDED" if trouble else "PAY_SAYS_HELD"
    return notice(code, words)
