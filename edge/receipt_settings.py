"""What a shop changes about its receipts: texts, sections, promotions, tax, code, logo."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from devices.logo import reduce_logo
from devices.receipt_layout import NEEDED, PLACES, SECTIONS, Template, unknown_places
from protocol.errors import Refusal


class ReceiptText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a shop changes about its receipts in one language.

    Lines under the store's name and at the foot may hold places like {saved}
    (`devices.receipt_layout.PLACES`); the rest are the fields of its `Template`.
    """

    header: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()  # what stands on a receipt, in this order; empty: everything
    promotions: Literal["lines", "summary", "none"] = "lines"
    tax: Literal["table", "total", "none"] = "table"
    code: Literal["barcode", "qr", "none"] = "barcode"
    logo: str = ""  # a PNG or JPEG file

    def template(self) -> Template:
        """The same as the layout takes it."""
        return Template(
            sections=self.sections,
            promotions=self.promotions,
            tax=self.tax,
            code=self.code,
            logo=read_logo(self),
        )


def receipt_faults(texts: Mapping[str, ReceiptText]) -> Iterable[str]:
    """Everything that is wrong with them, one line per fault; paths are absolute by now."""
    for language, text in texts.items():
        at = f"receipt.{language}"
        for name in text.sections:
            if name not in SECTIONS:
                yield f"{at}.sections: there is no section {name!r}; known: {', '.join(SECTIONS)}"
        for name in sorted(NEEDED.difference(text.sections)) if text.sections else ():
            yield f"{at}.sections: a receipt needs {name!r}"
        for name in (x for line in (*text.header, *text.footer) for x in unknown_places(line)):
            yield f"{at}: there is no place {{{name}}}; known: {', '.join(PLACES)}"
        try:
            read_logo(text)
        except Refusal as fault:
            yield f"{at}.logo: {fault.sentence('en')}"


def read_logo(text: ReceiptText) -> bytes:
    """The logo, fit for paper; b"" when there is none, LOGO_UNUSABLE when it cannot be one."""
    if not text.logo:
        return b""
    try:
        data = Path(text.logo).read_bytes()
    except OSError as fault:
        raise Refusal("LOGO_UNUSABLE", detail=str(fault)) from fault
    return reduce_logo(data)
