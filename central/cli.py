"""`tillmesh-central`: set head office up, run it, look after it.

Exit 0: done. 1: refused or found something wrong, in a sentence. 2: wrong settings, a line each.
"""

import os
import signal
import sys
import threading
import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from central import doctor as doctoring
from central.certcommands import broker_files, certificates, invite, revoke
from central.compose import HeadOffice, Part, compose
from central.ingesting import ingest
from central.people import Person
from central.safekeeping import COMMANDS, chores_of, held_by_server
from central.settings import (
    Http,
    Https,
    Mqtt,
    Names,
    Public,
    Settings,
    SettingsFaults,
    load,
    sqlite_url,
    write,
)
from central.sharing import INGEST, Duty
from central.stores import Store
from central.upkeep import Upkeep
from protocol.errors import Refusal, TillmeshError, Unavailable, define
from protocol.ledger import shelf
from protocol.node import logs
from protocol.node.database import file_in_words
from protocol.node.signing import make_key
from protocol.node.sqljournal import SqlRecords
from protocol.node.verifying import Fault

OPERATOR: Final = "operator"
DEFAULT: Final = "central.toml"

define(
    {
        "INIT_DONE_BEFORE": (
            "{path} exists already. Nothing was changed; edit it, or choose another file with -s.",
            "{path} 已存在，没有任何更改。请直接编辑，或用 -s 指定其他文件。",
        ),
        "PASSWORD_MISSING": (
            "No password: the environment variable {name} is empty.",
            "没有密码：环境变量 {name} 为空。",
        ),
        "PORT_IN_USE": (
            "The port {host}:{port} is in use ({detail}). Stop the other program, or change "
            "[http] port in the settings.",
            "端口 {host}:{port} 已被占用（{detail}）。请停止其他程序，或更改设置中的 [http] port。",
        ),
        "HTTPS_PORT_IN_USE": (
            "The port {host}:{port} is in use ({detail}). Stop the other program, or change "
            "[https] port in the settings.",
            "端口 {host}:{port} 已被占用（{detail}）。"
            "请停止其他程序，或更改设置中的 [https] port。",
        ),
        "FOLDER_UNWRITABLE": (
            "The folder {path} cannot be written ({detail}). Correct its owner, or data_dir in the "
            "settings.",
            "目录 {path} 无法写入（{detail}）。请更正目录权限或设置中的 data_dir。",
        ),
        "FILE_NOT_TEXT": (
            "The file {path} cannot be read as UTF-8 text ({detail}).",
            "文件 {path} 无法按 UTF-8 文本读取（{detail}）。",
        ),
    }
)


def language() -> str:
    """The operator's language, by the environment."""
    named = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "zh" if named.startswith("zh") else "en"


class Commands(click.Group):
    """Faults leave as sentences, never as tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except SettingsFaults as faults:
            for line in faults.lines:
                click.echo(f"{faults.params['path']}: {line}", err=True)
            sys.exit(2)
        except TillmeshError as fault:
            click.echo(f"{fault.sentence(language())} [{fault.code}]", err=True)
            sys.exit(1)
        except OSError as fault:
            told = file_in_words(fault)
            click.echo(f"{told.sentence(language())} [{told.code}]", err=True)
            sys.exit(1)


@click.group(cls=Commands)
@click.option(
    "-s",
    "--settings",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT,
    envvar="TILLMESH_CENTRAL",
    show_default=True,
    help="The settings file.",
)
@click.pass_context
def main(ctx: click.Context, path: Path) -> None:
    """Head office of Tillmesh."""
    zoneinfo.reset_tzpath(())  # zone data comes from the pinned wheel, on every machine the same
    os.umask(0o077)  # keys, hashes and passwords are for this account only
    logs.set_up(sys.stderr)
    ctx.obj = path


@contextmanager
def _office(path: Path) -> Iterator[HeadOffice]:
    """Head office without its threads."""
    office = compose(load(path))
    try:
        yield office
    finally:
        office.books.database.close()


def _secret(env: str, prompt: str) -> str:
    if env:
        value = os.environ.get(env, "")
        if not value:
            raise Refusal("PASSWORD_MISSING", name=env)
        return value
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=True))


@main.command()
@click.option("--chain", required=True, help="Short id of the chain: letters, digits, - and _.")
@click.option("--name-zh", required=True)
@click.option("--name-en", required=True)
@click.option("--data-dir", default="data", show_default=True)
@click.option("--database-url", default="", help="PostgreSQL; otherwise SQLite in the data folder.")
@click.option("--http-host", default="127.0.0.1", show_default=True)
@click.option("--http-port", default=8700, show_default=True)
@click.option("--mqtt-host", default="127.0.0.1", show_default=True)
@click.option("--mqtt-port", default=1883, show_default=True)
@click.option("--broker-host", default="", help="The broker as shops reach it.")
@click.option("--broker-port", default=0, help="The same, its port.")
@click.option("--https-port", default=0, help="Where shops' machines enrol by token; 0: nowhere.")
@click.option("--tls", is_flag=True, help="Certificates on the line to the broker, for all nodes.")
@click.option("--url", default="", help="Head office's pages as shops reach them.")
@click.option("--ntp", multiple=True, help="A time server, host:port; several times.")
@click.option("--admin", required=True, help="Sign-in name of the first admin.")
@click.option("--admin-name", default="", help="The admin's name, as people know it.")
@click.option("--admin-password-env", default="", help="Take the password from this variable.")
@click.pass_obj
def init(path: Path, /, **options: Any) -> None:
    """Write the settings, make the node key, the database and the first admin."""
    if path.exists():
        raise Refusal("INIT_DONE_BEFORE", path=str(path))
    password = _secret(options["admin_password_env"], f"Password of {options['admin']}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(_first_settings(path, options), path)
    try:
        settings = load(path)
        _make_folder(settings.data_dir)
        make_key(settings.key_path)
        with _office(path) as office:
            known = {a.person for a in office.accounts.accounts()}
            if options["admin"] not in known:
                office.accounts.add_account(
                    options["admin"],
                    name=options["admin_name"] or options["admin"],
                    role="admin",
                    password=password,
                    by=OPERATOR,
                )
            office.stores.describe_chain(zh=settings.name.zh, en=settings.name.en, by=OPERATOR)
    except TillmeshError:
        path.unlink()  # so that `init` may be tried again
        raise
    click.echo(f"{path}: written. Start head office with: tillmesh-central -s {path} run")


def _first_settings(path: Path, options: dict[str, Any]) -> Settings:
    data_dir = Path(options["data_dir"])
    here = path.resolve().parent / data_dir
    host, port = options["http_host"], options["http_port"]
    return Settings(
        chain=options["chain"],
        name=Names(zh=options["name_zh"], en=options["name_en"]),
        data_dir=data_dir,
        database_url=options["database_url"] or sqlite_url(data_dir),
        http=Http(host=host, port=port),
        https=Https(port=options["https_port"]),
        mqtt=Mqtt(host=options["mqtt_host"], port=options["mqtt_port"], tls=options["tls"]),
        public=Public(
            broker_host=options["broker_host"] or options["mqtt_host"],
            broker_port=options["broker_port"] or options["mqtt_port"],
            url=options["url"] or f"http://{host}:{port}",
        ),
        ntp_servers=options["ntp"],
        path=here,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as fault:
        raise Unavailable("FOLDER_UNWRITABLE", path=str(folder), detail=fault.strerror) from None


@main.command()
@click.option("--pages", is_flag=True, help="Only the pages, beside ingest workers (PostgreSQL).")
@click.option("--port", default=0, help="Instead of [http] port: a further process of pages.")
@click.pass_obj
def run(path: Path, *, pages: bool, port: int) -> None:
    """Serve the pages and keep in touch with the shops, until stopped."""
    settings = load(path)
    if port:
        http = msgspec.structs.replace(settings.http, port=port)
        settings = msgspec.structs.replace(settings, http=http)
    with held_by_server(settings.data_dir):
        _serve(settings, path, "pages" if pages else "all")


def _serve(settings: Settings, path: Path, part: Part) -> None:
    from central.web import create_app  # noqa: PLC0415 - only this command needs the pages
    from central.web.serving import Server  # noqa: PLC0415

    office = compose(settings)
    http = office.settings.http
    server = Server(create_app(office), http.host, http.port)
    taking = Duty(office.books.database, INGEST)
    if part == "all" and not taking():
        office.books.database.close()
        raise Refusal("HQ_INGEST_TAKEN")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server.start()
    except OSError as fault:
        office.books.database.close()
        raise Unavailable(
            "PORT_IN_USE", host=http.host, port=http.port, detail=fault.strerror or str(fault)
        ) from None
    upkeep = _upkeep(office, path, part)
    office.evicting.mine = lambda: upkeep.mine
    office.start(part)
    if part == "all" or not office.books.database.sqlite:  # there one process does it all
        upkeep.start()
    click.echo(f"head office of {office.settings.chain}: http://{http.host}:{server.port}")
    if doctoring.broker_fault(office.settings):
        click.echo(doctoring.broker_sentence(office.settings, language()), err=True)
    stopping.wait()
    click.echo("stopping")
    upkeep.stop()
    server.stop()
    office.stop()
    taking.close()


def _upkeep(office: HeadOffice, path: Path, part: Part) -> Upkeep:
    """What one process does for all: the machines' port, backups; begun when it may be."""
    from central.web.machines import MachineServer  # noqa: PLC0415

    https = office.settings.https

    def begin() -> Callable[[], None]:
        machines = MachineServer(office) if https.port else None
        if machines:
            machines.start()
            click.echo(f"machines of shops enrol at {office.settings.https_url}")
        chores = chores_of(office.settings, path)
        chores.start()

        def end() -> None:
            chores.stop()
            if machines:
                machines.stop()

        return end

    upkeep = Upkeep(office.books.database, begin)
    if part == "all":
        try:
            upkeep.look()
        except OSError as fault:
            office.books.database.close()
            raise Unavailable(
                "HTTPS_PORT_IN_USE", host=https.host, port=https.port, detail=str(fault)
            ) from None
    return upkeep


@main.command()
@click.pass_obj
def verify(path: Path) -> None:
    """Walk every chain of events; name the first wrong row."""
    with _office(path) as office:
        faults: dict[str, Fault] = {fault.stream: fault for fault in office.books.verify()}
        with office.books.database.reading() as connection:
            heads = {s: SqlRecords(connection).head(s) for s in office.books.streams(connection)}
    for stream in sorted(heads.keys() | faults.keys()):
        fault = faults.get(stream)
        if fault is None:
            click.echo(f"ok     {stream}  {heads[stream].seq}  {heads[stream].hash[:16]}")
        else:
            click.echo(f"WRONG  {stream}  event {fault.seq}: {fault.detail} [{fault.code}]")
    if not heads:  # `init` already wrote some
        click.echo("WRONG  there is no journal at all: the database was emptied or replaced")
    if faults or not heads:
        sys.exit(1)


@main.command()
@click.pass_obj
def rebuild(path: Path) -> None:
    """Drop the read tables and fold the journal anew; show the stock digests before and after."""
    with _office(path) as office:
        places = [shelf(s.store) for s in office.stores.stores()]
        before = {place: office.books.proof(place) for place in places}
        count = office.books.rebuild()
        differ = False
        for place in places:
            after = office.books.proof(place)
            differ = differ or after != before[place]
            mark = "same" if after == before[place] else "DIFFERS"
            click.echo(f"{place}  {before[place][0]} -> {after[0]}  {after[1]} products  {mark}")
    click.echo(f"{count} events folded")
    if differ:
        sys.exit(1)


@main.command()
@click.pass_obj
def retry(path: Path) -> None:
    """After an update: fold anew what was parked, and forward what could not be forwarded."""
    with _office(path) as office:
        before, after = office.transfers.retry_parked()
    click.echo(f"{before - after} events are in use now, {after} wait on")
    if after:
        sys.exit(1)


@main.command("add-store")
@click.argument("store")
@click.option("--name-zh", required=True)
@click.option("--name-en", required=True)
@click.option("--zone", required=True, help="Price zone.")
@click.option("--group", required=True, help="Neighbours who see each other's stock.")
@click.option("--tz", default="Asia/Shanghai", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=None)
@click.pass_obj
def add_store(path: Path, /, store: str, output: Path | None, **options: str) -> None:
    """Add a shop and write its joining file."""
    with _office(path) as office:
        text = office.stores.add_store(
            Store(
                store=store,
                name_zh=options["name_zh"],
                name_en=options["name_en"],
                zone=options["zone"],
                group=options["group"],
                tz=options["tz"],
            ),
            by=OPERATOR,
        )
    target = output or Path(f"{store}.join.toml")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    click.echo(f"{target}: written. In the shop: tillmesh-edge init --join {target.name}")


@main.command("accept-node")
@click.argument("line", nargs=-1, required=True)
@click.pass_obj
def accept_node(path: Path, line: tuple[str, ...]) -> None:
    """Accept the line that the shop showed: tillmesh-node SHOP ed25519 KEY."""
    with _office(path) as office:
        store = office.stores.accept_node(" ".join(line), by=OPERATOR)
    click.echo(f"{store}: accepted")


@main.command("add-person")
@click.argument("person")
@click.option("--name", required=True)
@click.option("--role", type=click.Choice(["cashier", "manager", "buyer", "admin"]), required=True)
@click.option("--store", "stores", multiple=True, required=True, help="Several times.")
@click.option("--pin-env", default="", help="Take the PIN from this variable.")
@click.pass_obj
def add_person(path: Path, /, person: str, pin_env: str, **options: Any) -> None:
    """Add somebody who works in shops, with a PIN."""
    pin = _secret(pin_env, f"PIN of {person}")
    with _office(path) as office:
        wanted = Person(
            person=person, name=options["name"], role=options["role"], stores=options["stores"]
        )
        office.people.add_person(wanted, pin=pin, by=OPERATOR)
    click.echo(f"{person}: added")


@main.command("add-account")
@click.argument("person")
@click.option("--name", required=True)
@click.option("--role", type=click.Choice(["buyer", "admin"]), required=True)
@click.option("--password-env", default="", help="Take the password from this variable.")
@click.pass_obj
def add_account(path: Path, person: str, name: str, role: str, password_env: str) -> None:
    """Add somebody who signs in at head office."""
    password = _secret(password_env, f"Password of {person}")
    with _office(path) as office:
        office.accounts.add_account(person, name=name, role=role, password=password, by=OPERATOR)
    click.echo(f"{person}: added")


@main.command("import-products")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--apply", is_flag=True, help="Take the good rows; without it only look.")
@click.pass_obj
def import_products(path: Path, file: Path, *, apply: bool) -> None:
    """Read products from CSV; every fault is named by row and column."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise Refusal("FILE_NOT_TEXT", path=str(file), detail=str(fault)[:100]) from None
    with _office(path) as office:
        result = office.catalogue.import_csv(text, by=OPERATOR, apply=apply)
    for wrong in result.faults:
        place = f"{file}:{wrong.row}" + (f" {wrong.column}" if wrong.column else "")
        click.echo(f"{place}: {wrong.sentence(language())}", err=True)
    for english, chinese in result.warnings:
        click.echo(chinese if language() == "zh" else english, err=True)
    did = "taken" if result.applied else "found (use --apply to take them)"
    click.echo(
        f"{result.rows} rows: {len(result.new)} new, {len(result.changed)} changed, "
        f"{result.unchanged} unchanged, {result.priced} prices, {len(result.faults)} faults; {did}"
    )
    if result.faults:
        sys.exit(1)


@main.command()
@click.pass_obj
def doctor(path: Path) -> None:
    """Look at everything that head office needs, and say what is wrong."""
    findings = doctoring.examine(load(path))
    for finding in findings:
        mark = "ok   " if finding.ok else "WRONG"
        click.echo(f"{mark}  {finding.part}: {finding.text}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


for command in (*COMMANDS, ingest, invite, broker_files, certificates, revoke):
    main.add_command(command)


if __name__ == "__main__":
    main()
