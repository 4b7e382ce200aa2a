"""`python -m tests.simulation --seed N` replays one course; `--seeds N` runs many and counts.

`--mutants` runs every bug on purpose until a seed finds it. Both cores are used.
"""

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import structlog

from tests.simulation.mutants_inside import MUTANTS, SEEDS_TO_KILL
from tests.simulation.realnodes import course
from tests.simulation.words import Wrong
from tests.simulation.world import Report, run

CHUNK = 20
TELL_S = 20.0


def _chunk(seeds: range) -> tuple[list[Report], list[str]]:
    reports, wrong = [], []
    for seed in seeds:
        try:
            reports.append(course(seed))
        except Wrong as fault:
            wrong.append(str(fault))
        except Exception as fault:  # noqa: BLE001 - an honest crash is a finding too
            wrong.append(f"seed {seed}: {type(fault).__name__}: {fault}")
    return reports, wrong


def _tell(done: int, count: int, violations: int, seconds: float) -> None:
    left_min = seconds / done * (count - done) / 60
    print(
        f"{done:,} of {count:,} seeds, {violations} violations, about {left_min:.0f} min left",
        file=sys.stderr,
        flush=True,
    )


def killed_by(name: str) -> int | None:
    """The first seed that finds this mutant; None if it lives."""
    with MUTANTS[name]() as how:
        for seed in range(SEEDS_TO_KILL):
            try:
                run(seed, **how)
            except Exception:  # noqa: BLE001 - a crash finds it too
                return seed
    return None


def many(first: int, count: int, jobs: int) -> bool:
    """Run, print faults by kind, say what went wrong; True if nothing did."""
    start = told = time.monotonic()
    faults: Counter[str] = Counter()
    of_nodes: Counter[str] = Counter()
    wrong: list[str] = []
    done = events = pruned = forks = virtual_ms = 0
    chunks = [range(n, min(n + CHUNK, first + count)) for n in range(first, first + count, CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        for reports, found in pool.map(_chunk, chunks):
            wrong += found
            for text in found:
                print(text, flush=True)
            for report in reports:
                done += 1
                faults += report.faults
                of_nodes += report.node_faults
                events += report.events
                pruned += report.pruned
                forks += report.forks
                virtual_ms += report.virtual_ms
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                _tell(done + len(wrong), count, len(wrong), told - start)
    seconds = time.monotonic() - start
    print(f"{of_nodes.total():,} faults of nodes, {faults.total():,} faults in all:")
    for kind, n in sorted(faults.items()):
        print(f"  {n:10,} {'node ' if kind in of_nodes else '     '}{kind}")
    print(
        f"{done} seeds in {seconds:.0f} s ({done / seconds:.1f} seeds/s), "
        f"{virtual_ms / 86_400_000:.1f} days of virtual time, {events:,} events, "
        f"{forks:,} forks, {pruned:,} events pruned"
    )
    print(f"{len(wrong)} violations")
    for text in wrong:
        seed = text.split(":", 1)[0].removeprefix("seed ")
        print(f"  python -m tests.simulation --seed {seed}")
    return not wrong


def all_mutants(jobs: int) -> bool:
    """Each must be found; True if at least 95 % are."""
    alive = []
    with ProcessPoolExecutor(jobs) as pool:
        for name, seed in zip(MUTANTS, pool.map(killed_by, MUTANTS), strict=True):
            print(f"  {name:40} {'LIVES' if seed is None else f'seed {seed}'}", flush=True)
            alive += [name] if seed is None else []
    killed = len(MUTANTS) - len(alive)
    print(f"{killed} of {len(MUTANTS)} mutants killed within {SEEDS_TO_KILL} seeds each")
    return killed >= 0.95 * len(MUTANTS)


def main() -> None:
    """Run and print; the exit code is 1 when something is wrong."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutants", action="store_true")
    arguments = parser.parse_args()
    if arguments.mutants:
        sys.exit(not all_mutants(arguments.jobs))
    if arguments.seed is None:
        sys.exit(not many(arguments.first, arguments.seeds, arguments.jobs))
    report = course(arguments.seed)
    print(f"seed {report.seed}: {report.events} events, faults {sorted(report.faults.items())}")
    print(report.digest)


if __name__ == "__main__":
    main()
