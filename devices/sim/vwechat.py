"""WeChat Pay that is not there: its codepay, query and reverse, signed both ways.

Strict: a request whose signature does not verify gets 401 SIGN_ERROR, and no money moves.
"""

import base64
import json
import re
import time
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from devices.sim.pem import private_pem, public_pem
from devices.sim.vhttp import HttpBook

PAY: Final = "/v3/pay/transactions/codepay"
TRADE: Final = re.compile(r"/v3/pay/transactions/out-trade-no/([^/?]+)(/reverse)?")
STATES: Final = {
    "paid": "SUCCESS", "pending": "USERPAYING", "refused": "PAYERROR", "reversed": "REVOKED",
}  # fmt: skip
KEY_ID: Final = "PUB_KEY_ID_0000000000000001"

Reply = tuple[int, dict[str, str], bytes]


class VirtualWeChat(HttpBook):
    """The platform, for one merchant whose public key it knows."""

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

    def reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """The answer, signed."""
        if not self._signed(method, path, headers.get("Authorization", ""), body):
            return self._say(401, {"code": "SIGN_ERROR", "message": "签名错误"})
        said = json.loads(body) if body else {}
        if path == PAY:
            attempt, verb = said["out_trade_no"], "pay"
        else:
            found = TRADE.match(path)
            if not found:
                return self._say(404, {"code": "RESOURCE_NOT_EXISTS", "message": path})
            attempt, verb = found[1], "reverse" if found[2] else "query"
        amount = said.get("amount", {}).get("total", 0)
        answer = self.carry_out(verb, {"attempt_id": attempt, "amount_minor": amount})
        return None if answer is None else self._told(verb, attempt, answer)

    def _told(self, verb: str, attempt: str, answer: dict[str, Any]) -> Reply:
        if "garbage" in answer:
            return 200, {"Content-Type": "text/plain"}, b"garbage"
        kind = answer["kind"]
        if kind == "not_found":
            return self._say(404, {"code": "ORDER_NOT_EXIST", "message": "订单不存在"})
        if verb == "reverse" and kind == "reversed":
            return self._say(200, {"out_trade_no": attempt})
        if verb == "reverse":
            return self._say(500, {"code": "SYSTEM_ERROR", "message": "系统异常"})
        if verb == "pay" and kind == "refused":
            return self._say(403, {"code": "NOT_ENOUGH", "message": answer["reason"]})
        state = {
            "out_trade_no": attempt,
            "transaction_id": answer["provider_id"],
            "trade_state": STATES[kind],
            "trade_state_desc": answer["reason"],
            "amount": {"total": answer["amount_minor"], "currency": "CNY"},
        }
        return self._say(202 if kind == "pending" and verb == "pay" else 200, state)

    def _signed(self, method: str, path: str, authorization: str, body: bytes) -> bool:
        parts = dict(re.findall(r'(\w+)="([^"]*)"', authorization))
        text = f"{method}\n{path}\n{parts.get('timestamp')}\n{parts.get('nonce_str')}\n"
        try:
            signature = base64.b64decode(parts.get("signature", ""))
            data = text.encode() + body + b"\n"
            self._merchant.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    def _say(self, status: int, said: dict[str, Any]) -> Reply:
        data = json.dumps(said, ensure_ascii=False).encode()
        stamp, nonce = str(int(time.time())), "0123456789ABCDEF"
        signed = f"{stamp}\n{nonce}\n".encode() + data + b"\n"
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Wechatpay-Timestamp": stamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": KEY_ID,
            "Wechatpay-Signature": base64.b64encode(signature).decode(),
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
        }
        return status, headers, data


def merchant_keys() -> tuple[str, str]:
    """A fresh private and public key of a merchant, PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return private_pem(key), public_pem(key)
