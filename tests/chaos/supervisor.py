"""Breaks one thing after the other, and mends each some seconds later."""

import contextlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from deploy.processes import Process
from tests.chaos.chain import DISK_BYTES, FALSE_CLOCK, SMALL_DISK, ChaosChain
from tests.chaos.proxy import MODES
from tests.servers import PostgresServer

CLOCKS_S = (-3_600, 3_600, -30 * 86_400, 400 * 86_400, -2_000_000_000, -3, 0)


class Supervisor:
    """`torment(seconds)` does it; `heal()` leaves everything running and whole."""

    def __init__(self, chain: ChaosChain, postgres: PostgresServer, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self._chain = chain
        self._postgres = postgres
        self._rng = random.Random(seed)
        self._busy: set[str] = set()  # what is broken now is left alone
        self._mending: list[threading.Thread] = []
        self._filling = chain.small_disk / "filling"

    def torment(self, seconds: float) -> None:
        """One fault every half to three seconds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._rng.choice(self._weather())()
            time.sleep(self._rng.uniform(0.5, 3.0))

    def _weather(self) -> list[Callable[[], None]]:
        shop = self._rng.choice(list(self._chain.shops))
        process = self._chain.shops[shop].process
        return [
            lambda: self._killed(shop, process),
            lambda: self._killed(shop, process),
            lambda: self._killed("central", self._chain.central),
            lambda: self._killed("broker", self._chain.broker, wipes=True),
            self._postgres_killed,
            lambda: self._stopped(shop, process),
            lambda: self._stopped("central", self._chain.central),
            lambda: self._stopped("broker", self._chain.broker),
            lambda: self._cut_off(shop),
            lambda: self._cut_off(shop),
            lambda: self._reset(shop),
            self._disk_filled,
            self._clock_jumps,
        ]

    def _break(
        self, what: str, kind: str, start: Callable[[], None], mend: Callable[[], None]
    ) -> None:
        """Break it now, mend it in a moment; one fault at a time on one thing."""
        if what in self._busy:
            return
        self._busy.add(what)
        self.faults[kind] += 1
        start()
        lasts_s = self._rng.uniform(0.3, 6.0)

        def later() -> None:
            time.sleep(lasts_s)
            mend()
            self._busy.discard(what)

        thread = threading.Thread(target=later, daemon=True)
        thread.start()
        self._mending = [t for t in self._mending if t.is_alive()] + [thread]

    def _killed(self, what: str, process: Process, *, wipes: bool = False) -> None:
        def start() -> None:
            process.kill()
            if wipes:
                process.wipe()

        kind = "shop" if what in self._chain.shops else what
        told = f"kill -9 {kind}" + (", its files wiped" if wipes else "")
        self._break(what, told, start, process.start)

    def _postgres_killed(self) -> None:
        self._break("postgres", "kill -9 PostgreSQL", self._postgres.kill, self._postgres.start)

    def _stopped(self, what: str, process: Process) -> None:
        popen = process._popen
        if popen is None or not process.running:
            return
        kind = "shop" if what in self._chain.shops else what
        self._break(
            what,
            f"SIGSTOP {kind}",
            lambda: popen.send_signal(signal.SIGSTOP),
            lambda: popen.send_signal(signal.SIGCONT),
        )

    def _cut_off(self, shop: str) -> None:
        mode = self._rng.choice(MODES)
        proxy = self._chain.proxies[shop]
        self._break(
            f"link {shop}", f"link: {mode}", lambda: setattr(proxy, "mode", mode), proxy.heal
        )

    def _reset(self, shop: str) -> None:
        self.faults["link: reset"] += 1
        self._chain.proxies[shop].reset()

    def _disk_filled(self) -> None:
        def fill() -> None:
            with contextlib.suppress(OSError), self._filling.open("wb") as file:  # full: as wished
                for _ in range(DISK_BYTES // 65_536 + 1):
                    file.write(b"\0" * 65_536)
                    file.flush()

        self._break(
            f"disk {SMALL_DISK}",
            "disk filled",
            fill,
            lambda: self._filling.unlink(missing_ok=True),
        )

    def _clock_jumps(self) -> None:
        seconds = self._rng.choice(CLOCKS_S)
        self.faults[f"clock of {FALSE_CLOCK} turned by {seconds:+} s"] += 1
        self._chain.clock_file.write_text(str(seconds))

    def heal(self) -> None:
        """Everything runs and every link passes."""
        for thread in self._mending:
            thread.join(60)
        self._chain.clock_file.write_text("0")
        for proxy in self._chain.proxies.values():
            proxy.heal()
        self._filling.unlink(missing_ok=True)
        processes = [self._chain.broker, self._chain.central]
        processes += [shop.process for shop in self._chain.shops.values()]
        self._postgres.start()
        for process in processes:
            if not process.running:
                process.start()
        for process in processes:
            process.wait_for(seconds=90)
