"""A real chain of processes: commit at A, visible at head office and at B; beside bare MQTT."""

import socket
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from deploy.chain import Chain
from deploy.walks import TO_B, TO_HQ, Walks
from tests.bench.figures import spread

GOALS = {TO_HQ: "p99 <= 100 ms", TO_B: "p99 <= 200 ms"}


def _no_delay(_client: mqtt.Client, _data: object, opened: object) -> None:
    if isinstance(opened, socket.socket):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def raw_round_trips(port: int, count: int = 200) -> list[float]:
    """A 2.5 kB message, QoS 1, publisher -> broker -> subscriber, at the same rate."""
    arrived = threading.Event()
    clients = []
    for name in ("raw-sub", "raw-pub"):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.on_socket_open = _no_delay
        client.connect("127.0.0.1", port)
        client.loop_start()
        clients.append(client)
    subscriber, publisher = clients
    subscriber.on_message = lambda *_: arrived.set()
    subscriber.subscribe("raw/t", 1)
    time.sleep(0.3)
    times = []
    for _ in range(count):
        arrived.clear()
        start = time.perf_counter()
        publisher.publish("raw/t", b"x" * 2_500, qos=1)
        arrived.wait(5)
        times.append(time.perf_counter() - start)
        time.sleep(0.05)
    for client in clients:
        client.disconnect()
        client.loop_stop()
    return times


def run() -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        chain = Chain(Path(name) / "chain", fixed_ports=False)
        try:
            chain.create()
            chain.start()
            raw = raw_round_trips(chain.broker_port)
            walks = Walks(chain, lambda _: None)
            walks.prepare()
            walks.sale(300)
            walks.close()
        finally:
            chain.stop()
    rows = [("baseline: bare MQTT, 2.5 kB, QoS 1, same broker", spread(raw))]
    rows += [(hop, spread(seconds, GOALS[hop])) for hop, seconds in walks.hops.items()]
    return rows
