"""What a simulated node keeps in a list that forgets what was not synced; real folds, real codec.

`begin()` is a transaction that a `Crash` undoes; inside it `append`, `keep` and `set_state` belong
to the same moment. `tests.simulation.sqlstores` gives the same over real books in SQLite.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from protocol.codec import Draft, body_of, decode, encode
from protocol.errors import Corrupt
from protocol.events import EpochStarted
from protocol.folds import Add, Put, fold, spread
from protocol.ids import stream_owner
from protocol.journal import ORIGIN, Position, Stored, chain
from protocol.ledger import balances
from protocol.replication import Accepted


class Crash(Exception):
    """Power is gone in the middle of something."""


class Full(Exception):
    """The disk takes nothing more; what was there stays."""


class Faulty:
    """Where the power may go."""

    def fault_point(self, power_goes: bool) -> None:
        if power_goes:
            raise Crash


class _Tree:
    """One stream: a tree of events by hash, and the main line as a list (seq n at n - 1)."""

    def __init__(self) -> None:
        self.main: list[Stored] = []
        self.events: dict[str, Stored] = {}
        self.branch: dict[str, int] = {}
        self.children: dict[str, list[str]] = defaultdict(list)
        self.ids: set[str] = set()
        self.parted = 2**53  # no fork begins before it
        self.pruned = 0  # up to this sequence of the main line the bytes are gone
        self.copies = 0  # events that were stored though they stood here already

    def head(self) -> Position:
        return self.main[-1].position if self.main else ORIGIN

    def put(self, parent: Position, events: Sequence[Stored], branch: int) -> None:
        for event in events:
            self.copies += event.position.hash in self.events
            self.events[event.position.hash] = event
            self.branch[event.position.hash] = branch
            self.children[parent.hash].append(event.position.hash)
            self.ids.add(decode(event.data).id)
            parent = event.position
        if branch == 0:
            self.main += events


class Tables:
    """Read tables as dicts, written by the real folds."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[Any, ...]] = Counter()
        self.rows: dict[tuple[Any, ...], tuple[int, tuple[Any, ...]]] = {}
        self.parked: set[str] = set()
        self.receipts: Counter[tuple[str, str]] = Counter()  # highest of a (shop, till-generation)

    def take(self, event: Stored) -> None:
        envelope = decode(event.data)
        try:
            deltas = fold(body_of(envelope), envelope)
        except Corrupt:
            self.parked.add(event.position.hash)
            return
        for delta in spread(deltas):
            if isinstance(delta, Add):
                for n, amount in enumerate(delta.amounts):
                    self.sums[delta.table, delta.key, n] += amount
            else:
                self.put(delta)

    def put(self, delta: Put) -> None:
        """The row of the higher rank stays; of two branches the greater one, whichever came."""
        key = (delta.table, delta.key)
        old = self.rows.get(key)
        if old is None or (old[0], repr(old[1])) < (delta.rank, repr(delta.values)):
            self.rows[key] = (delta.rank, delta.values)
        if delta.table == "sale":
            series, _, number = delta.values[0].rpartition("-")
            of = (delta.key[0], series)
            self.receipts[of] = max(self.receipts[of], int(number))

    def state(self) -> object:
        return ({k: v for k, v in self.sums.items() if v}, self.rows, self.parked)


# What was kept, a small fact ("=name", value), or up to where a stream was pruned.
Op = tuple[str, Accepted | str | Position]


class ListStore(Faulty):
    """Commits go to a list; what was not synced when the power went is gone."""

    flips_own_line = False  # for mutants: what must not be
    drops_branches = False
    atomic = True
    syncs = True
    older: Any = nullcontext

    def __init__(self, node: str, epoch: str) -> None:
        self.node = node
        self.epoch = epoch
        self.full = False
        self.newer: Any = self.older  # a context in which this node's version knows more
        self._ops: list[Op] = []
        self._synced = 0
        self._empty()

    def _empty(self) -> None:
        self._trees: dict[str, _Tree] = defaultdict(_Tree)
        self._state: dict[str, str] = {}
        self.tables = Tables()

    # -- life -------------------------------------------------------------------------------

    @contextmanager
    def begin(self) -> Iterator["ListStore"]:
        if self.full:
            raise Full
        mark = len(self._ops)
        try:
            yield self
        except BaseException:
            if len(self._ops) > mark and self.atomic:
                self._replay(self._ops[:mark])
            raise
        if self.syncs:
            self._synced = len(self._ops)

    def power_cut(self, epoch: str) -> None:
        if self._synced < len(self._ops):
            self._replay(self._ops[: self._synced])
        self.epoch = epoch
        self.full = False

    def backup(self) -> list[Op]:
        return list(self._ops[: self._synced])

    def restore(self, saved: list[Op], epoch: str) -> None:
        self._replay(saved)
        self._synced = len(saved)
        self.epoch = epoch
        self.full = False

    def twin(self, epoch: str) -> "ListStore":
        """The same disk once more."""
        other = type(self)(self.node, epoch)
        other.restore(self.backup(), epoch)
        other.newer = self.newer
        return other

    def _replay(self, ops: list[Op]) -> None:
        self._ops = []
        self._empty()
        for name, what in ops:
            self._apply(name, what)

    def close(self) -> None:
        """Nothing is open."""

    # -- records ----------------------------------------------------------------------------

    def head(self, stream: str) -> Position:
        return self._trees[stream].head()

    def find(self, stream: str, event_hash: str) -> Position | None:
        event = self._trees[stream].events.get(event_hash)
        return event.position if event and event.position.seq >= self.low(stream) else None

    def has_child(self, stream: str, position: Position) -> bool:
        if position.seq < self.low(stream):
            return False
        return bool(self._trees[stream].children.get(position.hash))

    def taken(self, stream: str, position: Position) -> bool:
        return any(
            e.position.seq == position.seq
            and e.position.epoch == position.epoch
            and e.position.hash != position.hash
            for e in self._trees[stream].events.values()
        )

    def hash_at(self, stream: str, seq: int) -> str | None:
        main = self._trees[stream].main
        held = max(1, self.low(stream)) <= seq <= len(main)
        return main[seq - 1].position.hash if held else None

    def epoch_parent_seq(self, stream: str, seq: int) -> int:
        """As far as is held: what is gone is held by the other side."""
        return max(self.true_epoch_parent_seq(stream, seq), self.low(stream))

    def true_epoch_parent_seq(self, stream: str, seq: int) -> int:
        main = self._trees[stream].main
        seq = min(seq, len(main))
        epoch = main[seq - 1].position.epoch if seq else ""
        while seq and main[seq - 1].position.epoch == epoch:
            seq -= 1
        return seq

    def line(self, stream: str, after_seq: int, limit: int) -> list[Stored]:
        """What is held of the main line."""
        tree = self._trees[stream]
        return tree.main[max(after_seq, tree.pruned) : after_seq + limit]

    def low(self, stream: str) -> int:
        """Up to here the bytes of the main line are gone."""
        return self._trees[stream].pruned

    def base(self, stream: str) -> Position:
        """The place that the first held event follows."""
        tree = self._trees[stream]
        return tree.main[tree.pruned - 1].position if tree.pruned else ORIGIN

    def parted(self, stream: str) -> int:
        """Where the first fork begins; far away when there is none."""
        return self._trees[stream].parted

    # -- for whoever looks on, who knows what was pruned too ------------------------------------

    def everything(self, stream: str) -> list[Stored]:
        tree = self._trees[stream]
        return sorted(tree.events.values(), key=lambda e: (e.position.seq, e.position.epoch))

    def copies(self, stream: str) -> int:
        return self._trees[stream].copies

    def ids(self, stream: str) -> set[str]:
        return self._trees[stream].ids

    def has_id(self, stream: str, id_: str) -> bool:
        return id_ in self._trees[stream].ids

    def forks(self, stream: str) -> int:
        """How many branches were moved aside or came beside."""
        return max(self._trees[stream].branch.values(), default=0)

    # -- what was folded --------------------------------------------------------------------

    def stock(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for (table, key, column), qty in self.tables.sums.items():
            if table == "stock":
                for place, held in balances(key[0], *((0, qty) if column else (qty, 0))):
                    found[place, key[1]] = held
        return found

    def sum_of(self, table: str, column: int) -> int:
        """One column of a table of sums, added up."""
        return sum(v for k, v in self.tables.sums.items() if (k[0], k[2]) == (table, column))

    def price(self, sku: str) -> tuple[int, str] | None:
        """(price, version) of the zone, else of the chain."""
        for zone in ("z", ""):
            row = self.tables.rows.get(("price", (sku, zone, 0)))
            if row is not None:
                return row[1][0], row[1][1]
        return None

    def highest_receipt(self, series: str) -> int:
        """Of a till and generation in this shop, on whatever branch."""
        return self.tables.receipts[self.node, series]

    def folds_agree(self) -> bool:
        """Do the tables equal a rebuild that takes the streams in another order?"""
        again = Tables()
        for stream in sorted(self._trees, reverse=True):
            for event in self.everything(stream):
                again.take(event)
        return again.state() == self.tables.state()

    # -- writing, inside `begin` ------------------------------------------------------------

    def state(self, name: str) -> str:
        return self._state.get(name, "")

    def set_state(self, name: str, value: str) -> None:
        self._apply(f"={name}", value)

    def append(self, stream: str, drafts: Sequence[Draft]) -> list[Stored]:
        tree = self._trees[stream]
        fresh = [d for d in drafts if d.id not in tree.ids]
        if not fresh:
            return []
        parent = head = tree.head()
        if head.epoch != self.epoch:
            started = EpochStarted(
                node=self.node,
                parent_epoch=head.epoch,
                parent_seq=head.seq,
                parent_hash=head.hash,
            )
            fresh.insert(
                0, Draft(id=f"epoch-{self.epoch}-{head.seq}", body=started, at=fresh[0].at)
            )
        events = []
        for draft in fresh:
            with self.newer():
                data = encode(draft, stream=stream, epoch=self.epoch, seq=head.seq + 1)
            head = Position(self.epoch, head.seq + 1, chain(head.hash, data))
            events.append(Stored(stream, head, data))
        self._apply(stream, Accepted(parent, tuple(events), head, fork=False))
        return events

    def keep(self, verdict: Accepted) -> None:
        self._apply(verdict.events[0].stream, verdict)

    def prune(self, stream: str, upto: Position) -> int:
        """Forget the bytes of the main line up to here; returns how many events."""
        before = self.low(stream)
        self._apply(stream, upto)
        return self.low(stream) - before

    def _apply(self, stream: str, verdict: Accepted | str | Position) -> None:
        """As `SqlJournal.keep`: both stay, the newest incarnation is a follower's main line."""
        self._ops.append((stream, verdict))
        if isinstance(verdict, str):
            self._state[stream[1:]] = verdict
            return
        tree = self._trees[stream]
        if isinstance(verdict, Position):
            tree.pruned = max(tree.pruned, verdict.seq)
            return
        branch = 0
        if verdict.parent != tree.head():
            branch = self._branch_for(stream, tree, verdict)
        tree.put(verdict.parent, verdict.events, branch)
        for event in verdict.events:
            self.tables.take(event)

    def _branch_for(self, stream: str, tree: _Tree, verdict: Accepted) -> int:
        on = tree.branch.get(verdict.parent.hash, 0)
        if on and not verdict.fork:
            return on
        side = max(tree.branch.values(), default=0) + 1
        tree.parted = min(tree.parted, verdict.parent.seq)
        ours = stream_owner(stream) == self.node and not self.flips_own_line
        late = decode(verdict.events[0].data).type != EpochStarted.__name__
        if on or ours or (late and not self.flips_own_line):
            return side
        for event in tree.main[verdict.parent.seq :]:
            tree.branch[event.position.hash] = side
            if self.drops_branches:
                del tree.events[event.position.hash]
        del tree.main[verdict.parent.seq :]
        return 0
