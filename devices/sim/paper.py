"""The paper that comes out of the virtual printer: as a text grid, and as a picture.

A line is a row of cells, a character with its columns and style. The picture draws what a 203 dpi
head would: 12-dot columns, 30-dot lines, the CJK face of Debian's fonts-noto-cjk.
"""

import io
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from devices.linedraw import FONT_FILES, cjk_font

COLUMN: Final = 12
LINE: Final = 30
MARGIN: Final = 24


@dataclass(frozen=True)
class Style:
    """How a character is printed; `wide` and `tall` are factors 1-8."""

    bold: bool = False
    underline: bool = False
    inverse: bool = False
    wide: int = 1
    tall: int = 1


@dataclass(frozen=True)
class Cell:
    """One character; `columns` before widening is 1 or 2."""

    char: str
    columns: int
    style: Style

    @property
    def width(self) -> int:
        """Columns on paper."""
        return self.columns * self.style.wide


@dataclass(frozen=True)
class Line:
    """A printed line of text."""

    cells: tuple[Cell, ...]
    align: str

    @property
    def width(self) -> int:
        """Columns that the cells take."""
        return sum(cell.width for cell in self.cells)

    def indent(self, columns: int) -> int:
        """Where alignment puts the first cell (columns)."""
        free = max(0, columns - self.width)
        return {"left": 0, "center": free // 2, "right": free}[self.align]


@dataclass(frozen=True)
class Graphic:
    """A raster picture, a QR code or a barcode; `data` is what the code says."""

    kind: str
    picture: Image.Image
    align: str
    data: str = ""

    @property
    def caption(self) -> str:
        """How the text grid shows it."""
        size = f"{self.picture.width}x{self.picture.height}"
        return f"[{self.kind}: {self.data}]" if self.data else f"[{self.kind} {size}]"


@dataclass
class Paper:
    """One piece of paper, growing line by line; `torn` when the power went before the cut."""

    columns: int
    dots: int
    items: list[Line | Graphic] = field(default_factory=list)
    torn: bool = False

    def copy(self) -> "Paper":
        """As it is now: the printer goes on with its own."""
        return Paper(self.columns, self.dots, list(self.items), self.torn)

    def rows(self) -> list[str]:
        """The text grid, one string per line; a Hanzi is one character and two columns."""
        rows = []
        for item in self.items:
            if isinstance(item, Graphic):
                rows.append(item.caption)
            else:
                text = "".join(cell.char for cell in item.cells)
                rows.append((" " * item.indent(self.columns) + text).rstrip())
        return rows

    def text(self) -> str:
        """The grid as one string, blank lines at its end dropped."""
        return "\n".join(self.rows()).rstrip("\n")

    def codes(self) -> list[str]:
        """What the QR codes and barcodes say."""
        return [item.data for item in self.items if isinstance(item, Graphic) and item.data]

    def picture(self) -> Image.Image:
        """The paper in black and white, `dots` wide plus a margin."""
        heights = [self._height(item) for item in self.items]
        size = (self.dots + 2 * MARGIN, sum(heights) + 2 * MARGIN)
        sheet = Image.new("L", size, 255)
        top = MARGIN
        for item, height in zip(self.items, heights, strict=True):
            if isinstance(item, Graphic):
                free = self.dots - item.picture.width
                left = {"left": 0, "center": free // 2, "right": free}[item.align]
                sheet.paste(item.picture, (MARGIN + left, top))
            else:
                self._draw(sheet, item, top)
            top += height
        return sheet

    def png(self) -> bytes:
        """The picture as PNG."""
        out = io.BytesIO()
        self.picture().save(out, format="PNG")
        return out.getvalue()

    @staticmethod
    def _height(item: Line | Graphic) -> int:
        if isinstance(item, Graphic):
            return item.picture.height + 6
        return LINE + 24 * (max((cell.style.tall for cell in item.cells), default=1) - 1)

    def _draw(self, sheet: Image.Image, line: Line, top: int) -> None:
        left = MARGIN + line.indent(self.columns) * COLUMN
        for cell in line.cells:
            width, height = cell.width * COLUMN, 24 * cell.style.tall
            tile = _glyph(cell.char, cell.columns * COLUMN, bold=cell.style.bold)
            if (width, height) != tile.size:
                tile = tile.resize((width, height))
            if cell.style.inverse:
                tile = tile.point(lambda value: 255 - value)
            sheet.paste(tile, (left, top + 2))
            if cell.style.underline:
                ImageDraw.Draw(sheet).line((left, top + 27, left + width, top + 27), fill=0)
            left += width


@lru_cache(maxsize=4096)
def _glyph(char: str, width: int, *, bold: bool) -> Image.Image:
    tile = Image.new("L", (width, 24), 255)
    if char == " ":
        return tile
    font = _mono_font()
    if font is None:
        ImageDraw.Draw(tile).rectangle((1, 3, width - 2, 20), outline=0)
        return tile
    pen = ImageDraw.Draw(tile)
    pen.text((width / 2, 20), char, font=font, fill=0, anchor="ms", stroke_width=1 if bold else 0)
    return tile


@lru_cache(maxsize=1)
def _mono_font() -> ImageFont.FreeTypeFont | None:
    """The half-width face of the same collection, else the proportional one."""
    try:
        return ImageFont.truetype(FONT_FILES[0], 22, index=7)  # Noto Sans Mono CJK SC
    except OSError:
        return cjk_font(22)
