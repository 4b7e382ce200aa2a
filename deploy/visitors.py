"""People of the demo, as programs: a cashier at a till, a manager, head office, over real HTTP."""

import html
import http.client
import json
import re
import uuid
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode, urlsplit


class Refused(Exception):
    """The node said no; the words are its own."""


class Visitor:
    """One browser without a screen: keeps its connection and its cookies."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self._http = http.client.HTTPConnection(self.host, timeout=20)

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = ""
    ) -> tuple[int, str, str]:
        """Status, text and where it redirects to; one retry when the server was restarted."""
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        headers |= {"Accept-Language": "zh-CN", "X-CSRF": self.csrf, "X-CSRF-Token": self.csrf}
        if kind:
            headers["Content-Type"] = kind
        for attempt in (1, 2):
            try:
                self._http.request(method, path, body=body, headers=headers)
                answer = self._http.getresponse()
                text = answer.read().decode("utf-8", "replace")
                break
            except (http.client.HTTPException, ConnectionError):
                self._http.close()
                if attempt == 2:
                    raise
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(cookie).items():
                self.cookies[name] = morsel.value
        return answer.status, text, answer.headers.get("Location", "")

    def close(self) -> None:
        """Leave."""
        self._http.close()

    def page(self, path: str) -> str:
        """A page; its form token is remembered."""
        status, text, _ = self.ask("GET", path)
        if status >= 400:
            raise Refused(f"GET {path}: {status} {_words(text)}")
        found = re.search(
            r'name="csrf"[^>]*value="([^"]+)"|name="csrf"[^>]*content="([^"]+)"', text
        )
        if found:
            self.csrf = html.unescape(found.group(1) or found.group(2))
        return text

    def form(self, path: str, **fields: str) -> str:
        """Send a form; return where it leads."""
        body = urlencode({"csrf": self.csrf, **fields}).encode()
        status, text, target = self.ask("POST", path, body, "application/x-www-form-urlencoded")
        if status not in {302, 303}:
            raise Refused(f"POST {path}: {status} {_words(text)}")
        return target

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask the JSON API: GET without a body, POST with one."""
        data = None if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        status, text, _ = self.ask(method, path, data, "application/json" if data else "")
        if status >= 400:
            raise Refused(f"{method} {path}: {status} {text[:300]}")
        return json.loads(text)


def _words(text: str) -> str:
    plain = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(plain).split())[:300]


def new_id() -> str:
    """An id as pages make them."""
    return str(uuid.uuid4())


class Clerk(Visitor):
    """A person at a paired browser of a shop."""

    def pair_and_sign_in(self, code: str, pin: str) -> None:
        """Pair with the till, then type the PIN."""
        self.page("/pair")
        self.form("/pair", code=code, name="demo")
        self.sign_in(pin)

    def sign_in(self, pin: str) -> None:
        """Type the PIN."""
        self.page("/sign-in")
        self.form("/sign-in", pin=pin, next="/")

    def scan(self, code: str, qty_milli: int | None = None) -> Any:
        """Scan one code; the basket comes back."""
        return self.call(
            "/api/till/scan",
            {"id": new_id(), "raw": code, **({"qty_milli": qty_milli} if qty_milli else {})},
        )

    def pay_cash(self, basket: Any, given_minor: int | None = None) -> Any:
        """Pay with cash, exact unless said otherwise."""
        given = basket["total_minor"] if given_minor is None else given_minor
        return self.call(
            "/api/till/pay",
            {"sale": basket["sale"], "tenders": [{"kind": "cash", "given_minor": given}]},
        )

    def sell(self, *codes: str) -> Any:
        """Scan and pay exactly."""
        basket: Any = None
        for code in codes:
            basket = self.scan(code)
        return self.pay_cash(basket)


class Officer(Visitor):
    """A person at head office."""

    def sign_in(self, person: str, password: str) -> None:
        """Name and password."""
        self.page("/sign-in")
        self.form("/sign-in", person=person, password=password, next="/")

    def set_price(self, sku: str, yuan: str) -> None:
        """A new chain price from now on."""
        self.page(f"/prices/{sku}")
        self.form(f"/prices/{sku}", price=yuan, zone="")

    def publish(self, rule: str, document: dict[str, Any]) -> None:
        """Draft and publish a promotion."""
        self.page("/promotions/new")
        text = json.dumps({"id": rule, **document}, ensure_ascii=False)
        looked = self.form("/promotions/save", rule=rule, text=text, new="1", do="publish")
        seen = re.search(r'name="seen" value="(\d+)"', self.page(looked))
        self.form(f"/promotions/{rule}/publish", seen=seen.group(1) if seen else "")
