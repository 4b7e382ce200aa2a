"""Pictures of codes as the printer's own ROM would draw them: raster, QR, barcode."""

from typing import Final

import barcode  # type: ignore[import-untyped]
import segno
from barcode.errors import BarcodeError  # type: ignore[import-untyped]
from PIL import Image, ImageDraw

_KINDS: Final = {
    0: "upca", 2: "ean13", 3: "ean8", 4: "code39", 65: "upca", 67: "ean13", 68: "ean8",
    69: "code39", 73: "code128",
}  # fmt: skip
QUIET: Final = 10  # modules of white on both sides


def raster_picture(rows: bytes, width_bytes: int, height: int) -> Image.Image:
    """The bits of a `GS v 0`: 1 is black."""
    size = (width_bytes * 8, height)
    if not rows:
        return Image.new("L", (max(1, size[0]), max(1, height)), 255)
    return Image.frombytes("1", size, bytes(byte ^ 0xFF for byte in rows)).convert("L")


def qr_picture(text: str, module_dots: int) -> Image.Image:
    """A QR code, level L, with the quiet zone that paper around it gives anyway."""
    code = segno.make_qr(text or " ", error="l", boost_error=False, encoding="utf-8")
    rows = [bytes(row) for row in code.matrix_iter(scale=module_dots, border=2)]
    picture = Image.new("L", (len(rows[0]), len(rows)), 255)
    picture.putdata([0 if dark else 255 for row in rows for dark in row])
    return picture


def barcode_picture(
    kind: int, data: bytes, *, width: int, height: int
) -> tuple[str, Image.Image | None]:
    """The text and the bars of a `GS k`; None when the printer would print nothing."""
    name = _KINDS.get(kind)
    text = data.decode("latin-1")
    if name == "code128":
        if not text.startswith(("{A", "{B", "{C")):
            return text, None
        text = text[2:].replace("{{", "{")
    if name is None:
        return text, None
    try:
        symbol = barcode.get(
            name, text, options={"add_checksum": False} if name == "code39" else None
        )
        modules = symbol.build()[0]
    except (BarcodeError, ValueError, KeyError):
        return text, None
    bars = "0" * QUIET + modules.replace("G", "1") + "0" * QUIET
    picture = Image.new("L", (len(bars) * width, height + 30), 255)
    pen = ImageDraw.Draw(picture)
    for index, bar in enumerate(bars):
        if bar == "1":
            pen.rectangle((index * width, 0, (index + 1) * width - 1, height), fill=0)
    pen.text((picture.width // 2, height + 26), text, fill=0, anchor="ms", font_size=20)
    return text, picture
