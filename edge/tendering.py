"""Money that is not cash: start a payment, follow it, undo it, and never forget one.

A try is one row of `edge.payments` and one worker thread that drives `devices.payment`. The row is
there before the first byte leaves; a node that was killed in between takes every open row up again
when it starts: it asks the provider, then records the sale or takes the money back. Hub topic:
"payment/{till}" {"attempt", "state", "sale"} at every step.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy.exc import DBAPIError

from devices.payment import (
    PayAnswer,
    Payment,
    PayRequest,
    PayState,
    Provider,
    ProviderLost,
    collect,
)
from devices.scan import PayCode, read
from edge import payments
from edge.checkout import Checkout, SalesFloor
from edge.payments import Frozen, Row
from edge.paywords import said
from edge.providers import CARD, Providers
from edge.views import PaidSale, PaymentView
from edge.words import Notice, notice_of
from protocol.errors import Conflict, Refusal, TillmeshError, Unavailable, define
from protocol.events import PaymentReversed
from protocol.money import format_minor

RETRY_S: Final = 2.0
STOP_S: Final = 8.0  # longer than a message to a provider may take
TRACE: Final = "card_trace"
TRACE_MAX: Final = 999_999

define(
    {
        "PAY_NOT_SET_UP": (
            "This till cannot collect by {kind}. Nothing was asked for; choose another way to pay.",
            "本收银台未设置{kind}收款。未发起收款，请选择其他支付方式。",
        ),
        "PAY_CODE_WRONG": (
            "“{text}” is not a payment code that this shop can collect with. Ask the customer to "
            "open the payment code anew and scan it again.",
            "“{text}”不是本店可收款的付款码。请顾客重新打开付款码后再扫。",
        ),
        "PAY_AMOUNT_WRONG": (
            "{amount} cannot be collected: {left} is still to be paid. Nothing was asked for.",
            "无法收取 {amount}：本单还应付 {left}。未发起收款。",
        ),
        "PAY_DONE": (
            "This sale is paid and recorded already. Nothing was asked for again.",
            "本单已付款并记账，未重复收款。",
        ),
        "PAY_OTHER_ATTEMPT": (
            "This payment number belongs to another payment. Nothing was asked for; try again.",
            "该付款编号属于另一笔付款。未发起收款，请重试。",
        ),
        "PAYMENT_UNKNOWN": (
            "There is no such payment in this shop.",
            "本店没有这笔付款。",
        ),
        "PAY_PROVIDER_GONE": (
            "“{name}” is no longer in this shop's settings, so this payment cannot be asked about. "
            "Put it back into the settings, or settle it in the provider's own books.",
            "设置中已没有“{name}”，无法查询这笔付款。请恢复设置，或在支付平台核对。",
        ),
    }
)
_KINDS: Final = {"scan": ("scan-pay", "扫码"), "card": ("card", "银行卡")}


class PayAsk(msgspec.Struct, frozen=True, kw_only=True):
    """What a till asks for. `attempt` is made by the till: the same one twice is one payment."""

    attempt: str
    kind: str  # scan, card
    amount_minor: int
    code: str = ""  # of the customer's phone


class _Job:
    """One payment that is being driven."""

    def __init__(self, row: Row, payment: Payment, provider: Provider) -> None:
        self.row = row
        self.payment = payment
        self.provider = provider
        self.trouble: TillmeshError | None = None  # why it cannot be recorded just now
        self.wake = threading.Event()
        self.cancel = False


class Tendering:
    """Payments of all tills of one shop."""

    def __init__(self, floor: SalesFloor, checkout: Checkout, providers: Providers) -> None:
        self._floor = floor
        self._node = floor.node
        self._checkout = checkout
        self.providers = providers
        self._gate = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._gone: dict[str, TillmeshError] = {}  # attempts that nobody can be asked about

    # -- verbs --------------------------------------------------------------------------------

    def start_payment(self, till: str, sale: str, ask: PayAsk, *, person: str) -> PaymentView:
        """Ask for money; the answer comes by `view`. The basket is frozen until it is settled."""
        self._node.settings.till(till)
        self._floor.people.demand(person, "sell")
        with self._floor.baskets.lock(till):
            known = self._known(till, sale, ask)
            if known is not None:
                return self._view(known)
            name, provider = self._collector(till, ask)
            frozen = self._freeze(till, sale, person)
            row, request = self._write(frozen, ask, name, person)
            patience = self.providers.patience(name)
            payment = Payment(request, started_s=time.monotonic(), patience=patience)
            self._drive(_Job(row, payment, provider))
        self._tell(row, row.state)
        return self._view(row)

    def _known(self, till: str, sale: str, ask: PayAsk) -> Row | None:
        with self._node.books.database.reading() as connection:
            row = payments.read_row(connection, ask.attempt)
        if row is None:
            return None
        same = (row.till, row.sale, row.kind, row.amount_minor)
        if same != (till, sale, ask.kind, ask.amount_minor):
            raise Conflict("PAY_OTHER_ATTEMPT")
        return row

    def _collector(self, till: str, ask: PayAsk) -> tuple[str, Provider]:
        """Who is to be asked: PAY_NOT_SET_UP, PAY_CODE_WRONG, or why it cannot be built."""
        if ask.kind not in self.providers.kinds(till) or ask.kind == "cash":
            names = _KINDS.get(ask.kind, (ask.kind, ask.kind))
            raise Refusal("PAY_NOT_SET_UP", kind=" / ".join(names))
        name = CARD
        if ask.kind == "scan":
            code = read(ask.code, tender=True)
            name = self.providers.reading(code.provider) if isinstance(code, PayCode) else ""
            if not name:
                raise Refusal("PAY_CODE_WRONG", text=ask.code.strip()[:4] + "…")
        return name, self.providers.provider(name, till)

    def _freeze(self, till: str, sale: str, person: str) -> Frozen:
        with self._node.books.database.reading() as connection:
            if self._node.recorded(connection, sale):
                raise Conflict("PAY_DONE")
            if any(row.unsettled for row in payments.of_sale(connection, sale)):
                raise Conflict("PAY_RUNNING")
            frozen = payments.read_frozen(connection, sale)
        if frozen is not None:
            self._floor.room.demand()
            return frozen
        return self._checkout.freeze(till, sale, person=person)

    def _write(self, frozen: Frozen, ask: PayAsk, name: str, person: str) -> tuple[Row, PayRequest]:
        """The row, in one transaction with what freezes; nothing has been sent yet."""
        at = self._node.clock.read()
        code = read(ask.code, tender=True)
        pay_code = code.code if isinstance(code, PayCode) else ""
        with self._node.books.begin() as tx:
            held = [row for row in payments.of_sale(tx, frozen.sale) if row.held]
            left = frozen.total_minor - sum(row.amount_minor for row in held)
            if not 0 < ask.amount_minor <= left:
                amount, rest = format_minor(ask.amount_minor), format_minor(left)
                raise Refusal("PAY_AMOUNT_WRONG", amount=amount, left=rest)
            trace = 0
            if name == CARD:
                trace = int(self._node.books.state(tx, TRACE) or 0) % TRACE_MAX + 1
                self._node.books.set_state(tx, TRACE, str(trace))
            row = Row(
                attempt=ask.attempt,
                sale=frozen.sale,
                till=frozen.till,
                person=person,
                kind=ask.kind,
                provider=name,
                trace=trace,
                code_end=pay_code[-4:],
                amount_minor=ask.amount_minor,
                state=PayState.ASKING,
                booked=False,
                provider_id="",
                reason="",
                started_ms=at.at_ms,
                changed_ms=at.at_ms,
            )
            answers = self._checkout.answer_first(frozen)
            if answers:
                self._node.books.record(tx, {self._node.stream: answers})
            payments.freeze(tx, frozen, at.at_ms)
            payments.write_row(tx, row)
        return row, self._request(row, pay_code)

    def _request(self, row: Row, pay_code: str = "") -> PayRequest:
        return PayRequest(
            attempt_id=row.attempt,
            amount_minor=row.amount_minor,
            currency=self._node.settings.currency,
            pay_code=pay_code,
            trace=row.trace,
            subject=f"{self._node.settings.chain} {self._node.store} {row.till}",
        )

    def cancel_payment(self, attempt: str, *, person: str) -> PaymentView:
        """Undo it: whatever was taken goes back. One that is in a recorded sale stays."""
        self._floor.people.demand(person, "sell")
        row = self._row(attempt)
        with self._floor.baskets.lock(row.till):
            row = self._row(attempt)
            job = self._job(attempt)
            if job is not None:
                job.cancel = True
                job.wake.set()
            elif row.held:
                self._give_back(row)
            elif row.open:
                self._drive(self._resumed(row, cancel=True))
        return self.view(attempt)

    def _give_back(self, row: Row) -> None:
        job = self._resumed(msgspec.structs.replace(row, state=PayState.REVERSING))
        at_ms = self._node.clock.read().at_ms
        with self._node.books.begin() as tx:
            going = payments.move(tx, row.attempt, job.row.state, job.payment.answer, at_ms)
        if going:
            self._drive(job)

    # -- looks --------------------------------------------------------------------------------

    def view(self, attempt: str) -> PaymentView:
        """One payment; PAYMENT_UNKNOWN."""
        return self._view(self._row(attempt))

    def open_at(self, till: str) -> list[PaymentView]:
        """What is open at a till, oldest first."""
        return [view for view in self.list_open() if view.till == till]

    def list_open(self) -> list[PaymentView]:
        """Everything in the shop that is not settled, oldest first."""
        with self._node.books.database.reading() as connection:
            rows = payments.list_open(connection)
        return [self._view(row) for row in rows]

    def list_newest(self, limit: int = 50) -> list[PaymentView]:
        """The newest payments of the shop."""
        with self._node.books.database.reading() as connection:
            rows = payments.list_newest(connection, limit)
        return [self._view(row) for row in rows]

    def _row(self, attempt: str) -> Row:
        with self._node.books.database.reading() as connection:
            row = payments.read_row(connection, attempt)
        if row is None:
            raise Refusal("PAYMENT_UNKNOWN")
        return row

    def _view(self, row: Row) -> PaymentView:
        paid: PaidSale | None = None
        with self._node.books.database.reading() as connection:
            frozen = payments.read_frozen(connection, row.sale)
            held = sum(r.amount_minor for r in payments.of_sale(connection, row.sale) if r.held)
        if row.booked:
            paid = self._checkout.paid_sale(row.sale)
        return PaymentView(
            attempt=row.attempt,
            sale=row.sale,
            till=row.till,
            person=row.person,
            kind=row.kind,
            provider=row.provider,
            amount_minor=row.amount_minor,
            state=str(row.state),
            booked=row.booked,
            waits=row.unsettled,
            held=row.held,
            says=self._says(row),
            code_end=row.code_end,
            provider_id=row.provider_id,
            started_ms=row.started_ms,
            changed_ms=row.changed_ms,
            left_minor=frozen.total_minor - held if frozen else 0,
            paid=paid,
        )

    def _says(self, row: Row) -> Notice:
        """Where it stands, for people."""
        gone = self._gone.get(row.attempt)
        if gone is not None and row.open:
            return notice_of(gone)
        job = self._job(row.attempt)
        return said(
            row,
            heard=job is None or job.payment.heard,
            trouble=job.trouble.code if job is not None and job.trouble is not None else "",
            currency=self._node.settings.currency,
        )

    # -- driving ------------------------------------------------------------------------------

    def start(self) -> None:
        """Take up every payment that a former run of this node left open."""
        with self._node.books.database.reading() as connection:
            rows = payments.list_open(connection)
        for row in rows:
            with self._floor.baskets.lock(row.till):
                self._take_up(row)

    def _take_up(self, row: Row) -> None:
        try:
            self._drive(self._resumed(row))
        except TillmeshError as fault:
            self._gone[row.attempt] = fault

    def _resumed(self, row: Row, *, cancel: bool = False) -> _Job:
        """Go on from what was written down; why not, when nobody can be asked."""
        payment = Payment(
            self._request(row),
            started_s=time.monotonic(),
            state=row.state,
            resumed=True,
            patience=self.providers.patience(row.provider),
        )
        job = _Job(row, payment, self._provider_of(row))
        job.cancel = cancel
        return job

    def _provider_of(self, row: Row) -> Provider:
        try:
            return self.providers.provider(row.provider, row.till)
        except KeyError:
            raise Refusal("PAY_PROVIDER_GONE", name=row.provider) from None

    def stop(self) -> None:
        """End the workers; what is open is taken up at the next start."""
        self._stopping.set()
        with self._gate:
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            job.wake.set()
        for thread in threads:
            thread.join(timeout=STOP_S)

    def _job(self, attempt: str) -> _Job | None:
        with self._gate:
            return self._jobs.get(attempt)

    def _drive(self, job: _Job) -> None:
        name = f"payment-{job.row.till}-{job.row.attempt[-6:]}"
        thread = threading.Thread(target=self._run, args=(job,), name=name, daemon=True)
        with self._gate:
            self._jobs[job.row.attempt] = job
            self._threads = [*(t for t in self._threads if t.is_alive()), thread]
        thread.start()

    def _run(self, job: _Job) -> None:
        """Until it is settled and written down, whatever the disk says meanwhile."""
        try:
            while not self._stopping.is_set():
                try:
                    self._collect(job)
                except (TillmeshError, DBAPIError) as fault:
                    detail = str(fault)[:80]
                    job.trouble = (
                        fault
                        if isinstance(fault, TillmeshError)
                        else Unavailable("DISK_FAULT", detail=detail)
                    )
                    self._tell(job.row, job.payment.state)
                    self._stopping.wait(RETRY_S)
                else:
                    return
        finally:
            with self._gate:
                self._jobs.pop(job.row.attempt, None)
            self._tell(job.row, job.payment.state)

    def _collect(self, job: _Job) -> None:
        state = collect(
            job.payment,
            _Bounded(job.provider),
            now_s=time.monotonic,
            wait=lambda seconds: self._wait(job, seconds),
            on_state=lambda state: self._note(job, state),
            cancelled=lambda: job.cancel,
        )
        if state is PayState.PAID:
            self._checkout.finish(job.row.till, job.row.sale)

    def _wait(self, job: _Job, seconds: float) -> bool:
        if job.wake.wait(seconds):
            job.wake.clear()
        return self._stopping.is_set()

    def _note(self, job: _Job, state: PayState) -> None:
        """Write a state down before its first message leaves."""
        row, at = job.row, self._node.clock.read()
        with self._node.books.begin() as tx:
            moved = payments.move(tx, row.attempt, state, job.payment.answer, at.at_ms)
            if state.frees_till:
                payments.thaw(tx, row.sale)
            if moved and state is PayState.REVERSED:
                body = PaymentReversed(
                    attempt=row.attempt,
                    sale=row.sale,
                    till=row.till,
                    kind=row.kind,
                    provider=row.provider,
                    amount_minor=row.amount_minor,
                    cashier=row.person,
                    provider_id=job.payment.answer.provider_id,
                    started_ms=row.started_ms,
                )
                event = f"{row.attempt}-reversed"
                draft = self._node.draft(body, event=event, at=at, till=row.till, actor=row.person)
                self._node.books.record(tx, {self._node.stream: [draft]})
        job.trouble = None
        self._tell(row, state)

    def _tell(self, row: Row, state: PayState) -> None:
        fact = {"attempt": row.attempt, "sale": row.sale, "state": str(state)}
        self._node.hub.publish(f"payment/{row.till}", fact)


class _Bounded:
    """A provider whose every failure is a lost answer: money never hangs on a library's mood."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def pay(self, request: PayRequest) -> PayAnswer:
        return _asked(self._provider.pay, request)

    def query(self, request: PayRequest) -> PayAnswer:
        return _asked(self._provider.query, request)

    def reverse(self, request: PayRequest) -> PayAnswer:
        return _asked(self._provider.reverse, request)


def _asked(verb: Callable[[PayRequest], PayAnswer], request: PayRequest) -> PayAnswer:
    try:
        return verb(request)
    except ProviderLost:
        raise
    except Exception as fault:
        raise ProviderLost(repr(fault)) from fault
