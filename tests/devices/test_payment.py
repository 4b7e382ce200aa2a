"""Scan-pay against a provider on real HTTP: one capture or one reversal, whatever is lost."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.payhttp import HttpProvider
from devices.payment import PayAnswer, Payment, PayRequest, PayState, ProviderLost, collect
from devices.sim.vpay import BEHAVIOURS, VirtualProvider


class Time:
    """Seconds that pass only when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        assert seconds > 0
        self.now += seconds
        return False


@pytest.fixture(scope="module")
def provider():
    with VirtualProvider() as virtual:
        yield virtual


def _request(attempt):
    return PayRequest(attempt_id=attempt, amount_minor=1250, pay_code="281234567890123456")


def _collect(provider, attempt, *, payment=None):
    time, states, freed = Time(), [], []
    payment = payment or Payment(_request(attempt), started_s=0)
    client = HttpProvider(provider.url)

    def on_state(state):
        states.append(state)
        if state.frees_till or state.final:
            freed.append(time.now)

    state = collect(payment, client, now_s=time, wait=time.wait, on_state=on_state)
    return state, states, freed[0] if freed else None


def _balanced(provider, attempt, state):
    """Money was kept if and only if we think so, and nothing happened twice."""
    captured = provider.captured.count(attempt)
    undone = provider.reversed.count(attempt)
    assert captured <= 1
    assert undone <= 1
    if state is PayState.PAID:
        assert (captured, undone) == (1, 0)
    else:
        assert captured == 0 or undone == 1


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("ok", PayState.PAID),
        ("slow", PayState.PAID),
        ("late", PayState.PAID),
        ("delayed", PayState.PAID),
        ("lost-answer", PayState.PAID),
        ("garbage", PayState.PAID),
        ("refused", PayState.REFUSED),
        ("never", PayState.REVERSED),
        ("lost-request", PayState.REVERSED),
        ("overdue", PayState.REVERSED),
        ("wrong-amount", PayState.REVERSED),
    ],
)
def test_every_behaviour_settles(provider, behaviour, expected):
    provider.script(behaviour)
    state, states, till_freed_s = _collect(provider, behaviour)
    assert state is expected
    assert states[0] is PayState.ASKING
    assert states[-1] is expected
    assert till_freed_s <= 60
    _balanced(provider, behaviour, state)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("lost", [1, 2, 3, 7, 40])
def test_answers_lost_in_a_row(provider, behaviour, lost):
    attempt = f"{behaviour}-{lost}"
    provider.script(behaviour)
    provider.lose_next(lost)
    state, _, _ = _collect(provider, attempt)
    assert state.final
    _balanced(provider, attempt, state)


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("crash_after", range(6))
def test_a_crash_after_any_message_is_resumed(provider, behaviour, crash_after):
    attempt = f"crash-{behaviour}-{crash_after}"
    provider.script(behaviour)
    saved = []
    messages = [0]
    client = HttpProvider(provider.url)

    class Dying:
        def __getattr__(self, verb):
            def call(argument):
                if messages[0] == crash_after:
                    raise KeyboardInterrupt
                messages[0] += 1
                return getattr(client, verb)(argument)

            return call

    time = Time()
    payment = Payment(_request(attempt), started_s=0)
    with contextlib.suppress(KeyboardInterrupt):
        collect(payment, Dying(), now_s=time, wait=time.wait, on_state=saved.append)
    state = saved[-1]
    if not state.final:
        resumed = Payment(_request(attempt), started_s=0, state=state, resumed=True)
        state, _, _ = _collect(provider, attempt, payment=resumed)
    assert state.final
    _balanced(provider, attempt, state)
    provider._script.clear()  # when it crashed before pay, its behaviour is still waiting


@pytest.mark.parametrize("behaviour", ["never", "delayed"])
def test_the_cashier_cancels(provider, behaviour):
    provider.script(behaviour)
    payment = Payment(_request(f"cancelled-{behaviour}"), started_s=0)
    time = Time()

    def wait(seconds):
        payment.cancel(time.now)
        return time.wait(seconds)

    client = HttpProvider(provider.url)
    state = collect(payment, client, now_s=time, wait=wait, on_state=lambda s: None)
    assert state is PayState.REVERSED
    assert time.now < 10
    _balanced(provider, f"cancelled-{behaviour}", state)
    payment.cancel(time.now)
    assert payment.state is PayState.REVERSED


def test_stopping_leaves_the_persisted_state(provider):
    provider.script("never")
    saved = []
    state = collect(
        Payment(_request("stopped"), started_s=0),
        HttpProvider(provider.url),
        now_s=Time(),
        wait=lambda s: True,
        on_state=saved.append,
    )
    assert state is saved[-1] is PayState.POLLING


def test_no_provider_at_all():
    client = HttpProvider("http://127.0.0.1:1", timeout_s=0.2)
    with pytest.raises(ProviderLost):
        client.query(_request("x"))
    with pytest.raises(ValueError, match="not an address"):
        HttpProvider("ftp://x")


ANSWERS = st.one_of(
    st.none(),
    st.builds(
        PayAnswer,
        st.sampled_from(["paid", "pending", "refused", "reversed", "not_found"]),
        st.just("P"),
        st.sampled_from([0, 1250, 1251]),
    ),
)


@given(st.lists(ANSWERS, max_size=80))
def test_pay_leaves_once_and_reversing_never_turns_back(answers):
    payment = Payment(_request("x"), started_s=0)
    now, pays, reversing = 0.0, 0, False
    for answer in answers:
        step = payment.next(now)
        if step.kind == "done":
            break
        if step.kind == "wait":
            now += step.wait_s
            continue
        pays += step.kind == "pay"
        reversing = reversing or step.kind == "reverse"
        payment.feed(answer, now)
        if reversing:
            assert payment.state in {PayState.REVERSING, PayState.UNHEARD, PayState.REVERSED}
    assert pays <= 1
