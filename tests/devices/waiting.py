"""Wait for conditions, never for a time: the machine may be busy."""

import time
from collections.abc import Callable

import pytest


def wait_for(condition: Callable[[], object], *, within_s: float = 60.0) -> object:
    """Poll until `condition` is true; return its value, fail otherwise."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail("condition did not become true in time")
        time.sleep(0.002)
