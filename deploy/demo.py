"""`make demo`: the chain to play with. `make demo-check`: the four walks, unattended.

python -m deploy.demo [--check] [--tls] [--broker amqtt] [--postgres URL] [--sales N]
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from deploy import bakery
from deploy.chain import Chain
from deploy.visitors import Refused
from deploy.walks import WalkBroken, Walks

HOME = Path(__file__).parent.parent / "var" / "demo"


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies, milliseconds."""
    ordered = sorted(values)
    return 1_000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def hop_table(walks: Walks) -> list[str]:
    """p50, p99 and the number of sales per hop."""
    lines = [f"{'hop':<32}{'p50 ms':>10}{'p99 ms':>10}{'sales':>8}"]
    for hop, values in walks.hops.items():
        if values:
            p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
            lines.append(f"{hop:<32}{p50:>10.1f}{p99:>10.1f}{len(values):>8}")
    return lines


def check(folder: Path, arguments: argparse.Namespace) -> int:
    """Walk the four walks on free ports; 0 only if all held."""
    chain = Chain(
        folder,
        fixed_ports=False,
        broker_kind=arguments.broker,
        database_url=arguments.postgres,
        tls=arguments.tls,
    )
    try:
        chain.create()
        chain.start()
        line = "mutual TLS" if chain.tls else "plain"
        up = f"broker {chain.broker.name} ({line}), head office and two shops are up"
        _say(f"{up}; logs in {folder}")
        walks = Walks(chain, _say)
        walks.prepare()
        steps = (
            ("1. a sale", lambda: walks.sale(arguments.sales)),
            ("2. a price and a promotion", walks.push),
            ("3. transfers", walks.transfer),
            ("4. cut off", walks.cut_off),
        )
        for name, step in steps:
            _say(name)
            step()
        _say("")
        for line in hop_table(walks):
            _say(line)
        walks.close()
    except (WalkBroken, Refused) as fault:
        _say(f"BROKEN: {fault}")
        _say(f"The logs are in {folder}")
        return 1
    finally:
        chain.stop()
    _say("\nAll four walks held.")
    return 0


def play(*, tls: bool) -> int:
    """Start the chain, fill its shelves, print addresses and accounts, run until stopped."""
    started = time.monotonic()
    chain = Chain(HOME, fixed_ports=True, tls=tls)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        chain.create()
        chain.start()
        walks = Walks(chain, lambda _: None)
        walks.prepare()
        walks.close()
        _say("\n".join(_welcome(chain, time.monotonic() - started)))
        ended.wait()
    finally:
        _say("Stopping.")
        chain.stop()
    return 0


def _welcome(chain: Chain, seconds: float) -> list[str]:
    lines = [
        "",
        f"{bakery.NAME['zh']} {bakery.NAME['en']} is open ({seconds:.0f} s).",
        "",
        f"Head office      {chain.central_url}",
        *(f"                 {p}  {word}  ({role})" for p, _, role, word in bakery.HQ_ACCOUNTS),
    ]
    for store in bakery.STORES:
        shop = chain.shops[store["store"]]
        lines += [
            "",
            f"{store['zh']} {store['en']}",
            f"  till           {shop.url}   pairing code {shop.pairing_code()}",
            f"  its hardware   {shop.devices.page_url}",
            *(
                f"                 {name}: PIN {pin} ({role})"
                for _, name, role, pin, stores in bakery.PEOPLE
                if store["store"] in stores
            ),
        ]
    more = f".venv/bin/tillmesh-edge -s {chain.shops['S1'].settings} pair"
    return [*lines, "", f"Another pairing code: {more}", "Ctrl-C ends it; every start is fresh."]


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="walk the four walks and exit")
    parser.add_argument("--tls", action="store_true", help="certificates for everybody")
    parser.add_argument("--broker", default="", choices=["", "mosquitto", "amqtt"])
    parser.add_argument("--postgres", default="", help="database address of head office")
    parser.add_argument("--sales", type=int, default=200, help="timed sales of the first walk")
    arguments = parser.parse_args()
    if not arguments.check:
        return play(tls=arguments.tls)
    folder = Path(tempfile.mkdtemp(prefix="tillmesh-check-"))
    return check(folder, arguments)


if __name__ == "__main__":
    sys.exit(main())
