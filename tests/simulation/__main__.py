"""`python -m tests.simulation --seed N` replays one course; `--seeds N` runs many and counts."""

import argparse
import time
from collections import Counter

from tests.simulation.world import run


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--sql", action="store_true", help="real SQLite books in each node")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        report = run(arguments.seed, real_sql=arguments.sql)
        print(f"seed {report.seed}: {report.events} events, faults {dict(report.faults)}")
        print(report.digest)
        return
    start = time.monotonic()
    faults: Counter[str] = Counter()
    events = 0
    for seed in range(arguments.seeds):
        report = run(seed, real_sql=arguments.sql)
        faults += report.faults
        events += report.events
    seconds = time.monotonic() - start
    print(f"{arguments.seeds} seeds, {events} events, {seconds:.1f} s; nothing lost or doubled")
    for kind, count in sorted(faults.items()):
        print(f"  {count:8,} {kind}")


if __name__ == "__main__":
    main()
