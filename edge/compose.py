"""The one place that wires a shop's node."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from uuid_utils import uuid7

from edge import migrations
from edge.baskets import Baskets
from edge.catalogue import Catalogue
from edge.catchup import Catchup, Leapt
from edge.checkout import Checkout, SalesFloor
from edge.checkpoints import forget
from edge.credentials import Credentials
from edge.health import Health, Parts
from edge.labelling import Labelling
from edge.node import ShopNode
from edge.numbering import Numbering
from edge.pairing import Pairing
from edge.papers import Papers
from edge.people import People
from edge.printing import Printing
from edge.proofs import Prover
from edge.providers import Providers
from edge.pruning import remembered
from edge.recognising import Recogniser
from edge.room import Room
from edge.rules import Rules
from edge.scanning import Scanning
from edge.screens import Screens
from edge.selling import Selling
from edge.settings import Settings
from edge.shifts import Shifts
from edge.showing import Showing
from edge.stockroom import Stockroom
from edge.syncing import ShopFacts, Syncing
from edge.telling import Telling
from edge.tendering import Tendering
from edge.timekeeping import Timekeeping, facts_of, zone_data
from edge.transfers import Transfers
from edge.weighing import Weighing
from protocol.clock import Clock
from protocol.errors import Refusal, Unavailable, define
from protocol.ids import NodeId, shop_stream
from protocol.ledger import shelf
from protocol.node.books import Books
from protocol.node.database import Database, as_damaged
from protocol.node.highwater import recall, remember
from protocol.node.hub import Hub
from protocol.node.ntpclock import NtpClock, random_hex
from protocol.node.signing import NodeKey, load_key
from protocol.node.sqljournal import SqlJournal
from protocol.node.tables import read

define(
    {
        "PEPPER_MISSING": (
            "The PIN pepper {path} is missing or unreadable, so nobody could sign in. Restore it "
            "from your backup, or join this shop anew.",
            "PIN 密钥文件 {path} 缺失或无法读取，将无法登录。请从备份恢复或重新加入。",
        ),
        "DATA_UNREACHABLE": (
            "The folder {path} cannot be used ({detail}). Check data_dir in the settings and the "
            "rights of this account.",
            "无法使用目录 {path}（{detail}）。请检查设置中的 data_dir 和账户权限。",
        ),
    }
)


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
    tendering: Tendering
    shifts: Shifts
    stockroom: Stockroom
    transfers: Transfers
    people: People
    timekeeping: Timekeeping
    screens: Screens
    pairing: Pairing
    printing: Printing
    scanning: Scanning
    weighing: Weighing
    showing: Showing
    labelling: Labelling
    health: Health
    prover: Prover
    syncing: Syncing
    catchup: Catchup

    def start(self) -> None:
        """Start clock, workers, devices and sync; then say where this shop stands."""
        if isinstance(self.clock, NtpClock):
            self.clock.start()
        self.printing.start()
        self.tendering.start()
        self.scanning.start()
        self.weighing.start()
        self.showing.start()
        self.labelling.start()
        self.catchup.start()
        self.syncing.start()
        # A restored shop must learn what it lost before it appends: else its journal forks.
        self.prover.start(self.syncing.welcomed, first=self.rules.start)

    def stop(self) -> None:
        """End all threads and close the database."""
        self.syncing.stop()
        self.catchup.stop()
        self.labelling.stop()
        self.showing.stop()
        self.weighing.stop()
        self.scanning.stop()
        self.tendering.stop()
        self.printing.stop()
        self.rules.stop()
        self.prover.stop()
        if isinstance(self.clock, NtpClock):
            self.clock.stop()
        self.books.database.close()


def open_books(settings: Settings, *, newer: Callable[[Books], None] | None = None) -> Books:
    """The books of this shop under a new epoch, brought up to date.

    `newer` gets another snapshot for books that start from one of an older version.
    """
    folder = Path(settings.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise Unavailable("DATA_UNREACHABLE", path=str(folder), detail=str(fault)) from fault
    database = Database(f"sqlite:///{settings.database_path}")
    try:
        migrations.upgrade(database)
        read.create_all(database.write)
        books = Books(database, SqlJournal(NodeId(settings.store), random_hex(16)))
        books.journal.remembers = partial(remembered, store=settings.store)
        try:
            books.rebuild_if_older()
        except Refusal:
            if newer is None:
                raise
            newer(books)
            books.rebuild_if_older()
    except DBAPIError as fault:
        database.close()
        path = str(settings.database_path)
        told = Unavailable("DATA_UNREACHABLE", path=path, detail=str(fault.orig))
        raise as_damaged(fault, path) or told from fault
    except BaseException:
        database.close()
        raise
    return books


def read_pepper(settings: Settings) -> bytes:
    """The shop's PIN pepper, kept outside the database."""
    path = Path(settings.pepper_file)
    try:
        return bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        raise Unavailable("PEPPER_MISSING", path=str(path)) from None


def ntp_clock(settings: Settings, books: Books) -> NtpClock:
    """The clock that asks the settings' time servers, from the last trusted instant on."""
    stream = shop_stream(settings.store)
    return NtpClock(settings.ntp, recall(books, stream), lambda mark: remember(books, stream, mark))


def open_node(settings: Settings, clock: Clock | None = None) -> ShopNode:
    """The ground that verbs stand on: books, clock and hub; nothing is started or appended."""
    books = open_books(settings)
    return ShopNode(
        settings=settings,
        books=books,
        clock=clock or ntp_clock(settings, books),
        hub=Hub(),
        new_id=lambda: str(uuid7()),
    )


def compose(
    settings: Settings,
    clock: Clock | None = None,
    *,
    free_bytes: Callable[[], int] | None = None,
) -> Shop:
    """Wire a shop; `clock` replaces the NTP clock in tests, `free_bytes` the disk's answer.

    The rules are compiled here, so that the very first sale has them.
    """
    key = load_key(settings.key_path)
    pepper = read_pepper(settings)
    node = open_node(settings, clock)
    try:
        return _wire(node, key, pepper, free_bytes)
    except BaseException:
        node.books.database.close()
        raise


def _catchup(
    node: ShopNode,
    key: NodeKey,
    syncing: Syncing,
    telling: Telling,
    mindful: Sequence[People | Papers | Recogniser | Rules],
) -> Catchup:
    """Woken by manifests; afterwards nobody may go on with what he remembers."""

    def leapt(done: Leapt) -> None:
        for part in mindful:
            part.look_again()
        telling.leapt(done.spared)

    catchup = Catchup(node, key, leapt)
    syncing.on_manifest = catchup.told
    return catchup


def _wire(
    node: ShopNode, key: NodeKey, pepper: bytes, free_bytes: Callable[[], int] | None
) -> Shop:
    settings, books = node.settings, node.books
    catalogue = Catalogue(settings.zone, shelf(settings.store))
    room = Room(node, free_bytes)
    telling = Telling(node)
    pages: list[Scanning] = []  # a sale needs the rules, and the scanners need the sale
    rules = Rules(
        node,
        zone_data(),
        lambda: [one.till for one in (pages[0].scanners() if pages else ()) if one.enabled],
    )
    people = People(node, pepper)
    baskets = Baskets(node)
    printing = Printing(node)
    papers = Papers(node, catalogue)
    shifts = Shifts(node, people=people, baskets=baskets, printing=printing, papers=papers)
    numbering = Numbering(node)
    prover = Prover(node)
    if prover.was_restored():
        forget(books)
    floor = SalesFloor(
        node=node,
        catalogue=catalogue,
        rules=rules,
        people=people,
        baskets=baskets,
        shifts=shifts,
        printing=printing,
        papers=papers,
        numbering=numbering,
        room=room,
    )
    recogniser = Recogniser(node, catalogue)
    checkout = Checkout(floor)
    weighing = Weighing(node, baskets, people)
    selling = Selling(floor, recogniser, checkout, weighing, lambda: telling.prices_changed_ms)
    tendering = Tendering(floor, checkout, Providers(settings))
    showing = Showing(node, selling, weighing.now)
    labelling = Labelling(node, catalogue, people)
    scanning = Scanning(node, selling, recogniser)
    pages.append(scanning)
    stockroom = Stockroom(node, catalogue, people=people, recogniser=recogniser)
    books.listeners += [
        part.heard for part in (people, papers, recogniser, shifts, telling, rules, prover)
    ]
    screens = Screens(node)
    if isinstance(node.clock, NtpClock):
        node.clock.changed = lambda: node.hub.publish("clock", {})
    parts: list[Health] = []  # health asks syncing and syncing reports health
    credentials = Credentials(node)
    syncing = Syncing(
        node,
        key=key,
        credentials=credentials,
        shop_facts=lambda: ShopFacts(
            {v.part: v.complaint() for health in parts for v in health.complaints()},
            facts_of(node, screens.screens()),
        ),
    )
    health = Health(
        Parts(
            node=node,
            room=room,
            printing=printing,
            scanning=scanning,
            screens=screens,
            weighing=weighing,
            showing=showing,
            labelling=labelling,
            rules=rules,
            prices_changed_ms=lambda: telling.prices_changed_ms,
            link=syncing.status,
            credentials=credentials,
        )
    )
    parts.append(health)
    restored = prover.was_restored()
    if restored:
        numbering.new_generation()
    baskets.renew(restored=restored)
    rules.refresh(answer=False)
    return Shop(
        settings=settings,
        node=node,
        books=books,
        clock=node.clock,
        hub=node.hub,
        key=key,
        catalogue=catalogue,
        rules=rules,
        selling=selling,
        tendering=tendering,
        shifts=shifts,
        stockroom=stockroom,
        transfers=Transfers(
            node,
            catalogue,
            people=people,
            stockroom=stockroom,
            printing=printing,
            papers=papers,
        ),
        people=people,
        timekeeping=Timekeeping(node, people),
        screens=screens,
        pairing=Pairing(node, people),
        printing=printing,
        scanning=scanning,
        weighing=weighing,
        showing=showing,
        labelling=labelling,
        health=health,
        prover=prover,
        syncing=syncing,
        catchup=_catchup(node, key, syncing, telling, (people, papers, recogniser, rules)),
    )
