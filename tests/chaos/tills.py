"""Cashiers as threads: they sell over HTTP, and write down every answer before they go on.

The file is the oracle: one line of JSON for each 2xx answer to a payment, synced to the disk. A
sale whose answer was lost is asked again under its id, as the page does, until there is one.
"""

import http.client
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

from deploy import bakery
from deploy.visitors import Clerk, Refused, new_id

PATIENCE_S = 0.4


class Oracle:
    """What was answered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")

    def note(self, **answer: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(answer) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self.count += 1

    def answers(self) -> list[dict[str, Any]]:
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


class Cashier(threading.Thread):
    """Sells at one till until told to stop; afterwards finishes the sale that he asked for."""

    def __init__(self, url: str, store: str, till: str, *, pin: str, oracle: Oracle) -> None:
        super().__init__(name=f"{store}-{till}", daemon=True)
        self.url, self.store, self.till, self.pin = url, store, till, pin
        self.stopping = threading.Event()
        self.asked: set[str] = set()
        self.troubles = 0
        self.fault = ""
        self.last_no = ""
        self._oracle = oracle
        self._rng = random.Random(f"{store}{till}")
        self._codes = [g["codes"].split("|")[0] for g in bakery.goods() if g["unit"] == "pc"]
        self._clerk = Clerk(url)

    def open(self, code: str) -> None:
        """Pair, sign in, open the shift."""
        self._clerk.pair_and_sign_in(code, self.pin)
        self._clerk.page("/shift")
        self._clerk.form("/shift/open", float="200.00", shift=new_id())

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._sell()
        except Exception as fault:  # noqa: BLE001 - told at the end
            self.fault = f"{type(fault).__name__}: {fault}"

    def _sell(self) -> None:
        basket = self._until_answered(self._scan)
        if basket is None or not basket.get("lines"):
            return
        sale, total = basket["sale"], basket["total_minor"]
        self.asked.add(sale)
        body = {"sale": sale, "tenders": [{"kind": "cash", "given_minor": total + 5_000}]}
        paid = self._until_answered(lambda: self._clerk.call("/api/till/pay", body), final=True)
        if paid is not None:
            self._oracle.note(
                store=self.store,
                till=self.till,
                sale=paid["sale"],
                receipt=paid["receipt_number"],
                total=paid["total_minor"],
            )

    def _scan(self) -> Any:
        basket: Any = None
        for _ in range(self._rng.randint(1, 3)):
            basket = self._clerk.scan(self._rng.choice(self._codes))
        return basket

    def _until_answered(self, ask: Any, *, final: bool = False) -> Any:
        """Ask until there is an answer; a refusal is one, unless the node itself is in need."""
        while True:
            try:
                return ask()
            except Refused as fault:
                self.troubles += 1
                text = str(fault)
                if ": 401" in text:
                    self._signed_in()
                elif ": 503" not in text and ": 429" not in text:
                    if ": 500" in text:
                        raise
                    self.last_no = text[:200]
                    return None  # a plain no: another sale is on the till, the basket changed
            except (OSError, http.client.HTTPException):
                self.troubles += 1
                self._clerk = _again(self._clerk)
            if self.stopping.is_set() and not final:
                return None
            time.sleep(PATIENCE_S)

    def _signed_in(self) -> None:
        try:
            self._clerk.sign_in(self.pin)
        except (Refused, OSError, http.client.HTTPException):
            self.troubles += 1


def _again(clerk: Clerk) -> Clerk:
    """The same browser with a new connection."""
    fresh = Clerk(f"http://{clerk.host}")
    fresh.cookies, fresh.csrf = clerk.cookies, clerk.csrf
    return fresh
