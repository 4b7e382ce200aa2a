"""How long `make demo` takes until every address answers, with everything installed."""

import tempfile
import time
from pathlib import Path

from deploy.chain import Chain
from deploy.walks import Walks


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        chain = Chain(Path(name) / "chain", fixed_ports=False)
        try:
            chain.create()
            created = time.perf_counter() - start
            chain.start()
            up = time.perf_counter() - start
            walks = Walks(chain, lambda _: None)
            walks.prepare()
            walks.close()
            ready = time.perf_counter() - start
        finally:
            chain.stop()
    return [
        ("chain set up (goods, prices, promotions, people)", f"{created:.1f} s"),
        ("every address answers", f"{up:.1f} s   goal <= 15 s"),
        ("shelves filled, tills open", f"{ready:.1f} s"),
    ]
