"""A clustered broker that speaks MQTT: NATS with JetStream, three nodes, one killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from central.compose import HeadOffice, compose
from central.settings import Mqtt, Names, Settings
from protocol.node.mqttlink import Broker
from protocol.node.signing import make_key
from tests.builders import StillClock
from tests.servers import NatsServer, nats_cluster
from tests.wired import CHAIN, WiredShop, enrol, eventually


@pytest.fixture
def cluster() -> Iterator[list[NatsServer]]:
    with nats_cluster() as servers:
        yield servers


@pytest.fixture
def office(tmp_path: Path, cluster: list[NatsServer]) -> Iterator[HeadOffice]:
    settings = Settings(
        chain=CHAIN,
        name=Names(zh="连锁", en="Chain"),
        data_dir=tmp_path / "data",
        database_url=f"sqlite:///{tmp_path}/central.db",
        mqtt=Mqtt(
            host="127.0.0.1",
            port=cluster[0].port,
            others=tuple(f"127.0.0.1:{server.port}" for server in cluster[1:]),
        ),
    )
    settings.data_dir.mkdir()
    make_key(settings.key_path)
    found = compose(settings, clock=StillClock())
    found.syncing.start()
    yield found
    found.syncing.stop()
    found.books.database.close()


@pytest.mark.nightly  # three raft nodes want a machine that is not fully loaded
def test_the_chain_goes_on_when_a_node_of_the_cluster_dies(
    tmp_path: Path, cluster: list[NatsServer], office: HeadOffice
) -> None:
    shops = []
    for n in range(3):  # each begins at another node
        ports = [server.port for server in cluster[n:] + cluster[:n]]
        others = tuple(f"127.0.0.1:{port}" for port in ports[1:])
        broker = Broker("127.0.0.1", ports[0], client_id=f"S{n}", others=others)
        shops.append(WiredShop(f"S{n}", tmp_path, broker, office.key.public_hex))
    enrol(office, shops)
    try:
        for shop in shops:
            shop.sell(10)
            shop.wire.start()
        eventually(lambda: all(shop.level(office) for shop in shops))
        cluster[0].kill()  # head office and a shop are connected here
        for turn in range(5):
            for shop in shops:
                shop.sell(4)
            office.catalogue.define_group(f"g{turn}", zh="组", en="Group", by="t")
        eventually(lambda: all(shop.level(office) for shop in shops))
        assert office.books.verify() == []
        for shop in shops:
            assert office.books.proof(shop.stream) == shop.books.proof(shop.stream)
            assert len(shop.line(office.books)) == 31
    finally:
        for shop in shops:
            shop.close()
