"""Scan-pay (付款码): exactly one capture or one reversal, whatever answer is lost.

    payment = ScanPay(PayRequest(...), started_s=now)
    while (step := payment.next(now)).kind != "done":
        ...do it: provider.pay / query / reverse, or wait...
        payment.feed(answer, now)            # None when no answer came

`collect` is that loop over a `Provider`. The machine itself does no I/O and asks no clock:

    ASKING    pay is sent once, never twice           paid -> PAID      refused -> REFUSED
    POLLING   pending, or no answer: query            paid -> PAID      refused -> REFUSED
    REVERSING patience over, cashier cancels, or a    reversed, 4 x not_found -> REVERSED
              wrong amount: reverse until answered    lost -> again, later, for ever

`on_state` hears each state before its first message leaves: persist it there, in the same place as
the basket. After a crash `ScanPay(request, state=...)` goes on: from ASKING it queries, for the
customer may have paid; from REVERSING it reverses. Sources: devices.md sections 4 and 8.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Literal, Protocol

import msgspec

PATIENCE_S: Final = 45.0  # a customer types a password on a phone
POLL_S: Final = 2.0
REVERSE_MIN_S: Final = 1.0
REVERSE_MAX_S: Final = 30.0
NOT_FOUND_SURE: Final = 4  # the request may still be on its way: ask again before believing it


class PayState(StrEnum):
    """Where a payment is; the last three are final."""

    ASKING = "asking"
    POLLING = "polling"
    REVERSING = "reversing"
    PAID = "paid"
    REFUSED = "refused"
    REVERSED = "reversed"

    @property
    def final(self) -> bool:
        """Nothing more will happen."""
        return self in {PayState.PAID, PayState.REFUSED, PayState.REVERSED}


class PayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One try to collect. `attempt_id` is ours and unique; the provider knows the try by it."""

    attempt_id: str
    amount_minor: int
    currency: str = "CNY"
    pay_code: str
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
    """WeChat Pay, Alipay, UnionPay, or the simulated one. Each call may raise ProviderLost."""

    def pay(self, request: PayRequest) -> PayAnswer:
        """Try to collect; the same attempt_id never collects twice."""
        ...

    def query(self, attempt_id: str) -> PayAnswer:
        """How does this try stand?"""
        ...

    def reverse(self, attempt_id: str) -> PayAnswer:
        """Undo it, whether paid or pending; the same one twice is one."""
        ...


class PayStep(msgspec.Struct, frozen=True):
    """What to do now; `wait_s` for a wait."""

    kind: Literal["pay", "query", "reverse", "wait", "done"]
    wait_s: float = 0.0


class ScanPay:
    """The machine for one try. Times are monotonic seconds that come in."""

    def __init__(
        self,
        request: PayRequest,
        *,
        started_s: float,
        state: PayState = PayState.ASKING,
        resumed: bool = False,
    ) -> None:
        """`resumed`: after a crash, with the state that was persisted."""
        self.request = request
        self.state = PayState.POLLING if resumed and state is PayState.ASKING else state
        self.answer = PayAnswer("pending")
        self._deadline = started_s + PATIENCE_S
        self._next_at = started_s
        self._reverse_wait = REVERSE_MIN_S
        self._not_found = 0

    def cancel(self, now_s: float) -> None:
        """The cashier gives up: undo it, unless it is settled already."""
        if not self.state.final and self.state is not PayState.REVERSING:
            self._reverse(now_s)

    def next(self, now_s: float) -> PayStep:
        """What to do at this moment."""
        if self.state.final:
            return PayStep("done")
        if self.state is PayState.ASKING:
            return PayStep("pay")
        if self.state is PayState.POLLING and now_s >= self._deadline:
            self._reverse(now_s)
        if now_s < self._next_at:
            return PayStep("wait", self._next_at - now_s)
        return PayStep("query" if self.state is PayState.POLLING else "reverse")

    def feed(self, answer: PayAnswer | None, now_s: float) -> None:
        """Take the answer to the step before; None when none came."""
        if answer is not None:
            self.answer = answer
        kind = answer.kind if answer is not None else "lost"
        if self.state is PayState.REVERSING:
            self._fed_reversing(kind, now_s)
        elif answer is not None and kind == "paid":
            if answer.amount_minor == self.request.amount_minor:
                self.state = PayState.PAID
            else:  # never sell for another sum than the one that was shown
                self._reverse(now_s)
        elif kind == "refused":
            self.state = PayState.REFUSED
        elif kind == "reversed":
            self.state = PayState.REVERSED
        else:  # pending, lost, or not (yet) known: ask again until patience is over
            self.state = PayState.POLLING
            self._next_at = min(now_s + POLL_S, max(self._deadline, now_s))

    def _fed_reversing(self, kind: str, now_s: float) -> None:
        self._not_found += kind == "not_found"
        if kind in {"reversed", "refused"} or self._not_found >= NOT_FOUND_SURE:
            self.state = PayState.REVERSED
            return
        self._next_at = now_s + self._reverse_wait
        self._reverse_wait = min(self._reverse_wait * 2, REVERSE_MAX_S)

    def _reverse(self, now_s: float) -> None:
        self.state = PayState.REVERSING
        self._next_at = now_s


def collect(
    payment: ScanPay,
    provider: Provider,
    *,
    now_s: Callable[[], float],
    wait: Callable[[float], bool],
    on_state: Callable[[PayState], None],
) -> PayState:
    """Drive a payment until it is settled, on the caller's worker thread.

    Args:
        payment: fresh, or resumed after a crash.
        provider: who collects.
        now_s: monotonic seconds.
        wait: sleeps so many seconds; True when the node is stopping: the state then stays as it
            was persisted and the next start resumes it.
        on_state: persist it; called before the first message of a state leaves.
    """
    told: PayState | None = None
    while True:
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
            return provider.query(request.attempt_id)
        return provider.reverse(request.attempt_id)
    except ProviderLost:
        return None
