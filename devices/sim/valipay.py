"""Alipay that is not there: its gateway for trade.pay, trade.query and trade.cancel, signed (RSA2).

Strict: a request whose signature does not verify gets isv.invalid-signature, and no money moves.
"""

import base64
import json
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from devices.sim.pem import public_pem
from devices.sim.vhttp import HttpBook

VERBS: Final = {
    "alipay.trade.pay": "pay", "alipay.trade.query": "query", "alipay.trade.cancel": "reverse",
}  # fmt: skip
STATES: Final = {
    "paid": "TRADE_SUCCESS", "pending": "WAIT_BUYER_PAY", "refused": "TRADE_CLOSED",
    "reversed": "TRADE_CLOSED",
}  # fmt: skip

Reply = tuple[int, dict[str, str], bytes]


class VirtualAlipay(HttpBook):
    """The gateway, for one merchant whose public key it knows."""

    def __init__(self, merchant_public_key: str, port: int = 0) -> None:
        super().__init__(port)
        key = load_pem_public_key(merchant_public_key.encode())
        if not isinstance(key, RSAPublicKey):
            raise TypeError("an RSA key is needed")
        self._merchant = key
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def public_key(self) -> str:
        """What a merchant checks our answers with, PEM."""
        return public_pem(self._key)

    @property
    def gateway(self) -> str:
        """The address that a merchant's settings name."""
        return f"{self.url}/gateway.do"

    def reply(
        self,
        method: str,  # noqa: ARG002 - one shape for all
        path: str,
        headers: dict[str, str],  # noqa: ARG002
        body: bytes,
    ) -> Reply | None:
        """The answer, signed."""
        query = urlsplit(path).query
        asked = dict(parse_qsl(query or body.decode(), keep_blank_values=True))
        name = asked.get("method", "")
        if not self._signed(asked):
            said = {
                "code": "40002",
                "msg": "Invalid Arguments",
                "sub_code": "isv.invalid-signature",
            }
            return self._say(name, said)
        content = json.loads(asked["biz_content"])
        attempt = str(content["out_trade_no"])
        amount = int(Decimal(content.get("total_amount", "0")) * 100)
        answer = self.carry_out(VERBS[name], {"attempt_id": attempt, "amount_minor": amount})
        if answer is None:
            return None
        if "garbage" in answer:
            return 200, {}, b"garbage"
        return self._say(name, _told(VERBS[name], attempt, answer))

    def _signed(self, asked: dict[str, str]) -> bool:
        rest = sorted((k, v) for k, v in asked.items() if k != "sign")
        text = "&".join(f"{key}={value}" for key, value in rest).encode()
        try:
            signature = base64.b64decode(asked.get("sign", ""))
            self._merchant.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    def _say(self, name: str, said: dict[str, Any]) -> Reply:
        text = json.dumps(said, ensure_ascii=False)
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        sign = base64.b64encode(signature).decode()
        data = f'{{"{name.replace(".", "_")}_response":{text},"sign":"{sign}"}}'
        return 200, {"Content-Type": "application/json"}, data.encode()


def _told(verb: str, attempt: str, answer: dict[str, Any]) -> dict[str, Any]:
    kind = answer["kind"]
    known = {"out_trade_no": attempt, "trade_no": answer.get("provider_id", "")}
    if kind == "not_found":
        if verb == "reverse":  # nothing to undo is no error there, and names no action
            return {"code": "10000", "msg": "Success", "retry_flag": "N"} | known
        sub = {"sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "交易不存在"}
        return {"code": "40004", "msg": "Business Failed"} | sub
    if verb == "reverse":
        action = (
            {"retry_flag": "N", "action": "refund"} if kind == "reversed" else {"retry_flag": "Y"}
        )
        return {"code": "10000", "msg": "Success"} | known | action
    if verb == "pay" and kind == "refused":
        sub = {"sub_code": "ACQ.BUYER_BALANCE_NOT_ENOUGH", "sub_msg": answer["reason"]}
        return {"code": "40004", "msg": "Business Failed"} | sub
    minor = answer["amount_minor"]
    amount = f"{minor // 100}.{minor % 100:02d}"
    if verb == "pay":
        code = "10003" if kind == "pending" else "10000"
        return {"code": code, "msg": "Success", "total_amount": amount} | known
    return (
        {"code": "10000", "msg": "Success", "trade_status": STATES[kind]}
        | known
        | {"total_amount": amount}
    )
