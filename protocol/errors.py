"""One error tree with stable codes, and the sentences that people read.

    TillmeshError            has a code, parameters, and a sentence in zh-CN and en
    |-- Refusal              the request is against a rule; nothing was changed
    |-- Conflict             somebody else was faster, or the same id came with other content
    |-- Unavailable          the machine cannot do it now (disk, database); nothing was changed
    `-- Corrupt              stored or received bytes are not what they must be

A sentence says what happened, what was kept and what to do. Modules add their own sentences with
`define`; a test checks that every code has both languages and the same parameters in them.
"""

from collections.abc import Mapping
from typing import Final

SENTENCES: Final[dict[str, tuple[str, str]]] = {}  # code -> (en, zh)


def define(sentences: Mapping[str, tuple[str, str]]) -> None:
    """Add sentences; a code can be defined once."""
    twice = SENTENCES.keys() & sentences.keys()
    if twice:
        raise ValueError(f"error code defined twice: {sorted(twice)}")
    SENTENCES.update(sentences)


def sentence(code: str, params: Mapping[str, object], language: str = "en") -> str:
    """The text for people; `language` is "en" or anything that starts with "zh"."""
    texts = SENTENCES.get(code)
    if texts is None:
        return code
    text = texts[1] if language.startswith("zh") else texts[0]
    try:
        return text.format(**params)
    except (KeyError, IndexError):  # a sentence must never hide the fault it speaks of
        return f"{text} {dict(params)}"


class TillmeshError(Exception):
    """The root. `code` is stable and may be relied upon; the words may change."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence('en')}"

    def sentence(self, language: str) -> str:
        """The text for people in this language."""
        return sentence(self.code, self.params, language)


class Refusal(TillmeshError):
    """Against a rule; nothing was changed."""


class Conflict(TillmeshError):
    """Somebody else was faster, or one id came with two contents; nothing was changed."""


class Unavailable(TillmeshError):
    """The machine cannot do it now; nothing was changed."""


class Corrupt(TillmeshError):
    """Bytes are not what they must be."""


define(
    {
        "MONEY_UNREADABLE": (
            "“{text}” is not an amount. Type it like 12.50.",
            "“{text}”不是金额。请按 12.50 的格式输入。",
        ),
        "MONEY_TOO_LARGE": (
            "“{text}” is larger than any amount Tillmesh books. Check the figure.",
            "“{text}”超出系统可记账的金额。请检查数字。",
        ),
        "QUANTITY_UNREADABLE": (
            "“{text}” is not a quantity. Type it like 3 or 0.250.",
            "“{text}”不是数量。请按 3 或 0.250 的格式输入。",
        ),
        "QUANTITY_TOO_FINE": (
            "{text} has more decimals than this product allows ({decimals}). "
            "Nothing was rounded; type it again.",
            "{text} 的小数位超过该商品允许的 {decimals} 位。系统没有取整，请重新输入。",
        ),
        "QUANTITY_TOO_LARGE": (
            "{text} is larger than any quantity Tillmesh books. Check the figure.",
            "{text} 超出系统可记账的数量。请检查数字。",
        ),
        "ID_UNREADABLE": (
            "“{text}” cannot be a {kind}: use letters, digits, '-' and '_', 40 at most.",
            "“{text}”不能作为{kind}：只能用字母、数字、'-' 和 '_'，最多 40 个字符。",
        ),
        "INTERNAL": (
            "Something went wrong inside Tillmesh (reference {reference}). What was saved before "
            "stays saved. Try again; if it comes back, tell your operator the reference.",
            "系统内部出错（编号 {reference}）。此前已保存的内容不受影响。"
            "请重试；若再次出现，请把编号告知管理员。",
        ),
    }
)
