"""Receipts byte by byte: what leaves for the printer changes only when somebody means it.

`data/devices/receipt-*.hex` hold one line of bytes per printed line, with its text behind.
After a change that is meant: `python -m tests.devices.test_golden` writes them anew; read the diff.
"""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.receipt import Profile, load_profiles, render
from devices.receipt_layout import ReceiptData, ReceiptLine, TaxLine, Tender, sale_receipt
from devices.sim.interpreter import EscPos
from tests.devices.samples import SALE

FOLDER = Path(__file__).parents[1] / "data" / "devices"
CASES = [
    (language, name)
    for language in ("zh-CN", "en")
    for name in ("80mm-48col", "58mm-32col", "80mm-42col-epson", "58mm-32col-nocut")
]
ENGLISH = msgspec.structs.replace(
    SALE,
    store_name="Holiland Bakery",
    cashier="Fang Wang",
    lines=(
        ReceiptLine(
            name="Croissant “au beurre” – crème",
            qty="2",
            unit="pc",
            unit_price_minor=1800,
            gross_minor=3600,
            discount_minor=300,
        ),
        ReceiptLine(
            name="Ham, sliced", qty="0.250", unit="kg", unit_price_minor=8800, gross_minor=2200
        ),
    ),
    total_minor=5500,
    discount_minor=300,
    tenders=(Tender("Cash", 6000),),
    change_minor=500,
    taxes=(TaxLine(rate="13%", net_minor=4867, tax_minor=633),),
    header=("88 People’s Road",),
    footer=("You saved {saved}",),
)


def _data(language: str) -> ReceiptData:
    return SALE if language == "zh-CN" else ENGLISH


def _bytes(language: str, name: str) -> bytes:
    return render(sale_receipt(_data(language), language), load_profiles()[name])


def _file(language: str, name: str) -> Path:
    return FOLDER / f"receipt-{language}-{name}.hex"


def _hex(data: bytes) -> str:
    """One line per LF; text after a #, for eyes only."""
    rows = []
    for line in data.split(b"\n"):
        shown = "".join(c if c.isprintable() else "." for c in line.decode("gb18030", "replace"))
        rows.append(f"{line.hex(' ')}  # {shown}".rstrip())
    return "\n".join(rows) + "\n"


def _unhex(text: str) -> bytes:
    rows = [bytes.fromhex(row.split("#")[0]) for row in text.removesuffix("\n").split("\n")]
    return b"\n".join(rows)


@pytest.mark.parametrize(("language", "name"), CASES)
def test_the_bytes_are_those_of_the_file(language: str, name: str) -> None:
    golden = _unhex(_file(language, name).read_text(encoding="utf-8"))
    assert _bytes(language, name).hex(" ") == golden.hex(" ")
    assert len(golden) <= 2000


@pytest.mark.parametrize(("language", "name"), CASES)
def test_a_strict_printer_understands_every_byte(language: str, name: str) -> None:
    to = load_profiles()[name]
    paper, brain = _print(_bytes(language, name), to)
    assert brain.warnings == []
    assert ("应付" if language == "zh-CN" else "TOTAL") in paper


GBK = st.text(
    st.characters(codec="gbk", exclude_categories=("Cc", "Cf", "Co", "Zl", "Zp", "Zs")),
    min_size=1,
    max_size=24,
)
ANY = st.text(max_size=30) | st.text(
    alphabet="¥×“”😀鿏𠮷é•–面 \x1b\x1d\x00\x7f\x85\u2028", max_size=30
)
PROFILES = st.sampled_from([p for name, p in load_profiles().items() if p.gb])
FOUR_BYTES = re.compile(rb"[\x81-\xfe][\x30-\x39]")


def _print(data: bytes, to: Profile) -> tuple[str, EscPos]:
    brain = EscPos(columns=to.columns, dots=to.dots)
    brain.feed(data)
    assert brain.faults == []
    return (brain.papers or [brain.current()])[-1].text(), brain


def _named(name: str) -> ReceiptData:
    line = ReceiptLine(name=name, qty="1", unit_price_minor=100, gross_minor=100)
    return msgspec.structs.replace(SALE, lines=(line,))


@settings(max_examples=80, deadline=None)
@given(GBK, PROFILES)
def test_what_gbk_has_comes_out_on_paper_as_it_is(name: str, to: Profile) -> None:
    paper, _ = _print(render(sale_receipt(_named(name)), to), to)
    goods = paper.split("-" * to.columns)[1]
    shown = "".join(goods.split())
    assert shown.startswith("".join(name.split()))
    assert paper.count("?") == name.count("?")


@settings(max_examples=80, deadline=None)
@given(ANY, PROFILES)
def test_no_text_ever_makes_a_four_byte_form_or_a_command(name: str, to: Profile) -> None:
    """The strict printer faults on both; raster and code commands are skipped by their lengths."""
    paper, brain = _print(render(sale_receipt(_named(name)), to), to)
    assert brain.warnings == []
    assert brain.kicks == []
    assert "应付" in paper
    if "IMAGE" not in paper and "QR" not in paper:
        text = render(sale_receipt(_named(name)), to)
        at = 0
        while at < len(text):  # pairs, as a printer in Chinese mode takes them
            assert not FOUR_BYTES.match(text, at) or text[at] < 0x81
            at += 2 if text[at] >= 0x81 else 1


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        _file(*case).write_text(_hex(_bytes(*case)), encoding="utf-8")
