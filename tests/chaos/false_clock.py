"""A shop whose machine's wall clock somebody turns: `python -m tests.chaos.false_clock FILE ...`.

FILE holds seconds to add; the rest are the words of `tillmesh-edge`. libfaketime would do it from
outside, but Python's sleep fails under it (EINVAL), so the process turns its own clock.
"""

import sys
import time
from pathlib import Path

from edge.cli import main

_real_ns = time.time_ns


def turned_ns(file: Path) -> int:
    """The wall clock with what somebody has turned it by."""
    try:
        seconds = int(file.read_text() or 0)
    except (OSError, ValueError):
        seconds = 0
    return max(0, _real_ns() + seconds * 1_000_000_000)


if __name__ == "__main__":
    clock = Path(sys.argv[1])
    time.time_ns = lambda: turned_ns(clock)  # type: ignore[assignment]
    time.time = lambda: turned_ns(clock) / 1e9  # type: ignore[assignment]
    sys.argv = ["tillmesh-edge", *sys.argv[2:]]
    main()
