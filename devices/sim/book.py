"""A payment provider's book: what was captured, what reversed; and every way to lose a message.

Behaviours of pay: ok · slow (pending, paid at the third query) · never (pending for ever) ·
refused · lost-request (nothing happens, no answer) · delayed (no answer, arrives and is paid after
two more messages) · overdue (the same, when everybody has given it up) · lost-answer (paid, no
answer) · late (no answer, paid only after two queries) · wrong-amount · garbage. `lose_next(n)`
loses the answers of the next n messages of any kind, after they have been carried out; while
`down` is set nothing comes in at all.

`devices.sim.vpay`, `vwechat`, `valipay` and `vcard` open it to plain JSON, to the vendors' own
protocols, and to a card terminal's.
"""

import threading
from typing import Any, Final

BEHAVIOURS: Final = (
    "ok", "slow", "never", "refused", "lost-request", "lost-answer", "late", "wrong-amount",
    "garbage", "delayed", "overdue",
)  # fmt: skip
ON_THE_WAY: Final = {"delayed": 3, "overdue": 11}  # messages that come first


class _Order:
    def __init__(self, amount: int, behaviour: str) -> None:
        self.amount = amount
        self.behaviour = behaviour
        self.state = "pending"
        self.queries = 0


class Book:
    """What a provider knows: tries, and which were captured or reversed. No sockets."""

    def __init__(self) -> None:
        self.orders: dict[str, _Order] = {}
        self.captured: list[str] = []
        self.reversed: list[str] = []
        self.calls: list[str] = []
        self.down = False
        self._script: list[str] = []
        self._lose = 0
        self._on_the_way: list[tuple[int, str, int]] = []  # messages to go, attempt, amount
        self._gate = threading.Lock()

    def script(self, *behaviours: str) -> None:
        """How the next pays behave, one each."""
        unknown = set(behaviours) - set(BEHAVIOURS)
        if unknown:
            raise ValueError(f"unknown behaviour {unknown}")
        self._script += behaviours

    def scripted(self) -> list[str]:
        """What is scripted and not yet used."""
        return list(self._script)

    def lose_next(self, count: int) -> None:
        """Carry out the next messages, but lose their answers."""
        self._lose = count

    def carry_out(self, verb: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to one message ({"garbage": True} for an unreadable one); None: lost."""
        with self._gate:
            if self.down:
                return None
            self.calls.append(verb)
            self._arrivals()
            attempt = str(body["attempt_id"])
            if verb == "pay":
                answer = self._pay(attempt, body)
            elif attempt not in self.orders:
                answer = {"kind": "not_found"}
            else:
                answer = getattr(self, f"_{verb}")(attempt, self.orders[attempt])
            if self._lose:
                self._lose -= 1
                return None
            return answer

    def _arrivals(self) -> None:
        left = [(count - 1, attempt, amount) for count, attempt, amount in self._on_the_way]
        self._on_the_way = [entry for entry in left if entry[0] > 0]
        for count, attempt, amount in left:
            if count == 0:
                order = self.orders.setdefault(attempt, _Order(amount, "ok"))
                self._capture(attempt, order)

    def _pay(self, attempt: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if attempt in self.orders:
            return self._query(attempt, self.orders[attempt])
        behaviour = self._script.pop(0) if self._script else "ok"
        if behaviour in ON_THE_WAY:
            entry = (ON_THE_WAY[behaviour], attempt, int(body["amount_minor"]))
            self._on_the_way.append(entry)
        if behaviour == "lost-request" or behaviour in ON_THE_WAY:
            return None
        order = self.orders[attempt] = _Order(int(body["amount_minor"]), behaviour)
        if behaviour == "refused":
            order.state = "refused"
        elif behaviour in {"ok", "lost-answer", "wrong-amount", "garbage"}:
            self._capture(attempt, order)
        if behaviour in {"lost-answer", "late"}:
            return None
        return {"garbage": True} if behaviour == "garbage" else self._state(attempt, order)

    def _capture(self, attempt: str, order: _Order) -> None:
        order.state = "paid"
        self.captured.append(attempt)

    def _query(self, attempt: str, order: _Order) -> dict[str, Any]:
        order.queries += 1
        due = {"slow": 3, "late": 3}.get(order.behaviour)
        if order.state == "pending" and due is not None and order.queries >= due:
            self._capture(attempt, order)
        return self._state(attempt, order)

    def _reverse(self, attempt: str, order: _Order) -> dict[str, Any]:
        if order.state != "reversed":
            order.state = "reversed"
            self.reversed.append(attempt)
        return self._state(attempt, order)

    def _state(self, attempt: str, order: _Order) -> dict[str, Any]:
        amount = order.amount + (1 if order.behaviour == "wrong-amount" else 0)
        return {
            "kind": order.state,
            "provider_id": f"P-{attempt}",
            "amount_minor": amount if order.state == "paid" else 0,
            "reason": "balance too low" if order.state == "refused" else "",
        }
