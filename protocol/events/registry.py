"""The registry of event types: name and version -> struct, and how old versions are lifted."""

from collections.abc import Callable
from typing import Any, Final

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Root of all event bodies and of the records inside them; frozen, compared by value."""


Upcast = Callable[[dict[str, Any]], dict[str, Any]]

TYPES: Final[dict[str, type[Event]]] = {}
VERSION: Final[dict[str, int]] = {}
UPCASTS: Final[dict[tuple[str, int], Upcast]] = {}  # (type, old version) -> body of the next one


def register(*types: type[Event], version: int = 1) -> None:
    """Make these types known under their class names; a name is taken once."""
    for kind in types:
        if kind.__name__ in TYPES:
            raise ValueError(f"event type registered twice: {kind.__name__}")
        TYPES[kind.__name__] = kind
        VERSION[kind.__name__] = version


def lift(kind: str, version: int, body: dict[str, Any]) -> dict[str, Any]:
    """Bring a body of an old version up to the present one; KeyError when no way is known.

    A later version than ours has no way either: its fields may mean something else.
    """
    if version > VERSION[kind]:
        raise KeyError(kind, version)
    while version < VERSION[kind]:
        body = UPCASTS[kind, version](body)
        version += 1
    return body
