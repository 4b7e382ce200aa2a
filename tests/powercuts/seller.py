"""A real shop in a process of its own: `python -m tests.powercuts.seller FOLDER` sells by commands.

One line in, one line out: `ring` puts a bun into the basket and says its sale's id; `pay` says
`paid SALE RECEIPT` or `refused CODE`; `end` closes in order.
"""

import ctypes
import sys
from pathlib import Path

from edge.compose import Shop
from edge.views import TenderIn
from protocol.errors import TillmeshError
from tests.edge.shop_builder import BUN, build, open_shift, ring_up, settings_for
from tests.powercuts.shop import TILLS

PR_SET_PTRACER = 0x59616D61
PR_SET_PTRACER_ANY = ctypes.c_ulong(-1)


def _done(shop: Shop, command: str) -> str:
    view = shop.selling.view("1")
    if command == "ring":
        return (view if view.lines else ring_up(shop, [BUN])).sale
    money = [TenderIn("cash", view.total_minor)]
    paid = shop.selling.pay("1", view.sale, money, person="anna")
    return f"paid {paid.sale} {paid.receipt_number}"


def main() -> None:
    """Sell until the input ends."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)  # a test may trace us
    folder = Path(sys.argv[1])
    shop = build(folder, settings=settings_for(folder, tills=TILLS))
    if shop.shifts.current("1") is None:
        open_shift(shop)
    print("open", flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "end":
            break
        try:
            print(_done(shop, command), flush=True)
        except TillmeshError as fault:
            print(f"refused {fault.code}", flush=True)
    shop.books.database.close()


if __name__ == "__main__":
    main()
