"""Enrolment: what a shop's machine sends with its one-time token, and what it gets for it.

Head office shows one line, also as a QR:

    https://10.0.0.2:8743/enrol#S1.TOKEN.FINGERPRINT

The part behind `#` never travels by itself. The machine fetches the chain's authority, refuses it
unless its SHA-256 is FINGERPRINT, and only then sends the token, to a server that the authority
vouches for (sync.md, 2.5).
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from protocol.errors import Refusal, define
from protocol.ids import is_id

TOKEN_BYTES: Final = 16  # 128 bit
ANSWER_BYTES_MAX: Final = 64_000
REQUEST_BYTES_MAX: Final = 16_000
CSR_CHARS_MAX: Final = 4_000
_LINE: Final = re.compile(
    r"(https://[^\s/#]{1,260})/enrol#([^.\s]{1,40})\.([0-9a-f]{32})\.([0-9a-f]{64})"
)

define(
    {
        "INVITATION_WRONG": (
            "This is not an enrolment line of head office "
            "(https://HOST:PORT/enrol#SHOP.TOKEN.FINGERPRINT). Copy it whole.",
            "这不是总部给出的注册行（https://主机:端口/enrol#门店.令牌.指纹）。请完整复制。",
        ),
        "FINGERPRINT_WRONG": (
            "The server at {url} is not this chain's head office: its authority has the "
            "fingerprint {found}, the enrolment line names {wanted}. No token was sent and nothing "
            "was written. Check the address, and who answers there.",
            "{url} 的服务器不是本连锁的总部：其证书机构指纹为 {found}，注册行中为 {wanted}。"
            "没有发送令牌，也没有写入任何内容。请检查地址，以及是谁在应答。",
        ),
        "HEAD_OFFICE_UNREACHABLE": (
            "Head office did not answer at {url} ({detail}). Nothing was written; the token still "
            "holds for its 30 minutes. Check the network, then repeat.",
            "总部 {url} 没有应答（{detail}）。没有写入任何内容，令牌在 30 分钟内仍有效。"
            "请检查网络后重试。",
        ),
        "TOKEN_WRONG": (
            "The token is not one that head office gave out for the shop {store}. Nothing was "
            "changed. Ask head office for a new one.",
            "该令牌不是总部为门店 {store} 发放的令牌。没有任何更改。请向总部索取新令牌。",
        ),
        "TOKEN_EXPIRED": (
            "The token for the shop {store} is older than {minutes} minutes. Nothing was changed. "
            "Ask head office for a new one.",
            "门店 {store} 的令牌已超过 {minutes} 分钟。没有任何更改。请向总部索取新令牌。",
        ),
        "TOKEN_USED": (
            "The token for the shop {store} was used already, by a machine with other keys. "
            "Nothing was changed. If that was not you, tell head office; else ask for a new one.",
            "门店 {store} 的令牌已被另一台设备使用。没有任何更改。"
            "如非本人操作，请告知总部；否则请索取新令牌。",
        ),
        "TOKEN_WAIT": (
            "Wrong several times from this address. Wait {seconds} seconds, then try again.",
            "该地址多次出错。请等待 {seconds} 秒后再试。",
        ),
        "CSR_WRONG": (
            "The certificate request was refused: {detail}. Nothing was changed. Update Tillmesh "
            "on the shop's machine and repeat.",
            "证书申请被拒绝：{detail}。没有任何更改。请升级门店设备上的软件后重试。",
        ),
        "KEY_BARRED": (
            "This machine's key was revoked by head office. Nothing was changed. Enrol it with new "
            "keys: repeat the command with a new token.",
            "本设备的密钥已被总部吊销。没有任何更改。请用新令牌和新密钥重新注册。",
        ),
        "ANSWER_UNREADABLE": (
            "Head office at {url} answered something that this machine cannot read ({detail}). "
            "Nothing was written. Update Tillmesh here, then ask for a new token.",
            "总部 {url} 的应答无法读取（{detail}）。没有写入任何内容。请升级本机软件后索取新令牌。",
        ),
    }
)


class Invitation(msgspec.Struct, frozen=True):
    """One enrolment line. `token` and `fingerprint` (SHA-256 of the authority) are hex."""

    url: str  # https://host:port
    store: str
    token: str
    fingerprint: str

    def line(self) -> str:
        """As people copy it and cameras read it."""
        return f"{self.url}/enrol#{self.store}.{self.token}.{self.fingerprint}"


def parse_invitation(text: str) -> Invitation:
    """Read an enrolment line; INVITATION_WRONG."""
    found = _LINE.fullmatch(text.strip())
    if found is None or not is_id(found[2]):
        raise Refusal("INVITATION_WRONG")
    return Invitation(*found.groups())


class EnrolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /enrol. `sig` proves that the sender holds the private key of `public_key`."""

    p: int = 1
    store: str
    token: str
    csr: str  # PEM; P-256, CN = the shop's id
    public_key: str  # Ed25519, 64 hex digits: signs the shop's journal
    sig: str = ""

    def signed_part(self) -> bytes:
        """The bytes under the signature."""
        return msgspec.json.encode((self.p, self.store, self.token, self.csr, self.public_key))


class EnrolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine needs: the joining file's content, the authority, its own certificate."""

    p: int = 1
    joining: dict[str, object]
    authority: str  # PEM
    certificate: str  # PEM, the machine's own first, then what vouches for it


class EnrolRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why not: a code of this page with its parameters, and the sentence in both languages."""

    code: str
    params: dict[str, str] = {}
    en: str = ""
    zh: str = ""


def check_length(field: str, text: str, most: int) -> None:
    """CSR_WRONG when a part of a request is longer than any honest one."""
    if len(text) > most:
        raise Refusal("CSR_WRONG", detail=f"{field} has {len(text)} characters, {most} at most")


def params_of(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters of a sentence as they travel."""
    return {name: str(value) for name, value in params.items()}
