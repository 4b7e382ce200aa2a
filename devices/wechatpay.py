"""WeChat Pay's 付款码 (APIv3 codepay) as a `devices.payment.Provider`, by wechatpayv3.

The library signs every request with the merchant's key and checks every answer against the
platform's public key; an answer that does not verify is no answer. Needs the extra `pay`. Source:
WeChat Pay's merchant documentation, code-payment-v3: codepay, query and reverse by out-trade-no;
a reverse is not to be asked within 15 s of the request.
"""

from typing import Any, Final

import msgspec
import requests
from wechatpayv3 import WeChatPay, WeChatPayType

from devices.payment import PayAnswer, PayRequest, ProviderLost

TIMEOUT_S: Final = (3, 5)  # to connect, to read
STATES: Final = {  # trade_state -> what it means for us
    "SUCCESS": "paid",
    "USERPAYING": "pending",
    "NOTPAY": "pending",
    "ACCEPT": "pending",
    "REFUND": "reversed",
    "REVOKED": "reversed",
    "CLOSED": "refused",
    "PAYERROR": "refused",
}
UNHEARD: Final = frozenset({"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"})
UNSURE: Final = frozenset(  # the order may stand: only a query tells
    {
        "SYSTEM_ERROR", "SYSTEMERROR", "BANK_ERROR", "BANKERROR", "FREQUENCY_LIMITED",
        "RATELIMIT_EXCEEDED", "OUT_TRADE_NO_USED", "ORDER_PAID", "ORDERPAID",
    }
)  # fmt: skip


class WeChatMerchant(msgspec.Struct, frozen=True, kw_only=True):
    """Who we are to WeChat Pay; keys as PEM text."""

    app_id: str
    merchant_id: str
    cert_serial: str
    private_key: str
    api_key: str
    public_key: str  # WeChat Pay's own
    public_key_id: str


class WeChatProvider:
    """Collects from payment codes that begin with 10 to 15."""

    def __init__(self, merchant: WeChatMerchant, *, base_url: str = "") -> None:
        """`base_url` replaces api.mch.weixin.qq.com, for its second address or a simulator."""
        self._client: Any = WeChatPay(
            wechatpay_type=WeChatPayType.CODEPAY,
            mchid=merchant.merchant_id,
            private_key=merchant.private_key,
            cert_serial_no=merchant.cert_serial,
            appid=merchant.app_id,
            apiv3_key=merchant.api_key,
            public_key=merchant.public_key,
            public_key_id=merchant.public_key_id,
            timeout=TIMEOUT_S,
        )
        if base_url:
            self._client._core._gate_way = base_url.rstrip("/")  # noqa: SLF001 - it has no setting

    def pay(self, request: PayRequest) -> PayAnswer:
        """Try to collect."""
        status, said = self._ask(
            lambda: self._client.pay(
                description=request.subject or request.attempt_id,
                out_trade_no=request.attempt_id,
                amount={"total": request.amount_minor, "currency": request.currency},
                payer={"auth_code": request.pay_code},
                scene_info={"store_info": {"id": request.subject[:32] or "1"}},
                pay_type=WeChatPayType.CODEPAY,
            )
        )
        code = str(said.get("code", ""))
        if status < 300:
            return _state(said)
        if code == "USERPAYING":
            return PayAnswer("pending")
        if status >= 500 or code in UNSURE:
            raise ProviderLost(f"{status} {code}")
        return PayAnswer("refused", reason=str(said.get("message") or code))

    def query(self, request: PayRequest) -> PayAnswer:
        """How does it stand?"""
        status, said = self._ask(lambda: self._client.query(out_trade_no=request.attempt_id))
        if status < 300:
            return _state(said)
        return _unheard(status, said)

    def reverse(self, request: PayRequest) -> PayAnswer:
        """Undo it: what was paid goes back, what was not is closed."""
        status, said = self._ask(
            lambda: self._client.codepay_reverse(out_trade_no=request.attempt_id)
        )
        if status < 300:
            return PayAnswer("reversed")
        return _unheard(status, said)

    @staticmethod
    def _ask(call: Any) -> tuple[int, dict[str, Any]]:
        try:
            status, text = call()
            said = msgspec.json.decode(text) if text else {}
        except requests.RequestException as fault:
            raise ProviderLost(str(fault)) from fault
        except Exception as fault:  # the library raises bare Exception for a wrong signature
            raise ProviderLost(repr(fault)) from fault
        if not isinstance(said, dict):
            raise ProviderLost("not an object")
        return int(status), said


def _state(said: dict[str, Any]) -> PayAnswer:
    kind = STATES.get(str(said.get("trade_state")))
    if kind is None:
        raise ProviderLost(f"unknown trade_state {said.get('trade_state')}")
    amount = said.get("amount") or {}
    return PayAnswer(
        kind,  # type: ignore[arg-type]  # STATES holds nothing else
        provider_id=str(said.get("transaction_id", "")),
        amount_minor=int(amount.get("total", 0)) if kind == "paid" else 0,
        reason=str(said.get("trade_state_desc", "")) if kind == "refused" else "",
    )


def _unheard(status: int, said: dict[str, Any]) -> PayAnswer:
    if str(said.get("code")) in UNHEARD:
        return PayAnswer("not_found")
    raise ProviderLost(f"{status} {said.get('code')}")
