"""Money that is not cash: exactly one capture or one reversal, whatever answer is lost.

    payment = Payment(PayRequest(...), started_s=now)
    while (step := payment.next(now)).kind != "done":
        ...do it: provider.pay / query / reverse, or wait...
        payment.feed(answer, now)            # None when no answer came

`collect` is that loop over a `Provider`, be it scan-pay (付款码) or a card terminal. The machine
itself does no I/O and asks no clock:

    ASKING    pay is sent once, never twice           paid -> PAID      refused -> REFUSED
    POLLING   pending, or no answer: query            paid -> PAID      refused -> REFUSED
              4 x not_found: nothing to wait for      -> REVERSING
    REVERSING patience over, cashier cancels, or a    reversed -> REVERSED
              wrong amount: reverse until answered    4 x not_found -> UNHEARD
                                                      lost -> again, later, for ever
    UNHEARD   the provider never heard of it; the     not_found for watch_s -> REVERSED
              request may still be on its way         paid, pending -> REVERSING

`on_state` hears each state before its first message leaves: persist it there, in the same place as
the basket. After a crash `Payment(request, state=...)` goes on: from ASKING it queries, for the
customer may have paid; from REVERSING it reverses. Sources: devices.md sections 4 and 8; WeChat
Pay's 付款码 guide (query first, reverse no sooner than 15 s after the request).
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal, Protocol

import msgspec

NOT_FOUND_SURE: Final = 4  # the request may still be on its way: ask again before believing it


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait for what, in seconds."""

    patience_s: float = 45.0  # a customer types a password on a phone
    poll_s: float = 2.0
    reverse_after_s: float = 0.0  # some providers refuse to reverse what has just begun
    reverse_min_s: float = 1.0  # between two tries, doubled up to the next
    reverse_max_s: float = 30.0
    watch_s: float = 900.0  # pay codes are good for a minute; terminals forget at once


class PayState(StrEnum):
    """Where a payment is; the last three are final."""

    ASKING = "asking"
    POLLING = "polling"
    REVERSING = "reversing"
    UNHEARD = "unheard"
    PAID = "paid"
    REFUSED = "refused"
    REVERSED = "reversed"

    @property
    def final(self) -> bool:
        """Nothing more will happen."""
        return self in {PayState.PAID, PayState.REFUSED, PayState.REVERSED}

    @property
    def frees_till(self) -> bool:
        """No money was taken by it as far as anybody knows: the till may go on without it."""
        return self in {PayState.REFUSED, PayState.REVERSED, PayState.UNHEARD}


class PayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One try to collect. `attempt_id` is ours and unique; the provider knows the try by it.

    `pay_code` is what the customer's phone showed (not kept after a crash: it is never sent
    again); `trace` is the number, 1 to 999999, by which a card terminal knows the try.
    """

    attempt_id: str
    amount_minor: int
    currency: str = "CNY"
    pay_code: str = ""
    trace: int = 0
    subject: str = ""


class PayAnswer(msgspec.Struct, frozen=True):
    """What a provider says.

    paid; pending (USERPAYING); refused with `reason` in the provider's words; reversed; not_found:
    it never heard of this try.
    """

    kind: Literal["paid", "pending", "refused", "reversed", "not_found"]
    provider_id: str = ""
    amount_minor: int = 0
    reason: str = ""


class ProviderLost(Exception):
    """No answer came: the message or its answer is lost, nobody knows which."""


class Provider(Protocol):
    """WeChat Pay, Alipay, a card terminal, or a simulated one. Each call may raise ProviderLost.

    A call takes some seconds at most; what takes longer is `pending`.
    """

    def pay(self, request: PayRequest) -> PayAnswer:
        """Try to collect; the same attempt_id never collects twice."""
        ...

    def query(self, request: PayRequest) -> PayAnswer:
        """How does this try stand?"""
        ...

    def reverse(self, request: PayRequest) -> PayAnswer:
        """Undo it, whether paid or pending; the same one twice is one."""
        ...


class PayStep(msgspec.Struct, frozen=True):
    """What to do now; `wait_s` for a wait."""

    kind: Literal["pay", "query", "reverse", "wait", "done"]
    wait_s: float = 0.0


class Payment:
    """The machine for one try. Times are monotonic seconds that come in."""

    def __init__(
        self,
        request: PayRequest,
        *,
        started_s: float,
        state: PayState = PayState.ASKING,
        resumed: bool = False,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """`resumed`: after a crash, with the state that was persisted."""
        self.request = request
        self.state = PayState.POLLING if resumed and state is PayState.ASKING else state
        self.answer = PayAnswer("pending")
        self.heard = True  # did the last message get an answer?
        self._patience = patience
        self._reverse_from = started_s + patience.reverse_after_s
        self._deadline = started_s + patience.patience_s
        self._watch_until = started_s + patience.watch_s
        self._next_at = started_s
        self._wait_s = patience.reverse_min_s
        self._not_found = 0
        self._sent = resumed

    def cancel(self, now_s: float) -> None:
        """The cashier gives up: undo it, unless it is settled already."""
        if self.state is PayState.ASKING and not self._sent:
            self.state = PayState.REVERSED  # nothing ever left
        elif self.state in {PayState.ASKING, PayState.POLLING}:
            self._reverse(now_s)

    def next(self, now_s: float) -> PayStep:
        """What to do at this moment."""
        if self.state.final:
            return PayStep("done")
        if self.state is PayState.ASKING:
            self._sent = True
            return PayStep("pay")
        if self.state is PayState.POLLING and now_s >= self._deadline:
            self._reverse(now_s)
        if now_s < self._next_at:
            return PayStep("wait", self._next_at - now_s)
        return PayStep("reverse" if self.state is PayState.REVERSING else "query")

    def feed(self, answer: PayAnswer | None, now_s: float) -> None:
        """Take the answer to the step before; None when none came."""
        self.heard = answer is not None
        if answer is None:
            answer = PayAnswer("pending")
        else:
            self.answer = answer
        self._not_found = self._not_found + 1 if answer.kind == "not_found" else 0
        {
            PayState.ASKING: self._fed_asking,
            PayState.POLLING: self._fed_asking,
            PayState.REVERSING: self._fed_reversing,
            PayState.UNHEARD: self._fed_unheard,
        }[self.state](answer, now_s)

    def _fed_asking(self, answer: PayAnswer, now_s: float) -> None:
        if answer.kind == "paid":
            if answer.amount_minor == self.request.amount_minor:
                self.state = PayState.PAID
            else:  # never sell for another sum than the one that was shown
                self._reverse(now_s)
        elif answer.kind == "refused":
            self.state = PayState.REFUSED
        elif answer.kind == "reversed":
            self.state = PayState.REVERSED
        elif self._not_found >= NOT_FOUND_SURE:
            self._reverse(now_s)
        else:  # pending, lost, or not (yet) known: ask again until patience is over
            self.state = PayState.POLLING
            self._next_at = min(now_s + self._patience.poll_s, max(self._deadline, now_s))

    def _fed_reversing(self, answer: PayAnswer, now_s: float) -> None:
        if answer.kind in {"reversed", "refused"}:
            self.state = PayState.REVERSED
        elif self._not_found >= NOT_FOUND_SURE:
            self.state = PayState.UNHEARD
            self._watch_until = now_s + self._patience.watch_s
            self._later(now_s)
        else:
            self._later(now_s)

    def _fed_unheard(self, answer: PayAnswer, now_s: float) -> None:
        """A lost answer ends nothing: only the provider's own word closes the book."""
        if answer.kind in {"reversed", "refused"}:
            self.state = PayState.REVERSED
        elif answer.kind == "paid" or (answer.kind == "pending" and self.heard):
            self._reverse(now_s)
        elif answer.kind == "not_found" and now_s >= self._watch_until:
            self.state = PayState.REVERSED
        else:
            self._later(now_s)

    def _later(self, now_s: float) -> None:
        self._next_at = now_s + self._wait_s
        self._wait_s = min(self._wait_s * 2, self._patience.reverse_max_s)

    def _reverse(self, now_s: float) -> None:
        self.state = PayState.REVERSING
        self._wait_s = self._patience.reverse_min_s
        self._next_at = max(now_s, self._reverse_from)


def collect(
    payment: Payment,
    provider: Provider,
    *,
    now_s: Callable[[], float],
    wait: Callable[[float], bool],
    on_state: Callable[[PayState], None],
    cancelled: Callable[[], bool] = lambda: False,
) -> PayState:
    """Drive a payment until it is settled, on the caller's worker thread.

    Args:
        payment: fresh, or resumed after a crash.
        provider: who collects.
        now_s: monotonic seconds.
        wait: sleeps so many seconds; True when the node is stopping: the state then stays as it
            was persisted and the next start resumes it.
        on_state: persist it; called before the first message of a state leaves.
        cancelled: does the cashier want it undone? Asked before every step.
    """
    told: PayState | None = None
    while True:
        if cancelled():
            payment.cancel(now_s())
        step = payment.next(now_s())
        if payment.state is not told:
            told = payment.state
            on_state(told)
        if step.kind == "done":
            return payment.state
        if step.kind == "wait":
            if wait(step.wait_s):
                return payment.state
            continue
        payment.feed(_ask(step, payment.request, provider), now_s())


def _ask(step: PayStep, request: PayRequest, provider: Provider) -> PayAnswer | None:
    try:
        if step.kind == "pay":
            return provider.pay(request)
        if step.kind == "query":
            return provider.query(request)
        return provider.reverse(request)
    except ProviderLost:
        return None
