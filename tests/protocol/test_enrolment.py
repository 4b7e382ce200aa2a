"""The enrolment line: what head office shows, a machine reads back; anything else is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.enrolment import Invitation, parse_invitation
from protocol.errors import Refusal

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", fullmatch=True)
HOSTS = st.sampled_from(["10.0.0.2:8743", "central.example", "[::1]:8743", "a-b.example:1"])
GOOD = Invitation("https://10.0.0.2:8743", "S1", "ab" * 16, "cd" * 32)


@given(HOSTS, NAMES, HEX, HEX)
def test_a_line_reads_back_as_what_was_shown(host: str, store: str, token: str, half: str) -> None:
    shown = Invitation(f"https://{host}", store, token, half * 2)
    assert parse_invitation(f"  {shown.line()}\n") == shown


@given(st.text(max_size=300))
def test_no_text_is_anything_but_read_or_refused(text: str) -> None:
    with contextlib.suppress(Refusal):
        assert parse_invitation(text).line() == text.strip()


@pytest.mark.parametrize(
    "line",
    [
        "",
        GOOD.line()[:-1],
        GOOD.line() + "0",
        GOOD.line().replace("https", "http"),
        GOOD.line().replace("#S1.", "#S/1."),
        GOOD.line().replace("#S1.", "#."),
        GOOD.line().replace("#", " "),
        GOOD.line().upper(),
        GOOD.line() + "\n" + GOOD.line(),
    ],
)
def test_a_line_that_was_cut_or_altered_is_refused(line: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_invitation(line)
    assert caught.value.code == "INVITATION_WRONG"
    assert caught.value.sentence("zh") != caught.value.sentence("en")
