"""Names of things that travel: nodes, shops, tills, products, streams. No randomness here."""

import re
from typing import NewType

from protocol.errors import Refusal

NodeId = NewType("NodeId", str)
StoreId = NewType("StoreId", str)
TillId = NewType("TillId", str)
Sku = NewType("Sku", str)  # the product's one id (ARTS Item); its barcodes are its codes
PersonId = NewType("PersonId", str)
ZoneId = NewType("ZoneId", str)  # a price zone
Stream = NewType("Stream", str)

CENTRAL = NodeId("central")
ALL = Stream("all")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


def is_id(text: str) -> bool:
    """May `text` stand in a topic, a file name and a receipt?"""
    return _SAFE.fullmatch(text) is not None


def check_id(text: str, kind: str) -> str:
    """Return `text` if `is_id`, else raise ID_UNREADABLE."""
    if not is_id(text):
        raise Refusal("ID_UNREADABLE", text=text[:60], kind=kind)
    return text


def shop_stream(store: str) -> Stream:
    """What happened in one shop; that shop writes it."""
    return Stream(f"shop/{store}")


def zone_stream(zone: str) -> Stream:
    """The prices of one zone; head office writes it."""
    return Stream(f"zone/{zone}")


def to_stream(store: str) -> Stream:
    """What is addressed to one shop; head office writes it."""
    return Stream(f"to/{store}")


def stream_owner(stream: str) -> str:
    """The node that writes this stream: the shop's id for `shop/{store}`, else head office."""
    kind, _, name = stream.partition("/")
    return name if kind == "shop" else CENTRAL


def stream_store(stream: str) -> str | None:
    """The shop that `shop/{store}` or `to/{store}` is about; None for the others."""
    kind, _, name = stream.partition("/")
    return name if kind in {"shop", "to"} else None
