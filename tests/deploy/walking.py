"""An operator who does what docs/operations.md says, line by line, on one machine.

The commands are those of the guide. What differs is named here: folders and ports of this machine,
no account `tillmesh`, and `systemctl`, for which the units' own ExecStart is run as a child.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine, text

from deploy.visitors import Clerk, Refused, new_id
from tests.servers import find_program, free_port, missing

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OPERATOR = "runuser -u tillmesh -- /opt/tillmesh/bin/"
UNITS = ROOT / "deploy" / "systemd"
SECRETS = {"ADMIN_PASSWORD": "a long one for tests"}
MAY_COMPLAIN = {"doctor"}  # of time servers that are not here
PORTS = ("8700", "8743", "8883", "8081")
PIN = "135790"
PATIENCE_S = 60.0


def page(name: str = "operations.md") -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    """The commands of a page or of a part of it."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def section(heading: str) -> list[str]:
    """The blocks below a heading."""
    return blocks(page().split(f"\n## {heading}\n")[1].split("\n## ")[0])


def until(what: str, holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.1)


def _heads(url: str) -> dict[str, str]:
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT stream, hash FROM stream_head")).all()
    engine.dispose()
    return {row.stream: row.hash for row in rows}


class Walk:
    """One machine that is head office, broker and shop at once."""

    def __init__(self, folder: Path, *, database_url: str = "") -> None:
        self.folder = folder
        self.office, self.shop = folder / "central", folder / "edge"
        self.backup, self.broker = folder / "backup", folder / "mosquitto"
        self.line = ""  # what `invite` printed last
        self.said = ""  # the whole of what the last command printed
        self.archive = ""  # for a restore, instead of the newest
        self.done: list[str] = []
        self._ports = {port: str(free_port()) for port in PORTS}
        self._url = database_url
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.clerk = self._fresh_clerk()

    # -- lines of the guide -----------------------------------------------------------------

    def do(self, block: str) -> None:
        """Run the lines of a block that are about the program."""
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split()
            if words[0] == "systemctl":
                self._systemctl(*(w for w in words[1:] if not w.startswith("-")))
            elif words[0] == "sh":
                assert line == "sh /opt/tillmesh/src/deploy/broker.sh broker"
                self._install_broker()
            elif OPERATOR in line or words[0] == "sed":
                self.run(re.sub(r"\s+", " ", line))

    def run(self, command: str) -> None:
        """One command of the guide, in the folder of head office or of the shop."""
        house = self.shop if "tillmesh-edge" in command or "edge.toml" in command else self.office
        house.mkdir(exist_ok=True)
        done = subprocess.run(
            ["bash", "-c", self._placed(command)],
            cwd=house,
            env={**os.environ, **SECRETS},
            capture_output=True,
            text=True,
            check=False,
        )
        word = re.search(r"toml ([a-z][a-z-]+)", command)
        allowed = {0, 1} if word and word[1] in MAY_COMPLAIN else {0}
        assert done.returncode in allowed, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        self.done.append(command)
        self.said = done.stdout
        if " invite " in command:
            self.line = done.stdout.strip()
        for name in ("central.toml", "edge.toml"):  # the pages' ports have their own defaults
            if " init " in command and (house / name).exists():
                (house / name).write_text(self._ported((house / name).read_text()))

    def _ported(self, text: str) -> str:
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda m: self._ports[m[1]], text)

    def _placed(self, command: str) -> str:
        """The example's chain, addresses, folders and ports become those of this machine."""
        if " init --chain" in command and self._url:
            command += f" --database-url '{self._url}'"
        newest = self.archive
        for file in sorted(self.backup.glob("*.tmbk"), key=lambda p: p.stat().st_mtime):
            if not self.archive and f"{file.name.split('-')[0]}-NEWEST" in command:
                newest = file.name
        for written, here in {
            OPERATOR: f"{BIN}/",
            "--chain CHAIN": "--chain maihua",
            "10.0.0.2": "127.0.0.1",
            "/var/lib/tillmesh-central/": "",
            "/var/lib/tillmesh-backup": str(self.backup),
            "/etc/mosquitto/tillmesh": str(self.broker),
            "LINE": self.line,
        }.items():
            command = command.replace(written, here)
        return self._ported(re.sub(r"\w+-NEWEST\.tmbk", newest, command))

    # -- what systemd does ------------------------------------------------------------------

    def _systemctl(self, verb: str, *units: str) -> None:
        for unit in (u.removesuffix(".service") for u in units):
            if unit in {"tillmesh-central", "tillmesh-edge"} and verb in {"enable", "start"}:
                self.start(unit)
            elif unit in {"tillmesh-central", "tillmesh-edge"}:
                assert verb == "stop"
                self.end(unit)

    def start(self, unit: str) -> None:
        """What the unit runs, in its folder; until it says that it is there."""
        text = (UNITS / f"{unit}.service").read_text(encoding="utf-8")
        command = re.findall(r"^ExecStart=/opt/tillmesh/bin/(.*)$", text, re.MULTILINE)[0]
        command = re.sub(r"/var/lib/tillmesh-(central|edge)/", "", command)
        home = self.shop if unit == "tillmesh-edge" else self.office
        log = home / "run.log"
        with log.open("wb") as file:
            self._running[unit] = process = subprocess.Popen(
                [BIN / command.split()[0], *command.split()[1:]],
                cwd=home,
                stdout=file,
                stderr=file,
            )
        words = b"Tillmesh shop" if unit == "tillmesh-edge" else b"head office of"

        def is_there() -> bool:
            assert process.poll() is None, log.read_text()
            return words in log.read_bytes()

        until(f"{unit} runs", is_there)

    def end(self, unit: str, number: int = signal.SIGTERM) -> None:
        """Stop or kill it."""
        process = self._running.pop(unit)
        process.send_signal(number)
        process.wait(PATIENCE_S)

    def _install_broker(self) -> None:
        """What `broker.sh` does, as this account: files in place, then (re)load."""
        shutil.copytree(self.office / "broker", self.broker, dirs_exist_ok=True)
        conf = self.folder / "mosquitto.conf"
        own = "user root\n" if os.geteuid() == 0 else ""
        conf.write_text((self.broker / "tillmesh.conf").read_text() + own)
        if "mosquitto" in self._running:
            self._running["mosquitto"].send_signal(signal.SIGHUP)
            return
        program = find_program("mosquitto")
        assert program, missing("mosquitto")
        with (self.folder / "mosquitto.log").open("wb") as log:
            self._running["mosquitto"] = subprocess.Popen(
                [program, "-c", str(conf)], stdout=log, stderr=log
            )
        until("the broker runs", self._broker_answers)

    def _broker_answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self._ports["8883"]))) == 0

    def level(self) -> bool:
        """Do shop and head office stand at the same events of all the shop's streams?"""
        office = self._url or f"sqlite:///{self.office / 'data' / 'central.db'}"
        here = _heads(f"sqlite:///{self.shop / 'data' / 'edge.db'}")
        return bool(here) and here.items() <= _heads(office).items()

    def broker_service(self) -> None:
        """What `tillmesh-broker.path` starts when somebody was locked out."""
        text = (UNITS / "tillmesh-broker.service").read_text(encoding="utf-8")
        lines = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
        self.do("\n".join(lines).replace("/sbin/runuser", "runuser").replace("/bin/sh ", "sh "))

    def over(self) -> None:
        """End whatever runs."""
        self.clerk.close()
        for unit in list(self._running):
            self.end(unit, signal.SIGKILL)

    # -- people -----------------------------------------------------------------------------

    @property
    def office_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['8700']}"

    def _fresh_clerk(self) -> Clerk:
        return Clerk(f"http://127.0.0.1:{self._ports['8081']}")

    def pair(self, command: str) -> None:
        """A browser at the till; the shift may be open from before."""
        self.clerk.close()
        self.clerk = self._fresh_clerk()
        self.run(command)
        code = self.said.split()[0]
        self.clerk.page("/pair")
        self.clerk.form("/pair", code=code, name="till")
        until("the manager may sign in", self._signed_in)
        if "/shift/open" in self.clerk.page("/shift"):
            self.clerk.form("/shift/open", float="200.00", shift=new_id())

    def _signed_in(self) -> bool:
        try:
            self.clerk.sign_in(PIN)
        except Refused:
            return False
        return True

    def sell(self, code: str) -> str:
        """A sale; its receipt's number."""
        return str(self.clerk.sell(code)["receipt_number"])
