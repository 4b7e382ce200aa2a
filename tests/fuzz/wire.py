"""Coverage-guided fuzzing of what comes off the wire: messages, batches, event envelopes.

`python -m tests.fuzz.wire -runs=1000000`: valid messages and events with something wrong inside,
and now and then any bytes at all. What can be read is judged, placed and folded; only errors of the
house may come out of it. atheris comes with the extra `fuzz`.
"""

import sys
from copy import deepcopy
from typing import Any

import atheris
import msgspec

with atheris.instrument_imports(include=["protocol"]):
    from protocol import wire
    from protocol.codec import body_of, decode
    from protocol.errors import TillmeshError
    from protocol.folds import fold
    from protocol.journal import link
    from protocol.replication import judge
    from protocol.topics import Topics
    from protocol.wire import Batch

from tests.builders import received, sale
from tests.fuzz.crafted import KINDS, LEAVES, honest, places, put
from tests.simulation.stores import ListStore

TOPICS = Topics("sim")
TIMEOUT_S = 5
ODD: list[Any] = [
    *(None, True, 0, -1, 2**31, 2**53 + 1, 2**64, 10**300, 1.5, "", "\0", "x" * 201, "all"),
    *("shop/b", "0" * 64, "f" * 16, "EpochStarted", "SaleCompleted", [], {}, [[[[]]]] * 3, [1, 2]),
]
HONEST = {leaf: honest(leaf, [received("one"), sale("two")]) for leaf in LEAVES}


def _spoilt(data: "atheris.FuzzedDataProvider", tree: Any) -> bytes:
    """The same with a few places changed, taken away or filled with text."""
    tree = deepcopy(tree)
    for _ in range(data.ConsumeIntInRange(0, 4)):
        where = places(tree)
        if not where:
            break
        place = where[data.ConsumeIntInRange(0, len(where) - 1)]
        kind = data.ConsumeIntInRange(0, 2)
        value = ODD[data.ConsumeIntInRange(0, len(ODD) - 1)]
        if kind == 1:
            value = data.ConsumeUnicodeNoSurrogates(20)
        elif kind == 2:
            value = data.ConsumeInt(8)
        put(tree, place, value)
    try:
        return msgspec.json.encode(tree)
    except (OverflowError, TypeError, ValueError):
        return repr(tree).encode("utf-8", "replace")


def _message(leaf: str, raw: bytes) -> None:
    message = wire.decode(KINDS[leaf], raw)
    wire.encode(message)
    if isinstance(message, Batch):
        judge(message, ListStore("central", "0" * 16))


def _event(raw: bytes) -> None:
    envelope = decode(raw)
    fold(body_of(envelope), envelope)
    list(link(envelope.stream, ListStore("a", "0" * 16).head(envelope.stream), [raw]))


def one_input(raw: bytes) -> None:
    """One message and one event."""
    data = atheris.FuzzedDataProvider(raw)
    leaf = LEAVES[data.ConsumeIntInRange(0, len(LEAVES) - 1)]
    plain = data.ConsumeIntInRange(0, 15) == 0
    message = data.ConsumeBytes(4_096) if plain else _spoilt(data, HONEST[leaf])
    event = _spoilt(data, HONEST["journal"]["events"][data.ConsumeIntInRange(0, 1)])
    TOPICS.parse(data.ConsumeUnicodeNoSurrogates(60))
    for read, payload in ((lambda p: _message(leaf, p), message), (_event, event)):
        try:
            read(payload)
        except TillmeshError:
            continue


if __name__ == "__main__":
    options = [f"-timeout={TIMEOUT_S}", "-max_len=8192"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one_input)
    atheris.Fuzz()
