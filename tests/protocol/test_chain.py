"""The hash chain: any change of any byte is found, and the first wrong row is named."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as ev
from protocol.codec import encode
from protocol.errors import Corrupt
from protocol.journal import GENESIS, ORIGIN, Position, Stored, chain, link, verify
from tests.builders import EPOCHS, branch, draft, received

LINE = branch("shop/a", [received(f"in-{n}", qty_milli=n * 10 + 10) for n in range(6)])
NEXT = branch("shop/a", [received("later")], after=LINE[-1].position, epoch=EPOCHS[1])
WHOLE = [*LINE, *NEXT]


def test_a_whole_line_over_two_epochs_verifies() -> None:
    assert verify("shop/a", WHOLE) == WHOLE[-1].position
    assert verify("shop/a", []) == ORIGIN
    assert verify("shop/a", NEXT, LINE[-1].position) == NEXT[-1].position
    assert chain(GENESIS, b"") != GENESIS


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 10_000), st.integers(1, 255))
def test_any_single_byte_edit_is_found_where_it_is(row: int, at: int, change: int) -> None:
    data = bytearray(WHOLE[row].data)
    data[at % len(data)] ^= change
    rows = [*WHOLE]
    rows[row] = msgspec.structs.replace(rows[row], data=bytes(data))
    assert verify("shop/a", rows[:row]).seq == row
    with pytest.raises(Corrupt) as caught:
        verify("shop/a", rows[: row + 1])
    assert caught.value.code in {"CHAIN_BROKEN", "EVENT_UNREADABLE"}


@given(st.permutations(range(len(WHOLE))))
def test_any_other_order_is_found(order: list[int]) -> None:
    if order != sorted(order):
        with pytest.raises(Corrupt):
            verify("shop/a", [WHOLE[n] for n in order])


@given(st.integers(0, len(WHOLE) - 2))
def test_a_missing_row_is_found(row: int) -> None:
    with pytest.raises(Corrupt):
        verify("shop/a", WHOLE[:row] + WHOLE[row + 1 :])


def test_a_place_that_is_not_its_own_is_found() -> None:
    for changes in ({"seq": 99}, {"epoch": "f" * 16}, {"hash": "f" * 64}):
        wrong = msgspec.structs.replace(WHOLE[2].position, **changes)
        rows = [*WHOLE[:2], Stored("shop/a", wrong, WHOLE[2].data)]
        with pytest.raises(Corrupt, match="event"):
            verify("shop/a", rows)


def _raw(seq: int, *, body: ev.Event, stream: str = "shop/a", epoch: str = EPOCHS[0]) -> bytes:
    return encode(draft(body, f"x{seq}"), stream=stream, epoch=epoch, seq=seq)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (_raw(8, body=received(), stream="shop/b"), "belongs to shop/b"),
        (_raw(9, body=received()), "expected sequence 8, got 9"),
        (_raw(8, body=received(), epoch="9" * 16), "starts without saying so"),
        (
            _raw(
                8,
                body=ev.EpochStarted(
                    node="n", parent_epoch=EPOCHS[0], parent_seq=6, parent_hash=GENESIS
                ),
                epoch="9" * 16,
            ),
            "names another parent",
        ),
    ],
)
def test_what_may_not_follow_says_why(data: bytes, says: str) -> None:
    with pytest.raises(Corrupt, match=says):
        list(link("shop/a", LINE[-1].position, [data]))


@pytest.mark.parametrize("parent_hash", ["", "zz", "F" * 64, "f" * 63, "f" * 65, "é" * 64])
def test_a_parent_that_is_no_hash_is_broken_not_a_crash(parent_hash: str) -> None:
    start = ev.EpochStarted(node="n", parent_epoch="", parent_seq=3, parent_hash=parent_hash)
    data = _raw(4, body=start)
    with pytest.raises(Corrupt) as caught:
        list(link("shop/a", Position("", 3, parent_hash), [data]))
    assert caught.value.code == "CHAIN_BROKEN"


def test_nothing_stands_before_the_origin() -> None:
    start = ev.EpochStarted(node="n", parent_epoch="x", parent_seq=0, parent_hash="f" * 64)
    with pytest.raises(Corrupt, match="before the first event"):
        list(link("shop/a", Position("x", 0, "f" * 64), [_raw(1, body=start)]))
