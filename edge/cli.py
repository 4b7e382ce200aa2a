"""`tillmesh-edge`: join a chain, run the shop, look after its books."""

import gc
import os
import signal
import socket
import sys
import threading
import time
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING

import click

from devices.receipt import profile, render
from edge.compose import Shop, compose, open_books, open_node
from edge.doctor import examine_devices, examine_node
from edge.enrolling import enrol
from edge.fetching import fetch as fetch_snapshot
from edge.fetching import fetch_if_empty, renew_base
from edge.joining import join, read_joining, refuse_second
from edge.pairing import Pairing
from edge.papers import sample_receipt
from edge.people import People
from edge.proofs import behind_last_head
from edge.pruning import examine_base, is_due, prune
from edge.safekeeping import COMMANDS, chores_of, held_alone
from edge.settings import LANGUAGES, Settings, SettingsFaults, TillSettings, load
from protocol.enrolment import parse_invitation
from protocol.errors import Refusal, TillmeshError, Unavailable, define
from protocol.ids import shop_stream
from protocol.ledger import shelf
from protocol.node import logs
from protocol.node.chores import Chores
from protocol.node.database import file_in_words
from protocol.node.signing import load_key

if TYPE_CHECKING:
    from edge.web.serving import Server

WRONG_SETTINGS = 2

define(
    {
        "TOKEN_OTHER_SHOP": (
            "The token is for the shop {named}, this machine is {store}. Nothing was changed. Ask "
            "head office for a token of {store}.",
            "该令牌属于门店 {named}，本机为 {store}。没有任何更改。请向总部索取 {store} 的令牌。",
        ),
        "PORT_TAKEN": (
            "Port {port} on {host} is in use. Stop the other program, or set another port under "
            "[http] in the settings, then start again.",
            "{host} 的端口 {port} 已被占用。请停止占用的程序，"
            "或在设置 [http] 中更换端口后重新启动。",
        ),
    }
)


def main() -> None:
    """Run the command; a fault is a sentence on stderr, never a traceback."""
    zoneinfo.reset_tzpath(())  # zone data comes from the pinned wheel, on every machine the same
    try:
        commands(standalone_mode=False)
    except SettingsFaults as wrong:
        click.echo(f"{wrong.path}: {len(wrong.faults)} fault(s) in the settings", err=True)
        for fault in wrong.faults:
            click.echo(f"  {fault}", err=True)
        sys.exit(WRONG_SETTINGS)
    except TillmeshError as fault:
        click.echo(f"{fault.sentence('en')} [{fault.code}]", err=True)
        sys.exit(1)
    except OSError as fault:
        told = file_in_words(fault)
        click.echo(f"{told.sentence('en')} [{told.code}]", err=True)
        sys.exit(1)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tillmesh")
@click.option(
    "-s",
    "--settings",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("edge.toml"),
    envvar="TILLMESH_EDGE",
    show_default=True,
    help="The shop's settings file.",
)
@click.pass_context
def commands(ctx: click.Context, path: Path) -> None:
    """The node of one Tillmesh shop."""
    os.umask(0o077)  # keys, hashes and passwords are for this account only
    logs.set_up(sys.stderr)
    ctx.obj = path


@commands.command()
@click.option("--token", default="", help="The line that head office shows: joins by itself.")
@click.option(
    "--join",
    "file",
    type=click.Path(path_type=Path),
    default=None,
    help="The joining file that `tillmesh-central add-store` wrote, for a chain without TLS.",
)
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path(), show_default=True)
@click.option("--port", default=8081, show_default=True, help="Where the till's pages are served.")
def init(token: str, file: Path | None, folder: Path, port: int) -> None:
    """Join a chain: by a one-time token, or by a joining file (prints the line to accept)."""
    if bool(token) == (file is not None):
        raise click.UsageError("Give either --token LINE or --join FILE.")
    if file is None:
        refuse_second(folder)
        joining = enrol(parse_invitation(token), folder)
        join(joining, folder, http_port=port)
        click.echo(f"Enrolled as {joining.store} of {joining.chain}.")
        words = "Settings are in"
    else:
        joining = read_joining(file)
        if joining.broker.tls:
            raise Refusal("JOIN_NEEDS_TOKEN")
        key = join(joining, folder, http_port=port)
        click.echo(f"tillmesh-node {joining.store} ed25519 {key.public_hex}")
        words = "Give the line above to head office. Settings are in"
    settings = folder / "edge.toml"
    click.echo(f"{words} {settings}. Start: tillmesh-edge -s {settings} run", err=True)


@commands.command("enrol")
@click.option("--token", required=True, help="The line that head office shows.")
@click.pass_obj
def enrol_command(path: Path, token: str) -> None:
    """New keys and a new certificate for a shop that is set up; the node must be stopped."""
    settings = load(path)
    invitation = parse_invitation(token)
    if invitation.store != settings.store:
        raise Refusal("TOKEN_OTHER_SHOP", store=settings.store, named=invitation.store)
    with held_alone(Path(settings.data_dir)):
        joining = enrol(invitation, path.parent, data=Path(settings.data_dir))
    click.echo(f"Enrolled as {settings.store}, with new keys. Start the node again.")
    if not settings.mqtt.tls:
        broker = joining.broker
        click.echo(
            f'Now set in {path}, [mqtt]: host = "{broker.host}", port = {broker.port}, tls = true'
        )


@commands.command()
@click.pass_obj
def run(path: Path) -> None:
    """Run the shop until SIGTERM."""
    settings = load(path)
    with held_alone(Path(settings.data_dir)):
        claim_port(settings.http.host, settings.http.port)
        fetch_first(settings)
        shop = compose(settings)
        gc.collect()
        gc.freeze()  # code and compiled rules are never garbage: shorter pauses while selling
        serve(shop, chores_of(settings, path))


def on_stderr(words: str) -> None:
    """What is by the way: the first line of stdout is the address."""
    click.echo(words, err=True)


def fetch_first(settings: Settings) -> None:
    """A shop without books starts from head office's snapshot, if it can be had now.

    So does one whose snapshot an update cannot read, but that one needs it.
    """
    key = load_key(settings.key_path)
    books = open_books(
        settings, newer=lambda books: renew_base(settings, key, books, say=on_stderr)
    )
    try:
        fetch_if_empty(settings, key, books, say=on_stderr)
    finally:
        books.database.close()


@commands.command()
@click.pass_obj
def fetch(path: Path) -> None:
    """A new or replaced computer: start from head office's snapshot, own journal included."""
    settings = load(path)
    with held_alone(Path(settings.data_dir)):
        books = open_books(settings)
        try:
            key = load_key(settings.key_path)
            came = fetch_snapshot(settings, key, books, say=click.echo)
        finally:
            books.database.close()
    click.echo(f"{came.size} bytes, {came.events} own events, in {came.seconds:.1f} s. Start: run")


@commands.command("prune")
@click.option("--due", is_flag=True, help="Only when a week of events can go; else say nothing.")
@click.pass_obj
def prune_command(path: Path, *, due: bool) -> None:
    """Forget own events that head office has surely held for keep_days; the shop may run on."""
    settings = load(path)
    with held_alone(Path(settings.data_dir), name="lock-snapshot", busy="SNAPSHOT_BUSY"):
        node = open_node(settings)
        try:
            if due and not is_due(node):
                return
            done = prune(node, load_key(settings.key_path), say=click.echo)
        except Refusal as fault:
            if not due or fault.code != "PRUNE_NOTHING":
                raise
            return
        finally:
            node.books.database.close()
    click.echo(
        f"{done.events} events deleted; the journal begins after {done.upto}, with a snapshot of "
        f"{done.size} bytes, in {done.seconds:.1f} s"
    )


@commands.command()
@click.option("--till", default=None, help="The till it belongs to; the first one by itself.")
@click.option("--phone", is_flag=True, help="For a phone or an office screen, which sells nothing.")
@click.pass_obj
def pair(path: Path, till: str | None, *, phone: bool) -> None:
    """Print a fresh code that pairs one browser with a till; works while the shop runs."""
    settings = load(path)
    node = open_node(settings)  # never `compose`: a second writer would start a second epoch
    try:
        named = till or (settings.tills[0].id if settings.tills else "")
        code = Pairing(node, People(node, b"")).make_code("" if phone else named)
        click.echo(f"{code}  (10 minutes, once)")
    finally:
        node.books.database.close()


@commands.command()
@click.pass_obj
def verify(path: Path) -> None:
    """Walk every journal's chain; name the first wrong row of each. Exit 1 on a fault."""
    settings = load(path)
    books = open_books(settings)
    try:
        faults = {fault.stream: fault for fault in books.verify()}
        begins = examine_base(books, settings.central_public_key, settings.store)
        if begins:
            click.echo(f"begins {begins}")
        with books.database.reading() as connection:
            streams = books.streams(connection)
        for stream in sorted({*streams, *faults}):
            fault = faults.get(stream)
            if fault is None:
                click.echo(f"ok     {stream}")
            else:
                click.echo(f"WRONG  {stream}  event {fault.seq}: {fault.detail} [{fault.code}]")
        lost = "" if faults else behind_last_head(settings, books)
        if lost:
            click.echo(f"WRONG  {shop_stream(settings.store)}  {lost}")
    finally:
        books.database.close()
    sys.exit(1 if faults or lost else 0)


@commands.command()
@click.pass_obj
def rebuild(path: Path) -> None:
    """Fold the journal again into empty read tables; the shelf's digest must stay the same."""
    settings = load(path)
    with held_alone(Path(settings.data_dir)):
        books = open_books(settings)
        try:
            place = shelf(settings.store)
            before, products = books.proof(place)
            click.echo(f"before {before}  {products} products")
            count = books.rebuild()
            after, products = books.proof(place)
            click.echo(f"after  {after}  {products} products, {count} events folded")
        finally:
            books.database.close()
    if before != after:
        click.echo("The digest changed: the read tables had gone wrong and are right now.")
        sys.exit(1)


@commands.command()
@click.option("--language", type=click.Choice(LANGUAGES), help="The settings' one by itself.")
@click.option("--png", type=click.Path(path_type=Path), help="Write it as a picture too.")
@click.pass_obj
def receipt(path: Path, language: str | None, png: Path | None) -> None:
    """Show a receipt with invented goods, as the settings lay it out; print nothing."""
    from devices.sim.interpreter import EscPos  # noqa: PLC0415 - the virtual paper, only here

    settings = load(path)
    to = profile(settings.tills[0].profile if settings.tills else TillSettings(id="").profile)
    paper = EscPos(columns=to.columns, dots=to.dots)
    paper.feed(render(sample_receipt(settings, language or settings.receipt_language), to))
    click.echo(paper.papers[-1].text())
    if png is not None:
        png.write_bytes(paper.papers[-1].png())


@commands.group(invoke_without_command=True)
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Show what is in force, and try everything that a start needs."""
    if ctx.invoked_subcommand is None:
        lines, wrong = examine_node(ctx.obj, load(ctx.obj))
        click.echo("\n".join(lines))
        sys.exit(1 if wrong else 0)


@doctor.command()
@click.option("--language", type=click.Choice(LANGUAGES), default="en", show_default=True)
@click.option("--print", "test_page", is_flag=True, help="Print a test page on each printer too.")
@click.pass_obj
def devices(path: Path, language: str, *, test_page: bool) -> None:
    """Try each device of the settings: one verdict with its reason per device."""
    settings = load(path)
    lines, wrong = examine_devices(
        settings, language, running=is_running(settings), test_page=test_page
    )
    click.echo("\n".join(lines))
    sys.exit(1 if wrong else 0)


def is_running(settings: Settings) -> bool:
    """Does a node of this shop run on this machine?"""
    try:
        with held_alone(Path(settings.data_dir)):
            return False
    except Unavailable:
        return True


def claim_port(host: str, port: int) -> None:
    """Say that the port is taken before the books are opened, which may take a while."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise Unavailable("PORT_TAKEN", host=host, port=port) from fault


def serve(shop: Shop, chores: Chores) -> None:
    """Pages in this process, until SIGTERM or Ctrl-C; then streams end and threads are joined."""
    from edge.web import create_app  # noqa: PLC0415 - a second of imports that only `run` needs
    from edge.web.serving import Server  # noqa: PLC0415

    http = shop.settings.http
    server = Server(create_app(shop), http.host, http.port)
    ended = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: ended.set())
    try:
        port = listen(server, http.host, http.port)
        shop.start()
        chores.start()
        announce(shop, http.host, port)
        ended.wait()
    finally:
        started = time.monotonic()
        chores.stop()
        server.stop()
        shop.stop()
        click.echo(f"stopped in {time.monotonic() - started:.1f} s")


def listen(server: "Server", host: str, port: int) -> int:
    """Serve; a port in use is said in words."""
    try:
        return server.start()
    except OSError as fault:
        raise Unavailable("PORT_TAKEN", host=host, port=port) from fault


def announce(shop: Shop, host: str, port: int) -> None:
    """The address, and a pairing code as long as no browser is paired."""
    click.echo(f"Tillmesh shop {shop.settings.store} on http://{host}:{port}/")
    if not shop.pairing.browsers() and shop.settings.tills:
        till = shop.settings.tills[0].id
        code = shop.pairing.make_code(till)
        click.echo(f"No browser is paired yet. Code for till {till}: {code} (10 minutes)")
    sys.stdout.flush()


for command in COMMANDS:
    commands.add_command(command)

if __name__ == "__main__":
    main()
