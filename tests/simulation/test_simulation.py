"""Replication under every fault we know: nothing lost, doubled or reordered; mutants die."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.ids import CENTRAL, shop_stream
from tests.simulation.mutants import MUTANTS
from tests.simulation.world import SHOPS, World, Wrong, run

SEEDS = 30
SEEDS_TO_KILL = 25


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_chain_in_a_storm_comes_level_and_loses_nothing(seed: int) -> None:
    report = run(seed)
    assert report.events > 100
    assert sum(report.faults.values()) > 20


@pytest.mark.parametrize("seed", [0, 20])
def test_the_same_on_real_sqlite_books(seed: int) -> None:
    assert run(seed, real_sql=True).events > 100


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(SEEDS, 3_000, 30))
def test_many_courses(start: int) -> None:
    for seed in range(start, start + 30):
        run(seed, real_sql=seed % 20 == 0)


class SetBack(World):
    """Head office is restored from an old backup, and the shops have closed for the night."""

    def run(self) -> None:
        self.kinds = dict.fromkeys(self.kinds, 0.0)
        self.at(60_000, self._save)
        self.at(150_000, self._set_back)
        super().run()

    def _save(self) -> None:
        self.saved = self.nodes[CENTRAL].store.backup()

    def _set_back(self) -> None:
        self.calm = True
        node = self.nodes[CENTRAL]
        self.disconnect(CENTRAL, will=self.seed % 2 == 0)
        node.store.restore(self.saved, self.hex16())  # type: ignore[arg-type]
        node.forget()
        self._off.add(CENTRAL)
        self._promised.clear()
        self.at(3_000, lambda: self._power_on(CENTRAL))

    def level(self) -> bool:
        central = self.nodes[CENTRAL].store
        return all(
            central.head(shop_stream(s)) == self.nodes[s].store.head(shop_stream(s)) for s in SHOPS
        )

    def _check_promise(self, shop: str) -> None:
        """A lost disk keeps no promise."""

    def judge(self) -> None:
        for shop in SHOPS:
            self._judge_shop(shop)


@pytest.mark.parametrize("seed", range(12))
def test_a_restored_head_office_gets_every_sale_again(seed: int) -> None:
    world = SetBack(seed)
    world.run()
    world.close()


def test_one_seed_is_one_course() -> None:
    """Whatever the order of sets and dicts in this process."""
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "3"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        digests.add(done.stdout)
    assert digests == {
        f"seed 3: {(r := run(3)).events} events, faults {dict(r.faults)}\n{r.digest}\n".encode()
    }


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_found(name: str) -> None:
    with MUTANTS[name]() as how:
        for seed in range(SEEDS_TO_KILL):
            try:
                run(seed, **how)
            except Wrong:
                return
    pytest.fail(f"{name} lives through {SEEDS_TO_KILL} seeds")
