"""Receipts as a shop changes them: sections, promotions, tax, code, places, logo."""

import io

import msgspec
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from devices import gbtext
from devices.logo import HEIGHT_DOTS, WIDTH_DOTS, reduce_logo
from devices.receipt import Image, profile, render
from devices.receipt_layout import (
    NEEDED,
    SECTIONS,
    Template,
    filled,
    sale_receipt,
    unknown_places,
)
from devices.sim.interpreter import EscPos
from protocol.errors import Refusal
from tests.devices.samples import SALE

WIDE, NARROW = profile("80mm-48col"), profile("58mm-32col")


def _paper(template, *, data=SALE, language="zh-CN", to=WIDE):
    brain = EscPos(columns=to.columns, dots=to.dots)
    brain.feed(render(sale_receipt(data, language, template), to))
    assert brain.faults == []
    assert brain.warnings == []
    return brain.papers[0]


def test_sections_in_the_shops_own_order():
    text = _paper(Template(sections=("footer", "store", "totals", "goods", "number"))).text()
    places = [text.index(word) for word in ("谢谢惠顾", "好利来", "应付", "鲜牛奶", "单号")]
    assert places == sorted(places)
    assert "找零" not in text
    assert "含税" not in text
    assert "BARCODE" not in text


@pytest.mark.parametrize(
    ("template", "there", "gone"),
    [
        (Template(promotions="lines"), "  买二送一", "!"),
        (Template(promotions="none"), "优惠 ", "买二送一"),
        (Template(tax="total"), "￥3.49", "13%"),
        (Template(tax="none"), "应付", "含税"),
        (Template(code="qr"), "[QR: TMR:T1-3-000123]", "BARCODE"),
        (Template(code="none"), "谢谢惠顾", "TMR:"),
    ],
)
def test_what_a_shop_may_choose(template, there, gone):
    text = _paper(template).text()
    assert there in text
    assert gone not in text


def test_promotions_summed_up_stand_above_the_total():
    lines = (SALE.lines[0], msgspec.structs.replace(SALE.lines[0], name="第二行"))
    data = msgspec.structs.replace(SALE, lines=lines, discount_minor=2500)
    text = _paper(Template(promotions="summary"), data=data).text()
    assert text.count("买二送一") == 1
    assert "-￥25.00" in next(line for line in text.splitlines() if "买二送一" in line)
    assert text.index("买二送一") < text.index("应付")


def test_a_price_changed_by_hand_has_its_own_line():
    line = msgspec.structs.replace(SALE.lines[0], discount_minor=1500)
    data = msgspec.structs.replace(SALE, lines=(line,))
    for promotions in ("lines", "none"):
        for language, word in (("zh-CN", "改价"), ("en", "Price changed")):
            text = _paper(Template(promotions=promotions), data=data, language=language).text()
            assert "-￥2.50" in next(x for x in text.splitlines() if word in x)


def test_a_copy_is_marked_whatever_the_template():
    data = msgspec.structs.replace(SALE, copy_no=3)
    template = Template(sections=("store", "number", "goods", "totals"))
    assert _paper(template, data=data).rows()[0].strip() == "补打 第3次 REPRINT 3"


def test_places_in_header_and_footer():
    assert filled("今天节省 {saved}，{store} {nobody}", SALE) == (
        "今天节省 ¥12.50，好利来面包房 {nobody}"
    )
    assert unknown_places("{saved} {nobody} {} {time}") == ["nobody", ""]
    data = msgspec.structs.replace(SALE, footer=("{cashier} · {number} · {total}",))
    assert "王芳 · T1-3-000123 · ￥30.31" in _paper(Template(), data=data).text()


TEMPLATES = st.builds(
    Template,
    sections=st.permutations(sorted(SECTIONS)).map(
        lambda names: tuple(n for i, n in enumerate(names) if n in NEEDED or i % 2)
    ),
    promotions=st.sampled_from(["lines", "summary", "none"]),
    tax=st.sampled_from(["table", "total", "none"]),
    code=st.sampled_from(["barcode", "qr", "none"]),
)


@settings(max_examples=60, deadline=None)
@given(TEMPLATES, st.sampled_from(["zh-CN", "en"]), st.sampled_from([WIDE, NARROW]))
def test_every_template_prints_its_total_within_the_paper(template, language, to):
    rows = _paper(template, language=language, to=to).rows()
    assert any("￥30.31" in row for row in rows)
    assert all(row.lstrip().startswith("[") or gbtext.columns(row) <= to.columns for row in rows)


def _picture(size, colour=(0, 0, 0, 255), kind="PNG"):
    out = io.BytesIO()
    Picture.new("RGBA", size, colour).convert("RGB" if kind == "JPEG" else "RGBA").save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_logo_becomes_small_and_black(kind):
    small = reduce_logo(_picture((2000, 900), kind=kind))
    with Picture.open(io.BytesIO(small)) as picture:
        assert picture.mode == "1"
        assert picture.width <= WIDTH_DOTS
        assert picture.height <= HEIGHT_DOTS
    assert len(small) < 4000
    for to in (WIDE, NARROW):
        rows = _paper(Template(logo=small), to=to).rows()
        assert rows[0] == "[IMAGE 384x173]"


def test_what_is_transparent_stays_white():
    with Picture.open(io.BytesIO(reduce_logo(_picture((50, 50), (0, 0, 0, 0))))) as picture:
        assert picture.convert("L").getextrema() == (255, 255)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_refused_in_words(data):
    with pytest.raises(Refusal) as caught:
        reduce_logo(data)
    assert caught.value.code == "LOGO_UNUSABLE"
    assert caught.value.sentence("zh-CN") != caught.value.sentence("en")


def test_a_logo_is_encoded_once_and_always_the_same():
    block = Image(_picture((500, 100)))
    assert render([block], WIDE) == render([block], WIDE)
    assert render([block], WIDE) != render([block], NARROW)


def test_the_qr_of_a_receipt_can_be_scanned_from_its_picture():
    for to in (WIDE, NARROW):
        paper = _paper(Template(code="qr"), to=to)
        assert zxingcpp.read_barcodes(paper.picture())[0].text == "TMR:T1-3-000123"
