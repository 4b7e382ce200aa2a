"""The commands of `tillmesh-central` about machines and their certificates."""

from pathlib import Path
from typing import Final

import click

from central.brokerfiles import write_broker_files
from central.compose import compose
from central.enrolment import TOKEN_MINUTES
from central.settings import load

OPERATOR: Final = "operator"


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
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Where the broker will find them, if they are carried elsewhere.",
)
@click.pass_obj
def broker_files(path: Path, target: Path, at: Path | None) -> None:
    """Write what Mosquitto needs: its certificate, the authority, revocations, access rules."""
    settings = load(path)
    office = compose(settings)
    try:
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
