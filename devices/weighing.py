r"""What a scale says, which weight may be sold by, and what the tare leaves of it.

>>> gate = ItemGate()
>>> for frame in (b"\x0200.000\r", b"\x0200.548\r", b"\x0200.548\r"):
...     gate.take(read_mettler(frame))
>>> gate.item, net_of(gate.item, 12), in_unit(net_of(gate.item, 12), "kg")
(548, 536, 536)

This file alone decides weights, so that weights and measures officers can compare one short file:
`code_hash()` is its SHA-256, `docs/weighing.md` publishes it, and a shop's settings page shows it.
Pure: grams are integers, there is no clock, no port and no screen. Frames: the makers' protocols
Mettler 8217 and CAS / AP-1 as Odoo's drivers and CAS's sheet give them.
"""

import hashlib
import re
from pathlib import Path
from typing import Final, Literal

import msgspec

from protocol.errors import Refusal, define

AGREEING: Final = 2  # readings in a row that must be stable and equal
UNIT_GRAMS: Final = {
    "kg": 1000,
    "g": 1,
    "100g": 100,
    "公斤": 1000,
    "千克": 1000,
    "克": 1,
    "斤": 500,
    "两": 50,
}
Kind = Literal["stable", "unstable", "negative", "overload", "broken"]

define(
    {
        "WEIGHT_MOVES": (
            "The weight still moves, so nothing was sold by it. Wait until it stands still.",
            "重量尚未稳定，未取重量。请等待示值稳定。",
        ),
        "WEIGHT_NEGATIVE": (
            "The scale is below zero. Nothing was weighed. Empty the pan and press zero on it.",
            "电子秤示值为负，未取重量。请清空秤盘并按置零键。",
        ),
        "WEIGHT_NOTHING": (
            "There is nothing on the scale. Put the goods on it.",
            "秤盘上没有商品。请放上商品。",
        ),
        "WEIGHT_NOT_ZEROED": (
            "The pan was not empty since the last item. Take everything off, then put goods on it.",
            "上一件商品之后秤盘未归零。请清空秤盘，再放上商品。",
        ),
        "WEIGHT_TARE": (
            "A tare of {tare} g leaves nothing of {gross} g. Nothing was sold; correct the tare.",
            "皮重 {tare} 克不小于毛重 {gross} 克，未计入销售。请更正皮重。",
        ),
        "WEIGHT_UNIT": (
            "This product is weighed, but “{unit}” is no unit of weight. Nothing was sold; head "
            "office must correct the product.",
            "该商品按重量销售，但“{unit}”不是重量单位，未计入销售。请联系总部更正。",
        ),
        "WEIGHT_OVERLOAD": (
            "There is too much on the scale. Nothing was weighed. Take some off.",
            "电子秤超载，未取重量。请减少称重物。",
        ),
        "WEIGHT_GARBLED": (
            "The scale answers nonsense. Nothing was weighed. Check model, cable and baud rate.",
            "电子秤应答异常，未取重量。请检查型号、连线和波特率。",
        ),
    }
)


class ScaleReading(msgspec.Struct, frozen=True):
    """One answer of the scale; grams count only when `kind` is stable."""

    kind: Kind
    grams: int = 0


_METTLER_WEIGHT = re.compile(rb"\x02 *(\d{1,3})\.(\d{3})N?\r")
_METTLER_STATUS = re.compile(rb"\x02 *\?(.)\r", re.DOTALL)
_CAS_WEIGHT = re.compile(rb"([SUF])([ -])( *\d{0,3}\.\d{3})(kg)", re.IGNORECASE)


def read_mettler(frame: bytes) -> ScaleReading:
    """Mettler 8217: `STX 00.535 CR`, or `STX ? status CR` with the reason in bits."""
    frame = bytes(byte & 0x7F for byte in frame)  # a line opened with 8 bits shows the parity bit
    weight = _METTLER_WEIGHT.fullmatch(frame)
    if weight:
        return ScaleReading("stable", int(weight[1]) * 1000 + int(weight[2]))
    status = _METTLER_STATUS.fullmatch(frame)
    if not status:
        return ScaleReading("broken")
    bits = status[1][0]
    if bits & 0x02:
        return ScaleReading("overload")
    if bits & 0x04:
        return ScaleReading("negative")
    return ScaleReading("unstable")


def read_cas(frame: bytes) -> ScaleReading:
    """CAS / AP-1: `SOH STX S/U sign W[6] kg BCC ETX EOT`, BCC = XOR of what lies between."""
    if len(frame) != 15 or frame[:2] != b"\x01\x02" or frame[13:] != b"\x03\x04":
        return ScaleReading("broken")
    body, check = frame[2:12], frame[12]
    found = 0
    for byte in body:
        found ^= byte
    weight = _CAS_WEIGHT.fullmatch(body)
    if found != check or not weight:
        return ScaleReading("broken")
    if weight[1] in b"Ff":
        return ScaleReading("overload")
    whole, _, part = weight[3].strip().partition(b".")
    grams = int(whole or b"0") * 1000 + int(part)
    if weight[2] == b"-":
        return ScaleReading("negative")
    return ScaleReading("stable" if weight[1] in b"Ss" else "unstable", grams)


class ItemGate:
    """Which weight is an item: stable, twice the same, above zero, pan empty since the last one."""

    def __init__(self) -> None:
        self.reading = ScaleReading("unstable")
        self.emptied = 0  # how often the pan was found empty after an item: the item's number
        self._empty_since = False
        self._agreeing = 0

    def take(self, reading: ScaleReading) -> None:
        """The next answer of the scale."""
        same = reading.kind == "stable" and reading == self.reading
        self._agreeing = self._agreeing + 1 if same else 1
        self.reading = reading
        if reading == ScaleReading("stable", 0) and not self._empty_since:
            self._empty_since = True
            self.emptied += 1

    def sold(self, number: int) -> None:
        """The item that followed the `number`th empty pan is sold: only another one counts now."""
        if number == self.emptied:
            self._empty_since = False

    @property
    def item(self) -> int | None:
        """The grams that may be sold by now."""
        return None if self.why_not else self.reading.grams

    @property
    def why_not(self) -> str:
        """Why nothing may be sold by now, as a code; "" when it may."""
        kind = self.reading.kind
        if kind == "stable":
            if not self.reading.grams:
                return "WEIGHT_NOTHING"
            if not self._empty_since:
                return "WEIGHT_NOT_ZEROED"
            return "" if self._agreeing >= AGREEING else "WEIGHT_MOVES"
        return {
            "unstable": "WEIGHT_MOVES",
            "negative": "WEIGHT_NEGATIVE",
            "overload": "WEIGHT_OVERLOAD",
            "broken": "WEIGHT_GARBLED",
        }[kind]


def net_of(gross_g: int, tare_g: int) -> int:
    """What is sold of what lies on the pan; WEIGHT_TARE when nothing is."""
    if tare_g < 0 or tare_g >= gross_g:
        raise Refusal("WEIGHT_TARE", tare=tare_g, gross=gross_g)
    return gross_g - tare_g


def in_unit(grams: int, unit: str) -> int:
    """Grams as thousandths of the unit that the price is for, exact; WEIGHT_UNIT for a strange one.

    >>> in_unit(536, "kg"), in_unit(536, "斤"), in_unit(536, "100g")
    (536, 1072, 5360)
    """
    per = UNIT_GRAMS.get(unit.lower())
    if per is None:
        raise Refusal("WEIGHT_UNIT", unit=unit[:20])
    return grams * 1000 // per  # every `per` divides 1000: nothing is rounded


def in_grams(qty_milli: int, unit: str) -> int:
    """The other way round; what is finer than a gram is no weight of a scale."""
    return qty_milli * UNIT_GRAMS.get(unit.lower(), 1000) // 1000


def code_hash() -> str:
    """The SHA-256 of this file, for comparison with the published one."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
