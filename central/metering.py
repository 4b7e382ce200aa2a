"""Head office's figures for Prometheus: its own, and one line per shop and per worker."""

from collections.abc import Iterator

from central import watching
from central.compose import HeadOffice
from protocol.ids import shop_stream
from protocol.node.metering import Figure, figures_of_node
from protocol.node.sqljournal import SqlRecords

SHOPS_MAX = 20_000  # lines per figure; Prometheus would rather have fewer


def figures(office: HeadOffice) -> Iterator[Figure]:
    """Everything, as of now."""
    data_dir = office.settings.data_dir
    yield from figures_of_node(office.books, office.syncing.replicator, office.clock, data_dir)
    yield from _shops(office)
    yield from _workers(office)
    yield Figure("tillmesh_pages_live", "Browsers that listen here.", office.hub.subscribers)
    if office.switchboard is not None:
        dropped = office.switchboard.dropped
        yield Figure("tillmesh_switchboard_dropped_total", "Facts not told on.", dropped)


def _shops(office: HeadOffice) -> Iterator[Figure]:
    now_ms = office.clock.read().at_ms
    with office.books.database.reading() as connection:
        found = sorted(watching.reports(connection).items())[:SHOPS_MAX]
        records = SqlRecords(connection)
        heads = {store: records.head(shop_stream(store)).seq for store, _ in found}
    for store, report in found:
        labels = {"store": store}
        online = float(not report.offline(now_ms))
        yield Figure("tillmesh_shop_online", "1 while the shop speaks.", online, labels)
        silent_s = max(0, now_ms - report.seen_ms) / 1000
        yield Figure("tillmesh_shop_silent_seconds", "Since it last spoke.", silent_s, labels)
        lag = max(0, report.head - heads[store])
        yield Figure("tillmesh_shop_lag_events", "Said there, not stored here.", lag, labels)
        behind = report.unsynced
        yield Figure("tillmesh_shop_unsynced_events", "By its own count.", behind, labels)
        offset_s = report.clock_offset_ms / 1000
        yield Figure("tillmesh_shop_clock_offset_seconds", "Its clock - ours.", offset_s, labels)
        free = report.disk_free
        yield Figure("tillmesh_shop_disk_free_bytes", "Room on its disk.", free, labels)
    for lag_of in office.repricing.status():
        lag = max(0, lag_of.head_seq - lag_of.done_seq)
        labels = {"store": lag_of.store}
        yield Figure("tillmesh_repricing_lag_events", "Not priced again yet.", lag, labels)


def _workers(office: HeadOffice) -> Iterator[Figure]:
    for worker in office.syncing.workers():
        labels = {"worker": worker.name}
        yield Figure("tillmesh_worker_shards", "Shards it holds.", len(worker.shards), labels)
        yield Figure("tillmesh_worker_link_up", "1 with a broker.", worker.broker_up, labels)
