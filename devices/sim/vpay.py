"""A payment provider that is not there: real HTTP, and every way to lose a message.

    with VirtualProvider() as provider:
        provider.script("lost-answer")          # for the next pay; "ok" when nothing is scripted
        HttpProvider(provider.url).pay(...)
        provider.captured, provider.reversed    # attempt ids, each at most once

Behaviours of pay: ok · slow (pending, paid at the third query) · never (pending for ever) ·
refused · lost-request (nothing happens, no answer) · delayed (no answer, arrives and is paid after
two more messages) · lost-answer (paid, no answer) · late (no answer, paid only after two queries) ·
wrong-amount · garbage. `lose_next(n)` loses the answers of the next n messages of any kind, after
they have been carried out.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

BEHAVIOURS: Final = (
    "ok", "slow", "never", "refused", "lost-request", "lost-answer", "late", "wrong-amount",
    "garbage", "delayed",
)  # fmt: skip


class _Order:
    def __init__(self, amount: int, behaviour: str) -> None:
        self.amount = amount
        self.behaviour = behaviour
        self.state = "pending"
        self.queries = 0


class VirtualProvider:
    """The provider's book: which tries were captured, which reversed."""

    def __init__(self, port: int = 0) -> None:
        self.orders: dict[str, _Order] = {}
        self.captured: list[str] = []
        self.reversed: list[str] = []
        self.calls: list[str] = []
        self._script: list[str] = []
        self._lose = 0
        self._on_the_way: list[tuple[int, str, int]] = []  # messages to go, attempt, amount
        self._gate = threading.Lock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = provider.carry_out(self.path.strip("/"), body)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = False
        self._server.block_on_close = True
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(0.02), name="vpay", daemon=True
        )

    @property
    def url(self) -> str:
        """What a shop's settings name as its provider."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Answer in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(2)
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

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

    def carry_out(self, verb: str, body: dict[str, Any]) -> bytes | None:
        """The answer to one message; None when it is lost."""
        with self._gate:
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
            if answer is None:
                return None
            return b"garbage" if answer.get("garbage") else json.dumps(answer).encode()

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
        if behaviour == "delayed":
            self._on_the_way.append((3, attempt, int(body["amount_minor"])))
        if behaviour in {"lost-request", "delayed"}:
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
