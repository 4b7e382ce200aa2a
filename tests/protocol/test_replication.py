"""The machine of replication, step by step: verdicts, windows, resends, forks."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Corrupt
from protocol.journal import ORIGIN, Position, Stored
from protocol.replication import (
    PROMPT_MS,
    PRUNED,
    RTO_MS_MAX,
    RTO_MS_MIN,
    WINDOW_BATCHES,
    WINDOW_BATCHES_MAX,
    Accepted,
    Gap,
    Known,
    Sender,
    Source,
    cut,
    judge,
    window_after,
)
from protocol.wire import Cursor
from tests.builders import EPOCHS, branch, make_batch, received
from tests.simulation.stores import ListStore

S = "shop/a"
TRUNK = branch(S, [received(f"t{n}") for n in range(9)])  # 10 events with the epoch's first
LATER = branch(S, [received(f"l{n}") for n in range(4)], after=TRUNK[-1].position, epoch=EPOCHS[1])
WHOLE = [*TRUNK, *LATER]


def holding(events: list[Stored], node: str = "central") -> ListStore:
    """A store with these events on its main line."""
    store = ListStore(node, EPOCHS[9])
    if events:
        with store.begin() as tx:
            tx.keep(Accepted(ORIGIN, tuple(events), events[-1].position, fork=False))
    return store


def told(at: Position, **changes: Any) -> Cursor:
    return Cursor(**{"stream": S, "epoch": at.epoch, "upto": at.seq, "hash": at.hash, **changes})


def greeted(store: ListStore, at: Position = ORIGIN) -> Sender:
    sender = Sender(S)
    sender.greet(told(at), store)
    return sender


# -- judging ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"p": 2},
        {"ct": "json+zlib"},
        {"n": 0},
        {"n": 3},
        {"events": ()},
        {"n": 101, "events": tuple(msgspec.Raw(TRUNK[0].data) for _ in range(101))},
        {"first": 2},
        {"last": "f" * 64},
        {"prev": "f" * 64},
        {"prev": ""},
        {"prev": "zz" * 32},
        {"epoch": EPOCHS[5]},
        {"stream": "shop/b"},
        {"events": (msgspec.Raw(b"{}"), msgspec.Raw(b"{}"))},
        {"events": (msgspec.Raw(TRUNK[1].data), msgspec.Raw(TRUNK[0].data))},
    ],
)
def test_a_batch_that_does_not_agree_with_itself_is_corrupt(changes: dict[str, Any]) -> None:
    batch = msgspec.structs.replace(make_batch(TRUNK[:2]), **changes)
    with pytest.raises(Corrupt):
        judge(batch, holding([]))


def test_a_batch_never_spans_two_epochs() -> None:
    with pytest.raises(Corrupt):
        judge(make_batch([TRUNK[-1], LATER[0]], prev=TRUNK[-2].position.hash), holding(TRUNK[:-1]))


def test_known_is_said_of_what_was_sent_not_of_the_cursor() -> None:
    """The cursor may stand on another branch of the same epoch, where the sender never was."""
    old = branch(S, [received("old")], after=TRUNK[-1].position)
    follower = holding([*TRUNK, *old])
    assert judge(make_batch(TRUNK[:4]), follower) == Known(TRUNK[3].position)


def test_two_events_of_one_epoch_at_one_place_are_refused() -> None:
    other = branch(S, [received("other")], after=TRUNK[4].position)
    with pytest.raises(Corrupt, match="another event of epoch"):
        judge(make_batch(other, prev=TRUNK[4].position.hash), holding(TRUNK))


@given(st.integers(1, 10), st.integers(0, 10), st.integers(0, 9))
def test_any_cut_of_a_line_is_taken_known_or_a_gap(have: int, first: int, size: int) -> None:
    follower = holding(TRUNK[:have])
    part = TRUNK[first : first + size + 1]
    if not part:
        return
    prev = TRUNK[first - 1].position.hash if first else "0" * 64
    verdict = judge(make_batch(part, prev=prev), follower)
    if first > have:
        assert verdict == Gap(TRUNK[have - 1].position)
    elif first + len(part) <= have:
        assert verdict == Known(part[-1].position)
    else:
        assert isinstance(verdict, Accepted)
        assert list(verdict.events) == TRUNK[have : first + len(part)]
        assert not verdict.fork


# -- sending ------------------------------------------------------------------------------------


def test_nobody_is_sent_anything_before_a_greeting() -> None:
    sender = Sender(S)
    assert sender.due(5) is None
    assert not sender.on_ack(0, told(TRUNK[3].position), holding(WHOLE))
    assert sender.acked == ORIGIN


def test_a_greeting_says_where_to_start() -> None:
    store = holding(WHOLE)
    assert greeted(store).due(14) == 0
    sender = greeted(store, TRUNK[3].position)
    assert sender.acked == TRUNK[3].position
    assert sender.due(14) == 4
    assert greeted(store, WHOLE[-1].position).due(14) is None


def test_window_and_credit_bound_what_is_under_way() -> None:
    sender = greeted(holding(WHOLE))
    for n in range(1, WINDOW_BATCHES + 1):
        assert sender.due(14) == n - 1
        sender.sent(0, n)
    assert sender.due(14) is None
    assert sender.in_flight() == WINDOW_BATCHES
    assert sender.on_ack(10, told(TRUNK[1].position, credit=3), holding(WHOLE))
    assert sender.in_flight() == 2
    assert sender.due(14) == 4
    sender.sent(10, 5)
    assert sender.due(14) is None  # credit
    sender.on_ack(20, told(TRUNK[4].position, credit=-7), holding(WHOLE))
    assert sender.credit == 1
    assert sender.due(14) == 5  # nothing in flight: one may always go


def test_only_an_acknowledgement_with_our_hash_moves_the_cursor() -> None:
    store = holding(WHOLE)
    sender = greeted(store)
    sender.sent(0, 10)
    assert not sender.on_ack(1, told(TRUNK[4].position, hash="f" * 64), store)
    assert sender.acked == ORIGIN
    assert sender.on_ack(1, told(TRUNK[4].position), store)
    assert sender.acked == TRUNK[4].position
    assert not sender.on_ack(1, told(TRUNK[2].position), store)  # overtaken, older
    assert sender.acked == TRUNK[4].position


def test_an_overdue_answer_is_asked_for_again_ever_more_slowly() -> None:
    store = holding(WHOLE)
    sender = greeted(store, TRUNK[1].position)
    assert not sender.tick(10**6)  # nothing under way
    now, waits = 0, []
    for _ in range(7):
        sender.sent(now, 5)
        assert not sender.tick(now + sender.rto_ms - 1)
        waits.append(sender.rto_ms)
        now += sender.rto_ms
        assert sender.tick(now)
        assert sender.due(14) == 2
    assert waits[0] == RTO_MS_MIN
    assert waits[-1] == RTO_MS_MAX
    assert sender.resends == 7
    sender.sent(now, 5)
    sender.on_ack(now + 40, told(TRUNK[4].position), store)
    assert sender.rto_ms == RTO_MS_MIN


def test_busy_halves_the_window_and_answers_open_it_again() -> None:
    store = holding(WHOLE)
    sender = greeted(store)
    for _ in range(3):
        assert not sender.on_ack(0, told(ORIGIN, status="busy"), store)
    assert sender.window == 1
    for n in range(5):
        sender.sent(0, n + 1)
        sender.on_ack(1, told(TRUNK[n].position), store)
    assert sender.window == 1 + 5


def test_the_window_grows_while_answers_are_prompt_and_shrinks_when_they_are_not() -> None:
    store = holding(WHOLE)
    sender = greeted(store)
    for n in range(3):
        sender.sent(0, n + 1)
        sender.on_ack(PROMPT_MS, told(TRUNK[n].position), store)
    assert sender.window == WINDOW_BATCHES + 3
    sender.sent(0, 4)
    sender.on_ack(PROMPT_MS + 1, told(TRUNK[3].position), store)
    assert sender.window == WINDOW_BATCHES + 2
    sender.sent(0, 5)
    assert sender.tick(sender.rto_ms)
    assert sender.window == WINDOW_BATCHES
    window = WINDOW_BATCHES
    for _ in range(100):
        window = window_after(window, 1)
    assert window == WINDOW_BATCHES_MAX
    for _ in range(100):
        window = window_after(window, 10 * PROMPT_MS)
    assert window == WINDOW_BATCHES


def test_refused_stops_until_a_new_greeting() -> None:
    store = holding(WHOLE)
    sender = greeted(store)
    sender.sent(0, 3)
    sender.on_ack(1, told(ORIGIN, status="refused", reason="CHAIN_BROKEN"), store)
    assert sender.stopped == "CHAIN_BROKEN"
    assert sender.due(14) is None
    sender.on_ack(1, told(ORIGIN, status="refused"), store)
    assert sender.stopped == "refused"
    sender.greet(told(ORIGIN), store)
    assert sender.due(14) == 0


def test_a_refused_stream_is_tried_again_once_a_minute() -> None:
    """A batch that was altered on its way must not stop a shop for good."""
    store = holding(WHOLE)
    sender = greeted(store, TRUNK[2].position)
    sender.sent(0, 6)
    sender.on_ack(1_000, told(TRUNK[2].position, status="refused"), store)
    assert not sender.tick(1_000 + RTO_MS_MAX - 1)
    assert sender.due(14) is None
    assert not sender.tick(1_000 + RTO_MS_MAX)
    assert not sender.stopped
    assert sender.due(14) == 3


def test_a_gap_starts_again_after_the_followers_place() -> None:
    store = holding(WHOLE)
    sender = greeted(store, TRUNK[6].position)
    sender.sent(0, 12)
    assert sender.on_ack(1, told(TRUNK[2].position, status="gap"), store)
    assert sender.acked == TRUNK[2].position
    assert sender.due(14) == 3


def test_a_welcome_may_be_lower_than_what_was_acknowledged() -> None:
    """Head office was restored from a backup; it must get again what it had acknowledged."""
    store = holding(WHOLE)
    sender = greeted(store, TRUNK[6].position)
    sender.sent(0, 15)
    assert sender.on_ack(1, told(WHOLE[-1].position), store)
    assert not sender.on_ack(2, told(TRUNK[2].position), store)  # old news
    assert sender.on_ack(2, told(TRUNK[2].position, status="welcome"), store)
    assert sender.acked == TRUNK[2].position
    assert sender.due(15) == 3


def test_a_lost_link_waits_for_a_greeting() -> None:
    store = holding(WHOLE)
    sender = greeted(store, TRUNK[2].position)
    sender.sent(0, 12)
    sender.lost_link()
    assert sender.due(14) is None
    sender.greet(told(TRUNK[4].position), store)
    assert sender.due(14) == 5


def _restored() -> tuple[ListStore, ListStore, list[Stored]]:
    """A shop set back to event 8 that then wrote in a new epoch; head office had event 10."""
    mine = branch(S, [received("m1")], after=TRUNK[7].position, epoch=EPOCHS[2])
    return holding([*TRUNK[:8], *mine], node="a"), holding(TRUNK), mine


def test_a_follower_on_another_branch_is_offered_our_newest_epoch() -> None:
    shop, central, mine = _restored()
    sender = greeted(shop, central.head(S))
    assert sender.acked == ORIGIN
    assert sender.due(10) == 8
    sender.sent(0, 10)
    verdict = judge(make_batch(mine), central)
    assert isinstance(verdict, Accepted)
    assert verdict.fork
    assert sender.on_ack(1, told(verdict.tip, status="fork"), shop)
    assert sender.acked == mine[-1].position
    assert sender.due(10) is None


def test_an_offer_that_was_lost_is_made_again() -> None:
    """A second answer to our hello must not make us wait for an acknowledgement that never comes.

    Found by the simulator (seed 48): the last sales before closing stayed at the shop.
    """
    shop, central, _ = _restored()
    sender = greeted(shop, central.head(S))
    sender.sent(0, 10)
    sender.on_ack(1, told(central.head(S)), shop)
    assert sender.due(10) == 8
    sender.sent(2, 10)
    assert sender.tick(2 + RTO_MS_MIN)
    assert sender.due(10) == 8


def test_a_follower_that_lacks_even_the_parent_is_offered_one_epoch_more() -> None:
    shop = holding(WHOLE, node="a")
    other = branch(S, [received(f"o{n}") for n in range(13)], epoch=EPOCHS[3])
    sender = greeted(shop, other[12].position)
    assert sender.due(14) == 10
    sender.sent(0, 14)
    sender.on_ack(1, told(other[12].position, status="gap"), shop)
    assert sender.due(14) == 0
    sender.on_ack(1, told(other[12].position, status="gap"), shop)
    assert sender.due(14) == 0


def test_greetings_in_a_row_do_not_begin_the_search_anew() -> None:
    """Who greets faster than gaps are answered would be offered the newest epoch for ever."""
    shop = holding(WHOLE, node="a")
    other = branch(S, [received(f"o{n}") for n in range(13)], epoch=EPOCHS[3])
    sender = greeted(shop, other[12].position)
    sender.sent(0, 14)
    sender.on_ack(1, told(other[12].position, status="gap"), shop)
    sender.greet(told(other[12].position), shop)
    assert sender.due(14) == 0
    sender.greet(told(other[11].position), shop)  # it stands elsewhere: where it was counts no more
    assert sender.due(14) == 10


def test_an_epoch_longer_than_the_window_gets_past_a_fork() -> None:
    """Known batches must let us go on, or the same window would be sent for ever.

    Found by the simulator (seed 62): thousands of messages a second, and no sale got through.
    """
    long = branch(S, [received(f"t{n}") for n in range(30)])
    theirs = branch(S, [received("theirs")], after=long[-1].position)
    ours = branch(S, [received("ours")], after=long[-1].position, epoch=EPOCHS[2])
    shop = holding([], node="a")
    central = holding([])
    for store, end in ((shop, ours), (central, theirs)):
        with store.begin() as tx:
            tx.keep(Accepted(ORIGIN, tuple(long), long[-1].position, fork=False))
            tx.keep(Accepted(long[-1].position, tuple(end), end[-1].position, fork=False))
    sender = greeted(shop, central.head(S))
    sender._retreat = sender.sent_seq = 0  # the worst case: from the very beginning
    sent = 0
    while (after := sender.due(33)) is not None:
        events = cut(shop.line(S, after, 3), events_max=2, bytes_max=10**6)
        prev = shop.hash_at(S, after) or "0" * 64
        verdict = judge(make_batch(events, prev=prev), central)
        sender.sent(sent, events[-1].position.seq)
        if isinstance(verdict, Accepted):
            with central.begin() as tx:
                tx.keep(verdict)
        assert isinstance(verdict, Accepted | Known)
        sender.on_ack(sent, told(verdict.tip), shop)
        sent += 1
        assert sent < 30
    assert sender.acked == ours[-1].position


def test_a_follower_that_lost_everything_starts_anew() -> None:
    store = holding(WHOLE)
    sender = greeted(store, WHOLE[-1].position)
    sender.greet(told(ORIGIN), store)
    assert sender.due(14) == 0
    empty = greeted(holding([], node="a"), TRUNK[3].position)
    assert empty.due(0) is None


# -- books that begin later ---------------------------------------------------------------------


def pruned(events: list[Stored], low: int) -> ListStore:
    """A shop that holds only what comes after `low`."""
    shop = holding(events, node="a")
    assert shop.prune(S, events[low - 1].position) == low
    return shop


def test_nothing_is_offered_from_below_what_is_held() -> None:
    shop = pruned(WHOLE, 6)
    assert greeted(shop, TRUNK[8].position).due(14) == 9
    assert greeted(shop, TRUNK[5].position).due(14) == 6
    for behind in (ORIGIN, TRUNK[3].position):
        sender = greeted(shop, behind)
        assert (sender.acked, sender.due(14)) == (ORIGIN, 6)


def test_a_follower_that_lacks_what_was_pruned_is_told_once_a_minute_and_no_more() -> None:
    shop, central = pruned(WHOLE, 6), holding(TRUNK[:4])
    sender = greeted(shop, central.head(S))
    for minute in range(3):
        now = minute * RTO_MS_MAX
        sender.tick(now)
        assert sender.due(14) == 6
        sender.sent(now, 8)
        assert sender.due(14) is None, "one offer, so that the answer is about it"
        verdict = judge(make_batch(WHOLE[6:8], prev=WHOLE[5].position.hash), central)
        assert verdict == Gap(central.head(S))
        assert not sender.on_ack(now, told(central.head(S), status="gap"), shop)
        assert sender.stopped == PRUNED
        for later in range(1, RTO_MS_MAX, 7_000):
            assert not sender.tick(now + later)
            assert sender.due(14) is None
    newer = holding(TRUNK[:8])  # a newer backup was restored: its greeting goes on
    sender.on_ack(0, told(newer.head(S), status="welcome"), shop)
    assert (sender.stopped, sender.due(14), sender.acked) == ("", 8, newer.head(S))


def test_a_follower_whose_other_branch_is_short_takes_what_it_can_place() -> None:
    """Its head lies below what we hold, and yet it has our line: on a side branch."""
    mine, theirs = WHOLE[:8], branch(S, [received("x")], after=TRUNK[3].position, epoch=EPOCHS[4])
    central = holding(TRUNK[:4])
    with central.begin() as tx:
        tx.keep(Accepted(TRUNK[3].position, tuple(mine[4:]), mine[-1].position, fork=False))
        tx.keep(Accepted(TRUNK[3].position, tuple(theirs), theirs[-1].position, fork=True))
    shop = pruned(WHOLE, 7)
    sender = greeted(shop, central.head(S))
    assert central.head(S).seq < 7 == sender.due(14)
    batch = make_batch(WHOLE[7:9], prev=WHOLE[6].position.hash)
    assert isinstance(judge(batch, central), Accepted)


@given(st.integers(1, 14), st.integers(0, 13), st.integers(1, 14))
def test_what_begins_below_the_books_is_a_gap_or_known(low: int, first: int, size: int) -> None:
    shop = pruned(WHOLE, low)
    events = cut(WHOLE[first : first + size], events_max=size, bytes_max=10**6)
    prev = WHOLE[first - 1].position.hash if first else "0" * 64
    verdict = judge(make_batch(events, prev=prev), shop)
    assert verdict in (Known(events[-1].position), Gap(shop.head(S)))


# -- shared tails -------------------------------------------------------------------------------


def test_the_live_tail_goes_out_once_and_latecomers_catch_up_alone() -> None:
    store = holding(WHOLE)
    source = Source(S, shared=True, head_seq=10)
    level, behind, absent = (source.follower(n) for n in ("level", "behind", "absent"))
    level.greet(told(TRUNK[-1].position), store)
    behind.greet(told(TRUNK[3].position), store)
    assert source.follower("level") is level
    assert source.tail_due(10) is None
    assert source.tail_due(14) == 10
    source.tail_sent(0, 14)
    assert source.tail_due(14) is None
    assert level.due(14) is None
    assert level.in_flight() == 4
    assert behind.due(14) == 4
    assert absent.due(14) is None
    assert level.tick(RTO_MS_MIN)  # the tail did not reach it
    assert level.due(14) == 10
    assert Source(S, shared=False).tail_due(14) is None


def test_a_refused_follower_hears_no_tail() -> None:
    store = holding(WHOLE)
    source = Source(S, shared=True, head_seq=15)
    sender = source.follower("x")
    sender.greet(told(WHOLE[-1].position), store)
    sender.on_ack(0, told(ORIGIN, status="refused"), store)
    source.tail_sent(0, 20)
    assert sender.sent_seq == 15


# -- cutting ------------------------------------------------------------------------------------


@given(st.integers(0, 14), st.integers(1, 20), st.integers(1, 4_000))
def test_cuts_are_bounded_and_lose_nothing(start: int, events_max: int, bytes_max: int) -> None:
    left = WHOLE[start:]
    while left:
        part = cut(left, events_max=events_max, bytes_max=bytes_max)
        assert 1 <= len(part) <= events_max
        assert list(part) == left[: len(part)]
        assert len({e.position.epoch for e in part}) == 1
        assert len(part) == 1 or sum(len(e.data) for e in part) <= bytes_max
        left = left[len(part) :]
    assert cut([], events_max=1, bytes_max=1) == ()
