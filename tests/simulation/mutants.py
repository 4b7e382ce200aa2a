"""Bugs on purpose: each is a mistake that was made somewhere, and the simulator must find it.

`MUTANTS[name]()` is a context in which the mistake is made; it gives the arguments for `run`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from protocol import codec, replication
from protocol.journal import ORIGIN, Position, Stored
from protocol.replication import Accepted, Gap, Known, Sender, Source
from protocol.wire import Batch, Cursor
from tests.simulation import nodes
from tests.simulation.nodes import Node
from tests.simulation.stores import ListStore, Store

Arguments = dict[str, object]
Mutant = Callable[[], AbstractContextManager[Arguments]]
MUTANTS: dict[str, Mutant] = {}


def mutant(make: Callable[[pytest.MonkeyPatch], Arguments]) -> None:
    """Register; the patch ends with the context."""

    @contextmanager
    def context() -> Iterator[Arguments]:
        with pytest.MonkeyPatch.context() as patch:
            yield make(patch)

    MUTANTS[make.__name__] = context


@mutant
def no_epoch(_: pytest.MonkeyPatch) -> Arguments:
    """A restored backup goes on under its old name."""
    return {"keeps_epoch": True}


@mutant
def cursor_moved_at_publish(_: pytest.MonkeyPatch) -> Arguments:
    """PUBACK taken for delivery."""

    class Hasty(Node):
        def was_sent(self, sender: Sender, batch: Batch, now_ms: int) -> None:
            super().was_sent(sender, batch, now_ms)
            sender.flights.clear()

    return {"make_node": Hasty}


@mutant
def ack_before_commit(_: pytest.MonkeyPatch) -> Arguments:
    """The answer leaves before the commit."""

    class Eager(Node):
        def before_commit(self, answers: dict[str, dict[str, Cursor]], now_ms: int) -> None:
            super().after_commit(answers, now_ms)

        def after_commit(self, answers: dict[str, dict[str, Cursor]], now_ms: int) -> None:
            pass

    return {"make_node": Eager}


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
def gap_accepted(patch: pytest.MonkeyPatch) -> Arguments:
    """What does not follow is kept all the same."""
    real = nodes.judge

    def judge(batch: Batch, records: Store) -> replication.Verdict:
        verdict = real(batch, records)
        if isinstance(verdict, Gap):
            parent, placed = replication._open(batch)
            return Accepted(parent, tuple(placed), placed[-1].position, fork=False)
        return verdict

    patch.setattr(nodes, "judge", judge)
    return {}


@mutant
def no_dedupe(patch: pytest.MonkeyPatch) -> Arguments:
    """What came twice is kept twice."""
    real = nodes.judge

    def judge(batch: Batch, records: Store) -> replication.Verdict:
        verdict = real(batch, records)
        if isinstance(verdict, Known):
            parent, placed = replication._open(batch)
            return Accepted(parent, tuple(placed), placed[-1].position, fork=True)
        return verdict

    patch.setattr(nodes, "judge", judge)
    return {}


@mutant
def half_a_batch(_: pytest.MonkeyPatch) -> Arguments:
    """The last event of a batch is forgotten, and acknowledged."""

    class Forgetful(ListStore):
        def keep(self, verdict: Accepted) -> None:
            if len(verdict.events) > 1:
                verdict = msgspec.structs.replace(verdict, events=verdict.events[:-1])
            super().keep(verdict)

    return {"make_store": Forgetful}


@mutant
def a_fork_overwrites(_: pytest.MonkeyPatch) -> Arguments:
    """The older branch of a fork is thrown away."""

    class Overwriting(ListStore):
        drops_branches = True

    return {"make_store": Overwriting}


@mutant
def own_line_is_replaced(_: pytest.MonkeyPatch) -> Arguments:
    """Lost events that come back push our unsent sales onto a side branch."""

    class Flipping(ListStore):
        flips_own_line = True

    return {"make_store": Flipping}


@mutant
def ack_hash_unchecked(patch: pytest.MonkeyPatch) -> Arguments:
    """An acknowledgement counts though its hash is not ours."""

    def go_to(self: Sender, cursor: Cursor, records: Store) -> None:
        self.flights.clear()
        self.acked = Position(cursor.epoch, cursor.upto, cursor.hash)
        self.sent_seq = min(cursor.upto, records.head(self.stream).seq)

    patch.setattr(Sender, "_go_to", go_to)
    return {}


@mutant
def no_resend(patch: pytest.MonkeyPatch) -> Arguments:
    """An overdue answer is waited for, for ever."""
    patch.setattr(Sender, "tick", lambda *_: False)
    return {}


@mutant
def the_tail_is_for_all(patch: pytest.MonkeyPatch) -> Arguments:
    """The live tail counts as sent to followers that lack what comes before, and gaps are mute."""

    def tail_sent(self: Source, now_ms: int, last_seq: int) -> None:
        self.tail_seq = last_seq
        for sender in self.senders.values():
            sender.sent_seq = last_seq
            sender.flights.clear()

    patch.setattr(Source, "tail_sent", tail_sent)
    return {}


@mutant
def forgets_who_it_greeted(patch: pytest.MonkeyPatch) -> Arguments:
    """A new connection goes on where the old one stood; what was under way is not sent again."""

    def lost_link(self: Sender) -> None:
        self.flights.clear()

    def greet(self: Sender, cursor: Cursor, records: Store) -> None:
        if not self.greeted:
            self.greeted = True
            self._go_to(cursor, records)

    patch.setattr(Sender, "lost_link", lost_link)
    patch.setattr(Sender, "greet", greet)
    return {}


@mutant
def no_lost_tail(patch: pytest.MonkeyPatch) -> Arguments:
    """Head office keeps a restored shop's lost events to itself."""
    patch.setattr(Node, "_give_back", lambda *_: None)
    return {}


@mutant
def encoded_again(patch: pytest.MonkeyPatch) -> Arguments:
    """A sender writes the events anew instead of passing their bytes on."""
    real = nodes.cut

    def cut(events: Sequence[Stored], **bounds: int) -> tuple[Stored, ...]:
        again = [
            msgspec.structs.replace(
                e, data=msgspec.json.encode(msgspec.json.decode(e.data), order="sorted")
            )
            for e in events
        ]
        return real(again, **bounds)

    patch.setattr(nodes, "cut", cut)
    return {}


@mutant
def an_epoch_without_a_parent(patch: pytest.MonkeyPatch) -> Arguments:
    """The first event of an epoch names the origin, whatever came before."""
    from tests.simulation import stores  # noqa: PLC0415 - patched here

    real = stores.EpochStarted

    def started(**fields: object) -> codec.Event:
        return real(
            node=str(fields["node"]),
            parent_epoch=ORIGIN.epoch,
            parent_seq=ORIGIN.seq,
            parent_hash=ORIGIN.hash,
        )

    patch.setattr(stores, "EpochStarted", started)
    return {}
