"""The chain that is tormented: mutual TLS, PostgreSQL, three shops with two tills each."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from central.compose import HeadOffice
from deploy import bakery
from deploy.chain import Chain, Shop
from tests.chaos.proxy import FaultProxy

STORES = (
    *bakery.STORES,
    {"store": "S3", "zh": "火车站店", "en": "Station", "zone": "city", "group": "east"},
)
# store -> (person, PIN) at each till; an own PIN each, so that a scan for them means something
CASHIERS = {
    "S1": (("li", "2580"), ("wang", "135790")),
    "S2": (("zhao", "3690"), ("chen", "246801")),
    "S3": (("sun", "7410"), ("ma", "975310")),
}
PEOPLE = (
    *bakery.PEOPLE,
    ("sun", "孙强", "cashier", "7410", ("S3",)),
    ("ma", "马丽", "manager", "975310", ("S3",)),
)
SMALL_DISK = "S3"  # on a tmpfs that can be filled
FALSE_CLOCK = "S2"  # its machine's clock is turned
ROOT = Path(__file__).parents[2]
DISK_BYTES = 96_000_000


class ChaosChain(Chain):
    """`create` and `start` as in the demo; then what can be broken lies at hand."""

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder, fixed_ports=False, tls=True, database_url=database_url)
        self.proxies: dict[str, FaultProxy] = {}
        self.clock_file = folder / "clock"
        self._mounted: list[Path] = []

    def create(self) -> None:
        with patch.object(bakery, "STORES", STORES), patch.object(bakery, "PEOPLE", PEOPLE):
            super().create()
        for store, shop in self.shops.items():
            self._fit(store, shop)

    def _add_shop(self, office: HeadOffice, store: dict[str, str], *, by: str) -> None:
        super()._add_shop(office, store, by=by)
        if store["store"] == SMALL_DISK:
            data = self.folder / SMALL_DISK / "data"
            data.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tillmesh", str(data)]
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"A small disk needs the right to mount a tmpfs: {done.stderr}")
            self._mounted.append(data)

    def _fit(self, store: str, shop: Shop) -> None:
        """A second till, the proxy in the way, room for a small disk, a clock to play with."""
        proxy = self.proxies[store] = FaultProxy(self.broker_port)
        text = shop.settings.read_text(encoding="utf-8")
        text, found = re.subn(
            r"(\[mqtt\][^\[]*?\nport = )\d+", rf"\g<1>{proxy.port}", text, count=1, flags=re.DOTALL
        )
        assert found, text
        text = f"low_disk_bytes = 1_000_000\n{text}"
        text += '\n[[tills]]\nid = "2"\nname = "2"\n'
        shop.settings.write_text(text, encoding="utf-8")
        if store == FALSE_CLOCK:
            self.clock_file.write_text("0")
            words = shop.process.command[1:]
            python = [sys.executable, "-m", "tests.chaos.false_clock", str(self.clock_file)]
            shop.process.command = ["env", "-C", str(ROOT), *python, *words]

    def pair(self, store: str, till: str) -> str:
        """A fresh code for a browser at this till."""
        said = self.shops[store].command("pair", "--till", till)
        found = re.search(r"\b(\d{6})\b", said.stdout)
        assert found, said.stdout + said.stderr
        return found.group(1)

    @property
    def small_disk(self) -> Path:
        return self.folder / SMALL_DISK / "data"

    def stop(self) -> None:
        super().stop()
        for proxy in self.proxies.values():
            proxy.close()

    def unmount(self) -> None:
        """Only when nobody looks at its files any more."""
        for data in self._mounted:
            subprocess.run(["umount", str(data)], check=False)
        self._mounted = []


@contextmanager
def chaos_chain(folder: Path, database_url: str) -> Iterator[ChaosChain]:
    """Built and running; ended and taken away afterwards."""
    chain = ChaosChain(folder, database_url)
    try:
        chain.create()
        chain.start()
        yield chain
    finally:
        chain.stop()
        chain.unmount()
        shutil.rmtree(folder, ignore_errors=True)
