"""Shelf labels: drawn once, the same picture for the preview, ZPL and TSPL.

    picture = draw_label(ShelfLabel(name="鲜牛奶 1L", price_minor=1250, ...), LabelSize(60, 40))
    data = to_zpl(picture, copies=2)            # or to_tspl(picture, size, copies=2)
    LabelPrinter("back", "socket://..:9100", on_event=queue.put).send(data)

A label printer's own fonts rarely have Chinese, so the label is a picture: a 60 x 40 mm one is
about 2 kB in ZPL's compressed form. Without a CJK font on the machine a label is refused rather
than printed with holes. Sources: devices.md section 4; the ZPL and TSPL command names.
"""

import base64
import binascii
import io
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import barcode  # type: ignore[import-untyped]
import msgspec
from barcode.errors import BarcodeError  # type: ignore[import-untyped]
from PIL import Image, ImageDraw

from devices import gbtext
from devices.device import UP, Condition, Device, Event, resolve
from devices.linedraw import cjk_font
from devices.port import DeviceLost, OpenPort, Port, open_port
from protocol.errors import Refusal
from protocol.money import format_minor

if TYPE_CHECKING:
    from concurrent.futures import Future

COPIES_MAX: Final = 200
_MARGIN: Final = 12


class LabelSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of the label in millimetres, the gap between two, and the head's resolution."""

    width_mm: int = 60
    height_mm: int = 40
    gap_mm: int = 2
    dpi: Literal[203, 300] = 203

    @property
    def dots(self) -> tuple[int, int]:
        """Width (whole bytes) and height in dots."""
        per_mm = {203: 8, 300: 12}[self.dpi]
        return self.width_mm * per_mm // 8 * 8, self.height_mm * per_mm


class ShelfLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What stands on the shelf."""

    name: str
    price_minor: int
    code: str = ""  # an EAN-13 or EAN-8 as such, anything else as Code 128
    unit: str = ""  # "个", "kg"
    unit_price: str = ""  # "¥25.00/kg", worded by the caller
    was_minor: int | None = None  # the price before, struck out
    promotion: str = ""
    sku: str = ""
    currency: str = "CNY"


def draw_label(label: ShelfLabel, size: LabelSize) -> Image.Image:
    """The label in black and white, as the head prints it; LABEL_NO_FONT without a CJK font."""
    if cjk_font(24) is None:
        raise Refusal("LABEL_NO_FONT")
    width, height = size.dots
    sheet = Image.new("1", (width, height), 1)
    code_height = height // 5
    room = height - _MARGIN - (code_height + 30 if label.code else 0)
    lines = _lines(label, width, height)
    full = sum(_pitch(points) for _, points, _ in lines)
    pen = _Pen(sheet, width - 2 * _MARGIN)
    for text, points, struck in lines:
        fitting = points if full <= room else max(12, points * room // full)
        pen.write(text, fitting, struck=struck)
    if label.code:
        _paste_code(sheet, label.code, code_height)
    return sheet


def _lines(label: ShelfLabel, width: int, height: int) -> list[tuple[str, int, bool]]:
    """What is written, from the top: text, size in dots, struck out or not."""
    small, name = max(20, height // 14), height // 9
    price = format_minor(label.price_minor, label.currency)
    if label.unit:
        price += f"/{label.unit}"
    was = "" if label.was_minor is None else format_minor(label.was_minor, label.currency)
    lines = [(line, name, False) for line in _name_lines(label.name, width, name)]
    lines += [(label.promotion, small, False), (price, height // 4, False), (was, small, True)]
    lines.append(("  ".join(filter(None, (label.unit_price, label.sku))), small, False))
    return [line for line in lines if gbtext.fold(line[0])]


def _pitch(points: int) -> int:
    """From one line's top to the next (dots)."""
    return points + points // 6


def preview_png(picture: Image.Image) -> bytes:
    """The label as a PNG for a page."""
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()


def to_zpl(picture: Image.Image, *, copies: int = 1) -> bytes:
    """One `^GFA` graphic, deflated (Z64), on a label of the picture's own size."""
    width, height = picture.size
    rows = _black_is_one(picture)
    packed = base64.b64encode(zlib.compress(rows, 9))
    field = b":Z64:" + packed + b":%04X" % binascii.crc_hqx(packed, 0)
    graphic = b"^GFA,%d,%d,%d," % (len(field), len(rows), (width + 7) // 8) + field + b"^FS"
    head = b"^XA^PW%d^LL%d^FO0,0" % (width, height)
    return head + graphic + b"^PQ%d^XZ\n" % _copies(copies)


def to_tspl(picture: Image.Image, size: LabelSize, *, copies: int = 1) -> bytes:
    """One `BITMAP`; in TSPL a bit of 0 is black."""
    width, height = picture.size
    rows = bytes(byte ^ 0xFF for byte in _black_is_one(picture))
    setup = b"SIZE %d mm,%d mm\r\nGAP %d mm,0 mm\r\nDIRECTION 1\r\nCLS\r\n" % (
        size.width_mm,
        size.height_mm,
        size.gap_mm,
    )
    bitmap = b"BITMAP 0,0,%d,%d,0," % ((width + 7) // 8, height)
    return setup + bitmap + rows + b"\r\nPRINT %d,1\r\n" % _copies(copies)


def _copies(copies: int) -> int:
    if not 1 <= copies <= COPIES_MAX:
        raise Refusal("LABEL_COPIES", copies=copies, limit=COPIES_MAX)
    return copies


def _black_is_one(picture: Image.Image) -> bytes:
    return bytes(byte ^ 0xFF for byte in picture.convert("1").tobytes())


def _name_lines(name: str, width: int, size: int) -> list[str]:
    """At most two lines; a Hanzi is as wide as it is high."""
    lines = gbtext.wrap(name, max(2, (width - 2 * _MARGIN) * 2 // size))
    return lines[:2]


class _Pen:
    """Writes downwards."""

    def __init__(self, sheet: Image.Image, width: int) -> None:
        self._draw = ImageDraw.Draw(sheet)
        self._width = width
        self._top = _MARGIN // 2

    def write(self, text: str, points: int, *, struck: bool) -> None:
        """A line at the left edge, drawn smaller until it fits the width."""
        text = gbtext.fold(text)
        size = points
        font = cjk_font(size)
        while size > 12 and font is not None and font.getlength(text) > self._width:
            size -= 2
            font = cjk_font(size)
        if font is None:
            return
        self._draw.text((_MARGIN, self._top - size // 5), text, font=font, fill=0)
        if struck:
            middle, right = self._top + size // 2, _MARGIN + round(font.getlength(text))
            self._draw.line((_MARGIN, middle, right, middle), fill=0, width=2)
        self._top += _pitch(points)


def _paste_code(sheet: Image.Image, code: str, height: int) -> None:
    """The barcode at the lower right, its digits below, as wide as fits."""
    kind = {13: "ean13", 8: "ean8"}.get(len(code)) if code.isdigit() else None
    if not (code.isascii() and code.isprintable()):
        raise Refusal("BARCODE_UNPRINTABLE", text=code[:80])
    try:
        symbol = barcode.get(kind or "code128", code)
        modules = symbol.build()[0].replace("G", "1")
    except BarcodeError as error:
        raise Refusal("BARCODE_UNPRINTABLE", text=code[:80]) from error
    if kind and symbol.get_fullcode() != code:
        raise Refusal("BARCODE_UNPRINTABLE", text=code[:80])
    quiet = 10
    dots = min(3, sheet.width // (len(modules) + 2 * quiet))
    if dots < 1:
        raise Refusal("BARCODE_UNPRINTABLE", text=code[:80])
    width = (len(modules) + 2 * quiet) * dots
    left, top = sheet.width - width, sheet.height - height - 26
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((left, top, sheet.width, sheet.height), fill=1)
    for index, bar in enumerate(modules):
        if bar == "1":
            at = left + (quiet + index) * dots
            pen.rectangle((at, top + 4, at + dots - 1, top + height), fill=0)
    font = cjk_font(20)
    pen.text((left + width // 2, sheet.height - 4), code, font=font, fill=0, anchor="ms")


class _Driver:
    """Label printers take bytes; sent is all that is known."""

    tick_s = 1.0

    def opened(self, owner: Device, port: Port) -> None:
        self._port = port
        owner.become(UP)

    def received(self, data: bytes) -> None:
        pass

    def perform(self, command: object, future: "Future[Any]") -> None:
        if not isinstance(command, bytes):
            raise TypeError(command)
        self._port.write(command)
        resolve(future, len(command))

    def tick(self) -> None:
        pass

    def closed(self, reason: DeviceLost) -> None:
        pass


class LabelPrinter:
    """One label printer, ZPL or TSPL alike."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        on_event: Callable[[Event], None],
        open_port: OpenPort = open_port,
    ) -> None:
        self.name = name
        self._device = Device(name, url, driver=_Driver(), on_event=on_event, open_port=open_port)

    def start(self) -> None:
        """Own the port from now on; returns at once."""
        self._device.start()

    def stop(self) -> None:
        """Give the port back within a second."""
        self._device.stop()

    def state(self) -> Condition:
        """UP or DOWN, with the reason."""
        return self._device.state()

    def send(self, data: bytes) -> "Future[int]":
        """Send labels; never blocks. Resolved with the byte count, or DeviceLost."""
        return self._device.submit(data)
