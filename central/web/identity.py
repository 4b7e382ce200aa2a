"""What the whole chain shares: its name, the words below each receipt, in-store barcodes."""

import re
from typing import Final

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy import select

from central.web.fields import typed
from central.web.office import me, office
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError, define
from protocol.node.tables import READ

pages = Blueprint("identity", __name__)
FOOTER_MAX: Final = 200
PREFIXES_MAX: Final = 20
EAN_DIGITS: Final = 12  # of 13, the last checks
_PREFIX: Final = re.compile(r"(2[0-9]{0,2}):item([1-9]):(?:(check)1:)?(?:weight|price)([1-9])")

define(
    {
        "BARCODE_LAYOUT_WRONG": (
            "“{text}” is no layout of an in-store barcode. Write it like 20:item5:weight5 or "
            "21:item5:check1:price4; it must fill 12 digits. Nothing was saved.",
            "“{text}”不是店内码格式。请按 20:item5:weight5 或 21:item5:check1:price4 填写，"
            "共 12 位数字。尚未保存。",
        ),
        "FOOTER_LONG": (
            "The words below a receipt are too long ({size} characters, {limit} at most). "
            "Nothing was saved.",
            "小票底部文字过长（{size} 字，上限 {limit}）。尚未保存。",
        ),
    }
)


class Identity(msgspec.Struct, frozen=True):
    """As the shops have it; before it was ever said, as the settings name the chain."""

    name_zh: str
    name_en: str
    footer_zh: str = ""
    footer_en: str = ""
    prefixes: tuple[str, ...] = ()


def present() -> Identity:
    """What holds now."""
    with office().books.database.reading() as connection:
        row = connection.execute(select(READ["chain"])).first()
    if row is None:
        return Identity(office().settings.name.zh, office().settings.name.en)
    prefixes = msgspec.json.decode(row.prefixes, type=tuple[str, ...])
    english = "" if row.footer_en == row.footer_zh else row.footer_en  # the fold fills it up
    return Identity(row.name_zh, row.name_en, row.footer_zh, english, prefixes)


def read_prefixes(text: str) -> tuple[str, ...]:
    """One layout per line; BARCODE_LAYOUT_WRONG names the first that is none."""
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    for line in found[: PREFIXES_MAX + 1]:
        match = _PREFIX.fullmatch(line)
        digits = 0
        if match:
            digits = len(match[1]) + int(match[2]) + bool(match[3]) + int(match[4])
        if digits != EAN_DIGITS or len(found) > PREFIXES_MAX:
            raise Refusal("BARCODE_LAYOUT_WRONG", text=line[:40])
    return found


def _footer() -> dict[str, str]:
    texts = {"zh": typed("footer_zh"), "en": typed("footer_en")}
    for text in texts.values():
        if len(text) > FOOTER_MAX:
            raise Refusal("FOOTER_LONG", size=len(text), limit=FOOTER_MAX)
    return {key: text.replace("\r\n", "\n") for key, text in texts.items() if text}


def _page(fault: TillmeshError | None = None) -> ResponseReturnValue:
    text = dict(request.form) if fault else {}
    page = render_template("identity.html", identity=present(), text=text, fault=fault)
    return page, (422 if fault else 200)


@pages.get("/chain")
@needs("see_chain")
def identity() -> ResponseReturnValue:
    """What holds now."""
    return _page()


@pages.post("/chain")
@needs("manage_stores")
def change() -> ResponseReturnValue:
    """Say it to all shops."""
    try:
        office().stores.describe_chain(
            zh=typed("name_zh"),
            en=typed("name_en"),
            by=me(),
            footer=_footer(),
            prefixes=read_prefixes(request.form.get("prefixes", "")),
        )
    except TillmeshError as fault:
        return _page(fault)
    flash(gettext("Saved. The shops get it with the next batch."))
    return redirect(url_for(".identity"))
