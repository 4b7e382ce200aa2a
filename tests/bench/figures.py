"""Percentiles and a timer, for all sections."""

import time
from collections.abc import Callable
from typing import Any


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(seconds: list[float], goal: str = "") -> str:
    p50, p99 = percentile(seconds, 0.5) * 1000, percentile(seconds, 0.99) * 1000
    tail = f"   goal {goal}" if goal else ""
    return f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, n {len(seconds)}{tail}"


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
