"""The bakery chain on one machine: broker, time servers, head office, two shops, their devices.

Everything runs as it would in a shop: own processes, started by the commands that operators use.
Only the hardware and the time servers are virtual.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from central.compose import HeadOffice
from central.compose import compose as compose_office
from central.people import Person
from central.settings import Settings as OfficeSettings
from central.settings import load as load_office
from central.stores import Store
from deploy import bakery
from deploy.processes import Process, broker, free_port, mtls_broker, mtls_conf
from devices.sim.store import Kit, VirtualShop
from devices.sim.vntp import VirtualNtp
from edge.joining import join, read_joining
from protocol.node.ntpclock import NtpClock

BIN = Path(sys.executable).parent
PORTS = {
    "broker": 18830,
    "central": 8700,
    "machines": 8743,
    "S1": 8081,
    "S2": 8082,
    "sim-S1": 8181,
    "sim-S2": 8182,
}
TILL = "1"
ADMIN_SECRET = "TILLMESH_ADMIN_PASSWORD"  # noqa: S105 - the name of a variable


class Shop:
    """One shop of the chain: its process, its virtual hardware, its settings."""

    def __init__(self, store: str, folder: Path, port: int, devices: VirtualShop) -> None:
        self.store = store
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.devices = devices
        self.settings = folder / "edge.toml"
        self.database = folder / "data" / "edge.db"
        self.process = Process(
            f"shop {store}",
            [str(BIN / "tillmesh-edge"), "-s", str(self.settings), "run"],
            log=folder / "edge.log",
            url=self.url,
        )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `tillmesh-edge` on this shop."""
        return _run([str(BIN / "tillmesh-edge"), "-s", str(self.settings), *words])

    def pairing_code(self) -> str:
        """A fresh code that pairs a browser with the till."""
        said = self.command("pair", "--till", TILL)
        found = re.search(r"\b(\d{6})\b", said.stdout)
        if not found:
            raise SystemExit(f"No pairing code: {said.stdout}{said.stderr}")
        return found.group(1)


def _run(
    command: list[str], secrets: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **(secrets or {})}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _fit_out(shop: Shop) -> None:
    """Give the till its hardware."""
    head = shop.settings.read_text(encoding="utf-8").split("[[tills]]")[0]
    shop.settings.write_text(
        f"""{head}[labels]
printer = "{shop.devices.labels.url if shop.devices.labels else ""}"

[[tills]]
id = "{TILL}"
name = "{TILL}"
printer = "{shop.devices.printer_url(TILL)}"
profile = "80mm-48col"
scanner = "{shop.devices.scanner_url(TILL)}"
scale = "{shop.devices.scale_url(TILL)}"
display = "{shop.devices.display_url(TILL)}"
display_gb = true
drawer = true
card = "{shop.devices.card_url(TILL)}"

[[payment.providers]]
name = "扫码支付 Scan-pay"
kind = "simulated"
url = "{shop.devices.provider.url if shop.devices.provider else ""}"
""",
        encoding="utf-8",
    )


class Chain:
    """Build it in a folder that is emptied, then `create`, `start`; `stop` ends everything."""

    def __init__(
        self,
        folder: Path,
        *,
        fixed_ports: bool,
        broker_kind: str = "",
        database_url: str = "",
        tls: bool = False,
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("central", "broker"):
            (folder / part).mkdir(parents=True)
        self.folder = folder
        self._fixed = fixed_ports
        self.broker_port = self._port("broker")
        self.tls = tls
        if tls:
            self.broker = mtls_broker(folder / "broker", self.broker_port)
        else:
            self.broker = broker(folder / "broker", self.broker_port, kind=broker_kind)
        self.time_servers = [VirtualNtp() for _ in range(3)]
        self.central_port = self._port("central")
        self.central_url = f"http://127.0.0.1:{self.central_port}"
        self.central_settings = folder / "central" / "central.toml"
        self._database_url = database_url
        self.central = Process(
            "head office",
            [str(BIN / "tillmesh-central"), "-s", str(self.central_settings), "run"],
            log=folder / "central.log",
            url=self.central_url,
        )
        self.shops: dict[str, Shop] = {}

    def _port(self, name: str) -> int:
        return free_port(PORTS[name] if self._fixed else 0)

    @property
    def ntp(self) -> list[str]:
        """The addresses of the virtual time servers."""
        return [server.address for server in self.time_servers]

    def office_settings(self) -> OfficeSettings:
        """Head office's settings as its processes read them."""
        return load_office(self.central_settings)

    def central_command(self, *words: str, **secrets: str) -> subprocess.CompletedProcess[str]:
        """Run `tillmesh-central` on this head office, with secrets in its environment."""
        return _run(
            [str(BIN / "tillmesh-central"), "-s", str(self.central_settings), *words], secrets
        )

    # -- building ---------------------------------------------------------------------------

    def create(self) -> None:
        """Set up head office and both shops, with goods, prices, promotions and people."""
        self._init_office()
        office = compose_office(load_office(self.central_settings))
        try:
            if isinstance(office.clock, NtpClock):
                office.clock.ask_all()
            self._fill(office)
        finally:
            office.books.database.close()
        if self.tls:
            self._enrol_shops()

    def _enrol_shops(self) -> None:
        """As operators do it: the broker's files, a token per shop, one command in each."""
        self._said("broker-files", "--to", str(self.folder / "broker"))
        mtls_conf(self.folder / "broker")
        self.broker.start()
        self.broker.wait_for()
        self.central.start()
        self.central.wait_for()
        for store, shop in self.shops.items():
            line = self._said("invite", store)
            words = ["init", "--token", line, "--dir", str(shop.folder), "--port", str(shop.port)]
            said = _run([str(BIN / "tillmesh-edge"), *words])
            if said.returncode:
                raise SystemExit(f"{store} was not enrolled: {said.stdout}{said.stderr}")
            _fit_out(shop)

    def _said(self, *words: str) -> str:
        said = self.central_command(*words)
        if said.returncode:
            raise SystemExit(f"{words[0]} did not work: {said.stdout}{said.stderr}")
        return said.stdout.strip()

    def _init_office(self) -> None:
        name, port = bakery.NAME, str(self.broker_port)
        person, person_name, _, password = bakery.HQ_ACCOUNTS[0]
        words = ["init", "--chain", bakery.CHAIN, "--name-zh", name["zh"], "--name-en", name["en"]]
        words += ["--data-dir", str(self.folder / "central" / "data")]
        words += ["--http-port", str(self.central_port), "--url", self.central_url]
        words += ["--mqtt-port", port, "--broker-port", port, "--admin", person]
        words += ["--admin-name", person_name, "--admin-password-env", ADMIN_SECRET]
        if self.tls:
            words += ["--tls", "--https-port", str(self._port("machines"))]
        if self._database_url:
            words += ["--database-url", self._database_url]
        for server in self.ntp:
            words += ["--ntp", server]
        said = self.central_command(*words, **{ADMIN_SECRET: password})
        if said.returncode:
            raise SystemExit(f"Head office was not set up: {said.stdout}{said.stderr}")

    def _fill(self, office: HeadOffice) -> None:
        by = "admin"
        for person, name, role, password in bakery.HQ_ACCOUNTS[1:]:
            office.accounts.add_account(person, name=name, role=role, password=password, by=by)
        office.stores.describe_chain(
            zh=bakery.NAME["zh"],
            en=bakery.NAME["en"],
            by=by,
            footer={"zh": "谢谢惠顾，欢迎再来！", "en": "Thank you, see you soon!"},
            prefixes=("20:item5:weight5",),
        )
        for group, (zh, en, *_) in bakery.GROUPS.items():
            office.catalogue.define_group(group, zh=zh, en=en, by=by)
        for store in bakery.STORES:
            self._add_shop(office, store, by=by)
        answer = office.catalogue.import_csv(bakery.goods_csv(), by=by, apply=True)
        if answer.faults:
            raise SystemExit(f"The demo's goods were refused: {answer.faults[:3]}")
        for document in bakery.PROMOTIONS:
            office.campaigns.save_draft(document["id"], _json(document), by=by)
            office.campaigns.publish(document["id"], by=by)
        for person, name, role, pin, stores in bakery.PEOPLE:
            office.people.add_person(
                Person(person=person, name=name, role=role, stores=stores), pin=pin, by=by
            )

    def _add_shop(self, office: HeadOffice, store: dict[str, str], *, by: str) -> None:
        name = store["store"]
        joining = office.stores.add_store(
            Store(
                store=name,
                name_zh=store["zh"],
                name_en=store["en"],
                zone=store["zone"],
                group=store["group"],
                tz=bakery.TZ,
            ),
            by=by,
        )
        folder = self.folder / name
        folder.mkdir()
        devices = VirtualShop(
            [TILL],
            self._port(f"sim-{name}"),
            name=f"{store['zh']} {store['en']}",
            folder=str(folder / "devices"),
            kit=Kit(full=True, time_servers=tuple(self.time_servers)),
            goods=[(f"{g['name_zh']} {g['name_en']}", g["codes"]) for g in bakery.goods()[:24]],
        )
        shop = Shop(name, folder, self._port(name), devices)
        self.shops[name] = shop
        if self.tls:
            return
        file = folder / "join.toml"
        file.write_text(joining, encoding="utf-8")
        key = join(read_joining(file), folder, http_port=shop.port)
        file.unlink()
        _fit_out(shop)
        office.stores.accept_node(f"tillmesh-node {name} ed25519 {key.public_hex}", by=by)

    # -- running ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything and wait until every address answers."""
        self.broker.start()
        self.broker.wait_for()
        self.central.start()
        for shop in self.shops.values():
            shop.devices.start()
            shop.process.start()
        self.central.wait_for()
        for shop in self.shops.values():
            shop.process.wait_for()

    def stop(self) -> None:
        """End everything."""
        for shop in self.shops.values():
            shop.process.stop()
        self.central.stop()
        self.broker.stop()
        for shop in self.shops.values():
            shop.devices.stop()
        for server in self.time_servers:
            server.stop()


def _json(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)
