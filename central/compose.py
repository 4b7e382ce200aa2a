"""The one place that wires head office together."""

from dataclasses import dataclass
from typing import Any

from central.accounts import Accounts
from central.alarms import Alarms
from central.campaigns import Campaigns
from central.catalogue import Catalogue
from central.people import People
from central.recording import Desk
from central.repricing import Repricing
from central.sales import Sales
from central.settings import Settings
from central.stock import Stock
from central.stores import Stores
from central.transfers import Transfers
from protocol.clock import Clock
from protocol.node.books import Books
from protocol.node.hub import Hub
from protocol.node.signing import NodeKey


@dataclass(frozen=True)
class HeadOffice:
    """A composed head office. `start` runs what runs in the background, `stop` ends it all."""

    settings: Settings
    books: Books
    clock: Clock
    hub: Hub
    key: NodeKey
    desk: Desk
    catalogue: Catalogue
    campaigns: Campaigns
    stores: Stores
    people: People
    accounts: Accounts
    transfers: Transfers
    stock: Stock
    sales: Sales
    repricing: Repricing
    alarms: Alarms
    syncing: Any

    def start(self) -> None:
        """Start syncing, repricing and the clock."""
        raise NotImplementedError

    def stop(self) -> None:
        """End them, and close the database."""
        raise NotImplementedError


def compose(settings: Settings, *, clock: Clock | None = None) -> HeadOffice:
    """Open the database, bring it up to date and wire everything; tests give their own clock."""
    raise NotImplementedError
