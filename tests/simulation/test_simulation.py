"""Replication under every fault we know: nothing lost, doubled, reordered or forged."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.realnodes import course
from tests.simulation.words import SQL_EVERY
from tests.simulation.world import World

SEEDS = 200
SEEDS_AT_NIGHT = 3_000
CHUNK = 20


@pytest.mark.parametrize("start", range(0, SEEDS, CHUNK))
def test_a_chain_in_a_storm_comes_level_and_loses_nothing(start: int) -> None:
    for seed in range(start, start + CHUNK):
        report = course(seed)
        assert report.events > 100
        assert sum(report.faults.values()) > 20


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(SEEDS, SEEDS_AT_NIGHT, CHUNK))
def test_many_courses(start: int) -> None:
    for seed in range(start, start + CHUNK):
        course(seed)


def test_every_kind_of_fault_happens() -> None:
    kinds = set()
    for seed in range(1, SQL_EVERY):
        kinds |= set(course(seed).faults)
    assert {
        "acts before it asked",
        "broker restarts and forgets",
        "clock: 400 days ahead",
        "clock: a time server lies",
        "clock: to 1970",
        "cloned disk",
        "delayed and overtaken",
        "doubled",
        "dropped",
        "full disk",
        "head office restored",
        "lost in partition",
        "old backup restored",
        "partition both",
        "partition down",
        "partition up",
        "poison: altered",
        "poison: forged",
        "poison: noise",
        "poison: replayed",
        "power cut",
        "power cut while keeping",
        "power cut while selling",
        "slow disk",
        "updated to the next release",
    } <= kinds


@pytest.mark.parametrize("seed", [0, 3])
def test_one_seed_is_one_course(seed: int) -> None:
    """Whatever the order of sets and dicts in the process: three of them, one digest."""
    printed = set()
    for hash_seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", str(seed)],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
        )
        printed.add(done.stdout)
    assert len(printed) == 1
    assert course(seed).digest in printed.pop().decode()


def test_weights_of_faults_differ_from_seed_to_seed() -> None:
    worlds = [World(seed) for seed in range(4)]
    assert len({tuple(w.kinds.values()) for w in worlds}) == 4
    for world in worlds:
        world.close()
