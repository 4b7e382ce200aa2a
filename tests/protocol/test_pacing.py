"""Who waits for whom: lanes of little first, groups that end in time."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.node.inbox import CREDIT_EVENTS_MAX, CREDIT_EVENTS_MIN, LIGHT_BYTES, Inbox
from protocol.node.mqttlink import Message
from protocol.node.pacing import (
    BUDGET_MAX,
    BUDGET_MIN,
    CREDIT_LIVE,
    LIVE_BYTES,
    LIVE_S,
    TURN_S,
    Pace,
)

BATCH = b"x" * 60_000


def filled(backlogs: int, each: int) -> Inbox:
    inbox = Inbox(lambda topic: topic)
    for n in range(each):
        for name in range(backlogs):
            assert inbox.put(Message(f"old{name}", BATCH + bytes([n])))
    return inbox


def test_a_sale_of_now_goes_before_every_backlog() -> None:
    inbox = filled(20, 10)
    inbox.put(Message("live", b"a sale"))
    inbox.put(Message("live", b"and one more"))
    _, _, messages = inbox.take(0, 64, BUDGET_MIN)
    assert [m.payload for m in messages[:2]] == [b"a sale", b"and one more"]
    assert [m.topic for m in messages[2:]] == ["old0", "old1", "old2"]
    _, _, messages = inbox.take(0, 64, BUDGET_MIN)
    assert [m.topic for m in messages] == ["old3", "old4", "old5"]


def test_a_backlog_moves_on_however_much_is_sold() -> None:
    inbox = filled(1, 3)
    for n in range(200):
        inbox.put(Message(f"live{n}", b"a sale"))
    for _ in range(3):
        _, _, messages = inbox.take(0, 64, 1)
        assert len(messages) == 64
        assert messages[-1].topic == "old0"


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([10, 9_000, 40_000]))),
    st.integers(1, 8),
    st.integers(1, 200_000),
)
def test_all_arrives_and_each_lane_in_its_order(
    sent: list[tuple[str, int]], most: int, budget: int
) -> None:
    inbox = Inbox(lambda topic: topic)
    given_: dict[str, list[bytes]] = {}
    for n, (name, size) in enumerate(sent):
        payload = n.to_bytes(4) + bytes(size)
        assert inbox.put(Message(name, payload))
        given_.setdefault(name, []).append(payload)
    found: dict[str, list[bytes]] = {}
    while inbox.waiting() != (0, 0):
        _, _, messages = inbox.take(0, most, budget)
        assert 0 < len(messages) <= most
        for message in messages:
            found.setdefault(message.topic, []).append(message.payload)
    assert found == given_


def test_many_who_speak_at_once_get_less_credit_each() -> None:
    assert filled(1, 1).credit() == filled(50, 1).credit() == CREDIT_EVENTS_MAX
    assert CREDIT_EVENTS_MIN < filled(100, 1).credit() < CREDIT_EVENTS_MAX
    assert filled(500, 1).credit() == CREDIT_EVENTS_MIN


def test_a_group_is_small_while_somebody_sells_and_large_when_nobody_does() -> None:
    pace = Pace()
    pace.came(LIVE_BYTES - 1, 10.0)
    assert pace.budget(10.0) == BUDGET_MAX  # nothing is known yet
    pace.took(1_000_000, 0.2)
    pace.took(500, 1.0)  # a single sale says nothing
    assert abs(pace.budget(10.0) - TURN_S * 5_000_000) <= 1
    assert pace.credit(400, 10.0) == CREDIT_LIVE
    assert pace.credit(100, 10.0) == 100
    assert pace.credit(400, 10.0 + LIVE_S) == 400
    pace.came(LIVE_BYTES, 10.5)  # a full batch is a backlog
    assert pace.budget(10.0 + LIVE_S) == BUDGET_MAX
    pace.came(100, 20.0)
    pace.took(1_000_000, 100.0)
    assert pace.budget(20.0) == BUDGET_MIN
    assert LIGHT_BYTES <= BUDGET_MIN
