from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.compose import Shop
from tests.edge.shop_builder import FixedClock, build, open_shift


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def shop(tmp_path: Path, clock: FixedClock) -> Iterator[Shop]:
    """A shop with goods and people, no shift open."""
    made = build(tmp_path, clock=clock)
    yield made
    made.books.database.close()


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """The same with a shift open at till 1."""
    open_shift(shop)
    return shop
