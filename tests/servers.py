"""Real servers for tests: a private PostgreSQL cluster, a private Mosquitto; free ports.

    with postgres_server() as postgres:
        url = postgres.fresh_database()          # postgresql+psycopg://...
    with mosquitto_server() as broker:
        broker.host, broker.port
        broker.kill(); broker.wipe(); broker.start()
    with mtls_server() as broker:                # with the chain's own authority
        Broker(broker.host, broker.port, client_id="S1", tls=broker.issue("S1"))

Both are direct children of the test process. As root the cluster runs as the user `postgres` in a
folder that it owns, and the broker with `user root`.
"""

import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg

from central.authority import LIFE_DAYS, Authority
from central.brokerfiles import CONF, write_broker_files
from protocol.node import certificates

START_S = 60.0
MOSQUITTO_CONF = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1000
max_queued_messages 100000
max_inflight_messages 0
max_packet_size 262144
set_tcp_nodelay true
log_dest file {folder}/mosquitto.log
"""
MOSQUITTO_ACL = """\
user central
topic readwrite pos/1/#
pattern write pos/1/+/up/+/%u/#
pattern read pos/1/+/dn/%u/#
pattern read pos/1/+/all/#
pattern read pos/1/+/zone/#
pattern read pos/1/+/grp/#
"""


def wall_ms() -> int:
    """The machine's own time, by which TLS judges certificates."""
    return int(time.time() * 1000)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str) -> str | None:
    """On PATH, in /usr/sbin, or in the newest PostgreSQL folder."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name), reverse=True
    )
    for folder in [*folders, Path("/usr/sbin"), Path("/usr/local/sbin")]:
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


def missing(name: str) -> str:
    """The sentence for a server that is not installed."""
    return f"{name} is not installed; `make test` installs it or prints the command"


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    text = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise RuntimeError(f"server on port {port} did not start: {text}")


class Server:
    """One child process that can be stopped, killed, wiped and started again on its port."""

    host = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _popen(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "console.log").open("ab") as log:
            return subprocess.Popen(self._command(), stdout=log, stderr=log, cwd=self.folder)

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.process is None:
            self.process = self._popen()
            _wait_for(self.port, self.process, self.folder / "console.log")

    def _end(self, number: int) -> None:
        if self.process is None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
        self.process = None

    def stop(self) -> None:
        """An orderly end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """Delete what it kept on disk; only while it does not run."""
        raise NotImplementedError


class MosquittoServer(Server):
    """A broker with persistence; `acl` gives each user name the rights of a node."""

    def __init__(self, folder: Path, *, acl: bool = False) -> None:
        super().__init__(folder)
        text = MOSQUITTO_CONF.format(port=self.port, folder=folder)
        if acl:
            (folder / "acl").write_text(MOSQUITTO_ACL)
            (folder / "acl").chmod(0o600)
            text += f"acl_file {folder}/acl\n"
        if os.geteuid() == 0:
            text += "user root\n"
        (folder / "mosquitto.conf").write_text(text)

    def _command(self) -> list[str]:
        program = find_program("mosquitto")
        assert program, missing("mosquitto")
        return [program, "-c", str(self.folder / "mosquitto.conf")]

    def wipe(self) -> None:
        assert self.process is None
        for file in self.folder.glob("*.db*"):
            file.unlink()


class MtlsServer(Server):
    """The broker as operators set it up: certificates of the chain's authority, deny by default."""

    def __init__(self, folder: Path, *, authority: Authority | None = None) -> None:
        super().__init__(folder)
        self.authority = authority or Authority(folder / "authority", "bakery", wall_ms())
        self.refresh()

    def refresh(self) -> None:
        """Write what the broker reads, as `tillmesh-central broker-files` does."""
        pair, _ = self.authority.pair("broker", wall_ms(), hosts=("localhost", "127.0.0.1"))
        target = self.folder / "broker"
        write_broker_files(self.authority, pair, target, port=self.port)
        conf = (target / CONF).read_text()
        conf += f"log_dest file {self.folder}/mosquitto.log\n"
        if os.geteuid() == 0:
            conf += "user root\n"
        (self.folder / "mosquitto.conf").write_text(conf)

    def reload(self) -> None:
        """Let it read its list of revoked certificates again, as `systemctl reload` does."""
        self.refresh()
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def pair(self, name: str, *, days: float = LIFE_DAYS, at_ms: int = 0) -> Path:
        """A new key and a certificate with CN = name, in one file."""
        key = certificates.ec.generate_private_key(certificates.CURVE)
        csr = certificates.make_csr(key, name)
        signed = self.authority.sign_node(csr, node=name, now_ms=at_ms or wall_ms(), days=days)
        file = self.folder / f"{certificates.Held(signed.encode()).serial}.pem"
        certificates.keep(file, certificates.key_pem(key) + signed.encode())
        return file

    def context(self, pair: Path) -> Callable[[], ssl.SSLContext]:
        """What `Broker.tls` wants, for a pair file."""
        return lambda: certificates.client_context(self.authority.certificate_path, pair)

    def issue(self, name: str) -> Callable[[], ssl.SSLContext]:
        """A new certificate for a node (`central`, `central-1`, a shop), ready for `Broker.tls`."""
        return self.context(self.pair(name))

    def _command(self) -> list[str]:
        program = find_program("mosquitto")
        assert program, missing("mosquitto")
        return [program, "-c", str(self.folder / "mosquitto.conf")]

    def wipe(self) -> None:
        """It keeps nothing."""


class NatsServer(Server):
    """One of the nodes of a cluster that speaks MQTT 3.1.1; what it keeps, most of them keep."""

    def __init__(self, folder: Path, name: str, route: int, routes: Sequence[int]) -> None:
        super().__init__(folder)
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        (folder / "nats.conf").write_text(
            f"""server_name: {name}
listen: 127.0.0.1:{free_port()}
jetstream {{ store_dir: "{folder}/jetstream", max_mem: 64MB, max_file: 512MB }}
cluster {{ name: tillmesh, listen: "127.0.0.1:{route}", routes: [{others}] }}
mqtt {{ listen: "127.0.0.1:{self.port}" }}
"""
        )

    def _command(self) -> list[str]:
        program = find_program("nats-server")
        assert program, missing("nats-server")
        return [program, "-c", str(self.folder / "nats.conf")]


@contextmanager
def nats_cluster(nodes: int = 3) -> Iterator[list[NatsServer]]:
    """A running cluster; gone at the end."""
    routes = [free_port() for _ in range(nodes)]
    with ExitStack() as stack:
        servers = []
        for n, route in enumerate(routes):
            folder = stack.enter_context(_folder("tillmesh-nats-"))
            servers.append(NatsServer(folder, f"n{n}", route, routes))
        for server in servers:
            server.start()
            stack.callback(server.kill)
        yield servers


def _runs(pid: str) -> bool:
    """Is it there, and not only a zombie that nobody reaped?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class PostgresServer(Server):
    """A private cluster; `durable` keeps fsync on."""

    def __init__(
        self, folder: Path, *, durable: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        super().__init__(folder)
        self.durable = durable
        self.options = options
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._names = count(1)
        if os.geteuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        self._init()

    def _as_user(self) -> dict[str, object]:
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam("postgres")
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    def _init(self) -> None:
        program = find_program("initdb")
        assert program, missing("postgresql")
        command = [program, "-D", str(self.folder / "data"), "-U", "tillmesh", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(  # type: ignore[call-overload]
            command, cwd=self.folder, capture_output=True, check=False, **self._as_user()
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def _command(self) -> list[str]:
        program = find_program("postgres")
        assert program, missing("postgresql")
        command = [program, "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-k", str(self.folder)]
        command += ["-c", "max_connections=200", *self.options]
        return command if self.durable else [*command, "-F", "-c", "synchronous_commit=off"]

    def _popen(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "console.log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]
                self._command(), stdout=log, stderr=log, cwd=self.folder, **self._as_user()
            )
            return process

    def start(self) -> None:
        super().start()
        until = time.monotonic() + START_S
        while True:  # the port answers a little before queries do
            try:
                self._run("SELECT 1")
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self) -> None:
        self._end(signal.SIGINT)  # a fast shutdown: does not wait for clients

    def kill(self) -> None:
        """The backends too: without their parent they would answer for a moment longer."""
        if self.process is None:
            return
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._end(signal.SIGKILL)
        for child in map(int, children):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        until = time.monotonic() + START_S
        while any(map(_runs, children)):
            assert time.monotonic() < until, "a killed backend lives on"
            time.sleep(0.01)

    def wipe(self) -> None:
        assert self.process is None
        shutil.rmtree(self.folder / "data")
        self._init()

    def _run(self, sql: str) -> None:
        with psycopg.connect(
            host=self.host, port=self.port, user="tillmesh", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(sql)

    def url(self, database: str = "postgres") -> str:
        """As SQLAlchemy writes it."""
        return f"postgresql+psycopg://tillmesh@{self.host}:{self.port}/{database}"

    def fresh_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"t{os.getpid()}_{next(self._names)}"
        self._run(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mosquitto_server(*, acl: bool = False) -> Iterator[MosquittoServer]:
    """A running broker; gone at the end."""
    with _folder("tillmesh-mq-") as folder:
        server = MosquittoServer(folder, acl=acl)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def mtls_server() -> Iterator[MtlsServer]:
    """A running broker that wants certificates; gone at the end."""
    with _folder("tillmesh-mtls-") as folder:
        server = MtlsServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def postgres_server(
    *, durable: bool = False, options: tuple[str, ...] = ()
) -> Iterator[PostgresServer]:
    """A running cluster with these command-line options; gone at the end."""
    with _folder("tillmesh-pg-") as folder:
        server = PostgresServer(folder, durable=durable, options=options)
        server.start()
        try:
            yield server
        finally:
            server._end(signal.SIGQUIT)  # at once: nobody needs its files any more
