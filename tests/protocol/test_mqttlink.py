"""The link over a real Mosquitto: refused accounts, a broker that dies and comes back."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.node.mqttlink import Broker, Message, MqttLink
from tests.servers import find_program, free_port, mosquitto_server, mtls_server

pytestmark = pytest.mark.slow


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def link_to(port: int, heard: list[Message], said: list[str], password: str = "") -> MqttLink:
    return MqttLink(
        Broker("127.0.0.1", port, "S1", "S1" if password else "", password),
        ["a/+"],
        on_message=heard.append,
        on_up=lambda: said.append("up"),
        on_down=lambda _: said.append("down"),
        will=lambda: ("a/will", b"gone"),
    )


def test_a_broker_that_dies_is_noticed_and_found_again() -> None:
    heard: list[Message] = []
    said: list[str] = []
    with mosquitto_server() as broker:
        link = link_to(broker.port, heard, said)
        link.start()
        until(lambda: link.up)
        assert link.publish("a/b", b"one")
        until(lambda: [m.payload for m in heard] == [b"one"])
        broker.kill()
        until(lambda: not link.up)
        assert not link.publish("a/b", b"lost")  # nothing is queued anywhere
        broker.start()
        until(lambda: link.up)
        assert link.publish("a/b", b"two")
        until(lambda: [m.payload for m in heard] == [b"one", b"two"])
        link.stop()
    assert said[:3] == ["up", "down", "up"]


def test_a_will_that_cannot_be_made_now_is_made_later() -> None:
    """Broker and database died at once: head office's greeting needs the database."""
    said: list[str] = []
    troubles = [RuntimeError("the database is away")] * 2

    def will() -> tuple[str, bytes]:
        if troubles:
            raise troubles.pop()
        return "a/will", b"gone"

    with mosquitto_server() as broker:
        link = MqttLink(
            Broker("127.0.0.1", broker.port, "S1"),
            ["a/+"],
            on_message=lambda _: None,
            on_up=lambda: said.append("up"),
            on_down=lambda _: said.append("down"),
            will=will,
        )
        link.start()
        until(lambda: link.up, 60)
        link.stop()
    assert not troubles


def test_a_refused_account_is_told_apart_from_a_dead_broker(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "words").touch(mode=0o644)
    conf = tmp_path / "m.conf"
    lines = [f"listener {port} 127.0.0.1", f"password_file {tmp_path / 'words'}"]
    lines += ["user root"] if os.geteuid() == 0 else []
    conf.write_text("\n".join(lines) + "\n")
    program = find_program("mosquitto")
    assert program
    with subprocess.Popen([program, "-c", str(conf)], stderr=subprocess.DEVNULL) as server:
        link = link_to(port, [], [], password="wrong")
        link.start()
        until(lambda: link.denied)
        assert not link.up
        link.stop()
        server.terminate()


def test_a_certificate_is_who_you_are_and_a_renewed_one_counts_from_the_next_connection() -> None:
    heard: list[Message] = []
    with mtls_server() as broker:
        pair = broker.pair("S1")
        central = MqttLink(
            Broker(broker.host, broker.port, "central", tls=broker.issue("central")),
            ["pos/1/#"],
            on_message=heard.append,
            on_up=lambda: None,
            on_down=lambda _: None,
        )
        shop = MqttLink(
            Broker(broker.host, broker.port, "S1", tls=broker.context(pair)),
            ["pos/1/bakery/all/#"],
            on_message=heard.append,
            on_up=lambda: None,
            on_down=lambda _: None,
        )
        central.start()
        shop.start()
        until(lambda: central.up and shop.up)
        assert shop.publish("pos/1/bakery/up/1/S1/hb", b"mine")
        until(lambda: [m.payload for m in heard] == [b"mine"])
        pair.write_bytes(broker.pair("S2").read_bytes())  # another name in the same file
        shop.renew()
        until(lambda: not shop.up)
        until(lambda: shop.up)
        assert shop.publish("pos/1/bakery/up/1/S1/hb", b"not mine any more")
        assert shop.publish("pos/1/bakery/up/1/S2/hb", b"mine again")
        until(lambda: heard[-1].payload == b"mine again")
        shop.stop()
        central.stop()
    assert [m.payload for m in heard] == [b"mine", b"mine again"]
