"""Chinese text for paper: bytes, columns, line breaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import gbtext

ANY = st.text(max_size=60)
TRICKY = st.text(
    alphabet="¥￥ ×“”…—·é ñ½•–鿏𠮷😀面包。，（）《》abc 12\u200d\u0301\ufeff\u202e\x1b\x00\n",
    max_size=40,
)
GBK = st.characters(codec="gbk", exclude_categories=("Cc", "Cf", "Co", "Zl", "Zp"))


def _split(encoded: bytes) -> list[bytes]:
    """Cut as a printer in FS & mode does: above ASCII it takes two bytes."""
    out, at = [], 0
    while at < len(encoded):
        size = 2 if encoded[at] >= 0x80 else 1
        out.append(encoded[at : at + size])
        at += size
    return out


@given(st.one_of(ANY, TRICKY))
def test_never_a_four_byte_form_and_never_a_control_byte(text):
    for form in _split(gbtext.encode(text)):
        if len(form) == 1:
            assert 0x20 <= form[0] < 0x7F
        else:
            assert not 0x30 <= form[1] <= 0x39
            form.decode("gb18030")


@given(st.text(alphabet=GBK, max_size=60))
def test_what_gbk_has_is_printed_as_it_is(text):
    assert gbtext.is_printable(gbtext.fold(text))
    printed = gbtext.encode(text).decode("gb18030")
    assert "?" not in printed or "?" in text
    assert gbtext.MISSING not in printed or gbtext.MISSING in text


@given(st.one_of(ANY, TRICKY))
def test_fold_is_idempotent_and_columns_are_bytes(text):
    folded = gbtext.fold(text)
    assert gbtext.fold(folded) == folded
    assert gbtext.columns(text) == len(gbtext.encode(text))


@given(st.one_of(ANY, TRICKY), st.integers(2, 48))
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    lines = gbtext.wrap(text, width)
    assert lines
    assert all(gbtext.columns(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == gbtext.fold(text).replace(" ", "")


@given(st.text(alphabet="面包牛奶。，）", max_size=40).filter(lambda t: "。，" not in t))
def test_no_closing_mark_starts_a_line(text):
    runs = max(
        (len(run) for run in text.translate({ord(c): " " for c in "面包牛奶"}).split()), default=0
    )
    for line in gbtext.wrap(text, 12)[1:]:
        assert runs > 3 or line[0] not in "。，）"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("¥12", "￥12"),
        ("a\u00a0b", "a b"),
        ("café", "café"),
        ("cafe\u0301", "café"),
        ("jalapeño", "jalapeno"),
        ("½ · • ®", "1/2 · · (R)"),
        ("name\n\x1b@\x1dV\x00x", "name @Vx"),
        ("\u202eabc\ufeff", "abc"),
        ("鿏𠮷", "鿏𠮷"),
    ],
)
def test_fold(text, folded):
    assert gbtext.fold(text) == folded


def test_pad_and_clip_never_split_a_pair():
    assert gbtext.clip("面包", 3) == "面"
    assert gbtext.pad("面包", 5) == "面包 "
    assert gbtext.pad("面包", 5, right=True) == " 面包"
    assert gbtext.columns(gbtext.pad("𠮷", 7)) == 7


def test_words_break_at_spaces_and_long_words_are_cut():
    assert gbtext.wrap("whole wheat bread", 11) == ["whole wheat", "bread"]
    assert gbtext.wrap("abcdefghij", 4) == ["abcd", "efgh", "ij"]
    assert gbtext.wrap("", 10) == [""]
    assert gbtext.wrap("pain à la crème", 12) == ["pain à la", "crème"]
    assert gbtext.wrap("鲜牛奶crème面包", 11) == ["鲜牛奶", "crème面包"]
    assert gbtext.wrap("（优惠）￥12.50", 9) == ["（优惠）", "￥12.50"]
    with pytest.raises(ValueError, match="two columns"):
        gbtext.wrap("x", 1)
