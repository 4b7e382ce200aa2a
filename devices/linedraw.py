"""Draw a line of text as dots, for what the printer's code page lacks (rare Hanzi, emoji).

Debian's fonts-noto-cjk is used where it is installed; without it the caller prints □ instead. What
that font lacks too (emoji) is taken from the others of OTHER_FILES, where one of them is there.
"""

from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

FONT_FILES: Final = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
)
OTHER_FILES: Final = (
    "/usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
_NOBODYS: Final = "\U0010ffff"  # no font has it: what it draws is the sign for "missing"
_SIMPLIFIED: Final = 2  # the face for simplified Chinese inside Noto's collection


@lru_cache(maxsize=8)
def cjk_font(size: int) -> ImageFont.FreeTypeFont | None:
    """The first CJK font found, at `size` dots; None when there is none."""
    for name in FONT_FILES:
        if Path(name).is_file():
            return ImageFont.truetype(name, size, index=_SIMPLIFIED if "Noto" in name else 0)
    return None


@lru_cache(maxsize=8)
def _fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    """The CJK font first; empty without one."""
    first = cjk_font(size)
    if first is None:
        return ()
    others = [ImageFont.truetype(name, size) for name in OTHER_FILES if Path(name).is_file()]
    return (first, *others)


@lru_cache(maxsize=4096)
def _font_for(ch: str, size: int) -> int:
    """Which of `_fonts` has this character; the first when none has."""
    for index, font in enumerate(_fonts(size)):
        if ch.isspace() or bytes(font.getmask(ch)) != bytes(font.getmask(_NOBODYS)):
            return index
    return 0


def _runs(text: str, size: int) -> list[tuple[ImageFont.FreeTypeFont, str, float]]:
    """The text in pieces of one font, each with its width."""
    fonts = _fonts(size)
    runs = []
    for index, part in groupby(text, key=lambda ch: _font_for(ch, size)):
        piece = "".join(part)
        runs.append((fonts[index], piece, fonts[index].getlength(piece)))
    return runs


def draw_line(
    sides: tuple[str, str], *, dots: int, height: int = 24, align: str = "left"
) -> Image.Image | None:
    """Left and right text in black on one line of `dots`; None without a font.

    What is too wide is drawn smaller, to half of `height` (dots). `align` counts for the left
    side when the right one is empty.
    """
    for size in range(height, height // 2, -2):
        if not _fonts(size):
            return None
        left, right = (_runs(side, size) for side in sides)
        widths = [sum(width for _, _, width in runs) for runs in (left, right)]
        if sum(widths) <= dots:
            break
    picture = Image.new("1", (dots, height + height // 4), 1)
    start = {"left": 0.0, "center": (dots - widths[0]) / 2, "right": dots - widths[0]}[align]
    _draw(picture, left, 0 if right else max(0.0, start))
    _draw(picture, right, dots - widths[1])
    return picture


def _draw(
    picture: Image.Image, runs: list[tuple[ImageFont.FreeTypeFont, str, float]], x: float
) -> None:
    pen = ImageDraw.Draw(picture)
    baseline = picture.height * 7 // 10 + 3
    for font, piece, width in runs:
        pen.text((x, baseline), piece, font=font, fill=0, anchor="ls")
        x += width
