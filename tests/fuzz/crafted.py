"""Messages as a rogue would craft them: signed by a real shop's key, and wrong somewhere inside."""

from copy import deepcopy
from typing import Any

import msgspec
from hypothesis import strategies as st

from protocol import wire
from protocol.clock import ClockState, Reading
from protocol.codec import Draft, encode
from protocol.errors import Corrupt
from protocol.journal import Position, chain
from protocol.wire import Ack, Batch, Clk, Cursor, Heartbeat, Hello, Request
from tests.builders import any_body, received
from tests.simulation.nodes import TOPICS
from tests.simulation.realnodes import KEYS

ROGUE = "a"  # a shop with a key and a topic of its own, and bad intentions
EPOCH = "abcdefabcdefabcd"
KINDS = {"journal": Batch, "ack": Ack, "state": Hello, "hb": Heartbeat, "req": Request}
LEAVES = sorted(KINDS)

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, 2**53, 2**53 + 1, 2**63, 2**64, 10**400, 1.5, 1e308, -0.0]),
    st.sampled_from(["", "\0", "0" * 64, "f" * 16, "x" * 201, "../../etc", "shop/b", "all", "+/#"]),
    st.text(max_size=40),
    st.just([]),
    st.just({}),
    st.just([[[[[[[[]]]]]]]] * 3),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)


def _batch(bodies: list[Any]) -> dict[str, Any]:
    at = Position("", 0, "0" * 64)
    events = []
    for n, body in enumerate(bodies):
        draft = Draft(id=f"x{n}", body=body, at=Reading(1, 1, ClockState.TRUSTED))
        data = encode(draft, stream=f"shop/{ROGUE}", epoch=EPOCH, seq=n + 1)
        at = Position(EPOCH, n + 1, chain(at.hash, data))
        events.append(msgspec.Raw(data))
    batch = Batch(
        node=ROGUE,
        epoch=EPOCH,
        stream=f"shop/{ROGUE}",
        first=1,
        n=len(events),
        prev="0" * 64,
        last=at.hash,
        sent=1,
        clk=Clk("trusted", 1, 1),
        events=tuple(events),
    )
    return msgspec.json.decode(wire.encode(batch))


def honest(leaf: str, bodies: list[Any]) -> dict[str, Any]:
    """A message of this kind as it should be, as a tree of JSON."""
    cursor = Cursor(stream=f"shop/{ROGUE}", epoch=EPOCH, upto=1, hash="0" * 64)
    messages: dict[str, Any] = {
        "ack": Ack(node=ROGUE, sess="s", now=1, cursors=(cursor,)),
        "state": Hello(node=ROGUE, sess="s", epoch=EPOCH, heads=(cursor,), cursors=(cursor,)),
        "hb": Heartbeat(node=ROGUE, sess="s", now=1, head=1, acked=1, clk=Clk("trusted", 1, 1)),
        "req": Request(node=ROGUE, kind="stock"),
    }
    if leaf == "journal":
        return _batch(bodies)
    return msgspec.json.decode(msgspec.json.encode(messages[leaf]))


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a tree of JSON, as a path of keys."""
    inside = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree))
    found = [path] if path else []
    for key, value in inside:
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
        else:
            found.append((*path, key))
    return found


def put(tree: Any, path: tuple[Any, ...], value: Any) -> None:
    """Something else at this place."""
    for key in path[:-1]:
        tree = tree[key]
    tree[path[-1]] = deepcopy(value)  # strategies hand out the same list twice


def signed(leaf: str, raw: bytes) -> bytes:
    """With the rogue's real signature, if it can be read at all; the chain is made to fit."""
    kind = KINDS[leaf]
    if kind in {Heartbeat, Request}:
        return raw
    try:
        message = wire.decode(kind, raw)
        return wire.encode(wire.sign(message, KEYS[ROGUE].sign))  # type: ignore[type-var]
    except (Corrupt, UnicodeEncodeError):
        return raw


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """(topic, payload)."""
    leaf = draw(st.sampled_from(LEAVES))
    topic = TOPICS.up(ROGUE, leaf)
    if draw(st.integers(0, 9)) == 0:
        return topic, draw(
            st.one_of(
                st.binary(max_size=200),
                st.just(b"[" * 50_000),
                st.just(b"{" + b'"a":{' * 5_000),
                st.just(b" " * (wire.MESSAGE_BYTES_MAX + 1)),
                st.just(b'{"node":"\\ud800"}'),
                st.just("\ufeff{}".encode()),
            )
        )
    bodies = [received("one"), draw(any_body())] if draw(st.booleans()) else [received("one")]
    try:
        tree = honest(leaf, bodies)
    except Exception:  # noqa: BLE001 - a body that no writer may write
        tree = honest(leaf, [received("one")])
    for _ in range(draw(st.integers(0, 3))):
        where = places(tree)
        if not where:
            break
        put(tree, draw(st.sampled_from(where)), draw(ODD))
    try:
        raw = msgspec.json.encode(tree)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        raw = repr(tree).encode("utf-8", "replace")
    return topic, signed(leaf, raw)
