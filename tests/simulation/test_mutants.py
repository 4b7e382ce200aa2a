"""The simulator finds bugs made on purpose: 20 in every run, all of them at night."""

import pytest

from tests.simulation.__main__ import killed_by
from tests.simulation.mutants_inside import MUTANTS

ALWAYS = (
    "a_batch_over_two_epochs",
    "a_fork_overwrites",
    "a_full_disk_is_acknowledged",
    "a_gap_is_acknowledged",
    "a_gap_is_not_heard",
    "a_hash_without_the_one_before",
    "ack_before_commit",
    "ack_hash_unchecked",
    "an_older_price",
    "an_unknown_type_blocks",
    "cursor_moved_at_publish",
    "gap_accepted",
    "half_a_batch",
    "half_a_commit",
    "no_dedupe",
    "no_epoch",
    "no_fsync",
    "no_signature_check",
    "single_entry",
    "the_last_to_arrive_wins",
)


@pytest.mark.parametrize("name", ALWAYS)
def test_a_mutant_is_found(name: str) -> None:
    assert killed_by(name) is not None


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 40
    assert set(ALWAYS) <= set(MUTANTS)


@pytest.mark.nightly
def test_at_least_95_percent_are_found() -> None:
    alive = [name for name in MUTANTS if killed_by(name) is None]
    assert len(alive) <= 0.05 * len(MUTANTS), alive
