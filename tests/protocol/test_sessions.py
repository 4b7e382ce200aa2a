"""Which connection of a peer is the present one."""

from protocol.replication import KNOCKS, Sessions


def test_a_session_that_is_over_does_not_come_back() -> None:
    """Its greeting was overtaken by the next one, or somebody plays it again."""
    sessions = Sessions()
    assert sessions.of("a") == ""
    assert sessions.begin("a", "one")
    assert sessions.begin("a", "one")  # greets again
    assert sessions.begin("a", "two")
    assert not sessions.begin("a", "one")
    assert sessions.of("a") == "two"
    assert sessions.begin("b", "one")  # another's session may be called the same
    sessions.forget("a")
    assert sessions.begin("a", "one")


def test_a_session_that_goes_on_greeting_is_alive_after_all() -> None:
    """A restart forgot what was over; then a greeting of long ago came late."""
    sessions = Sessions()
    assert sessions.begin("a", "new")
    assert sessions.begin("a", "old")
    for _ in range(2):
        assert not any(sessions.begin("a", "new") for _ in range(KNOCKS - 1))
        assert sessions.begin("a", "old")  # it is heard too: nobody is silent
    assert not any(sessions.begin("a", "new") for _ in range(KNOCKS - 1))
    assert sessions.begin("a", "new")
    assert sessions.of("a") == "new"
    assert not sessions.begin("a", "old")


def test_processes_that_take_turns_come_back() -> None:
    sessions = Sessions(take_turns=True)
    assert all(sessions.begin("central", s) for s in ("one", "two", "one"))
    assert sessions.of("central") == "one"
