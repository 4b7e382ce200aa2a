"""Who a node is on the wire: its topics, its keys, which streams go where."""

from collections.abc import Callable, Iterable

import msgspec

from protocol.node.mqttlink import Message
from protocol.topics import Topic, Topics


class Side(msgspec.Struct, frozen=True):
    """Who we are on the wire."""

    node: str
    topics: Topics
    subscriptions: list[str]
    state_topic: str
    batch_topic: Callable[[str], str]  # peer -> topic
    ack_topic: Callable[[str], str]
    sources_for: Callable[[str], Iterable[tuple[str, bool]]]  # peer -> (stream, shared tail?)
    accepts: Callable[[str, str], bool]  # may this peer send this stream?
    key_of: Callable[[str], str | None]  # peer -> public key, hex
    peer_of: Callable[[Topic], str]  # who speaks on this topic
    writes: Callable[[], Iterable[str]]  # streams of our own, named in our hello
    follows: Callable[[], Iterable[str]]
    hears: Callable[[Topic], bool]  # what is not for us is dropped (amqtt delivers too much)
    tick_s: float = 0.1  # how often timers are looked at; arrivals and commits wake at once
    overhears: Callable[[Message], bool] = lambda _: False  # what is outside the chain's topics
    returns_own: bool = False  # head office: a shop gets its lost events back, and so do we
    witnesses: bool = False  # a shop keeps what head office signed
    hello_topic: Callable[[str], str] | None = None  # where one peer is greeted
    tails: Callable[[], bool] = lambda: True  # do we send the shared live tails?
