"""Chinese text as a receipt printer understands it: GB18030, one- and two-byte forms only.

>>> encode("合计 ¥12.50").hex(" ")
'ba cf bc c6 20 a3 a4 31 32 2e 35 30'
>>> columns("合计 ¥12.50")
12
>>> wrap("鲜牛奶面包，买二送一。", 14)
['鲜牛奶面包，买', '二送一。']

A printer in `FS &` mode takes two bytes for every character above ASCII; the four-byte forms of
GB18030 come out as garbage ("¥" is one of them). So text is folded first: control bytes go, what
has a twin in the code page becomes it (¥ -> ￥, NBSP -> space, • -> ·, ñ -> n). What then still has
no form (鿏, 𠮷, emoji) makes its line unprintable as text: `is_printable` says so and the receipt
draws that line as a picture. On paper a character is as wide as its bytes, so columns are bytes.
"""

import unicodedata
from functools import lru_cache
from typing import Final

MISSING: Final = "□"
_TWINS: Final = {
    "¥": "￥", "£": "￡", "¢": "￠", "\u00a0": " ", "\u2007": " ", "\u202f": " ", "•": "·",
    "‧": "·", "∙": "·", "・": "·", "©": "(C)", "®": "(R)", "™": "(TM)", "‑": "-", "‒": "–",
    "−": "-", "―": "—", "⁄": "/", "∕": "/", "‚": ",", "„": "“", "‛": "‘", "‟": "“", "«": "《",
    "»": "》", "‹": "〈", "›": "〉", "¦": "|", "¬": "￢", "¯": "￣", "∼": "~", "〜": "～", "µ": "μ",
    "✓": "√", "✔": "√", "☆": "☆", "⭐": "★", "ß": "ss", "Æ": "AE", "æ": "ae", "Ø": "O",
    "ø": "o", "Œ": "OE", "œ": "oe", "Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "∅": "Φ",
    "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "￥": "￥",
}  # fmt: skip
_NO_START: Final = frozenset("。，、；：？！）】》〉」』〕”’％℃…—·.,;:?!)]}%›»")
_NO_END: Final = frozenset("（【《〈「『〔“‘￥([{$#")
_SPACES: Final = frozenset({"Zs", "Zl", "Zp"})


@lru_cache(maxsize=16384)
def _form(ch: str) -> bytes:
    """The one or two bytes of a character, b"" when the code page has none."""
    if unicodedata.category(ch) in {"Co", "Cs", "Cn"}:  # private use prints as a blank or a logo
        return b""
    form = ch.encode("gb18030")
    return form if len(form) <= 2 else b""


@lru_cache(maxsize=16384)
def _folded(ch: str) -> str:
    """What stands for one character: itself, its twin, or itself again when there is none."""
    category = unicodedata.category(ch)
    if _form(ch):
        return ch
    if ch in _TWINS:
        return _TWINS[ch]
    if category in _SPACES:
        return " "
    if category == "Mn" and "\ufe00" <= ch <= "\ufe0f":  # variation selectors choose a drawing
        return ""
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", ch) if not unicodedata.combining(part)
    )
    return plain if plain and plain != ch and all(map(_form, plain)) else ch


@lru_cache(maxsize=16384)
def _visible(ch: str) -> str:
    category = unicodedata.category(ch)
    if category == "Cc":
        return " " if ch in "\t\n\r\v\f\x85" else ""
    return "" if category == "Cf" else ch  # joiners, marks of direction, BOM: able to disguise


def fold(text: str) -> str:
    """Strip control bytes and replace what has a twin in the code page; the rest stays.

    Line ends become spaces: a name of goods cannot break out of its line.
    """
    shown = "".join(map(_visible, text))
    if any(map(unicodedata.combining, shown)):
        shown = unicodedata.normalize("NFC", shown)
    return "".join(map(_folded, shown))


def is_printable(folded: str) -> bool:
    """Has every character of a folded text a one- or two-byte form?"""
    return all(map(_form, folded))


def encode(text: str) -> bytes:
    """Fold and encode; never a four-byte form, never `?`; what has no form becomes □."""
    return b"".join(_form(ch) or _form(MISSING) for ch in fold(text))


def columns(text: str) -> int:
    """How many columns the text takes on paper at normal width (a □ takes two)."""
    return sum(len(_form(ch)) or 2 for ch in fold(text))


def clip(text: str, width: int) -> str:
    """The longest beginning of the folded text that fits into `width` columns."""
    taken, used = [], 0
    for ch in fold(text):
        used += columns(ch)
        if used > width:
            break
        taken.append(ch)
    return "".join(taken)


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Clip, then fill with spaces on the right side, or on the left with `right`."""
    clipped = clip(text, width)
    fill = " " * (width - columns(clipped))
    return fill + clipped if right else clipped + fill


def wrap(text: str, width: int) -> list[str]:
    """Break the folded text into lines of at most `width` columns (at least 2).

    Chinese breaks anywhere, words at spaces (a longer word is cut); no line starts with a closing
    mark (。，）) or ends with an opening one, unless nothing else is possible.
    """
    if width < 2:
        raise ValueError("a line needs two columns")
    lines: list[str] = []
    rest = fold(text).strip()
    while columns(rest) > width:
        cut = _break_at(rest, len(clip(rest, width)))
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*lines, rest] if rest or not lines else lines


def _break_at(text: str, fits: int) -> int:
    """The best place at or before `fits` (at least 1 character) to break `text`."""
    for cut in range(fits, 0, -1):
        if _may_break(text[cut - 1], text[cut]):
            return cut
    return fits


def _may_break(before: str, after: str) -> bool:
    if after == " ":
        return True
    if after in _NO_START or before in _NO_END:
        return False
    return before == " " or not (_in_word(before) and _in_word(after))


@lru_cache(maxsize=4096)
def _in_word(ch: str) -> bool:
    """Does it hold together with its neighbour? Letters of alphabets do, Hanzi do not."""
    return ch.isascii() or (ch.isalpha() and unicodedata.east_asian_width(ch) not in {"W", "F"})
