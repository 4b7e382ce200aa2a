"""More bugs on purpose: inside one machine, its disk, its books, its clock. See `mutants`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

import pytest

from protocol import checkpoints, codec, folds, journal, replication, trustedclock
from protocol import events as ev
from protocol.clock import ClockState, Reading
from protocol.codec import Draft
from protocol.journal import Position, Stored
from protocol.ledger import Posting, postings
from protocol.timesources import Agreement, Sample
from protocol.trustedclock import TrustedClock
from tests.simulation import clocks, nodes, stores
from tests.simulation.mutants import MUTANTS, SEEDS_TO_KILL, Arguments, mutant
from tests.simulation.nodes import Node
from tests.simulation.stores import ListStore, Tables
from tests.simulation.world import World

__all__ = ["MUTANTS", "SEEDS_TO_KILL"]

# -- disks --------------------------------------------------------------------------------------


@mutant
def no_fsync(_: pytest.MonkeyPatch) -> Arguments:
    """A commit that a power cut takes back."""

    class Lying(ListStore):
        @property
        def syncs(self) -> bool:  # type: ignore[override]
            if len(self._ops) - self._synced > 20:
                self._synced = len(self._ops)
            return False

    return {"make_store": Lying}


@mutant
def half_a_commit(_: pytest.MonkeyPatch) -> Arguments:
    """What was done before the power went stays, without the rest of its transaction."""

    class Torn(ListStore):
        atomic = False

        @contextmanager
        def begin(self) -> Iterator[ListStore]:
            try:
                with super().begin() as tx:
                    yield tx
            except BaseException:
                if not self.full:
                    self._synced = max(self._synced, len(self._ops) - 1)
                raise

    return {"make_store": Torn}


@mutant
def the_last_row_is_lost(_: pytest.MonkeyPatch) -> Arguments:
    """Head office acknowledges, and a power cut takes its newest transaction all the same."""

    class Forgetful(ListStore):
        def power_cut(self, epoch: str) -> None:
            if self.node == "central":
                self._synced = max(0, self._synced - 1)
            super().power_cut(epoch)

    return {"make_store": Forgetful}


@mutant
def pruned_when_acknowledged(patch: pytest.MonkeyPatch) -> Arguments:
    """A shop keeps nothing for a head office that goes back to yesterday's backup."""
    patch.setattr(nodes, "KEEPS_MS", -1)
    patch.setattr(nodes, "CHECKPOINT_MS", 0)
    return {}


@mutant
def pruned_before_it_was_sent(_: pytest.MonkeyPatch) -> Arguments:
    """A shop keeps the newest events only, whoever has them."""

    class Tidy(Node):
        def prune(self, now_ms: int) -> None:
            own = f"shop/{self.name}"
            if not self.central:
                self.store.prune(own, self.store.head(own))

    return {"make_node": Tidy}


@mutant
def pruned_by_the_age_of_events(_: pytest.MonkeyPatch) -> Arguments:
    """What is old goes, though head office has it since a moment ago: its backups have not."""

    class Literal(Node):
        def limit(self, now: Reading) -> tuple[int, int] | None:
            own, acked = f"shop/{self.name}", self.acked()
            old = [
                e.position.seq
                for e in self.store.line(own, 0, acked.seq)
                if codec.decode(e.data).ts <= now.surely_past_ms - nodes.KEEPS_MS
            ]
            return (old[-1], 0) if old else None

    return {"make_node": Literal}


@mutant
def checkpoints_outlive_a_set_back(patch: pytest.MonkeyPatch) -> Arguments:
    """Head office was set back and refilled: that it had it once before counts."""
    real = checkpoints.Checkpoints._heard

    def heard(self: checkpoints.Checkpoints, *said: object) -> bool:
        before = list(self.kept)
        changed = real(self, *said)  # type: ignore[arg-type]
        self.kept = [*before, *(c for c in self.kept if c not in before)]
        return changed

    patch.setattr(checkpoints.Checkpoints, "_heard", heard)
    return {}


@mutant
def retreats_below_what_is_held(patch: pytest.MonkeyPatch) -> Arguments:
    """A follower on another branch is offered an epoch whose beginning was pruned."""

    class Boastful(ListStore):
        def epoch_parent_seq(self, stream: str, seq: int) -> int:
            return self.true_epoch_parent_seq(stream, seq)

    def start(self: replication.Sender, seq: int, records: ListStore) -> int:
        return records.epoch_parent_seq(self.stream, seq) if seq else 0

    patch.setattr(replication.Sender, "_epoch_start", start)
    return {"make_store": Boastful}


# -- transactions -------------------------------------------------------------------------------


@mutant
def the_number_is_not_part_of_the_sale(_: pytest.MonkeyPatch) -> Arguments:
    """A receipt number is used up, and the sale under it is not."""

    class Eager(ListStore):
        def __init__(self, node: str, epoch: str) -> None:
            self._used: dict[str, str] = {}
            super().__init__(node, epoch)

        def set_state(self, name: str, value: str) -> None:
            super().set_state(name, value)
            self._used[name] = value

        def _replay(self, ops: list[stores.Op]) -> None:
            super()._replay(ops)
            self._state |= self._used

    return {"make_store": Eager}


@mutant
def tables_outlive_a_rollback(_: pytest.MonkeyPatch) -> Arguments:
    """Read tables are written outside the transaction."""

    class Leaking(ListStore):
        def _replay(self, ops: list[stores.Op]) -> None:
            kept = self.tables
            super()._replay(ops)
            self.tables = kept

    return {"make_store": Leaking}


@mutant
def forwarded_after_the_commit(_: pytest.MonkeyPatch) -> Arguments:
    """Head office passes a transfer on in a second transaction, and may die between them."""

    class Later(Node):
        def _react(self, tx: ListStore, events: Sequence[Stored]) -> None:
            self._waiting = [*getattr(self, "_waiting", []), *events]

        def forget(self) -> None:
            super().forget()
            self._waiting: list[Stored] = []

        def _ingest(self, *arguments: object) -> None:
            super()._ingest(*arguments)  # type: ignore[arg-type]
            events, self._waiting = self._waiting, []
            if events and not self.store.full:
                with self.store.begin() as tx:
                    super()._react(tx, events)

    return {"make_node": Later}


@mutant
def answered_before_the_commit(patch: pytest.MonkeyPatch) -> Arguments:
    """The till hears "paid" and then the power goes."""

    def record(self: World, shop: str, id_: str, body: ev.Event | None) -> None:
        self.told[shop].append(id_)
        try:
            self._write(self.nodes[shop], id_, body)
        except stores.Full:
            self.told[shop].remove(id_)
            return
        except stores.Crash:
            self.power_off(shop)
            return
        self.coming -= body is not None
        self.turn(shop)

    patch.setattr(World, "_record", record)
    return {}


@mutant
def the_same_id_twice(_: pytest.MonkeyPatch) -> Arguments:
    """A till that asks again gets a second sale."""

    class Double(ListStore):
        def has_id(self, stream: str, id_: str) -> bool:
            return False

        def append(self, stream: str, drafts: Sequence[Draft]) -> list[Stored]:
            self._trees[stream].ids = set()
            return super().append(stream, drafts)

    return {"make_store": Double}


@mutant
def an_old_generation_of_receipts(patch: pytest.MonkeyPatch) -> Arguments:
    """A restored shop prints numbers that were printed already."""
    patch.setattr(ListStore, "highest_receipt", lambda *_: 0)
    real = ListStore.set_state

    def set_state(self: ListStore, name: str, value: str) -> None:
        if name != "generation":
            real(self, name, value)

    patch.setattr(ListStore, "set_state", set_state)
    return {}


# -- books --------------------------------------------------------------------------------------


@mutant
def the_last_to_arrive_wins(patch: pytest.MonkeyPatch) -> Arguments:
    """A fold that forgets the rank: the order of arrival decides."""

    def put(self: Tables, delta: folds.Put) -> None:
        self.rows[delta.table, delta.key] = (delta.rank, delta.values)

    patch.setattr(Tables, "put", put)
    return {}


@mutant
def a_forwarded_copy_posts(patch: pytest.MonkeyPatch) -> Arguments:
    """Announced goods are booked as if they had come."""

    def more(event: ev.Event, stream: str) -> list[Posting]:
        if isinstance(event, ev.TransferForwarded):
            return [
                Posting(
                    m.sku,
                    f"transit/{event.from_store}>{event.to_store}",
                    f"shop/{event.to_store}",
                    m.qty_milli,
                )
                for m in event.lines
            ]
        return postings(event, stream)

    patch.setattr(folds, "postings", more)
    patch.setitem(folds.FOLDS, ev.TransferForwarded, (folds._movements, folds._forwarded))
    return {}


@mutant
def single_entry(patch: pytest.MonkeyPatch) -> Arguments:
    """A sale takes from the shelf and puts nowhere."""
    real = folds._movements

    def movements(body: ev.Event, e: object) -> Iterator[object]:
        for delta in folds.spread(real(body, e)):  # type: ignore[arg-type]
            if not (isinstance(delta, folds.Add) and delta.amounts[-1]):
                yield delta

    patch.setitem(folds.FOLDS, ev.SaleCompleted, (movements, folds._sale))
    return {}


@mutant
def a_day_counts_a_sale_twice(patch: pytest.MonkeyPatch) -> Arguments:
    """The grand total runs ahead."""
    patch.setitem(folds.FOLDS, ev.SaleCompleted, (folds._movements, folds._sale, _day_again))
    return {}


def _day_again(body: ev.SaleCompleted, _: object) -> Iterator[folds.Add]:
    if body.total_minor % 7 == 0:
        yield folds.Add("sales_day", ("a", body.business_date), (0, body.total_minor, 0, 0, 0))


@mutant
def an_older_price(patch: pytest.MonkeyPatch) -> Arguments:
    """The till looks the price up once and keeps it."""
    known: dict[tuple[int, str], tuple[int, str] | None] = {}
    real = ListStore.price

    def price(self: ListStore, sku: str) -> tuple[int, str] | None:
        if known.get((id(self), sku)) is None:
            known[id(self), sku] = real(self, sku)
        return known[id(self), sku]

    patch.setattr(ListStore, "price", price)
    return {}


@mutant
def a_hash_without_the_one_before(patch: pytest.MonkeyPatch) -> Arguments:
    """Each event is hashed alone: nothing ties it to its place."""

    def alone(_: str, data: bytes) -> str:
        return sha256(data).hexdigest()

    patch.setattr(journal, "chain", alone)
    patch.setattr(stores, "chain", alone)
    return {}


@mutant
def a_place_is_not_checked(patch: pytest.MonkeyPatch) -> Arguments:
    """A batch is kept wherever it says; its events are not looked at."""

    def opened(batch: replication.Batch) -> tuple[Position, list[Stored]]:
        parent = Position(batch.epoch, batch.first - 1, batch.prev)
        placed, at = [], parent
        for n, raw in enumerate(batch.events):
            data = bytes(raw)
            at = Position(batch.epoch, batch.first + n, journal.chain(at.hash, data))
            placed.append(Stored(batch.stream, at, data))
        return parent, placed

    patch.setattr(replication, "_open", opened)
    return {}


# -- clocks -------------------------------------------------------------------------------------


@mutant
def any_time_server_is_believed(patch: pytest.MonkeyPatch) -> Arguments:
    """The first answer counts, whatever the others say."""

    def first(samples: Sequence[Sample], *, voters: int = 0) -> Agreement:
        return Agreement(samples[0].low_ms, samples[0].high_ms, (samples[0].source,))

    patch.setattr(trustedclock, "intersect", first)
    return {}


@mutant
def the_wall_clock_is_believed(patch: pytest.MonkeyPatch) -> Arguments:
    """Somebody sets the clock of the machine, and prices follow."""
    patch.setattr(
        clocks.SimClock, "read", lambda self: Reading(self.wall_ms, 20, ClockState.TRUSTED)
    )
    return {}


@mutant
def time_may_go_back(patch: pytest.MonkeyPatch) -> Arguments:
    """A correction sets the trusted time back instead of letting it stand."""

    def read(self: TrustedClock, *, wall_ms: int, mono_ms: int, **_: int) -> Reading:
        return Reading(wall_ms, 10**15, ClockState.TRUSTED)

    patch.setattr(TrustedClock, "read", read)
    return {}
