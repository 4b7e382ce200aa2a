"""Our own codes: the barcode of a receipt, the QR of a transfer note. Pure text, both ways.

>>> text = encode_note("TR-7", source="s1", target="s2", lines=[("bun", 10_000), ("flour", 2_500)])
>>> text
'TM1:T:TR-7:s1:s2:bun*10,flour*2.5#9F32'
>>> decode_note(text).lines
(('bun', 10000), ('flour', 2500))

A note carries its lines so that goods can be received when the van is faster than the news. The
four hex digits at the end are a CRC-16 over all before them: a code that a scanner cut is refused,
never half read.
"""

import binascii
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import Corrupt, Refusal
from protocol.ids import check_id
from protocol.quantity import format_milli, parse_milli

NOTE_BYTES_MAX: Final = 1800  # one QR that a 58 mm roll still prints and a phone still reads
NOTE_LINES_MAX: Final = 200
NOTE_PREFIX: Final = "TM1:T:"
RECEIPT_PREFIX: Final = "TMR:"
_RECEIPT = re.compile(r"TMR:([A-Za-z0-9][A-Za-z0-9/_.-]{0,59})")


class TransferNote(msgspec.Struct, frozen=True, tag="transfer_note"):
    """What the QR of a transfer note says; quantities in thousandths."""

    transfer_id: str
    source: str
    target: str
    lines: tuple[tuple[str, int], ...]


class ReceiptCode(msgspec.Struct, frozen=True, tag="receipt"):
    """The barcode on one of our receipts."""

    receipt_number: str


def _crc(text: str) -> str:
    return f"{binascii.crc_hqx(text.encode('ascii'), 0xFFFF):04X}"


def encode_note(
    transfer_id: str, *, source: str, target: str, lines: Sequence[tuple[str, int]]
) -> str:
    """The text for the QR; NOTE_TOO_LONG when it does not fit one code.

    Args:
        transfer_id: like source and target an id as `protocol.ids.check_id` demands.
        source: the sending store.
        target: the receiving store.
        lines: (sku, quantity in thousandths), each above 0.
    """
    for name, kind in ((transfer_id, "transfer"), (source, "store"), (target, "store")):
        check_id(name, kind)
    parts = [f"{check_id(sku, 'sku')}*{format_milli(milli)}" for sku, milli in lines]
    text = f"{NOTE_PREFIX}{transfer_id}:{source}:{target}:{','.join(parts)}"
    if len(text) + 5 > NOTE_BYTES_MAX or not 0 < len(lines) <= NOTE_LINES_MAX:
        raise Refusal("NOTE_TOO_LONG", lines=len(lines))
    return f"{text}#{_crc(text)}"


def decode_note(text: str) -> TransferNote:
    """Read it back; Corrupt("SCAN_NOTE_BROKEN") says what is wrong with it."""
    body, mark, crc = text.rpartition("#")
    if not mark or len(text) > NOTE_BYTES_MAX or not text.isascii():
        raise Corrupt("SCAN_NOTE_BROKEN", detail="no end mark")
    if _crc(body) != crc.upper():
        raise Corrupt("SCAN_NOTE_BROKEN", detail="checksum")
    fields = body.removeprefix(NOTE_PREFIX).split(":")
    if not body.startswith(NOTE_PREFIX) or len(fields) != 4:
        raise Corrupt("SCAN_NOTE_BROKEN", detail="fields")
    try:
        names = [check_id(field, "id") for field in fields[:3]]
        lines = tuple(map(_line, fields[3].split(",")))
    except Refusal as error:
        raise Corrupt("SCAN_NOTE_BROKEN", detail=error.code) from error
    if len(lines) > NOTE_LINES_MAX or any(milli <= 0 for _, milli in lines):
        raise Corrupt("SCAN_NOTE_BROKEN", detail="quantities")
    return TransferNote(names[0], names[1], names[2], lines)


def _line(text: str) -> tuple[str, int]:
    sku, _, qty = text.partition("*")
    return check_id(sku, "sku"), parse_milli(qty)


def receipt_code(receipt_number: str) -> str:
    """The text of a receipt's barcode."""
    return RECEIPT_PREFIX + receipt_number


def decode_receipt(text: str) -> ReceiptCode | None:
    """The receipt it names; None when it is no receipt barcode."""
    match = _RECEIPT.fullmatch(text)
    return ReceiptCode(match[1]) if match else None
