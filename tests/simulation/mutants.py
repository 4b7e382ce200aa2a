"""Bugs on purpose: each is a mistake that was made somewhere, and the simulator must find it.

`MUTANTS[name]()` is a context in which the mistake is made; it gives the arguments for `run`. A new
invariant or fault comes with a mutant that it kills. `python -m tests.simulation --mutants` runs
all and says which seed killed which.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec
import pytest

from protocol import codec, replication
from protocol.codec import body_of, decode
from protocol.journal import ORIGIN, Position, Stored
from protocol.replication import Accepted, Gap, Known, Sender, Source
from protocol.wire import Batch, Cursor
from tests.simulation import nodes
from tests.simulation.nodes import Node
from tests.simulation.stores import ListStore

SEEDS_TO_KILL = 200
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


# -- epochs and forks ---------------------------------------------------------------------------


@mutant
def no_epoch(_: pytest.MonkeyPatch) -> Arguments:
    """A restored backup goes on under its old name."""
    return {"keeps_epoch": True}


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


@mutant
def a_fork_overwrites(_: pytest.MonkeyPatch) -> Arguments:
    """The older branch of a fork is thrown away."""

    class Overwriting(ListStore):
        drops_branches = True

    return {"make_store": Overwriting}


@mutant
def a_silent_fork(_: pytest.MonkeyPatch) -> Arguments:
    """Both branches are kept, and no record says that there are two."""

    class Silent(ListStore):
        def forks(self, stream: str) -> int:
            return 0

    return {"make_store": Silent}


@mutant
def own_line_is_replaced(_: pytest.MonkeyPatch) -> Arguments:
    """Lost events that come back push our unsent sales onto a side branch."""

    class Flipping(ListStore):
        flips_own_line = True

    return {"make_store": Flipping}


@mutant
def no_lost_tail(patch: pytest.MonkeyPatch) -> Arguments:
    """Head office keeps a restored shop's lost events to itself."""
    patch.setattr(Node, "_give_back", lambda *_: None)
    return {}


# -- acknowledgements ---------------------------------------------------------------------------


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
def a_gap_is_acknowledged(_: pytest.MonkeyPatch) -> Arguments:
    """What could not be kept is confirmed all the same."""

    class Polite(Node):
        def _take(self, tx: ListStore, batch: Batch, *rest: object) -> Cursor | None:
            cursor = super()._take(tx, batch, *rest)  # type: ignore[arg-type]
            if cursor is not None and cursor.status == "gap":
                seq = batch.first + batch.n - 1
                at = Position(batch.epoch, seq, batch.last)
                return nodes.cursor_at(batch.stream, at)
            return cursor

    return {"make_node": Polite}


@mutant
def a_full_disk_is_acknowledged(_: pytest.MonkeyPatch) -> Arguments:
    """The disk took nothing, and the sender is told that it did."""

    class Careless(Node):
        def _ingest(self, group: list[tuple[str, Batch, bytes]], now_ms: int) -> None:
            if not self.store.full:
                super()._ingest(group, now_ms)
                return
            for peer, batch, _ in group:
                at = Position(batch.epoch, batch.first + batch.n - 1, batch.last)
                self._send_ack(peer, [nodes.cursor_at(batch.stream, at)], now_ms)

    return {"make_node": Careless}


@mutant
def ack_hash_unchecked(patch: pytest.MonkeyPatch) -> Arguments:
    """An acknowledgement counts though its hash is not ours."""

    def go_to(self: Sender, cursor: Cursor, records: ListStore) -> None:
        self.flights.clear()
        self.acked = Position(cursor.epoch, cursor.upto, cursor.hash)
        self.sent_seq = min(cursor.upto, records.head(self.stream).seq)

    patch.setattr(Sender, "_go_to", go_to)
    return {}


@mutant
def a_welcome_is_an_ack(patch: pytest.MonkeyPatch) -> Arguments:
    """A restored head office says that it holds less, and nobody sends it again."""
    real = Sender.on_ack

    def on_ack(self: Sender, now_ms: int, cursor: Cursor, records: ListStore) -> bool:
        if cursor.status == "welcome":
            cursor = msgspec.structs.replace(cursor, status="ok")
        return real(self, now_ms, cursor, records)

    patch.setattr(Sender, "on_ack", on_ack)
    patch.setattr(Sender, "greet", _greet_once)
    return {}


def _greet_once(self: Sender, cursor: Cursor, records: ListStore) -> None:
    """A new connection goes on where the old one stood."""
    if not self.greeted:
        self.greeted = True
        if self.acked == ORIGIN:
            self._go_to(cursor, records)


@mutant
def a_refusal_is_for_ever(patch: pytest.MonkeyPatch) -> Arguments:
    """One batch that was altered on its way stops a shop's stream for good."""
    real = Sender.tick

    def tick(self: Sender, now_ms: int) -> bool:
        return False if self.stopped else real(self, now_ms)

    patch.setattr(Sender, "tick", tick)
    return {}


# -- sending ------------------------------------------------------------------------------------


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

    def greet(self: Sender, cursor: Cursor, records: ListStore) -> None:
        if not self.greeted:
            self.greeted = True
            self._go_to(cursor, records)

    patch.setattr(Sender, "lost_link", lost_link)
    patch.setattr(Sender, "greet", greet)
    return {}


@mutant
def a_gap_is_not_heard(patch: pytest.MonkeyPatch) -> Arguments:
    """The follower asks for what it lacks, and the sender goes on with the tail."""
    real = Sender.on_ack

    def on_ack(self: Sender, now_ms: int, cursor: Cursor, records: ListStore) -> bool:
        if cursor.status == "gap":
            self.flights.clear()
            return False
        return real(self, now_ms, cursor, records)

    patch.setattr(Sender, "on_ack", on_ack)
    return {}


@mutant
def a_batch_over_two_epochs(patch: pytest.MonkeyPatch) -> Arguments:
    """A batch is cut by size alone."""
    patch.setattr(nodes, "cut", lambda events, events_max, bytes_max: tuple(events[:events_max]))
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
def never_greets_again(patch: pytest.MonkeyPatch) -> Arguments:
    """A hello that was lost is not said again."""
    patch.setattr(nodes, "GREET_AGAIN_MS", 10**9)
    return {}


# -- keeping ------------------------------------------------------------------------------------


@mutant
def gap_accepted(patch: pytest.MonkeyPatch) -> Arguments:
    """What does not follow is kept all the same."""
    real = nodes.judge

    def judge(batch: Batch, records: ListStore) -> replication.Verdict:
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

    def judge(batch: Batch, records: ListStore) -> replication.Verdict:
        verdict = real(batch, records)
        if isinstance(verdict, Known):
            parent, placed = replication._open(batch)
            return Accepted(parent, tuple(placed), placed[-1].position, fork=True)
        return verdict

    patch.setattr(nodes, "judge", judge)
    return {}


@mutant
def an_unknown_type_blocks(patch: pytest.MonkeyPatch) -> Arguments:
    """What a newer shop says is refused instead of kept for later."""
    real = nodes.judge

    def judge(batch: Batch, records: ListStore) -> replication.Verdict:
        for raw in batch.events:
            if decode(bytes(raw)).type not in codec.TYPES:
                raise nodes.Corrupt("EVENT_UNREADABLE", detail="an unknown type")
        return real(batch, records)

    patch.setattr(nodes, "judge", judge)
    return {}


@mutant
def unknown_fields_are_dropped(_: pytest.MonkeyPatch) -> Arguments:
    """A follower stores what it understood of an event."""

    class Understanding(ListStore):
        def keep(self, verdict: Accepted) -> None:
            events = []
            for event in verdict.events:
                envelope, data = decode(event.data), event.data
                body = body_of(envelope)
                if body is not None:
                    raw = msgspec.Raw(msgspec.json.encode(body))
                    data = msgspec.json.encode(msgspec.structs.replace(envelope, body=raw))
                events.append(msgspec.structs.replace(event, data=data))
            super().keep(msgspec.structs.replace(verdict, events=tuple(events)))

    return {"make_store": Understanding}


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
def no_signature_check(_: pytest.MonkeyPatch) -> Arguments:
    """Whoever can write to the broker speaks for a shop."""

    class Trusting(Node):
        def _check(self, message: object, peer: str, stream: str = "") -> None:
            pass

    return {"make_node": Trusting}


@mutant
def any_stream_from_anybody(_: pytest.MonkeyPatch) -> Arguments:
    """A valid signature is enough, whatever topic and stream."""

    class Open(Node):
        def _check(self, message: Batch, peer: str, stream: str = "") -> None:
            super()._check(message, message.node)

        def _accepts(self, peer: str, stream: str) -> bool:
            return True

    return {"make_node": Open}
