"""What every verb of the shop stands on: books, clock, hub and the settings."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select

from edge.settings import Settings
from protocol.clock import Clock, Reading
from protocol.codec import Draft
from protocol.events import Event
from protocol.ids import Stream, shop_stream
from protocol.ledger import shelf
from protocol.node.books import Books
from protocol.node.hub import Hub
from protocol.node.tables import journal


@dataclass(frozen=True, slots=True)
class ShopNode:
    """The wired ground of one shop; made by `edge.compose`, nothing here is ever replaced."""

    settings: Settings
    books: Books
    clock: Clock
    hub: Hub
    new_id: Callable[[], str]

    @property
    def store(self) -> str:
        """This shop's id."""
        return self.settings.store

    @property
    def stream(self) -> Stream:
        """The stream that this shop writes."""
        return shop_stream(self.settings.store)

    @property
    def shelf(self) -> str:
        """The place of the goods in this shop."""
        return shelf(self.settings.store)

    @property
    def high_water_ms(self) -> int:
        """The last instant that the clock could vouch for; 0 when there never was one."""
        return int(getattr(self.clock, "high_water_ms", 0))

    def judged_ms(self, reading: Reading) -> int:
        """The instant that dated prices act on."""
        return reading.surely_past_ms if reading.state.trusted else self.high_water_ms

    def recorded(self, connection: Connection, event: str) -> bool:
        """Does an event with this id stand in this shop's stream, or stood before a prune?"""
        found = connection.execute(
            select(journal.c.seq).where(journal.c.id == event, journal.c.stream == self.stream)
        ).first()
        return found is not None or bool(
            self.books.journal.remembers(connection, self.stream, [event])
        )

    def draft(
        self,
        body: Event,
        *,
        event: str = "",
        at: Reading | None = None,
        till: str = "",
        actor: str = "",
    ) -> Draft:
        """An event of this shop; `event` is the document's when whoever asked made one."""
        return Draft(
            id=event or self.new_id(), body=body, at=at or self.clock.read(), till=till, actor=actor
        )
