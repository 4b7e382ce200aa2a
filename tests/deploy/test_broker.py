"""deploy/mosquitto.conf on a real Mosquitto: it starts, and shops are kept apart.

Delivery is tested, never a subscription's or a publication's acknowledgement: a broker grants a
subscription to everything and filters later, and tells MQTT 3.1.1 clients "Success" for a
publication that it throws away.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.node.mqttlink import Broker, Message, MqttLink
from protocol.topics import Topics
from tests.servers import Server, find_program, free_port, missing

pytestmark = pytest.mark.slow
DEPLOY = Path(__file__).parents[2] / "deploy"
DEBIAN = """\
pid_file {folder}/mosquitto.pid
persistence true
persistence_location {folder}/
log_dest file {folder}/mosquitto.log
include_dir {folder}/conf.d
"""
T = Topics("maihua")
END = T.all("state")  # everybody may hear it: what comes before it in order has been delivered


class Installed(Server):
    """A broker as docs/operations.md installs it: Debian's own file, ours beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.office_port = free_port()
        (folder / "conf.d").mkdir()
        text = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
        for ours, here in (
            ("listener 1882 127.0.0.1", f"listener {self.office_port} 127.0.0.1"),
            ("listener 1883", f"listener {self.port} 127.0.0.1"),
            ("/etc/mosquitto/tillmesh.acl", f"{folder}/tillmesh.acl"),
            ("/etc/mosquitto/tillmesh.passwd", f"{folder}/tillmesh.passwd"),
        ):
            assert ours in text
            text = text.replace(ours, here)
        (folder / "conf.d" / "tillmesh.conf").write_text(text, encoding="utf-8")
        shutil.copy(DEPLOY / "mosquitto.acl", folder / "tillmesh.acl")
        own = "user root\n" if os.geteuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(DEBIAN.format(folder=folder) + own)
        program = find_program("mosquitto_passwd")
        assert program, missing("mosquitto")
        (folder / "tillmesh.passwd").touch()
        for shop in ("S1", "S2"):
            command = [program, "-b", str(folder / "tillmesh.passwd"), shop, f"word-{shop}"]
            subprocess.run(command, check=True, capture_output=True)
        for name in ("tillmesh.acl", "tillmesh.passwd"):
            (folder / name).chmod(0o600)

    def _command(self) -> list[str]:
        program = find_program("mosquitto")
        assert program, missing("mosquitto")
        return [program, "-c", str(self.folder / "mosquitto.conf")]

    def wipe(self) -> None:
        for file in self.folder.glob("mosquitto.db*"):
            file.unlink()


class Node:
    """One node on the product's own link, that remembers what it heard."""

    def __init__(self, broker: Broker, *topics: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.downs: list[str] = []
        self.link = MqttLink(
            broker,
            list(topics) or [T.all("clock")],
            on_message=self._on_message,
            on_up=lambda: None,
            on_down=self.downs.append,
        )
        self.link.start()

    def _on_message(self, message: Message) -> None:
        self.heard.append((message.topic, message.payload))

    def says(self, topic: str, words: str = "x") -> None:
        """Publish; whether it arrives is seen at the other end."""
        assert self.link.publish(topic, words.encode())

    @property
    def topics(self) -> set[str]:
        """Where something was heard."""
        return {topic for topic, _ in self.heard}


def until(holds: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    server = Installed(tmp_path_factory.mktemp("broker"))
    server.start()
    yield server
    server.kill()


Connect = Callable[..., Node]


@pytest.fixture
def connect(broker: Installed) -> Iterator[Connect]:
    """Connects head office (no password, its own listener) or a shop."""
    nodes: list[Node] = []

    def one(name: str, *topics: str, password: str = "", client: str = "", up: bool = True) -> Node:
        port = broker.office_port if name == "central" else broker.port
        word = password or ("" if name == "central" else f"word-{name}")
        where = Broker(broker.host, port, client_id=client or name, username=name, password=word)
        node = Node(where, *topics)
        nodes.append(node)
        assert not up or until(lambda: node.link.up), node.link.fault
        return node

    yield one
    for node in nodes:
        node.link.stop()


def test_a_shop_and_head_office_hear_what_is_meant_for_them(connect: Connect) -> None:
    central = connect("central", *T.for_central())
    shop = connect("S1", *T.for_store("S1", "city", "east"))
    mine = [T.up("S1", leaf) for leaf in ("journal", "hb", "req", "ack", "state")]
    for topic in mine:
        shop.says(topic)
    assert until(lambda: central.topics >= set(mine))
    told = [T.dn("S1", "ack"), T.dn("S1", "journal"), T.all("clock"), T.zone("city")]
    for topic in [*told, T.group("east")]:
        central.says(topic)
    assert until(lambda: shop.topics >= {*told, T.group("east")})


def test_a_shop_can_write_nothing_but_its_own_topics(connect: Connect) -> None:
    central = connect("central", "pos/1/#")
    neighbour = connect("S2", "#")
    shop = connect("S1")
    foreign = [
        T.up("S2", "journal"),
        T.up("S2", "state"),
        T.dn("S2", "journal"),
        T.dn("S1", "journal"),
        T.all("journal"),
        T.zone("city"),
        T.group("east"),
        "pos/1/maihua/up/0/S1x/journal",
    ]
    for topic in foreign:
        shop.says(topic, "forged")
    shop.says(T.up("S1", "hb"), "the end")
    assert until(lambda: T.up("S1", "hb") in central.topics)
    central.says(END, "the end")
    assert until(lambda: END in neighbour.topics)
    assert not [x for x in central.heard + neighbour.heard if x[1] == b"forged"]


def test_a_shop_that_subscribes_to_everything_gets_nothing_foreign(connect: Connect) -> None:
    curious = connect("S1", "#", "pos/1/+/dn/+/#", "pos/1/+/up/#", "$SYS/#")
    neighbour = connect("S2")
    central = connect("central")
    central.says(T.dn("S2", "journal"), "for S2 only")
    central.says(T.dn("S2", "rsp"), "for S2 only")
    neighbour.says(T.up("S2", "journal"), "from S2")
    central.says(T.dn("S1", "journal"), "for S1")
    central.says(END, "the end")
    assert until(lambda: {T.dn("S1", "journal"), END} <= curious.topics)
    time.sleep(0.3)
    assert {t for t in curious.topics if not t.startswith("pos/1/maihua/all")} == {
        T.dn("S1", "journal")
    }


@pytest.mark.parametrize(("name", "word"), [("S1", "wrong"), ("stranger", "x"), ("S1", " ")])
def test_nobody_comes_in_without_the_right_password(connect: Connect, name: str, word: str) -> None:
    node = connect(name, password=word, up=False)
    assert until(lambda: node.link.fault)
    assert not node.link.up


def test_nobody_can_be_head_office_on_the_listener_of_the_shops(broker: Installed) -> None:
    node = Node(Broker(broker.host, broker.port, client_id="central", username="central"))
    try:
        assert until(lambda: node.link.fault)
        assert not node.link.up
    finally:
        node.link.stop()


def test_a_foreign_client_id_throws_nobody_off(connect: Connect) -> None:
    shop = connect("S1", *T.for_store("S1", "city", "east"))
    connect("S2", client="S1")
    time.sleep(0.5)
    assert shop.link.up
    assert not shop.downs


def test_a_message_of_the_largest_allowed_size_arrives(connect: Connect) -> None:
    central = connect("central", *T.for_central())
    shop = connect("S1")
    shop.says(T.up("S1", "journal"), "x" * 128 * 1024)
    assert until(lambda: any(len(payload) == 128 * 1024 for _, payload in central.heard))
