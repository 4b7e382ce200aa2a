"""kill -9 of a real shop process in the middle of payments, seen over real HTTP."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.processes import Process, free_port
from deploy.visitors import Clerk
from devices.sim.vpay import VirtualProvider
from edge.settings import TillSettings
from tests.edge.shop_builder import BUN, MILK, build, open_shift, settings_for
from tests.edge.test_tendering import ALIPAY_CODE, until

BIN = Path(sys.executable).parent / "tillmesh-edge"


TILLS = ("1", "2", "3")


class Counter:
    """A shop's process that can be killed, and a clerk at each of its tills."""

    def __init__(self, folder: Path, provider: VirtualProvider) -> None:
        tills = tuple(TillSettings(id=till) for till in TILLS)
        shop = build(folder, settings=settings_for(folder, tills=tills))
        for till in TILLS:
            open_shift(shop, till)
        shop.books.database.close()
        port = free_port()
        plain = settings_for(folder)
        self.settings = folder / "edge.toml"
        self.settings.write_text(
            f"""store = "{plain.store}"
chain = "{plain.chain}"
zone = "{plain.zone}"
group = "{plain.group}"
tz = "{plain.tz}"
central_public_key = "{plain.central_public_key}"
low_disk_bytes = 1_000_000
[http]
port = {port}
[mqtt]
port = {free_port()}
[payment]
patience_s = 120.0
poll_s = 0.1
retry_max_s = 0.3
[[payment.providers]]
name = "sim"
kind = "simulated"
url = "{provider.url}"
[[tills]]
id = "1"
[[tills]]
id = "2"
[[tills]]
id = "3"
""",
            encoding="utf-8",
        )
        url = f"http://127.0.0.1:{port}"
        command = [str(BIN), "-s", str(self.settings), "run"]
        self.process = Process("shop", command, log=folder / "edge.log", url=url)
        self.clerks = {till: Clerk(url) for till in TILLS}

    def start(self) -> None:
        """Until it answers."""
        self.process.start()
        self.process.wait_for(seconds=120)

    def sign_in(self) -> None:
        """Pair a browser with each till."""
        for till, clerk in self.clerks.items():
            words = [str(BIN), "-s", str(self.settings), "pair", "--till", till]
            said = subprocess.run(words, capture_output=True, text=True, check=True)
            found = re.search(r"\b(\d{6})\b", said.stdout)
            assert found, said
            clerk.pair_and_sign_in(found[1], "1111")
            clerk.page("/till")

    def ask(self, till: str, attempt: str, code: str) -> None:
        """Scan, then ask for all that lies on the till."""
        basket = self.clerks[till].scan(code)
        body = {"attempt": attempt, "sale": basket["sale"], "kind": "scan", "code": ALIPAY_CODE}
        amount = {"amount_minor": basket["total_minor"]}
        self.clerks[till].call("/api/till/payments", body | amount)

    def look(self, attempt: str) -> Any:
        """How it stands."""
        return self.clerks["1"].call(f"/api/till/payments/{attempt}")

    def close(self) -> None:
        self.process.kill()
        for clerk in self.clerks.values():
            clerk._http.close()


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[tuple[Counter, VirtualProvider]]:
    with VirtualProvider() as provider:
        made = Counter(tmp_path, provider)
        try:
            made.start()
            made.sign_in()
            yield made, provider
        finally:
            made.close()


def test_a_power_cut_in_the_middle_of_three_payments(
    counter: tuple[Counter, VirtualProvider],
) -> None:
    """Paid, still typing the password, and cancelled: of none has the shop heard the answer."""
    shop, provider = counter
    paid, typing, cancelled = (f"power-cut-{name:0>12}" for name in ("paid", "typing", "cancelled"))
    provider.lose_next(10**9)
    provider.script("ok", "never", "never")
    shop.ask("1", paid, MILK)
    until(lambda: paid in provider.captured)
    shop.ask("2", typing, BUN)
    until(lambda: typing in provider.orders)
    shop.ask("3", cancelled, MILK)
    until(lambda: cancelled in provider.orders)
    shop.clerks["3"].call(f"/api/till/payments/{cancelled}/cancel", {})
    until(lambda: provider.orders[cancelled].state == "reversed")
    shop.process.kill()
    provider.lose_next(0)
    provider.orders[typing].behaviour = "slow"
    shop.start()
    until(lambda: shop.look(paid)["paid"])
    until(lambda: shop.look(typing)["paid"])
    until(lambda: shop.look(cancelled)["state"] == "reversed")

    assert provider.captured == [paid, typing]
    assert provider.reversed == [cancelled]
    assert provider.calls.count("pay") == 3
    for till in ("1", "2"):
        assert shop.clerks[till].call("/api/till/basket")["lines"] == []
        assert shop.clerks[till].call("/api/till/payments")["payments"] == []
    basket = shop.clerks["3"].call("/api/till/basket")
    assert [line["code"] for line in basket["lines"]] == [MILK]
    assert shop.clerks["3"].pay_cash(basket)["total_minor"] == 880
