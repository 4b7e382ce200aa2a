"""A bad line: TCP through here takes its time, and now and then a piece is lost and sent again.

    python -m tests.bench.slow_line TARGET_PORT ROUND_TRIP_MS LOSS      prints its port

TCP hides a loss as a delay: the piece and all behind it come one retransmission later.
"""

import asyncio
import random
import sys

RETRANSMIT_S = 0.3  # more than a round trip: TCP's time-out is at least 200 ms


async def carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float, loss: float
) -> None:
    due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    loop, draw = asyncio.get_running_loop(), random.Random(11)

    async def deliver() -> None:
        while True:
            at, data = await due.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    task = asyncio.ensure_future(deliver())
    last = 0.0
    while data := await reader.read(1_400):  # a packet
        late = RETRANSMIT_S if draw.random() < loss else 0.0
        last = max(last, loop.time() + delay_s + late)
        due.put_nowait((last, data))
    due.put_nowait((last, b""))
    await task


async def serve(target: int, delay_s: float, loss: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(
            carry(reader, back, delay_s, loss),
            carry(there, writer, delay_s, loss),
            return_exceptions=True,
        )

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print("ready", flush=True)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 2_000, float(sys.argv[3])))
