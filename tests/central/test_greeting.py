"""A shop that holds a dead session of head office for the living one is told again."""

from pathlib import Path

import pytest

from central.compose import compose
from central.settings import Mqtt, Names, Settings
from protocol.ids import ALL, CENTRAL
from protocol.node.mqttlink import Broker
from protocol.node.signing import make_key
from protocol.node.sqljournal import SqlRecords
from tests.servers import mosquitto_server
from tests.wired import WiredShop, enrol, eventually


@pytest.mark.parametrize("again", ["head office speaks", "the shop greets"])
def test_an_old_greeting_mutes_nobody_for_ever(tmp_path: Path, again: str) -> None:
    with mosquitto_server() as server:
        settings = Settings(
            chain="chain",
            name=Names(zh="连锁", en="Chain"),
            data_dir=tmp_path / "data",
            database_url=f"sqlite:///{tmp_path / 'central.db'}",
            mqtt=Mqtt(port=server.port),
        )
        settings.data_dir.mkdir()
        make_key(settings.key_path)
        office = compose(settings)
        line = Broker("127.0.0.1", server.port, client_id="S1")
        shop = WiredShop("S1", tmp_path, line, office.key.public_hex)
        try:
            enrol(office, [shop])
            office.syncing.start()
            shop.wire.start()
            shop.sell(3)
            eventually(lambda: shop.level(office))
            # What a greeting does that was long under way: the living session counts as over.
            shop.wire._sessions.begin(CENTRAL, "0" * 32)
            if again == "head office speaks":
                office.catalogue.define_group("bread", zh="面包", en="Bread", by="t")
            else:
                shop.wire._inbox.tell("up ")

            def heard() -> bool:
                with office.books.database.reading() as connection:
                    head = SqlRecords(connection).head(ALL)
                acked = [
                    sender.acked
                    for peer, source, sender in office.syncing.replicator.sending.senders()
                    if (peer, source.stream) == ("S1", ALL)
                ]
                return acked == [head]

            eventually(heard)
        finally:
            shop.close()
            office.syncing.stop()
            office.books.database.close()
