"""The one place that wires head office together."""

import gc
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from uuid_utils import uuid7

from central.accounts import Accounts
from central.alarms import Alarms
from central.authority import Authority
from central.campaigns import Campaigns
from central.catalogue import Catalogue
from central.coverage import Coverage
from central.enrolment import Enrolment
from central.evicting import Evicting
from central.forks import Forks
from central.migrations import upgrade
from central.overhearing import Overhearing
from central.people import People
from central.preflighting import Preflighting
from central.recording import Desk
from central.remedies import Remedies
from central.repricing import Repricing
from central.sales import Sales
from central.settings import Settings
from central.sharing import Share
from central.snapshotting import Snapshots
from central.stock import Stock
from central.stores import Stores
from central.switchboard import Switchboard
from central.syncing import Syncing
from central.telling import tell
from central.timekeeping import Timekeeping
from central.transfers import Transfers
from central.whynot import WhyNot
from protocol.clock import Clock
from protocol.errors import Unavailable
from protocol.ids import ALL, CENTRAL
from protocol.node.books import Books
from protocol.node.certificates import client_context
from protocol.node.database import Database, as_damaged
from protocol.node.highwater import recall, remember
from protocol.node.hub import Hub
from protocol.node.ntpclock import NtpClock, random_hex
from protocol.node.signing import NodeKey, load_key
from protocol.node.sqljournal import Recorded, SqlJournal, shared_epoch
from protocol.node.tables import read

SERVERS: Final = frozenset({"https", "broker"})
Part = Literal["all", "pages", "ingest"]
SWITCH_S = 0.0005  # reading one message from the broker takes ten turns of the interpreter's lock
GARBAGE = (200_000, 20, 50)  # a group of sales is 100,000 objects, and none of them is a cycle


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
    remedies: Remedies
    preflighting: Preflighting
    coverage: Coverage
    stores: Stores
    enrolment: Enrolment
    people: People
    accounts: Accounts
    transfers: Transfers
    stock: Stock
    sales: Sales
    whynot: WhyNot
    repricing: Repricing
    alarms: Alarms
    timekeeping: Timekeeping
    forks: Forks
    snapshots: Snapshots
    syncing: Syncing
    overhearing: Overhearing
    switchboard: Switchboard | None  # to other processes, on PostgreSQL
    share: Share | None  # of an ingest worker
    evicting: Evicting

    def own_pair(self, name: str) -> Path:
        """Head office's own key and certificate: `central`, a worker's, `https` or `broker`.

        Renewed here when two thirds of its life are over; the file holds both.
        """
        return _own_pair(self.settings, self.clock, self.enrolment.authority, name)

    def own_context(self, name: str) -> ssl.SSLContext:
        """For a connection to the broker under that name; each process needs its own."""
        return own_context(self.settings, self.clock, lambda: self.enrolment.authority, name)

    def start(self, part: Part = "all") -> None:
        """Start the clock and what this process is for.

        `pages` leaves the wire to ingest workers, `ingest` leaves all else to the pages.
        """
        gc.freeze()  # what was composed lives as long as the process
        gc.set_threshold(*GARBAGE)
        sys.setswitchinterval(SWITCH_S)
        if isinstance(self.clock, NtpClock):
            self.clock.start()
        if self.switchboard is not None:
            self.switchboard.start()
        if part != "pages":
            self.syncing.start()
        if part != "ingest":
            self.repricing.start()
            self.evicting.start()
        self.overhearing.start()

    def stop(self) -> None:
        """End them, and close the database."""
        if self.switchboard is not None:
            self.switchboard.stop()
        if self.share is not None:
            self.share.stop()
        self.evicting.stop()
        self.overhearing.stop()
        self.repricing.stop()
        self.syncing.stop()
        if isinstance(self.clock, NtpClock):
            self.clock.stop()
        if self.share is not None:
            self.share.close()
        self.books.database.close()


def open_books(settings: Settings) -> Books:
    """The books of head office, brought up to date. Unavailable DATABASE_AWAY."""
    database = Database(settings.database_url)
    try:
        upgrade(database)
        read.create_all(database.write)
        with database.begin() as tx:
            epoch = shared_epoch(tx, CENTRAL, random_hex(16))
    except DBAPIError as fault:
        database.close()
        told = Unavailable("DATABASE_AWAY", url=database.url)
        raise as_damaged(fault, database.url) or told from fault
    except Unavailable:
        database.close()
        raise
    books = Books(database, SqlJournal(CENTRAL, epoch))
    books.rebuild_if_older()
    return books


def server_hosts(settings: Settings) -> tuple[str, ...]:
    """The names that head office's servers answer for."""
    named = (
        urlsplit(settings.https_url or settings.public.url).hostname or "localhost",
        settings.public.broker_host,
        settings.mqtt.host,
        "localhost",
        "127.0.0.1",
    )
    return tuple(dict.fromkeys(named))


def _own_pair(settings: Settings, clock: Clock, authority: Authority, name: str) -> Path:
    hosts = server_hosts(settings) if name in SERVERS else ()
    return authority.pair(name, clock.read().at_ms, hosts=hosts)[0]


def own_context(
    settings: Settings, clock: Clock, authority: Callable[[], Authority], name: str
) -> ssl.SSLContext:
    """Head office's own certificate of that name, ready for a connection."""
    opened = authority()
    pair = _own_pair(settings, clock, opened, name)
    return client_context(opened.certificate_path, pair)


def authority_of(settings: Settings, clock: Clock) -> Callable[[], Authority]:
    """The chain's own authority: made when it is first needed, opened once per process."""
    return cache(lambda: Authority(settings.authority_dir, settings.chain, clock.read().at_ms))


def _ntp_clock(settings: Settings, books: Books) -> NtpClock:
    return NtpClock(
        settings.ntp_servers, recall(books, ALL), lambda mark: remember(books, ALL, mark)
    )


def _deaf_broker(syncing: Syncing, settings: Settings) -> tuple[str, str]:
    """What is wrong with the broker, and its address; nothing while it answers."""
    state, mqtt = syncing.status(), settings.mqtt
    if state.broker_up:
        return "", ""
    return "ALARM_DENIED" if state.denied else "ALARM_BROKER", f"{mqtt.host}:{mqtt.port}"


def compose(
    settings: Settings,
    *,
    clock: Clock | None = None,
    share_of: Callable[[Database], Share] | None = None,
) -> HeadOffice:
    """Open the database, bring it up to date and wire everything; tests give their own clock.

    `share_of` makes it one of several ingest workers.
    """
    key = load_key(settings.key_path)
    books = open_books(settings)
    share = share_of(books.database) if share_of else None
    clock = clock or _ntp_clock(settings, books)
    hub = Hub()
    desk = Desk(
        settings=settings,
        books=books,
        clock=clock,
        hub=hub,
        new_id=lambda: str(uuid7()),
        random_bytes=os.urandom,
    )
    books.listeners.append(lambda recorded: tell(hub, recorded))
    catalogue, campaigns = Catalogue(desk), Campaigns(desk)
    sales, stores = Sales(desk), Stores(desk, key)
    transfers = Transfers(desk)
    repricing = Repricing(desk)
    authority = authority_of(settings, clock)
    enrolment = Enrolment(desk, stores, authority)
    evicting = Evicting(settings, clock, authority)
    books.listeners += [evicting.heard, enrolment.heard]

    def react(tx: Connection, kept: Sequence[Recorded]) -> None:
        transfers.react(tx, kept)
        enrolment.regain(tx, kept)
        Forks.regain(tx, kept)

    syncing = Syncing(
        desk,
        key=key,
        react=react,
        tls=lambda: own_context(settings, clock, authority, share.name if share else CENTRAL),
        share=share,
        renew=enrolment.renew,
    )
    overhearing = Overhearing(books)
    switchboard = None
    if not books.database.sqlite:
        switchboard = Switchboard(books.database, hub, origin=random_hex(16), look=overhearing.look)
        books.listeners.append(switchboard.recorded)
    return HeadOffice(
        settings=settings,
        books=books,
        clock=clock,
        hub=hub,
        key=key,
        desk=desk,
        catalogue=catalogue,
        campaigns=campaigns,
        remedies=Remedies(desk, campaigns, catalogue),
        preflighting=Preflighting(desk),
        coverage=Coverage(desk),
        stores=stores,
        enrolment=enrolment,
        people=People(desk, stores),
        accounts=Accounts(desk),
        transfers=transfers,
        stock=Stock(desk),
        sales=sales,
        whynot=WhyNot(desk, sales, campaigns),
        repricing=repricing,
        alarms=Alarms(desk, lambda: _deaf_broker(syncing, settings)),
        timekeeping=Timekeeping(desk),
        forks=Forks(desk, enrolment),
        snapshots=Snapshots(desk, stores, key),
        syncing=syncing,
        overhearing=overhearing,
        switchboard=switchboard,
        share=share,
        evicting=evicting,
    )
