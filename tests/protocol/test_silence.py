"""When a connection that nobody answers on is made anew."""

from protocol.node.silence import SILENCE_S, SILENCE_S_MAX, Silence


def renewals(silence: Silence, start_s: int, end_s: int, *, up: bool = True) -> list[int]:
    return [s for s in range(start_s, end_s) if silence.over(s, up=up, answered=False)]


def test_each_try_waits_twice_as_long_but_never_for_ever() -> None:
    tries = renewals(Silence(), 0, 4 * int(SILENCE_S_MAX))
    waits = [later - earlier - 1 for earlier, later in zip([-1, *tries], tries, strict=False)]
    assert waits == [30, 60, 120, 240, 480, 600, 600]


def test_an_answer_ends_the_silence() -> None:
    silence = Silence()
    assert renewals(silence, 0, 40) == [int(SILENCE_S)]
    assert not silence.over(60, up=True, answered=True)
    assert renewals(silence, 61, 200)[0] == 61 + int(SILENCE_S)


def test_a_line_that_is_down_is_not_silent() -> None:
    assert renewals(Silence(), 0, 1_000, up=False) == []
