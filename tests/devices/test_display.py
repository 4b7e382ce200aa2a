"""The customer's display in both dialects, on a real pty."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.device import DeviceState
from devices.display import Display, DisplayKind, encode_lines
from devices.sim.vdisplay import DisplayScreen, VirtualDisplay

KINDS = [
    DisplayKind(),
    DisplayKind(dialect="cd5220"),
    DisplayKind(gb=True),
    DisplayKind(dialect="cd5220", gb=True, shared=True),
]


def test_golden_bytes():
    assert (
        encode_lines("Bread", "¥5.00", KINDS[0]) == b"\x0cBread" + b" " * 15 + b" " * 16 + b"5.00"
    )
    cd = encode_lines("面包", "¥5.00", KINDS[3])
    assert (
        cd
        == b"\x0c\x1bQA"
        + "面包".encode("gb18030").ljust(20)
        + b"\r\x1bQB"
        + (" " * 14 + "￥").encode("gb18030")
        + b"5.00\r"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_shown_and_shown_again_after_a_replug(kind, events, eventually):
    with VirtualDisplay() as pole:
        pole.start()
        display = Display("d1", pole.path, on_event=events.put, kind=kind)
        display.start()
        eventually(lambda: display.state().state is DeviceState.UP)
        display.show("Total", "¥12.50")
        bottom = "￥12.50" if kind.gb else "12.50"
        shown = lambda: tuple(line.strip() for line in pole.screen.lines()) == ("Total", bottom)  # noqa: E731
        eventually(shown)
        pole.unplug()
        pole.screen.feed(b"\x0c")
        pole.plug()
        eventually(shown)
        display.stop()
        assert pole.screen.faults == []


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(KINDS), st.integers(1, 9))
def test_any_text_fits_and_any_split(top, bottom, kind, step):
    data = encode_lines(top, bottom, kind)
    screen = DisplayScreen()
    for at in range(0, len(data), step):
        screen.feed(data[at : at + step])
    assert screen.faults == []
    assert len(screen.cells) == 40
