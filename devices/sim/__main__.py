"""`python -m devices.sim`: a shop of virtual devices until Ctrl-C."""

import argparse
import signal
import sys
import threading

from devices.sim.store import Kit, VirtualShop
from devices.sim.vntp import VirtualNtp


def _say_where(shop: VirtualShop) -> None:
    print(f"page     {shop.page_url}")
    for till in shop.tills:
        print(f"{till:8} printer {shop.printer_url(till)}  scanner {shop.scanner_url(till)}")
        if shop.scale_url(till):
            print(f"{till:8} scale {shop.scale_url(till)}  display {shop.display_url(till)}")
        if shop.card_url(till):
            print(f"{till:8} card {shop.card_url(till)}")
    if shop.labels is not None:
        print(f"labels   {shop.labels.url}")
    if shop.provider is not None:
        print(f"payments {shop.provider.url}")
    print(f"time     {'  '.join(one.address for one in shop.time_servers)}")
    sys.stdout.flush()


def _end(clocks: list[VirtualNtp]) -> None:
    for one in clocks:
        one.stop()


def main(arguments: list[str] | None = None) -> int:
    """Start the shop, say where everything is, and wait for the end."""
    parser = argparse.ArgumentParser(prog="python -m devices.sim", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8900, help="of the page (0: a free one)")
    parser.add_argument("--shop", default="Tillmesh", help="the shop's name on the page")
    parser.add_argument("--tills", default="t1", help="names of the tills, by commas")
    parser.add_argument("--folder", default="", help="where the scanners' paths live")
    parser.add_argument("--columns", type=int, choices=(32, 48), default=48, help="of the paper")
    parser.add_argument("--full", action="store_true", help="scales, displays, labels, payments")
    options = parser.parse_args(arguments)
    clocks = [VirtualNtp() for _ in range(3)]
    shop = VirtualShop(
        options.tills.split(","),
        options.port,
        name=options.shop,
        folder=options.folder,
        kit=Kit(columns=options.columns, full=options.full, time_servers=tuple(clocks)),
    )
    try:
        shop.start()
    except OSError as error:
        shop.stop()
        print(
            f"Port {options.port} cannot be used ({error.strerror}). Choose another: --port 0",
            file=sys.stderr,
        )
        _end(clocks)
        return 2
    _say_where(shop)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    end.wait()
    shop.stop()
    _end(clocks)
    return 0


if __name__ == "__main__":
    sys.exit(main())
