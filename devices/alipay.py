"""Alipay's 当面付 (trade.pay by bar code) as a `devices.payment.Provider`, by python-alipay-sdk.

The library signs every request (RSA2) and checks every answer against Alipay's public key; an
answer that does not verify is no answer. Needs the extra `pay`. Source: Alipay's open documentation
of alipay.trade.pay, .query and .cancel: code 10000 done, 10003 waiting for the customer, 20000 and
system errors unknown, 40004 refused; cancel gives back what was paid and closes what was not.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec
from alipay import AliPay
from alipay.utils import AliPayConfig

from devices.payment import PayAnswer, PayRequest, ProviderLost

TIMEOUT_S: Final = 5
DONE, WAITING, FAILED = "10000", "10003", "40004"
STATES: Final = {
    "WAIT_BUYER_PAY": "pending",
    "TRADE_SUCCESS": "paid",
    "TRADE_FINISHED": "paid",
    "TRADE_CLOSED": "reversed",
}
UNHEARD: Final = "ACQ.TRADE_NOT_EXIST"
UNSURE: Final = frozenset(
    {
        "ACQ.SYSTEM_ERROR",
        "aop.ACQ.SYSTEM_ERROR",
        "ACQ.TRADE_HAS_SUCCESS",
        "ACQ.CONTEXT_INCONSISTENT",
    }
)


class AlipayMerchant(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to Alipay; keys as PEM text."""

    app_id: str
    private_key: str
    alipay_public_key: str


class AlipayProvider:
    """Collects from payment codes that begin with 25 to 30."""

    def __init__(self, merchant: AlipayMerchant, *, base_url: str = "") -> None:
        """`base_url` replaces openapi.alipay.com/gateway.do, for the sandbox or a simulator."""
        self._client: Any = AliPay(
            appid=merchant.app_id,
            app_private_key_string=merchant.private_key,
            alipay_public_key_string=merchant.alipay_public_key,
            sign_type="RSA2",
            config=AliPayConfig(timeout=TIMEOUT_S),
        )
        if base_url:
            self._client._gateway = base_url  # noqa: SLF001 - it has no setting

    def pay(self, request: PayRequest) -> PayAnswer:
        """Try to collect."""
        said = self._ask(
            lambda: self._client.api_alipay_trade_pay(
                out_trade_no=request.attempt_id,
                scene="bar_code",
                auth_code=request.pay_code,
                subject=request.subject or request.attempt_id,
                total_amount=_yuan(request.amount_minor),
            )
        )
        code, reason = str(said.get("code")), str(said.get("sub_code", ""))
        if code == DONE:
            return PayAnswer("paid", str(said.get("trade_no", "")), _fen(said.get("total_amount")))
        if code == WAITING:
            return PayAnswer("pending", str(said.get("trade_no", "")))
        if code == FAILED and reason not in UNSURE:
            return PayAnswer("refused", reason=str(said.get("sub_msg") or reason))
        raise ProviderLost(f"{code} {reason}")

    def query(self, request: PayRequest) -> PayAnswer:
        """How does it stand?"""
        said = self._ask(
            lambda: self._client.api_alipay_trade_query(out_trade_no=request.attempt_id)
        )
        if said.get("code") != DONE:
            return _unheard(said)
        kind = STATES.get(str(said.get("trade_status")))
        if kind is None:
            raise ProviderLost(f"unknown trade_status {said.get('trade_status')}")
        amount = _fen(said.get("total_amount")) if kind == "paid" else 0
        return PayAnswer(kind, str(said.get("trade_no", "")), amount)  # type: ignore[arg-type]

    def reverse(self, request: PayRequest) -> PayAnswer:
        """Undo it. An answer without an action says that there was nothing to undo."""
        said = self._ask(
            lambda: self._client.api_alipay_trade_cancel(out_trade_no=request.attempt_id)
        )
        if said.get("code") != DONE:
            return _unheard(said)
        if said.get("retry_flag") == "Y":
            return PayAnswer("pending")
        return PayAnswer("reversed" if said.get("action") else "not_found")

    @staticmethod
    def _ask(call: Any) -> dict[str, Any]:
        try:
            said = call()
        except Exception as fault:  # urllib's, json's and the library's own are all no answer
            raise ProviderLost(repr(fault)) from fault
        if not isinstance(said, dict):
            raise ProviderLost("not an object")
        return said


def _unheard(said: dict[str, Any]) -> PayAnswer:
    if said.get("sub_code") == UNHEARD:
        return PayAnswer("not_found")
    raise ProviderLost(f"{said.get('code')} {said.get('sub_code')}")


def _yuan(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _fen(text: object) -> int:
    try:
        amount = Decimal(str(text)) * 100
    except InvalidOperation as fault:
        raise ProviderLost(f"not an amount: {text}") from fault
    if amount != int(amount):
        raise ProviderLost(f"not an amount: {text}")
    return int(amount)
