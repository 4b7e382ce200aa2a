"""What a scanned or typed code is: one tagged union, decided by AIM id and screen.

>>> read("]E06901028075831")
Gtin(code='6901028075831', keys=('6901028075831', '06901028075831'), restricted=False)
>>> read("2112345012506", prefixes=[InStorePrefix("21", value="price")])
Rcn(code='2112345012506', prefix='21', item='12345', price_minor=1250, weight_g=None)
>>> read("6901028075832").code
'SCAN_CHECK_DIGIT'

`read` never raises. Full-width digits and a trailing CR are normal input here; the AIM id that a
well set-up scanner puts in front (`]E0` EAN, `]C1` GS1-128, `]d2` GS1 DataMatrix, `]Q1` QR) decides
what biip may make of it. A bare number is a GTIN first and never GS1. A payment code counts on the
tender screen only. What stays ambiguous is `Unknown` with its reason; a caller may still look up
`Unknown.raw` as a product's own code.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import biip
import msgspec
from biip.checksums import gs1_price_weight_check_digit, gs1_standard_check_digit
from biip.gs1_element_strings import GS1ElementString
from biip.rcn import Rcn as BiipRcn

from devices.note import (
    NOTE_PREFIX,
    RECEIPT_PREFIX,
    ReceiptCode,
    TransferNote,
    decode_note,
    decode_receipt,
)
from protocol.errors import Corrupt, Refusal, sentence

SCAN_MAX: Final = 2048
GS: Final = "\x1d"
_AIM = re.compile(r"\]([A-Za-z][0-9A-Za-z])")
_GS1_AIMS: Final = frozenset({"C1", "e0", "d2", "Q3"})
_BRACKETS = re.compile(r"\((\d{2,4})\)([^()]*)")
_GTIN_LENGTHS: Final = frozenset({8, 12, 13, 14})
PAY_CODES: Final = {  # devices.md section 4; single use
    "wechat": re.compile(r"1[0-5]\d{16}"),
    "alipay": re.compile(r"(?:2[5-9]|30)\d{14,22}"),
    "unionpay": re.compile(r"62\d{17}"),
}


class InStorePrefix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the chain's scales print: prefix, item, value, check = 13 digits.

    `value` is a price in minor units or a weight in grams; `inner_check` is one more digit before
    it that guards the value (GS1's price check digit for 4 or 5 digits).
    """

    prefix: str
    value: Literal["price", "weight"]
    item_digits: int = 5
    value_digits: int = 5
    inner_check: bool = False

    def __post_init__(self) -> None:
        length = len(self.prefix) + self.item_digits + self.inner_check + self.value_digits + 1
        if not self.prefix.isascii() or not self.prefix.isdigit() or self.prefix[0] not in "02":
            raise Refusal("PREFIX_WRONG", prefix=self.prefix, detail="02..., 2...")
        if length != 13 or self.item_digits < 1 or self.value_digits not in {4, 5}:
            raise Refusal("PREFIX_WRONG", prefix=self.prefix, detail=f"{length} != 13")


def parse_prefix(text: str) -> InStorePrefix | None:
    """Read "20:item5:weight5" or "21:item5:check1:price4"; None when it is no layout.

    >>> parse_prefix("20:item5:weight5").item_digits
    5
    """
    parts = text.split(":")
    check = len(parts) == 4 and parts[2] == "check1"
    if len(parts) != 3 + check:
        return None
    item, value = parts[1], parts[-1]
    kind = value.rstrip("0123456789")
    if item.rstrip("0123456789") != "item" or kind not in {"weight", "price"}:
        return None
    try:
        return InStorePrefix(
            parts[0],
            "weight" if kind == "weight" else "price",
            int(item.removeprefix("item")),
            int(value.removeprefix(kind)),
            check,
        )
    except (Refusal, ValueError):
        return None


class Gtin(msgspec.Struct, frozen=True, tag="gtin"):
    """A product's number. `keys` are the forms to look up, best first.

    `restricted`: a number for use inside a chain (2...), which only its catalogue explains.
    """

    code: str
    keys: tuple[str, ...]
    restricted: bool = False


class Rcn(msgspec.Struct, frozen=True, tag="rcn"):
    """A label printed in the store by a scale: item plus price (minor units) or weight (grams)."""

    code: str
    prefix: str
    item: str
    price_minor: int | None = None
    weight_g: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The forms under which a catalogue may list the item."""
        return (self.prefix + self.item, self.item, self.item.lstrip("0") or "0")


class Gs1(msgspec.Struct, frozen=True, tag="gs1"):
    """A GTIN with more: lot, expiry (ISO date), serial, weight, price; `elements` as read."""

    code: str
    keys: tuple[str, ...]
    lot: str = ""
    expiry: str = ""
    serial: str = ""
    weight_g: int | None = None
    price_minor: int | None = None
    elements: dict[str, str] = {}


class PayCode(msgspec.Struct, frozen=True, tag="pay"):
    """A customer's payment code, shown on a phone."""

    provider: Literal["wechat", "alipay", "unionpay"]
    code: str


class Member(msgspec.Struct, frozen=True, tag="member"):
    """A member's card."""

    number: str


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """No code of ours, with the reason; `raw` is the text after normalising.

    A payment code that came at the wrong moment is money: its `raw` is masked.
    """

    raw: str
    code: str
    params: dict[str, Any] = {}

    def sentence(self, language: str) -> str:
        """The reason for people."""
        return sentence(self.code, self.params, language)


Scan = Gtin | Rcn | Gs1 | PayCode | Member | ReceiptCode | TransferNote | Unknown


def read(
    raw: str,
    *,
    prefixes: Sequence[InStorePrefix] = (),
    members: Sequence[str] = ("MBR",),
    tender: bool = False,
    aim: str = "",
) -> Scan:
    """Say what `raw` is; never raises.

    Args:
        raw: as scanned or typed, AIM id and GS included.
        prefixes: the chain's in-store codes.
        members: how member numbers begin.
        tender: the tender screen is open, payment codes come first.
        aim: the AIM id ("E0") when it came apart from the text, as a camera gives it.
    """
    text = unicodedata.normalize("NFKC", raw[: SCAN_MAX + 1]).strip(" \t\r\n")
    match = _AIM.match(text)
    if match:
        aim, text = match[1], text[3:]
    if not text.strip(GS):
        return Unknown(text, "SCAN_EMPTY")
    if len(raw) > SCAN_MAX:
        return Unknown(text[:40], "SCAN_TOO_LONG", {"limit": SCAN_MAX})
    if not text.replace(GS, "").isprintable():
        return Unknown(text[:40], "SCAN_BINARY")
    if not text.isascii():
        return _no_code(text)
    own = _own_code(text, members)
    if own is not None:
        return own
    pay = None if aim in _GS1_AIMS else _pay_code(text)
    if pay is None:
        return _product(text, aim, prefixes)
    if tender:
        return pay
    masked = mask(text)
    return Unknown(masked, "SCAN_PAY_CODE_EARLY", {"text": masked})


def mask(raw: str) -> str:
    """A code as it may be shown and kept: of a payment code only how it begins.

    >>> mask("134512345678901234"), mask("6901028075831")
    ('1345…', '6901028075831')
    """
    text = unicodedata.normalize("NFKC", raw[: SCAN_MAX + 1]).strip(" \t\r\n")
    match = _AIM.match(text)
    plain = text[3:] if match else text
    return plain[:4] + "…" if _pay_code(plain) else raw


def _own_code(text: str, members: Sequence[str]) -> Scan | None:
    if text.startswith(NOTE_PREFIX):
        try:
            return decode_note(text)
        except Corrupt as error:
            return Unknown(text, error.code, error.params)
    if text.startswith(RECEIPT_PREFIX):
        return decode_receipt(text) or _no_code(text)
    for prefix in members:
        rest = text.removeprefix(prefix)
        if prefix and rest != text and rest.isalnum() and len(rest) <= 40:
            return Member(text)
    return None


def _pay_code(text: str) -> PayCode | None:
    for provider, pattern in PAY_CODES.items():
        if pattern.fullmatch(text):
            return PayCode(provider, text)  # type: ignore[arg-type]
    return None


def _product(text: str, aim: str, prefixes: Sequence[InStorePrefix]) -> Scan:
    if text[:8].lower().startswith(("http://", "https://")):
        return _digital_link(text)
    if text.startswith("("):
        return _bracketed(text)
    if aim in _GS1_AIMS or GS in text:
        return _gs1(text.strip(GS), text)
    if not text.isdigit():
        return _no_code(text)
    if len(text) in _GTIN_LENGTHS:
        return _in_store(text, prefixes) or _gtin(text, aim)
    if len(text) in {18, 20} and biip.parse(text).sscc is not None:
        return Unknown(text, "SCAN_PALLET", {"text": text})
    if text.startswith("01") and len(text) > 16:
        return Unknown(text, "SCAN_GS1_NEEDS_AIM", {"text": text[:40]})
    return _no_code(text)


def _no_code(text: str) -> Unknown:
    return Unknown(text, "SCAN_NOT_A_CODE", {"text": text[:40]})


def _wrong_digit(text: str) -> Unknown | None:
    expected = gs1_standard_check_digit(text[:-1])
    if expected == int(text[-1]):
        return None
    return Unknown(text, "SCAN_CHECK_DIGIT", {"text": text, "expected": expected})


def _in_store(text: str, prefixes: Sequence[InStorePrefix]) -> Scan | None:
    if len(text) != 13:
        return None
    for layout in sorted(prefixes, key=lambda p: -len(p.prefix)):
        if text.startswith(layout.prefix):
            return _wrong_digit(text) or _weighed(text, layout)
    return None


def _weighed(text: str, layout: InStorePrefix) -> Scan:
    at = len(layout.prefix)
    item = text[at : at + layout.item_digits]
    digits = text[-1 - layout.value_digits : -1]
    if layout.inner_check:
        expected = gs1_price_weight_check_digit(digits)
        if expected != int(text[at + layout.item_digits]):
            params = {"text": text, "expected": expected}
            return Unknown(text, "SCAN_INNER_CHECK", params)
    value = int(digits)
    if layout.value == "price":
        return Rcn(text, layout.prefix, item, price_minor=value)
    return Rcn(text, layout.prefix, item, weight_g=value)


def _gtin(text: str, aim: str) -> Scan:
    upc_a = _upc_a(text) if len(text) == 8 and aim != "E4" else ""
    wrong = _wrong_digit(text)
    if wrong is not None and not upc_a:
        return wrong
    restricted = isinstance(biip.parse(text).gtin, BiipRcn)
    keys = ([] if wrong else _keys(text)) + (_keys(upc_a) if upc_a else [])
    return Gtin(text, tuple(dict.fromkeys(keys)), restricted)


def _upc_a(text: str) -> str:
    """The twelve digits behind a UPC-E of eight; "" when it is none."""
    upc = biip.parse(text).upc
    return upc.as_upc_a() if upc is not None else ""


def _keys(digits: str) -> list[str]:
    """As printed, then the same number at the other lengths a catalogue may hold."""
    whole = digits.zfill(14)
    forms = [whole[14 - n :] for n in (13, 12, 14) if not whole[: 14 - n].strip("0")]
    return list(dict.fromkeys([digits, *forms]))


def _digital_link(text: str) -> Scan:
    try:
        link = biip.parse(text).gs1_digital_link_uri
    except ValueError:  # from urlsplit: "http://[" is no address at all
        link = None
    if link is None:
        return Unknown(text, "SCAN_FOREIGN_LINK", {"text": text[:40]})
    return _elements(text, link.element_strings)


def _bracketed(text: str) -> Scan:
    """Human-readable "(01)...(17)..." typed or read as plain text: bracket is field end."""
    fields = _BRACKETS.findall(text)
    if "".join(f"({ai}){value}" for ai, value in fields) != text:
        return _no_code(text)
    return _gs1(GS.join(ai + value for ai, value in fields), text)


def _gs1(message: str, text: str) -> Scan:
    result = biip.parse("]C1" + message)
    if result.gs1_message is None:
        detail = str(result.gs1_message_error).partition(" pattern ")[0]
        return Unknown(text, "SCAN_GS1_BROKEN", {"text": text[:40], "detail": detail})
    return _elements(text, result.gs1_message.element_strings)


def _elements(text: str, elements: Sequence[GS1ElementString]) -> Scan:
    values = {element.ai.ai: element.value for element in elements}
    gtin = values.get("01")
    if gtin is None:
        code = "SCAN_PALLET" if "00" in values else "SCAN_GS1_BROKEN"
        return Unknown(text, code, {"text": text[:40], "detail": "no GTIN (01)"})
    wrong = _wrong_digit(gtin)
    if wrong is not None:
        return wrong
    dated = {element.ai.ai: element.date for element in elements if element.date}
    expiry = dated.get("17") or dated.get("15")
    return Gs1(
        code=text,
        keys=tuple(_keys(gtin.lstrip("0").zfill(13) if gtin[0] == "0" else gtin)),
        lot=values.get("10", ""),
        expiry=expiry.isoformat() if expiry else "",
        serial=values.get("21", ""),
        weight_g=_scaled(elements, "310", 1000),
        price_minor=_scaled(elements, "392", 100),
        elements=values,
    )


def _scaled(elements: Sequence[GS1ElementString], ai: str, factor: int) -> int | None:
    """The exact integer value of a decimal element; None when absent or finer than that."""
    for element in elements:
        if element.ai.ai.startswith(ai) and element.decimal is not None:
            scaled = Decimal(element.decimal) * factor
            return int(scaled) if scaled == int(scaled) else None
    return None
