"""Receipts in bytes, and on the virtual printer's paper."""

import io
import itertools
import os
import subprocess
import sys
import zlib

import msgspec
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from devices import gbtext
from devices.linedraw import draw_line
from devices.note import decode_note, encode_note
from devices.receipt import (
    QR,
    Barcode,
    Cut,
    Feed,
    Image,
    Kick,
    Row,
    Rule,
    Text,
    dump_blocks,
    load_blocks,
    load_profiles,
    profile,
    render,
)
from devices.receipt_layout import (
    NoteData,
    NoteLine,
    ReceiptLine,
    sale_receipt,
    transfer_note,
)
from devices.sim.interpreter import EscPos
from protocol.errors import Refusal
from tests.devices.samples import SALE

WIDE = profile("80mm-48col")
NARROW = profile("58mm-32col")


def _print(data, to=WIDE):
    brain = EscPos(columns=to.columns, dots=to.dots)
    brain.feed(data)
    assert brain.faults == []
    assert brain.warnings == []
    return brain


def test_golden_bytes():
    data = render([Text("合计", align="center", bold=True), Row("现金", "¥12.50"), Cut()], WIDE)
    assert data.hex(" ") == (
        "1b 40 1c 26 1b 45 01 1b 61 01 ba cf bc c6 0a "
        "1b 45 00 1b 61 00 cf d6 bd f0 " + "20 " * 37 + "a3 a4 31 32 2e 35 30 0a "
        "1b 64 06 1d 56 00"
    )
    assert render([Kick()], WIDE).hex(" ") == "1b 40 1c 26 1b 70 00 32 32"
    assert render([Kick()], WIDE, copy_no=3) == render([Kick()], WIDE)


def test_the_sale_on_paper():
    brain = _print(render(sale_receipt(SALE), WIDE))
    assert (
        brain.papers[0].text()
        == """\
            好利来面包房
================================================
单号 T1-3-000123                2026-05-01 10:32
收银台 T1                            收银员 王芳
------------------------------------------------
鲜牛奶面包 500g
  3 个 x ￥12.50                         ￥37.50
  买二送一                              -￥12.50
散装饼干
  0.536 kg x ￥9.90                       ￥5.31
------------------------------------------------
小计                                     ￥42.81
优惠                                    -￥12.50
应付             ￥30.31
现金                                     ￥50.00
找零                                     ￥19.69
项数                                           2
................................................
含税
13% 不含税 ￥26.82                   税额 ￥3.49

                    谢谢惠顾
[BARCODE: TMR:T1-3-000123]"""
    )
    assert len(render(sale_receipt(SALE), WIDE)) <= 2000


def test_english_and_narrow_paper_and_copy():
    data = msgspec.structs.replace(SALE, copy_no=2, title="REFUND", header=("No. 1 Road",))
    text = _print(render(sale_receipt(data, "en"), NARROW), NARROW).papers[0].text()
    assert "补打 第2次 REPRINT 2" in text
    assert "You save" in text
    assert "TOTAL" in text
    assert "Change" in text
    assert all(gbtext.columns(row) <= 32 for row in text.splitlines() if row[:1] != "[")


def test_a_resend_is_marked_and_otherwise_the_same():
    blocks = sale_receipt(SALE)
    assert render(blocks, WIDE) == render(load_blocks(dump_blocks(blocks)), WIDE)
    first, second = (_print(render(blocks, WIDE, copy_no=n)).papers[0].text() for n in (0, 1))
    assert "REPRINT" not in first
    assert second.splitlines()[0].strip() == "补打 第1次 REPRINT 1"
    assert second.endswith(first.lstrip())


def test_note_with_its_code_decodes_from_the_picture():
    qr = encode_note("TR-9", source="s1", target="s2", lines=[("bun", 10_000), ("flour", 2_500)])
    note = NoteData(
        transfer_id="TR-9",
        source="A 店",
        target="B 店",
        operator="李强",
        time="2026-05-01 18:00",
        lines=(NoteLine(sku="bun", name="牛角包", qty="10", unit="个"),),
        qr=qr,
    )
    for to in (WIDE, NARROW):
        paper = _print(render(transfer_note(note), to), to).papers[0]
        assert "调拨单" in paper.text()
        assert "牛角包" in paper.text()
        found = zxingcpp.read_barcodes(paper.picture())
        assert decode_note(found[0].text).lines == (("bun", 10_000), ("flour", 2_500))
    software = load_profiles()["80mm-48col-latin"]
    paper = _print(render([QR(qr), Cut()], software), software).papers[0]
    assert zxingcpp.read_barcodes(paper.picture())[0].text == qr


def test_receipt_barcode_decodes_from_the_picture():
    paper = _print(render([Barcode("TMR:T1-3-000123"), Cut()], NARROW), NARROW).papers[0]
    assert zxingcpp.read_barcodes(paper.picture())[0].text == "TMR:T1-3-000123"
    wide = _print(render([Barcode("X" * 60), Cut()], NARROW), NARROW).papers[0]
    assert wide.text().startswith(" " * 0 + "[QR: XXX")
    with pytest.raises(Refusal):
        render([Barcode("中文")], WIDE)


def test_rare_characters_are_drawn_and_only_their_line():
    data = render([Text("普通"), Text("鿏𠮷😀"), Row("鿏", "¥1.00"), Cut()], WIDE)
    rows = _print(data).papers[0].rows()
    assert rows[0] == "普通"
    assert rows[1].startswith("[IMAGE")
    assert rows[2].startswith("[IMAGE")
    ink = _print(data).papers[0].items[1].picture
    assert ink.getextrema()[0] == 0


def test_logo_is_scaled_and_split():
    out = io.BytesIO()
    Picture.new("1", (1200, 4000), 0).save(out, format="PNG")
    rows = _print(render([Image(out.getvalue()), Feed(2), Rule("="), Cut()], WIDE)).papers[0].rows()
    assert [row for row in rows if row][:2] == ["[IMAGE 576x960]", "[IMAGE 576x960]"]


def test_latin_printer_gets_no_chinese_bytes():
    to = profile("80mm-48col-latin")
    rows = _print(render([Text("Bread"), Text("面包"), Cut()], to), to).papers[0].rows()
    assert rows[0] == "Bread"
    assert rows[1].startswith("[IMAGE")


def test_the_encoder_leaves_nothing_behind(tmp_path):
    code = "import logging, devices.receipt; print(logging.getLogger().handlers)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_unknown_profile_names_the_known():
    with pytest.raises(Refusal) as caught:
        profile("tm")
    assert "80mm-48col" in str(caught.value)


NAMES = st.text(max_size=40) | st.text(
    alphabet="¥ ×“”😀鿏面包。，(\x1b\x1d\x10\x04V@\n", max_size=40
)


@settings(max_examples=60, deadline=None)
@given(NAMES, NAMES, st.sampled_from([WIDE, NARROW]))
def test_no_name_ever_breaks_the_paper(name, other, to):
    line = ReceiptLine(name=name, qty="1", unit=other[:6], unit_price_minor=1, gross_minor=1)
    data = msgspec.structs.replace(SALE, lines=(line,), store_name=other, cashier=name)
    brain = _print(render(sale_receipt(data), to), to)
    assert len(brain.papers) == 1
    for row in brain.papers[0].rows():
        assert row.startswith("[") or gbtext.columns(row) <= to.columns


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4000), max_size=12))
def test_the_simulator_does_not_care_how_bytes_are_split(cuts):
    blocks = [*sale_receipt(SALE)[:-1], Text("鿏"), QR("abc"), Cut(), Kick()]
    data = render(blocks, WIDE) + b"\x10\x04\x01\x1dr\x01\x1d(H\x06\x0000abcd\x10\x04\x04"
    whole = EscPos()
    expected = whole.feed(data)
    edges = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    split = EscPos()
    answers = b"".join(split.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    assert answers == expected == b"\x12\x00\x37\x22abcd\x00\x12"
    assert split.papers[0].text() == whole.papers[0].text()
    assert split.kicks == whole.kicks == [(2, 100, 100)]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_the_simulator_survives_anything(data):
    brain = EscPos()
    brain.feed(data)
    assert brain.feed(b"") == b""


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x1bZ", "unknown sequence 1b 5a"),
        ("¥".encode("gb18030"), "4-byte"),
        (b"abc\x1dV\x00", "cut with an unprinted line"),
        (b"\x09", "unknown sequence 09"),
        (b"\x1d(k\x03\x001Z0", "unknown sequence"),
        (b"\xff\xff", "no GB18030 pair"),
    ],
)
def test_the_simulator_is_strict(data, fault):
    brain = EscPos()
    brain.feed(data)
    assert fault in brain.faults[0]


def test_picture_of_a_receipt_is_stable():
    paper = _print(render(sale_receipt(SALE), WIDE)).papers[0]
    assert paper.picture().width == 576 + 48
    assert zlib.crc32(paper.png()) == zlib.crc32(paper.png())


def test_an_emoji_is_drawn_from_another_font_and_an_unknown_one_as_missing():
    unknown, face, hanzi = (draw_line((ch, ""), dots=48) for ch in ("\U0010ffff", "😀", "鿏"))
    assert face.tobytes() != unknown.tobytes()
    assert hanzi.tobytes() not in {face.tobytes(), unknown.tobytes()}
    both = draw_line(("鿏😀", "￥1"), dots=200)
    assert both.getextrema()[0] == 0
