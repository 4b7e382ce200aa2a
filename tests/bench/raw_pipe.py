"""The raw pipe: paho -> Mosquitto -> paho -> psycopg COPY. What the parts can do without our rules.

No chain, no signature, no validation: the baseline that head office's ingest is measured beside.

    python -m tests.bench.raw_pipe ingest BROKER_PORT DATABASE EVENTS    prints events/s
    python -m tests.bench.raw_pipe publish BROKER_PORT EVENTS
"""

import json
import queue
import random
import sys
import threading
import time
import uuid
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

STORES = 20
SKUS = 2_000
A_MESSAGE = 100
GATHER = 10
UNACKED = 20
TABLES = """
DROP TABLE IF EXISTS ev, stock, cursor;
CREATE TABLE ev(store int, seq bigint, ts double precision, typ text, body text,
                PRIMARY KEY(store, seq));
CREATE TABLE stock(store int, sku text, qty bigint, PRIMARY KEY(store, sku));
CREATE TABLE cursor(store int PRIMARY KEY, seq bigint);
"""
STOCK = """
INSERT INTO stock SELECT * FROM unnest(%s::int[], %s::text[], %s::bigint[])
ON CONFLICT (store, sku) DO UPDATE SET qty = stock.qty + excluded.qty
"""
CURSOR = """
INSERT INTO cursor SELECT * FROM unnest(%s::int[], %s::bigint[])
ON CONFLICT (store) DO UPDATE SET seq = excluded.seq
"""


class Line(msgspec.Struct):
    sku: str
    name: str
    qty: int
    price: int
    disc: int
    tax: int
    promos: list[str]


class Sale(msgspec.Struct):
    v: int
    store: int
    seq: int
    type: str
    id: str
    ts: float
    cashier: str
    till: str
    prev: str
    lines: list[Line]
    total: int
    pay: dict[str, int]


def sale(store: int, seq: int, draw: random.Random) -> dict[str, Any]:
    """A sale of ten lines, 1.4 kB of JSON."""
    lines = [
        {
            "sku": f"SKU{draw.randrange(SKUS):06d}",
            "name": "红豆面包(大)",
            "qty": 1,
            "price": 650,
            "disc": 50,
            "tax": 69,
            "promos": ["P1024"],
        }
        for _ in range(10)
    ]
    return {
        "v": 1,
        "store": store,
        "seq": seq,
        "type": "sale",
        "id": str(uuid.UUID(int=draw.getrandbits(128))),
        "ts": time.time(),
        "cashier": "c-0042",
        "till": "T1",
        "prev": f"{draw.getrandbits(256):064x}",
        "lines": lines,
        "total": 6000,
        "pay": {"cash": 6000},
    }


def client(name: str, *, manual_ack: bool = False) -> mqtt.Client:
    made = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=name,
        protocol=MQTTProtocolVersion.MQTTv5,
        manual_ack=manual_ack,
    )
    made.max_inflight_messages_set(200)
    return made


def connect(made: mqtt.Client, port: int) -> None:
    wide = Properties(PacketTypes.CONNECT)
    wide.ReceiveMaximum = 65_535
    up = threading.Event()
    made.on_connect = lambda *_: up.set()
    made.connect("127.0.0.1", port, properties=wide)
    made.loop_start()
    assert up.wait(20)


def publish(port: int, events: int) -> None:
    draw = random.Random(7)
    seqs = [0] * STORES
    messages = []
    for n in range(events // A_MESSAGE):
        store = n % STORES
        batch = []
        for _ in range(A_MESSAGE):
            seqs[store] += 1
            batch.append(json.dumps(sale(store, seqs[store], draw), ensure_ascii=False))
        messages.append((store, f"[{','.join(batch)}]".encode()))
    room = threading.Semaphore(UNACKED)
    out = client("raw-shops")
    out.on_publish = lambda *_: room.release()
    connect(out, port)
    for store, payload in messages:
        room.acquire()
        out.publish(f"chain/{store}/up", payload, qos=1)
    for _ in range(UNACKED):
        room.acquire()
    out.disconnect()


def ingest(port: int, dsn: str, events: int) -> None:
    arrived: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
    into = client("raw-central", manual_ack=True)
    into.on_message = lambda _c, _d, message: arrived.put(message)
    connect(into, port)
    into.subscribe("chain/+/up", 1)
    decode = msgspec.json.Decoder(list[Sale]).decode
    encode = msgspec.json.Encoder().encode
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(TABLES)
        connection.autocommit = False
        print("ready", flush=True)
        rows = 0
        first = 0.0
        while rows < events:
            group = [arrived.get()]
            first = first or time.perf_counter()
            while len(group) < GATHER and not arrived.empty():
                group.append(arrived.get())
            decoded = [one for message in group for one in decode(message.payload)]
            stock: dict[tuple[int, str], int] = {}
            cursors: dict[int, int] = {}
            with connection.cursor() as cursor:
                with cursor.copy("COPY ev FROM STDIN") as copy:
                    for one in decoded:
                        for line in one.lines:
                            key = (one.store, line.sku)
                            stock[key] = stock.get(key, 0) - line.qty
                        cursors[one.store] = max(one.seq, cursors.get(one.store, 0))
                        copy.write_row((one.store, one.seq, one.ts, one.type, encode(one).decode()))
                keys = sorted(stock)
                shops, skus = [k[0] for k in keys], [k[1] for k in keys]
                cursor.execute(STOCK, (shops, skus, [stock[k] for k in keys]))
                cursor.execute(CURSOR, (list(cursors), list(cursors.values())))
            connection.commit()
            for message in group:
                into.ack(message.mid, message.qos)
            rows += len(decoded)
        print(rows / (time.perf_counter() - first), flush=True)
    into.disconnect()


def main() -> None:
    what, port, *rest = sys.argv[1:]
    if what == "publish":
        publish(int(port), int(rest[0]))
    else:
        ingest(int(port), rest[0], int(rest[1]))


if __name__ == "__main__":
    main()
