"""A shop's logo, made fit for thermal paper once: black dots on white, small, never too wide."""

import io
from typing import Final

from PIL import Image, UnidentifiedImageError

from protocol.errors import Refusal

WIDTH_DOTS: Final = 384  # fits both widths of paper
HEIGHT_DOTS: Final = 240
FILE_BYTES_MAX: Final = 5_000_000
_TOO_LARGE: Final = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def reduce_logo(data: bytes) -> bytes:
    """Any picture as a 1-bit PNG of at most WIDTH_DOTS x HEIGHT_DOTS; LOGO_UNUSABLE says why not.

    Transparency becomes white; grey becomes a pattern of dots.
    """
    if len(data) > FILE_BYTES_MAX:
        raise Refusal("LOGO_UNUSABLE", detail=f"more than {FILE_BYTES_MAX // 1_000_000} MB")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            coloured = picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, ValueError, *_TOO_LARGE) as error:
        raise Refusal("LOGO_UNUSABLE", detail=type(error).__name__) from error
    sheet = Image.new("RGBA", coloured.size, "white")
    sheet.alpha_composite(coloured)
    grey = sheet.convert("L")
    grey.thumbnail((WIDTH_DOTS, HEIGHT_DOTS))
    out = io.BytesIO()
    grey.convert("1").save(out, format="PNG", optimize=True)
    return out.getvalue()
