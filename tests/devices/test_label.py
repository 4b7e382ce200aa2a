"""Shelf labels: readable, scannable, the same picture in both languages of printers."""

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageChops

from devices.device import DeviceState
from devices.label import (
    LabelPrinter,
    LabelSize,
    ShelfLabel,
    draw_label,
    preview_png,
    to_tspl,
    to_zpl,
)
from devices.sim.vlabel import LabelReader, VirtualLabelPrinter
from protocol.errors import Refusal

MILK = ShelfLabel(
    name="鲜牛奶 1L 低温巴氏杀菌",
    price_minor=1250,
    unit="盒",
    unit_price="¥12.50/L",
    was_minor=1580,
    promotion="会员日 第二件半价",
    sku="milk-1l",
    code="6901028075831",
)
SIZES = [LabelSize(), LabelSize(40, 30), LabelSize(70, 38, dpi=300)]


@pytest.mark.parametrize("size", SIZES)
def test_the_code_scans_from_the_preview(size):
    picture = draw_label(MILK, size)
    assert picture.size == size.dots
    assert preview_png(picture).startswith(b"\x89PNG")
    found = zxingcpp.read_barcodes(picture.convert("L"))
    assert [code.text for code in found] == ["6901028075831"]


@pytest.mark.parametrize("size", SIZES)
def test_what_the_printer_draws_is_the_preview(size, events, eventually):
    picture = draw_label(MILK, size)
    with VirtualLabelPrinter() as virtual:
        printer = LabelPrinter("l1", virtual.url, on_event=events.put)
        printer.start()
        eventually(lambda: printer.state().state is DeviceState.UP)
        printer.send(to_zpl(picture, copies=2)).result(timeout=30)
        printer.send(to_tspl(picture, size)).result(timeout=30)
        eventually(lambda: len(virtual.labels) == 3)
        printer.stop()
        for label in virtual.labels:
            assert ImageChops.difference(label.convert("L"), picture.convert("L")).getbbox() is None
        assert virtual.reader.faults == []
    assert len(to_zpl(picture)) < 8_000


def test_golden_heads():
    picture = draw_label(MILK, LabelSize())
    assert to_zpl(picture).startswith(b"^XA^PW480^LL320^FO0,0^GFA,")
    assert to_zpl(picture).endswith(b"^FS^PQ1^XZ\n")
    assert to_tspl(picture, LabelSize(), copies=3).startswith(
        b"SIZE 60 mm,40 mm\r\nGAP 2 mm,0 mm\r\nDIRECTION 1\r\nCLS\r\nBITMAP 0,0,60,320,0,"
    )
    assert to_tspl(picture, LabelSize(), copies=3).endswith(b"\r\nPRINT 3,1\r\n")


@pytest.mark.parametrize("code", ["6901028075832", "中文", "x" * 70, "a\x1b"])
def test_codes_that_cannot_be(code):
    label = ShelfLabel(name="x", price_minor=1, code=code)
    with pytest.raises(Refusal, match="BARCODE_UNPRINTABLE"):
        draw_label(label, LabelSize())


def test_copies_are_bounded():
    picture = draw_label(ShelfLabel(name="x", price_minor=1), LabelSize())
    for copies in (0, 201):
        with pytest.raises(Refusal, match="LABEL_COPIES"):
            to_zpl(picture, copies=copies)


def test_no_font_no_label(monkeypatch):
    monkeypatch.setattr("devices.label.cjk_font", lambda size: None)
    with pytest.raises(Refusal, match="LABEL_NO_FONT"):
        draw_label(MILK, LabelSize())


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60), st.integers(0, 10**9), st.text(max_size=20), st.sampled_from(SIZES))
def test_any_name_gives_a_label(name, price, unit, size):
    picture = draw_label(ShelfLabel(name=name, price_minor=price, unit=unit, promotion=name), size)
    reader = LabelReader()
    data = to_zpl(picture) + to_tspl(picture, size)
    for at in range(0, len(data), 997):
        reader.feed(data[at : at + 997])
    assert reader.faults == []
    assert len(reader.labels) == 2
