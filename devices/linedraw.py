"""Draw a line of text as dots, for what the printer's code page lacks (rare Hanzi, emoji).

Debian's fonts-noto-cjk is used where it is installed; without it the caller prints □ instead.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

FONT_FILES: Final = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
)
_SIMPLIFIED: Final = 2  # the face for simplified Chinese inside Noto's collection


@lru_cache(maxsize=8)
def cjk_font(size: int) -> ImageFont.FreeTypeFont | None:
    """The first CJK font found, at `size` dots; None when there is none."""
    for name in FONT_FILES:
        if Path(name).is_file():
            return ImageFont.truetype(name, size, index=_SIMPLIFIED if "Noto" in name else 0)
    return None


def draw_line(
    sides: tuple[str, str], *, dots: int, height: int = 24, align: str = "left"
) -> Image.Image | None:
    """Left and right text in black on one line of `dots`; None without a font.

    What is too wide is drawn smaller, to half of `height` (dots). `align` counts for the left
    side when the right one is empty.
    """
    left, right = sides
    for size in range(height, height // 2, -2):
        font = cjk_font(size)
        if font is None:
            return None
        widths = font.getlength(left), font.getlength(right)
        if sum(widths) <= dots:
            break
    picture = Image.new("1", (dots, height + height // 4), 1)
    pen = ImageDraw.Draw(picture)
    start = {"left": 0.0, "center": (dots - widths[0]) / 2, "right": dots - widths[0]}[align]
    top = -height // 8
    pen.text((0 if right else max(0.0, start), top), left, font=font, fill=0)
    pen.text((dots - widths[1], top), right, font=font, fill=0)
    return picture
