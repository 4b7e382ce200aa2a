"""Replication without I/O: who lacks what, what to send next, what to do with what came.

Both directions run this code. A node is the *source* of the streams it writes and a *follower* of
the others. Time (monotonic ms) comes in as an argument, events are read through `Records`, and
decisions go out as values; `protocol.node.replicator` acts on them, and so does the simulator.

    source:    greet / on_ack -> due -> sent            one `Sender` per follower and stream
    follower:  judge(batch) -> Accepted | Known | Gap   raises Corrupt for what can never fit

Rules (sync.md, 2): nothing counts as delivered before the follower's acknowledgement, which it
sends after COMMIT; an acknowledgement counts only if its hash is ours at that place; a follower
takes any event whose parent it holds, and dedupes by hash.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from protocol.codec import decode
from protocol.errors import Corrupt
from protocol.journal import ORIGIN, Position, Stored, check_hash, link, parent_of
from protocol.wire import BATCH_EVENTS_MAX, PROTOCOL, Batch, Cursor

WINDOW_BATCHES = 4  # to begin with, and on a slow line
WINDOW_BATCHES_MAX = 24  # while answers come promptly
PROMPT_MS = 400
RTO_MS_MIN = 2_000
RTO_MS_MAX = 60_000
PRUNED = "PRUNED"  # why a stream stands still: the follower lacks what is not held any more
SESSIONS_OVER_MAX = 64  # remembered per peer
KNOCKS = 4  # greetings in a row that show a session to be alive


class Records(Protocol):
    """What the machine may ask a node's journal; reads only."""

    def head(self, stream: str) -> Position:
        """Head of a written stream, or the cursor of a followed one; ORIGIN when empty."""
        ...

    def find(self, stream: str, event_hash: str) -> Position | None:
        """Where the event with this hash stands, on any branch."""
        ...

    def has_child(self, stream: str, position: Position) -> bool:
        """Does an event follow this position, on any branch?"""
        ...

    def taken(self, stream: str, position: Position) -> bool:
        """Does another event of the same epoch stand at this sequence, on any branch?"""
        ...

    def hash_at(self, stream: str, seq: int) -> str | None:
        """The hash at `seq` on the main line."""
        ...

    def epoch_parent_seq(self, stream: str, seq: int) -> int:
        """The parent's sequence of the epoch that holds `seq` on the main line; 0 at the origin."""
        ...

    def low(self, stream: str) -> int:
        """Events up to here are in a sealed snapshot alone; 0 when all are held."""
        ...


class Accepted(msgspec.Struct, frozen=True):
    """Store these after `parent`, and acknowledge `tip`. `fork`: the parent had a child already."""

    parent: Position
    events: tuple[Stored, ...]
    tip: Position
    fork: bool


class Known(msgspec.Struct, frozen=True):
    """Nothing new; acknowledge `tip`."""

    tip: Position


class Gap(msgspec.Struct, frozen=True):
    """The parent is not here; ask for what comes after `cursor`."""

    cursor: Position


Verdict = Accepted | Known | Gap


def _open(batch: Batch) -> tuple[Position, Sequence[Stored]]:
    """Check a batch against itself; return what it follows, and its events in their places."""
    if batch.p != PROTOCOL or batch.ct != "json":
        detail = f"protocol {batch.p} with content {batch.ct} is not known here"
        raise Corrupt("MESSAGE_UNREADABLE", detail=detail)
    if not 1 <= batch.n == len(batch.events) <= BATCH_EVENTS_MAX:
        detail = f"a batch says {batch.n} events and has {len(batch.events)}"
        raise Corrupt("MESSAGE_UNREADABLE", detail=detail)
    check_hash(batch.prev, stream=batch.stream, seq=batch.first)
    bodies = [bytes(raw) for raw in batch.events]
    parent = parent_of(decode(bodies[0])) or Position(batch.epoch, batch.first - 1, batch.prev)
    placed = list(link(batch.stream, parent, bodies)) if parent.hash == batch.prev else []
    if (
        not placed
        or placed[0].position.seq != batch.first
        or placed[-1].position.hash != batch.last
        or any(p.position.epoch != batch.epoch for p in placed)
    ):
        raise Corrupt(
            "CHAIN_BROKEN",
            stream=batch.stream,
            seq=batch.first,
            detail="the batch's header and its events do not agree",
        )
    return parent, placed


def judge(batch: Batch, records: Records) -> Verdict:
    """What a follower does with a batch. Raises Corrupt for one that no retry can mend."""
    parent, placed = _open(batch)
    cursor = records.head(batch.stream)
    if parent == cursor:
        return Accepted(parent, tuple(placed), placed[-1].position, fork=False)
    fresh = 0
    while fresh < len(placed) and records.find(batch.stream, placed[fresh].position.hash):
        parent = placed[fresh].position
        fresh += 1
    if fresh == len(placed):
        return Known(parent)  # not the cursor: it may stand on a branch that the sender lacks
    if fresh == 0 and parent != ORIGIN and records.find(batch.stream, parent.hash) != parent:
        return Gap(cursor)
    if parent.seq < records.low(batch.stream):
        return Gap(cursor)  # our books begin later: what comes from before is in a snapshot
    fork = parent != cursor and records.has_child(batch.stream, parent)
    if fork and records.taken(batch.stream, placed[fresh].position):
        # A running machine was copied, or a journal set back without a new epoch. Branches of one
        # epoch cannot be told apart: an operator decides, nothing is overwritten.
        raise Corrupt(
            "CHAIN_BROKEN",
            stream=batch.stream,
            seq=placed[fresh].position.seq,
            detail=f"another event of epoch {batch.epoch} stands at that place",
        )
    return Accepted(parent, tuple(placed[fresh:]), placed[-1].position, fork=fork)


class Flight(msgspec.Struct, frozen=True):
    """A batch that was sent and not yet acknowledged."""

    last_seq: int
    sent_ms: int


def window_after(window: int, rtt_ms: float) -> int:
    """The next window, in batches, when one was answered after `rtt_ms`.

    A line that answers at once may be filled; on a slow one the news of today would wait behind.
    """
    if window < WINDOW_BATCHES or rtt_ms <= PROMPT_MS:
        return min(WINDOW_BATCHES_MAX, window + 1)
    return max(WINDOW_BATCHES, window - 1)


class Sender:
    """One stream to one follower: what it holds, what is under way, when to send again."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.acked = ORIGIN
        self.greeted = False
        self.stopped = ""  # the follower refused our stream; a greeting or some time goes on
        self.sent_seq = 0
        self.flights: deque[Flight] = deque()
        self.window = WINDOW_BATCHES
        self.credit = 400
        self.rto_ms = RTO_MS_MIN
        self.resends = 0
        self._srtt_ms: float | None = None
        self._retreat: int | None = None
        self._stood: Position | None = None  # where the follower was at its last greeting
        self._last_offer = False  # retreated to the oldest event that is held
        self._again_ms = 0

    def greet(self, cursor: Cursor, records: Records) -> None:
        """The follower said how far it is; start from there, whatever was under way before.

        One that stands where it stood needs no less than it did: how far we went back for it counts
        on, or greetings that come faster than its answers would begin that search for ever.
        """
        self.greeted, self.stopped = True, ""
        self.rto_ms, self._last_offer = RTO_MS_MIN, False
        stands = Position(cursor.epoch, cursor.upto, cursor.hash)
        if stands != self._stood:
            self._stood, self._retreat = stands, None
        self._go_to(cursor, records)

    def on_ack(self, now_ms: int, cursor: Cursor, records: Records) -> bool:
        """Take an acknowledgement; True when `acked` moved and must be persisted."""
        if not self.greeted:
            return False
        self.credit = max(1, cursor.credit)
        if cursor.status == "welcome":  # the answer to our hello: a restored peer may hold less
            self.greet(cursor, records)
            return True
        if cursor.status == "stale_epoch" and cursor.epoch != records.head(self.stream).epoch:
            return False  # said to a copy of this machine
        if cursor.status in {"refused", "stale_epoch"}:
            # Perhaps it was only altered on its way, by whoever can write to the broker.
            self._stop(now_ms, cursor.reason or cursor.status)
            return False
        if cursor.status == "busy":
            self.window = max(1, self.window // 2)
            return False
        before = self.acked
        if cursor.status == "gap":
            if self._last_offer:
                self._stop(now_ms, PRUNED)  # it was offered all that there is
                return False
            self._go_to(cursor, records)
            return self.acked != before
        if cursor.upto <= self.acked.seq:
            return False
        if records.hash_at(self.stream, cursor.upto) != cursor.hash:
            self._go_to(cursor, records)
            return self.acked != before
        self._land(now_ms, cursor)
        return True

    def _stop(self, now_ms: int, why: str) -> None:
        self.stopped = why
        self._again_ms = now_ms + RTO_MS_MAX
        self.flights.clear()

    def _land(self, now_ms: int, cursor: Cursor) -> None:
        self.acked = Position(cursor.epoch, cursor.upto, cursor.hash)
        self.sent_seq = max(self.sent_seq, cursor.upto)
        self._retreat, self._last_offer = None, False
        while self.flights and self.flights[0].last_seq <= cursor.upto:
            rtt_ms = now_ms - self.flights.popleft().sent_ms
            old = self._srtt_ms
            self._srtt_ms = rtt_ms if old is None else old + (rtt_ms - old) / 8
            self.rto_ms = max(RTO_MS_MIN, min(RTO_MS_MAX, int(4 * self._srtt_ms)))
            self.window = window_after(self.window, rtt_ms)

    def _go_to(self, cursor: Cursor, records: Records) -> None:
        """Start again after the follower's place, or where its line and ours must have parted."""
        self.flights.clear()
        ours = ORIGIN.hash if cursor.upto == 0 else records.hash_at(self.stream, cursor.upto)
        if ours == cursor.hash and cursor.upto >= records.low(self.stream):
            self.acked = Position(cursor.epoch, cursor.upto, cursor.hash)
            self.sent_seq, self._retreat, self._last_offer = cursor.upto, None, False
            return
        # It stands on a branch that we lack, or ahead of us (it will give back what we lost). Offer
        # our line from the start of an epoch, and one epoch further back while it finds a gap, but
        # nothing that is not held; what it knows or takes of our line it acknowledges on our line.
        self.acked = ORIGIN
        if self._retreat is None:
            self._retreat = self._epoch_start(
                min(cursor.upto, records.head(self.stream).seq), records
            )
        elif cursor.status == "gap":
            self._retreat = self._epoch_start(self._retreat, records)
        self.sent_seq = self._retreat
        self._last_offer = 0 < self._retreat == records.low(self.stream)

    def _epoch_start(self, seq: int, records: Records) -> int:
        start = records.epoch_parent_seq(self.stream, seq) if seq else 0
        return max(start, records.low(self.stream))

    def in_flight(self) -> int:
        """Events sent and not acknowledged."""
        return self.sent_seq - self.acked.seq if self.flights else 0

    def due(self, head_seq: int) -> int | None:
        """Read after this sequence and send it now; None when nothing may or need be sent."""
        if not self.greeted or self.stopped or head_seq <= self.sent_seq:
            return None
        window = 1 if self._last_offer else self.window  # a gap then says what it seems to
        if len(self.flights) >= window or self.in_flight() >= self.credit:
            return None
        return self.sent_seq

    def sent(self, now_ms: int, last_seq: int) -> None:
        """A batch up to `last_seq` has left."""
        self.sent_seq = last_seq
        self.flights.append(Flight(last_seq, now_ms))

    def tick(self, now_ms: int) -> bool:
        """Rewind to the acknowledged place when an answer is overdue; True if it did.

        A refused stream is tried again once a minute.
        """
        if self.stopped and now_ms >= self._again_ms:
            self.stopped = ""
            self._rewind()
        if not self.flights or now_ms - self.flights[0].sent_ms < self.rto_ms:
            return False
        self._rewind()
        self.window = min(self.window, WINDOW_BATCHES)
        self.rto_ms = min(RTO_MS_MAX, self.rto_ms * 2)
        return True

    def _rewind(self) -> None:
        self.flights.clear()
        self.sent_seq = self.acked.seq if self._retreat is None else self._retreat
        self.resends += 1

    def lost_link(self) -> None:
        """The connection is gone: nothing is under way, and the follower must greet anew."""
        self.greeted = False
        self.flights.clear()
        self.sent_seq = self.acked.seq


class Sessions:
    """Which connection of each peer is the present one; one that is over does not come back.

    A greeting that was overtaken by a later one, or replayed by a rogue, would otherwise make this
    node answer nobody: the peer would wait, and hear no news until it speaks itself. Processes
    that speak as one peer (head office's ingest workers) take turns, and do come back.

    A restart forgets what is over. An old greeting that comes then ends the session that is alive;
    so one that greets again and again, with no other between, is taken for alive after all.
    """

    def __init__(self, *, take_turns: bool = False) -> None:
        self._take_turns = take_turns
        self._present: dict[str, str] = {}
        self._over: dict[str, deque[str]] = {}
        self._knocks: dict[str, tuple[str, int]] = {}  # peer -> a session that is over, how often

    def of(self, peer: str) -> str:
        """The peer's session; empty before its first greeting."""
        return self._present.get(peer, "")

    def forget(self, peer: str) -> None:
        """Another process speaks with this peer from now on."""
        self._present.pop(peer, None)
        self._over.pop(peer, None)
        self._knocks.pop(peer, None)

    def begin(self, peer: str, session: str) -> bool:
        """A greeting came; False if it belongs to a session that is over."""
        over = self._over.setdefault(peer, deque(maxlen=SESSIONS_OVER_MAX))
        if session in over and not self._take_turns and self._knock(peer, session) < KNOCKS:
            return False
        self._knocks.pop(peer, None)
        before = self._present.get(peer)
        if before not in (None, session):
            over.append(before)
        self._present[peer] = session
        return True

    def _knock(self, peer: str, session: str) -> int:
        last, count = self._knocks.get(peer, ("", 0))
        self._knocks[peer] = session, 1 + (count if last == session else 0)
        return self._knocks[peer][1]


class Source:
    """One stream that this node sends: a sender per follower, and the shared live tail if any."""

    def __init__(self, stream: str, *, shared: bool, head_seq: int = 0) -> None:
        self.stream = stream
        self.shared = shared
        self.tail_seq = head_seq  # what was there before goes to each follower that lacks it
        self.senders: dict[str, Sender] = {}

    def follower(self, peer: str) -> Sender:
        """The sender for this peer, made at its first greeting."""
        return self.senders.setdefault(peer, Sender(self.stream))

    def tail_due(self, head_seq: int) -> int | None:
        """Publish what comes after this sequence to all at once; None when there is nothing."""
        return self.tail_seq if self.shared and head_seq > self.tail_seq else None

    def tail_sent(self, now_ms: int, last_seq: int) -> None:
        """The live tail went out, without a window: followers that were level have it under way."""
        before, self.tail_seq = self.tail_seq, last_seq
        for sender in self.senders.values():
            if sender.greeted and not sender.stopped and sender.sent_seq == before:
                sender.sent(now_ms, last_seq)


def cut(events: Sequence[Stored], *, events_max: int, bytes_max: int) -> tuple[Stored, ...]:
    """The longest run that may travel as one batch: one epoch, bounded; at least one event."""
    size = 0
    for n, event in enumerate(events):
        size += len(event.data)
        if n and (
            n >= events_max or size > bytes_max or event.position.epoch != events[0].position.epoch
        ):
            return tuple(events[:n])
    return tuple(events)
