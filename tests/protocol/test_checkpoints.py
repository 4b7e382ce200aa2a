"""Up to where a writer may forget: what its follower has held for long, and still holds."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.checkpoints import KEPT_MAX, Checkpoints
from protocol.wire import Ack, Cursor

S, DAY = "shop/a", 86_400_000


def hash_at(seq: int) -> str:
    return f"{seq:064x}"


def ack(upto: int, day: int, *, status: str = "ok", hash_: str = "") -> Ack:
    cursor = Cursor(stream=S, epoch="e" * 16, upto=upto, hash=hash_ or hash_at(upto), status=status)
    return Ack(node="central", sess="s", now=day * DAY, cursors=(cursor,))


def noted(*acks: Ack) -> Checkpoints:
    notes = Checkpoints(S, DAY)
    for one in acks:
        notes.heard(one, hash_at, trusted_ms=one.now)
    return notes


def newest(notes: Checkpoints, day: int) -> int:
    found = notes.newest(hash_at, noted_by_ms=day * DAY)
    at = found.place(S) if found else None
    return at.seq if at else 0


def test_one_a_day_is_kept_and_the_newest_old_one_counts() -> None:
    notes = noted(*(ack(n, n) for n in range(1, 50)), ack(60, 49))
    assert len(notes.kept) == 49
    assert [newest(notes, day) for day in (0, 1, 7, 99)] == [0, 1, 7, 49]
    more = Checkpoints(S, DAY, notes.kept)
    for n in range(50, 600):
        more.heard(ack(n, n), hash_at, trusted_ms=n * DAY)
    assert len(more.kept) == KEPT_MAX


def test_what_is_not_trusted_not_held_or_not_ours_is_no_checkpoint() -> None:
    notes = Checkpoints(S, DAY)
    assert not notes.heard(ack(1, 1), hash_at, trusted_ms=None)
    for status in ("gap", "refused", "busy", "stale_epoch"):
        assert not notes.heard(ack(1, 1, status=status), hash_at, trusted_ms=DAY)
    assert not notes.heard(ack(0, 1, status="welcome"), hash_at, trusted_ms=DAY)
    assert not notes.heard(ack(1, 1, hash_="f" * 64), hash_at, trusted_ms=DAY)
    assert notes.kept == []


def test_a_head_office_that_was_set_back_takes_its_words_back() -> None:
    notes = noted(ack(5, 1), ack(9, 2), ack(12, 3))
    assert notes.heard(ack(9, 4, status="welcome"), hash_at, trusted_ms=4 * DAY)
    assert [newest(notes, day) for day in (1, 2, 3, 4)] == [5, 9, 9, 9]
    assert not notes.heard(ack(12, 3), hash_at, trusted_ms=5 * DAY), "said before it was set back"
    assert notes.heard(ack(7, 5, status="gap"), hash_at, trusted_ms=5 * DAY)
    assert newest(notes, 9) == 5
    assert notes.heard(ack(3, 6, hash_="f" * 64), hash_at, trusted_ms=6 * DAY)
    assert newest(notes, 9) == 0, "it stands on a line that is not ours"


def test_signed_on_our_line_and_old_by_both_clocks() -> None:
    notes = noted(ack(5, 1), ack(9, 2))
    on = {"noted_by_ms": 9 * DAY}
    assert notes.newest(hash_at, **on, signed=lambda one: one.now == DAY) == notes.kept[0]
    assert notes.newest(hash_at, **on, said_by_ms=DAY) == notes.kept[0]
    assert notes.newest(lambda seq: hash_at(seq) if seq == 5 else None, **on) == notes.kept[0]
    assert notes.newest(lambda _: None, **on) is None


def test_notes_of_a_clock_that_was_ahead_go() -> None:
    notes = noted(ack(5, 1), ack(9, 2))
    notes.heard(ack(20, 3), hash_at, trusted_ms=400 * DAY)
    assert notes.heard(ack(21, 3), hash_at, trusted_ms=3 * DAY)
    assert [c.noted_ms // DAY for c in notes.kept] == [1, 2, 3]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.sampled_from(["ok", "fork", "welcome", "gap", "refused"]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_nothing_counts_above_what_was_last_said_to_be_all(
    said: list[tuple[int, str, bool]],
) -> None:
    notes, stands = Checkpoints(S, DAY), 10**6
    for day, (upto, status, ours) in enumerate(said, 1):
        one = ack(upto, day, status=status, hash_="" if ours else "f" * 64)
        notes.heard(one, hash_at, trusted_ms=day * DAY)
        if not ours or upto == 0:
            stands = 0
        elif status in {"welcome", "gap", "refused"}:
            stands = upto
        else:
            stands = max(stands, upto)
        assert newest(notes, 99) <= stands
        times = [c.noted_ms for c in notes.kept]
        assert times == sorted(set(times))
