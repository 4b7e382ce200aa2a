"""The one place that wires a shop's node."""

from dataclasses import dataclass
from typing import Any

from edge.catalogue import Catalogue
from edge.health import Health
from edge.node import ShopNode
from edge.pairing import Pairing
from edge.people import People
from edge.printing import Printing
from edge.rules import Rules
from edge.scanning import Scanning
from edge.selling import Selling
from edge.settings import Settings
from edge.shifts import Shifts
from edge.stockroom import Stockroom
from edge.transfers import Transfers
from protocol.clock import Clock
from protocol.node.books import Books
from protocol.node.hub import Hub
from protocol.node.signing import NodeKey


@dataclass(frozen=True, slots=True)
class Shop:
    """A wired node; verbs work before `start`, workers run after it."""

    settings: Settings
    node: ShopNode
    books: Books
    clock: Clock
    hub: Hub
    key: NodeKey
    catalogue: Catalogue
    rules: Rules
    selling: Selling
    shifts: Shifts
    stockroom: Stockroom
    transfers: Transfers
    people: People
    pairing: Pairing
    printing: Printing
    scanning: Scanning
    health: Health
    syncing: Any  # edge.syncing.Syncing

    def start(self) -> None:
        """Compile the rules, append the boot digest, start clock, devices, workers and sync."""
        raise NotImplementedError

    def stop(self) -> None:
        """End all threads and close the database."""
        raise NotImplementedError


def compose(settings: Settings, clock: Clock | None = None) -> Shop:
    """Wire a shop; `clock` replaces the NTP clock in tests."""
    raise NotImplementedError
