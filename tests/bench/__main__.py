"""`make bench`: speed and memory, each beside its baseline, in one run on this machine.

python -m tests.bench [edge] [journal] [clock] [ingest] [wire] [idle] [chain] [till] ...
"""

import importlib
import sys
import time

SECTIONS = {
    "journal": "journal: append, verify, rebuild",
    "edge": "a sale at the edge, 100,000 products",
    "clock": "the clock, with a dead time server",
    "idle": "a node at night, 100,000 products",
    "till": "the till's page in Chromium, 100,000 products",
    "ingest": "head office takes sales in, beside the raw pipe",
    "wire": "late, behind, and a thousand at once: over mutual TLS",
    "chain": "commit at A -> visible elsewhere, 20 sales/s",
    "devices": "devices on the simulators: printer",
    "scanning": "scanners, scales, displays on ptys",
    "promotions": "promotions",
    "oscar": "promotions beside django-oscar, the same instances",
    "demo": "make demo",
}


def main() -> None:
    wanted = sys.argv[1:] or list(SECTIONS)
    for name in wanted:
        started = time.monotonic()
        print(f"\n== {SECTIONS[name]}")
        for label, figure in importlib.import_module(f"tests.bench.{name}_bench").run():
            print(f"  {label:<66}{figure}")
        print(f"  ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
