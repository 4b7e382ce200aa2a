"""A shop at night: what a node with 100,000 products takes of its machine while nobody sells."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.edge_bench import big_shop
from tests.servers import mosquitto_server

REST_S = 10.0  # after the start: time servers, first connection
WATCH_S = 20.0
TICKS = os.sysconf("SC_CLK_TCK")
NODE = """
import sys, time
from pathlib import Path
from edge.settings import MqttSettings
from edge.web import create_app
from edge.web.serving import Server
from protocol.node import logs
from tests.edge import shop_builder as sb
logs.set_up(sys.stderr)
folder, port = Path(sys.argv[1]), int(sys.argv[2])
shop = sb.build(folder, settings=sb.settings_for(folder, mqtt=MqttSettings(port=port)))
shop.start()
server = Server(create_app(shop), "127.0.0.1", 0)
server.start()
print("ready", flush=True)
time.sleep(3600)
"""


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int) -> float:
    """Resident now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run() -> list[tuple[str, str]]:
    folder, _ = big_shop()
    with mosquitto_server() as broker:
        process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(folder), str(broker.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline().strip() == "ready"
            time.sleep(REST_S)
            before = cpu_s(process.pid)
            time.sleep(WATCH_S)
            share = (cpu_s(process.pid) - before) / WATCH_S * 100
            memory = memory_mb(process.pid)
        finally:
            process.kill()
            process.wait()
    return [
        ("idle edge, 100,000 products, connected: CPU", f"{share:.2f} %   goal <= 1 %"),
        ("its memory", f"{memory:.0f} MB   goal <= 150 MB"),
    ]
