"""Processes of a chain on one machine: start, wait until they answer, kill, start again."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from central.brokerfiles import CONF

MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_packet_size 262144
max_queued_messages 100000
persistence true
persistence_location {folder}/
"""


def free_port(preferred: int = 0) -> int:
    """The preferred port when nobody has it, else one that is free now."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("No free port on this machine; end some programs and try again.")


def find_mosquitto() -> str | None:
    """Mosquitto on PATH or where Debian puts it."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


class Process:
    """One program with its log; `wait_for` asks an address until it answers."""

    def __init__(
        self, name: str, command: list[str], *, log: Path, url: str, files: str = ""
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.url = url
        self._files = files  # what it leaves behind and `wipe` deletes
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs; its output goes to its log."""
        if self.running:
            return
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT)

    @property
    def running(self) -> bool:
        """Is it alive?"""
        return self._popen is not None and self._popen.poll() is None

    def wait_for(self, *, seconds: float = 30) -> None:
        """Until the address answers; SystemExit with the log's last lines when it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running:
            if _answers(self.url):
                return
            time.sleep(0.05)
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"{self.name} did not come up at {self.url}. Its last words:\n{tail}")

    def kill(self) -> None:
        """As a power cut would (kill -9)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end; kill it after ten seconds."""
        self._end(signal.SIGTERM)

    def wipe(self) -> None:
        """Delete what it kept, as a dead disk would."""
        for path in self.log.parent.glob(self._files) if self._files else ():
            path.unlink()

    def _end(self, number: signal.Signals) -> None:
        if self._popen is None:
            return
        self._popen.send_signal(number)
        try:
            self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen = None


def _answers(url: str) -> bool:
    if url.startswith("tcp://"):
        host, _, port = url.removeprefix("tcp://").partition(":")
        with socket.socket() as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((host, int(port))) == 0
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def broker(folder: Path, port: int, *, kind: str = "") -> Process:
    """Mosquitto when it is there, else the embedded amqtt; `kind` asks for one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    program = None if kind == "amqtt" else find_mosquitto()
    url = f"tcp://127.0.0.1:{port}"
    if program:
        text = MOSQUITTO_CONF.format(port=port, folder=folder)
        if os.geteuid() == 0:
            text += "user root\n"
        conf = folder / "mosquitto.conf"
        conf.write_text(text, encoding="utf-8")
        command = [program, "-c", str(conf)]
        log = folder / "broker.log"
        return Process("mosquitto", command, log=log, url=url, files="mosquitto.db*")
    command = [sys.executable, "-m", "deploy.processes", str(port)]
    return Process("amqtt", command, log=folder / "broker.log", url=url)


def mtls_broker(folder: Path, port: int) -> Process:
    """Mosquitto with the files that `tillmesh-central broker-files` wrote into the folder."""
    program = find_mosquitto()
    if program is None:
        raise SystemExit(
            "TLS needs Mosquitto, and it is not installed here. Install it "
            "(apt-get install --no-install-recommends mosquitto), or run without TLS=1."
        )
    command = [program, "-c", str(folder / "mosquitto.conf")]
    log = folder / "broker.log"
    return Process("mosquitto", command, log=log, url=f"tcp://127.0.0.1:{port}")


def mtls_conf(folder: Path) -> None:
    """What Mosquitto starts with here: the chain's settings, and its log on the console."""
    text = (folder / CONF).read_text(encoding="utf-8") + "log_dest stdout\n"
    if os.geteuid() == 0:
        text += "user root\n"
    (folder / "mosquitto.conf").write_text(text, encoding="utf-8")


async def serve_amqtt(port: int) -> None:
    """The embedded broker: MQTT 3.1.1, for demos and tests only."""
    from amqtt.broker import Broker  # noqa: PLC0415 - an extra that only the demo needs

    anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    server = Broker(
        {"listeners": {"default": listener}, "plugins": {anonymous: {"allow_anonymous": True}}}
    )
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(serve_amqtt(int(sys.argv[1])))
