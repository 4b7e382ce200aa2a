"""A document for the receipt printer: blocks in, bytes out.

    render([Text("合计", align="center"), Row("现金", "¥12.50"), Cut()], profile("80mm-48col"))

Blocks are data (msgspec structs): a print job stores them as JSON and renders them when it is sent,
so a resend can carry its mark. python-escpos encodes the commands; text goes through `gbtext`.
A line that the code page lacks is drawn as a picture, alone. Every line ends with LF before a cut.
"""

import io
import tomllib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Final, Literal

import msgspec
import segno
from PIL import Image as Picture

from devices import gbtext
from devices.encoder import Dummy, EscposImage
from devices.linedraw import draw_line
from protocol.errors import Refusal

Align = Literal["left", "center", "right"]
BLOCKS_MAX: Final = 4000


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a printer can do; `profiles.toml` explains each figure."""

    columns: int
    dots: int
    dpi: int
    gb: bool = True
    qr: bool = True
    cutter: bool = True
    fence: Literal["gs_r", "gs_h", "none"] = "gs_r"
    status: bool = True
    raster_rows: int = 960


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A paragraph, wrapped to the paper; `wide` and `tall` double the size."""

    text: str
    align: Align = "left"
    bold: bool = False
    wide: bool = False
    tall: bool = False
    inverse: bool = False


class Row(msgspec.Struct, frozen=True, tag="row"):
    """Left text, right text (an amount) on one line; a long left side wraps above it."""

    left: str
    right: str = ""
    bold: bool = False
    indent: int = 0
    wide: bool = False
    tall: bool = False


class Rule(msgspec.Struct, frozen=True, tag="rule"):
    """A line across the paper."""

    char: Literal["-", "=", "."] = "-"


class QR(msgspec.Struct, frozen=True, tag="qr"):
    """A QR code, as large as fits up to `module_dots` per module."""

    data: str
    module_dots: int = 6


class Barcode(msgspec.Struct, frozen=True, tag="barcode"):
    """A Code 128 (ASCII), centred, its text below; a QR code where it would be too wide."""

    data: str
    height_dots: int = 64


class Image(msgspec.Struct, frozen=True, tag="image"):
    """A PNG, centred; scaled down to the paper when wider."""

    png: bytes


class Feed(msgspec.Struct, frozen=True, tag="feed"):
    """Blank lines."""

    lines: int = 1


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """Feed past the knife and cut."""


class Kick(msgspec.Struct, frozen=True, tag="kick"):
    """One pulse to the cash drawer; only ever alone in its own job."""

    pin: Literal[2, 5] = 2


Block = Text | Row | Rule | QR | Barcode | Image | Feed | Cut | Kick
_BLOCKS = list[Block]


def dump_blocks(blocks: Sequence[Block]) -> bytes:
    """The JSON that a print job stores."""
    return msgspec.json.encode(list(blocks))


def load_blocks(data: bytes) -> list[Block]:
    """Back from JSON; msgspec.ValidationError when it is none of ours."""
    return msgspec.json.decode(data, type=_BLOCKS)


@lru_cache(maxsize=1)
def load_profiles() -> dict[str, Profile]:
    """All profiles of `profiles.toml` by name."""
    text = resources.files("devices").joinpath("profiles.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Profile])


def profile(name: str) -> Profile:
    """One profile; PROFILE_UNKNOWN names those that exist."""
    known = load_profiles()
    if name not in known:
        raise Refusal("PROFILE_UNKNOWN", profile=name, known=", ".join(known))
    return known[name]


def copy_text(copy_no: int) -> str:
    """What every copy that may not be the first says, in both languages at once."""
    return f"补打 第{copy_no}次 REPRINT {copy_no}"


def reprint_mark(copy_no: int) -> list[Block]:
    """The same, large and inverse, for the top of a resent job."""
    text = copy_text(copy_no)
    return [Text(text, align="center", bold=True, wide=True, tall=True, inverse=True), Feed()]


def render(blocks: Sequence[Block], to: Profile, *, copy_no: int = 0) -> bytes:
    """The bytes for this printer, from `ESC @` on; `copy_no` > 0 puts the reprint mark on top.

    The same arguments give the same bytes. A job of a lone Kick never carries a mark.
    """
    if copy_no and not all(isinstance(block, Kick) for block in blocks):
        blocks = [*reprint_mark(copy_no), *blocks]
    page = _Page(to)
    for block in blocks[:BLOCKS_MAX]:
        page.add(block)
    return page.output


class _Page:
    """The encoder's state: python-escpos's Dummy and the style that is switched on."""

    def __init__(self, to: Profile) -> None:
        self._to = to
        self._escpos = Dummy()
        self._escpos.hw("INIT")
        self._raw(b"\x1c&" if to.gb else b"\x1c.")
        self._align: Align = "left"
        self._style = (False, False, False, False)  # wide, tall, bold, inverse

    @property
    def output(self) -> bytes:
        return bytes(self._escpos.output)

    def add(self, block: Block) -> None:
        match block:
            case Text():
                self._text(block)
            case Row():
                self._row(block)
            case Rule(char=char):
                self._plain()
                self._line(char * self._to.columns)
            case QR(data=data, module_dots=module_dots):
                self._qr(data, module_dots)
            case Barcode():
                self._barcode(block)
            case Image(png=png):
                self._plain("center")
                self._raw(_rastered_png(png, self._to.dots, self._to.raster_rows))
            case Feed(lines=lines):
                self._plain()
                self._raw(b"\n" * max(0, min(lines, 50)))
            case Cut():
                self._cut()
            case Kick(pin=pin):
                self._escpos.cashdraw(pin)

    def _raw(self, data: bytes) -> None:
        self._escpos._raw(data)  # noqa: SLF001 - the encoder's only way in for our own text

    def _set(self, align: Align, *, style: tuple[bool, bool, bool, bool]) -> None:
        """Switch to a style, sending only what changes."""
        if style[:2] != self._style[:2]:
            wide, tall = style[:2]
            self._raw(b"\x1d!" + bytes([wide << 4 | tall]))
        if style[2] != self._style[2]:
            self._escpos.set(bold=style[2])
        if style[3] != self._style[3]:
            self._escpos.set(invert=style[3])
        if align != self._align:
            self._escpos.set(align=align)
        self._align, self._style = align, style

    def _plain(self, align: Align = "left") -> None:
        self._set(align, style=(False, False, False, False))

    def _line(self, left: str, right: str = "") -> None:
        """One line of folded text, `right` at the right edge; drawn when it has no bytes here."""
        if self._fits_code_page(left + right):
            self._raw(gbtext.encode(self._spread(left, right)) + b"\n")
            return
        picture = draw_line(
            (left, right),
            dots=self._to.dots // 8 * 8,
            height=48 if self._style[0] or self._style[1] else 24,
            align=self._align,
        )
        if picture is not None:
            self._raster(picture)
            return
        text = gbtext.encode(self._spread(left, right))  # no font on this machine: □, not nothing
        if not self._to.gb:
            text = text.decode("gb18030").encode("ascii", "replace")
        self._raw(text + b"\n")

    def _spread(self, left: str, right: str) -> str:
        if not right:
            return left
        width = self._to.columns // (2 if self._style[0] else 1)
        return left + " " * (width - gbtext.columns(left) - gbtext.columns(right)) + right

    def _fits_code_page(self, folded: str) -> bool:
        return gbtext.is_printable(folded) if self._to.gb else folded.isascii()

    def _text(self, block: Text) -> None:
        self._set(block.align, style=(block.wide, block.tall, block.bold, block.inverse))
        width = self._to.columns // (2 if block.wide else 1)
        for paragraph in block.text.split("\n"):
            for line in gbtext.wrap(paragraph, width):
                self._line(line)

    def _row(self, block: Row) -> None:
        self._set("left", style=(block.wide, block.tall, block.bold, False))
        width = self._to.columns // (2 if block.wide else 1)
        indent = min(max(0, block.indent), width // 2)
        right = gbtext.clip(block.right, width - indent - 2)
        lines = [" " * indent + line for line in gbtext.wrap(block.left, width - indent)]
        if right and gbtext.columns(lines[-1]) + 1 + gbtext.columns(right) > width:
            lines.append("")
        for line in lines[:-1]:
            self._line(line)
        self._line(lines[-1], right)

    def _qr(self, data: str, module_dots: int) -> None:
        if not data:
            return
        code = segno.make_qr(data, error="l", boost_error=False, encoding="utf-8")
        modules = code.symbol_size(border=0)[0]
        size = max(1, min(module_dots, self._to.dots // (modules + 8), 16))
        self._plain("center")
        if self._to.qr:
            self._escpos.qr(data, native=True, size=size)
            self._raw(b"\n")
            return
        drawn = io.BytesIO()
        code.save(drawn, kind="png", scale=size, border=4)
        with Picture.open(drawn) as picture:
            self._picture(picture)

    def _barcode(self, block: Barcode) -> None:
        text = block.data
        if not (0 < len(text) <= 80 and text.isascii() and text.isprintable()):
            raise Refusal("BARCODE_UNPRINTABLE", text=text[:80])
        modules = (len(text) + 3) * 11 + 2 + 20
        width = min(3, self._to.dots // modules)
        if width < 2:
            self._qr(text, 6)
            return
        self._plain("center")
        payload = b"{B" + text.replace("{", "{{").encode("ascii")
        self._raw(b"\x1dh" + bytes([max(1, min(255, block.height_dots))]))
        self._raw(b"\x1dw" + bytes([width]) + b"\x1df\x00\x1dH\x02")
        self._raw(b"\x1dkI" + bytes([len(payload)]) + payload + b"\n")

    def _picture(self, picture: Picture.Image) -> None:
        self._plain("center")
        self._raster(_shrunk(picture, self._to.dots))

    def _raster(self, picture: Picture.Image) -> None:
        self._raw(_rastered(picture, self._to.raster_rows))

    def _cut(self) -> None:
        self._plain()
        if self._to.cutter:
            self._escpos.cut()
        else:
            self._escpos.print_and_feed(6)


def _shrunk(picture: Picture.Image, dots: int) -> Picture.Image:
    if picture.width <= dots:
        return picture
    return picture.resize((dots, max(1, picture.height * dots // picture.width)))


def _rastered(picture: Picture.Image, rows_max: int) -> bytes:
    """`GS v 0` in pieces that the printer's memory takes."""
    commands = b""
    for piece in EscposImage(picture).split(rows_max):
        rows = EscposImage(piece)
        size = rows.width_bytes.to_bytes(2, "little") + rows.height.to_bytes(2, "little")
        commands += b"\x1dv0\x00" + size + rows.to_raster_format()
    return commands


@lru_cache(maxsize=8)
def _rastered_png(png: bytes, dots: int, rows_max: int) -> bytes:
    """A logo is the same on every receipt: scaled and encoded once."""
    with Picture.open(io.BytesIO(png)) as picture:
        return _rastered(_shrunk(picture, dots), rows_max)
