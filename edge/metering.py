"""A shop's figures for Prometheus: what all nodes have, and its printers and tills."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select

from edge.compose import Shop
from edge.tables import print_job
from protocol.node.metering import Figure, figures_of_node


def figures(shop: Shop) -> Iterator[Figure]:
    """Everything, as of now."""
    data_dir = Path(shop.settings.data_dir)
    yield from figures_of_node(shop.books, shop.syncing.replicator, shop.clock, data_dir)
    with shop.books.database.reading() as connection:
        query = select(print_job.c.device, print_job.c.state, func.count()).group_by(
            print_job.c.device, print_job.c.state
        )
        jobs = connection.execute(query).all()
    for device, state, count in jobs:
        labels = {"device": device, "state": state}
        yield Figure("tillmesh_print_jobs", "Print jobs by state.", count, labels)
    yield Figure("tillmesh_pages_live", "Browsers that listen here.", shop.hub.subscribers)
    for verdict in shop.health.verdicts():
        labels = {"part": verdict.part}
        good = float(verdict.state == "ok")
        yield Figure("tillmesh_part_ok", "1 while the part works.", good, labels)
