"""The one way in which head office says something: every verb appends through `record`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from central.settings import Settings
from protocol.clock import Clock
from protocol.codec import Draft
from protocol.events import Event
from protocol.node.books import Books
from protocol.node.hub import Hub
from protocol.node.sqljournal import Recorded

Said = tuple[str, Event]  # the event's id and its body


@dataclass(frozen=True)
class Desk:
    """What every verb works with; made by `compose`."""

    settings: Settings
    books: Books
    clock: Clock
    hub: Hub
    new_id: Callable[[], str]  # uuid7
    random_bytes: Callable[[int], bytes]


def record(
    desk: Desk,
    tx: Connection,
    said: Mapping[str, Sequence[Said]],
    *,
    by: str,
    cause: str = "",
) -> list[Recorded]:
    """Append to head office's streams and project, in the caller's transaction.

    `said` maps a stream to (id, body) pairs. An id that stands in its stream already is left out,
    so a repeated request is one event. `by` is the person (or "" for the node itself).
    """
    at = desk.clock.read()
    return desk.books.record(
        tx,
        {
            stream: [Draft(id=id_, body=body, at=at, actor=by, cause=cause) for id_, body in pairs]
            for stream, pairs in said.items()
        },
    )
