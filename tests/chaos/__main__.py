"""`python -m tests.chaos --minutes 5`: a real chain under real faults, judged by what it answered.

Mosquitto with mutual TLS, head office on PostgreSQL, three shops with two tills each, all of them
processes of their own. Needs root: for a disk that can be filled (a small tmpfs).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from deploy import bakery
from tests.chaos import verdict
from tests.chaos.chain import CASHIERS, ChaosChain, chaos_chain
from tests.chaos.supervisor import Supervisor
from tests.chaos.tills import Cashier, Oracle
from tests.servers import postgres_server

PRICES_SET_S = 60.0


def _cashiers(chain: ChaosChain, oracle: Oracle) -> list[Cashier]:
    made = []
    for store, people in CASHIERS.items():
        verdict.wait_for_people(chain, store)
        for n, (_, pin) in enumerate(people, 1):
            url = chain.shops[store].url
            cashier = Cashier(url, store, str(n), pin=pin, oracle=oracle)
            cashier.open(chain.pair(store, str(n)))
            made.append(cashier)
    return made


def run(seconds: float, seed: int, folder: Path) -> list[str]:
    """Build, torment, heal, judge; returns everything that is wrong."""
    oracle = Oracle(folder / "oracle.jsonl")
    with (
        postgres_server(durable=True) as postgres,
        chaos_chain(folder / "chain", postgres.fresh_database()) as chain,
    ):
        cashiers = _cashiers(chain, oracle)
        for cashier in cashiers:
            cashier.start()
        supervisor = Supervisor(chain, postgres, seed)
        print(f"{len(bakery.goods())} products, {len(cashiers)} tills; seed {seed}", flush=True)
        supervisor.torment(seconds)
        supervisor.heal()
        for cashier in cashiers:
            cashier.stopping.set()
        for cashier in cashiers:
            cashier.join(120)
        started = time.monotonic()
        apart = verdict.come_level(chain)
        level_s = time.monotonic() - started
        for process in (chain.central, *(shop.process for shop in chain.shops.values())):
            process.stop()
        asked = set().union(*(cashier.asked for cashier in cashiers))
        wrong = [f"not level: {apart}"] if apart else []
        wrong += [f"verify of {n}: {said}" for n, said in verdict.verified(chain).items()]
        wrong += verdict.judged(chain, oracle.answers(), asked)
        wrong += [f"a secret stands in {name}" for name in verdict.leaked(chain)]
        wrong += [f"till {c.name}: {c.fault}" for c in cashiers if c.fault]
        wrong += [f"till {c.name} sold nothing: {c.last_no}" for c in cashiers if not c.asked]
        for kind, count in sorted(supervisor.faults.items()):
            print(f"  {count:6} {kind}")
        troubles = sum(c.troubles for c in cashiers)
        print(
            f"{supervisor.faults.total()} faults, {oracle.count} sales answered, {troubles} times "
            f"asked again, level {level_s:.0f} s after the end"
        )
        return wrong


def main() -> None:
    """Run and print; the exit code is 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tillmesh-chaos-", ignore_cleanup_errors=True) as name:
        wrong = run(arguments.minutes * 60, arguments.seed, Path(name))
    for one in wrong:
        print(f"WRONG: {one}")
    print("verify is green everywhere and the oracle equals the books" if not wrong else "FAILED")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
