"""What head office does once, while several processes of pages and workers run."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import func, select

from central.compose import HeadOffice, compose
from central.safekeeping import chores_of
from central.settings import Http, Https, Mqtt, Names, Settings, load, write
from central.stores import Store
from central.upkeep import Upkeep
from edge.enrolling import ask, fetch_authority
from protocol.enrolment import EnrolAnswer, EnrolRequest
from protocol.errors import Unavailable
from protocol.node import certificates
from protocol.node.database import Database
from protocol.node.mqttlink import Broker
from protocol.node.signing import make_key
from protocol.node.tables import refused
from protocol.node.vault import make_backup_key
from tests.servers import MosquittoServer, PostgresServer, free_port, mosquitto_server
from tests.wired import WiredShop, eventually

pytestmark = pytest.mark.slow
TAKEN = "machines of shops enrol at"


@pytest.fixture
def broker() -> Iterator[MosquittoServer]:
    with mosquitto_server() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, postgres: PostgresServer, broker: MosquittoServer) -> Path:
    make_backup_key(tmp_path / "backup.key")
    found = Settings(
        chain="chain",
        name=Names(zh="连锁", en="Chain"),
        data_dir=tmp_path / "data",
        database_url=postgres.fresh_database(),
        http=Http(host="127.0.0.1", port=free_port()),
        https=Https(host="127.0.0.1", port=free_port()),
        mqtt=Mqtt(port=broker.port),
        backup_dir=tmp_path / "kept",
        backup_key=tmp_path / "backup.key",
    )
    found.data_dir.mkdir()
    make_key(found.key_path)
    write(found, tmp_path / "central.toml")
    return tmp_path / "central.toml"


class Process:
    """One process of head office, and what it says."""

    def __init__(self, settings: Path, name: str, *words: str) -> None:
        self.log = settings.parent / f"{name}.log"
        command = [sys.executable, "-m", "central.cli", "-s", str(settings), *words]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def holds(self) -> bool:
        return TAKEN in self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def processes(settings: Path) -> Iterator[list[Process]]:
    """Two workers and two processes of pages; the pages."""
    with ExitStack() as stack:
        made = [Process(settings, f"worker{n}", "ingest") for n in (1, 2)]
        port = str(free_port())
        made += [
            Process(settings, f"pages{n}", "run", "--pages", *words)
            for n, words in ((1, ()), (2, ("--port", port)))
        ]
        for one in made:
            stack.callback(one.kill)
        yield made[2:]


def enrol(office: HeadOffice, shop: WiredShop) -> None:
    """Over HTTPS, as `tillmesh-edge init --token` does it."""
    folder = office.settings.data_dir.parent
    invitation = office.enrolment.invite(shop.store, by="ann")
    certificates.keep(folder / "authority.pem", fetch_authority(invitation).encode())
    tls = certificates.ec.generate_private_key(certificates.CURVE)
    asked = EnrolRequest(
        store=shop.store,
        token=invitation.token,
        csr=certificates.make_csr(tls, shop.store),
        public_key=shop.key.public_hex,
    )
    asked = msgspec.structs.replace(asked, sig=shop.key.sign(asked.signed_part()))
    context = certificates.client_context(folder / "authority.pem")
    answer = ask(invitation.url, "/enrol", context, body=msgspec.json.encode(asked))
    assert msgspec.json.decode(answer, type=EnrolAnswer).certificate


def serves(office: HeadOffice) -> bool:
    try:
        fetch_authority(office.enrolment.invite("S1", by="ann"))
    except Unavailable:
        return False
    return True


def refusals(office: HeadOffice) -> int:
    query = select(func.count()).select_from(refused).where(refused.c.code == "SIGNATURE_WRONG")
    with office.books.database.reading() as connection:
        return connection.execute(query).scalar_one()


def barred(office: HeadOffice, shop: WiredShop) -> bool:
    """Is what it says refused by now?"""
    shop.sell(1)
    return refusals(office) > 0


def test_one_process_of_pages_enrols_machines_and_the_next_takes_over(
    settings: Path, tmp_path: Path, broker: MosquittoServer
) -> None:
    office = compose(load(settings))
    row = Store(store="S1", name_zh="店", name_en="S", zone="z", group="g", tz="UTC")
    office.stores.add_store(row, by="ann")
    shops = []

    def joined(name: str) -> WiredShop:
        (tmp_path / name).mkdir()
        line = Broker("127.0.0.1", broker.port, client_id="S1")
        shop = WiredShop("S1", tmp_path / name, line, office.key.public_hex)
        shops.append(shop)
        enrol(office, shop)
        shop.sell(5)
        shop.wire.start()
        return shop

    try:
        with processes(settings) as pages:
            eventually(lambda: serves(office))
            first = joined("first")
            eventually(lambda: first.level(office))
            assert sum(one.holds for one in pages) == 1
            office.enrolment.revoke("S1", by="ann", second="ben")
            eventually(lambda: barred(office, first))  # workers hear of it within a second
            before, more = first.line(office.books), refusals(office)
            first.sell(5)
            eventually(lambda: refusals(office) > more)
            holder = next(one for one in pages if one.holds)
            holder.kill()
            eventually(lambda: all(one.holds for one in pages) and serves(office))
            assert first.line(office.books) == before, "no worker took anything"
            fresh = make_key(tmp_path / "new.key")
            first.rewire(fresh)
            enrol(office, first)
            eventually(lambda: first.level(office))
            assert office.books.verify() == []
    finally:
        for shop in shops:
            shop.close()
        office.books.database.close()


def test_a_backup_is_made_once_and_goes_on_elsewhere(settings: Path) -> None:
    found = load(settings)
    compose(found).books.database.close()  # the database is there
    databases = [Database(found.database_url) for _ in range(2)]
    made: list[int] = []

    def upkeep(n: int) -> Upkeep:
        def begin() -> Callable[[], None]:
            made.append(n)
            chores = chores_of(found, settings, first_s=0.1)
            chores.start()
            return chores.stop

        return Upkeep(databases[n], begin)

    both = [upkeep(n) for n in (0, 1)]
    kept = settings.parent / "kept"

    def done() -> bool:
        for one in both:
            one.look()
        return bool(list(kept.glob("central-*.tmbk")))

    try:
        eventually(done)
        assert (made, [one.mine for one in both]) == ([0], [True, False])
        both[0].stop()

        def taken() -> bool:
            both[1].look()
            return both[1].mine

        eventually(taken)
        assert made == [0, 1]
        assert len(list(kept.glob("central-*.tmbk"))) == 1, "the next one is due in six hours"
    finally:
        for one in both:
            one.stop()
        for database in databases:
            database.close()
