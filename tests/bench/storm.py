"""A thousand shops that connect at the same moment, over mutual TLS, each until it is welcomed.

    python -m tests.bench.storm PORT FOLDER AUTHORITY       names of nodes and pairs in FOLDER

Plain MQTT 3.1.1 on asyncio, because a thousand clients with a thread each would measure threads.
"""

import asyncio
import json
import struct
import sys
import time
from pathlib import Path

from protocol import wire
from protocol.journal import ORIGIN
from protocol.node.certificates import client_context
from protocol.topics import Topics
from protocol.wire import Ack
from tests.bench.fleet import ShopAtSea, greeting, key_of

CHAIN = "chain"
TOPICS = Topics(CHAIN)


def _text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def packet(kind: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return bytes([kind]) + length + body


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return kind, await reader.readexactly(size)


async def expect(reader: asyncio.StreamReader, wanted: int) -> bytes:
    while True:
        kind, body = await read_packet(reader)
        if kind & 0xF0 == wanted:
            return body


async def node(name: str, port: int, context: object) -> float:
    """Seconds until head office's welcome."""
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )  # type: ignore[arg-type]
    writer.write(packet(0x10, _text("MQTT") + b"\x04\x02\x00\x3c" + _text(name)))
    assert (await expect(reader, 0x20))[1] == 0, name
    writer.write(packet(0x82, b"\x00\x01" + _text(TOPICS.dn(name, "ack")) + b"\x01"))
    await expect(reader, 0x90)
    topic, data = greeting(ShopAtSea(name, key_of(name), [], ORIGIN), TOPICS)
    writer.write(packet(0x33, _text(topic) + b"\x00\x02" + data))
    while True:
        body = await expect(reader, 0x30)
        size = struct.unpack("!H", body[:2])[0]
        ack = wire.decode(Ack, body[2 + size + 2 :])
        if any(cursor.status == "welcome" for cursor in ack.cursors):
            break
    seconds = time.perf_counter() - start
    writer.close()
    return seconds


async def storm(port: int, folder: Path, authority: Path) -> None:
    pairs: dict[str, str] = json.loads((folder / "pairs.json").read_text())
    contexts = {name: client_context(authority, Path(pair)) for name, pair in pairs.items()}
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    times = await asyncio.gather(*(node(n, port, c) for n, c in contexts.items()))
    print(json.dumps({"all_s": time.perf_counter() - start, "times": times}), flush=True)


if __name__ == "__main__":
    asyncio.run(storm(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
