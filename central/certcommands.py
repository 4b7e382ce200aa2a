"""The commands of `tillmesh-central` about machines and their certificates."""

from pathlib import Path
from typing import Final

import click

from central.brokerfiles import write_broker_files
from central.compose import compose
from central.enrolment import TOKEN_MINUTES
from central.settings import load
from protocol.clock import DAY_MS

OPERATOR: Final = "operator"
CONSOLE: Final = "console"  # whoever may run this command could sign as anybody


@click.command()
@click.argument("store")
@click.pass_obj
def invite(path: Path, store: str) -> None:
    """Give out a one-time token for a shop's machine, valid for 30 minutes."""
    office = compose(load(path))
    try:
        line = office.enrolment.invite(store, by=OPERATOR).line()
    finally:
        office.books.database.close()
    click.echo(line)
    click.echo(
        f"Valid for {TOKEN_MINUTES} minutes, for one machine. In the shop: "
        "tillmesh-edge init --token LINE",
        err=True,
    )


@click.command()
@click.argument("store")
@click.option("--reason", default="", help="For the journal.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def revoke(path: Path, store: str, reason: str, *, yes: bool) -> None:
    """Lock a shop's machine out: its certificates and its key count no more."""
    if not yes:
        click.confirm(f"Lock {store}'s machine out? It sells on, but nobody hears it.", abort=True)
    office = compose(load(path))
    try:
        serials = office.enrolment.revoke(store, by=OPERATOR, second=CONSOLE, reason=reason)
        crl = office.enrolment.authority.crl_path
    finally:
        office.books.database.close()
    click.echo(
        f"{store}: revoked, {len(serials)} certificates. Give the broker its new list: {crl}"
    )


@click.command()
@click.pass_obj
def certificates(path: Path) -> None:
    """List the certificates of shops' machines, the newest first."""
    office = compose(load(path))
    try:
        now_ms = office.clock.read().at_ms
        for one in office.enrolment.certificates():
            state = one.reason if one.revoked_ms else f"{(one.until_ms - now_ms) // DAY_MS} days"
            click.echo(f"{one.node}  {state}  {one.serial}")
    finally:
        office.books.database.close()


@click.command("broker-files")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where to write them.",
)
@click.option(
    "--at",
    type=click.Path(path_type=Path, readable=False),  # the broker's own folder, closed to us
    default=None,
    help="Where the broker will find them, if they are carried elsewhere.",
)
@click.pass_obj
def broker_files(path: Path, target: Path, at: Path | None) -> None:
    """Write what Mosquitto needs: its certificate, the authority, revocations, access rules."""
    settings = load(path)
    office = compose(settings)
    try:
        office.enrolment.publish_revoked()  # also what a kill kept from being written
        written = write_broker_files(
            office.enrolment.authority,
            office.own_pair("broker"),
            target,
            port=settings.public.broker_port,
            at=at,
        )
    finally:
        office.books.database.close()
    for file in written:
        click.echo(str(file))
