"""What a simulated node keeps: a list that forgets what was not synced, or real SQLite books.

Both give `begin()` (a transaction that a `Crash` undoes), `Records`, `append`, `keep`, `line`.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from protocol.codec import Draft, decode, encode
from protocol.events import EpochStarted
from protocol.ids import NodeId, stream_owner
from protocol.journal import ORIGIN, Position, Stored, chain
from protocol.node.books import Books
from protocol.node.database import Database
from protocol.node.sqljournal import SqlJournal, SqlRecords, read_line, walk
from protocol.replication import Accepted


class Crash(Exception):
    """Power is gone in the middle of something."""


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


Op = tuple[str, Accepted]


class ListStore(Faulty):
    """Commits go to a list; what was not synced when the power went is gone."""

    flips_own_line = False  # for mutants: what must not be
    drops_branches = False
    syncs = True

    def __init__(self, node: str, epoch: str) -> None:
        self.node = node
        self.epoch = epoch
        self._ops: list[Op] = []
        self._synced = 0
        self._trees: dict[str, _Tree] = defaultdict(_Tree)

    # -- life -------------------------------------------------------------------------------

    @contextmanager
    def begin(self) -> Iterator["ListStore"]:
        mark = len(self._ops)
        try:
            yield self
        except Crash:
            self._replay(self._ops[:mark])
            raise
        if self.syncs:
            self._synced = len(self._ops)

    def power_cut(self, epoch: str) -> None:
        self._replay(self._ops[: self._synced])
        self.epoch = epoch

    def backup(self) -> list[Op]:
        return list(self._ops[: self._synced])

    def restore(self, saved: list[Op], epoch: str) -> None:
        self._replay(saved)
        self._synced = len(saved)
        self.epoch = epoch

    def _replay(self, ops: list[Op]) -> None:
        self._ops, self._trees = [], defaultdict(_Tree)
        for stream, verdict in ops:
            self._apply(stream, verdict)

    def close(self) -> None:
        """Nothing is open."""

    # -- records ----------------------------------------------------------------------------

    def head(self, stream: str) -> Position:
        return self._trees[stream].head()

    def find(self, stream: str, event_hash: str) -> Position | None:
        event = self._trees[stream].events.get(event_hash)
        return event.position if event else None

    def has_child(self, stream: str, position: Position) -> bool:
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
        return main[seq - 1].position.hash if 0 < seq <= len(main) else None

    def epoch_parent_seq(self, stream: str, seq: int) -> int:
        main = self._trees[stream].main[:seq]
        epoch = main[-1].position.epoch if main else ""
        while main and main[-1].position.epoch == epoch:
            main.pop()
        return len(main)

    def line(self, stream: str, after_seq: int, limit: int) -> list[Stored]:
        return self._trees[stream].main[after_seq : after_seq + limit]

    def everything(self, stream: str) -> list[Stored]:
        tree = self._trees[stream]
        return sorted(tree.events.values(), key=lambda e: (e.position.seq, e.position.epoch))

    def copies(self, stream: str) -> int:
        return self._trees[stream].copies

    # -- writing, inside `begin` ------------------------------------------------------------

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
            data = encode(draft, stream=stream, epoch=self.epoch, seq=head.seq + 1)
            head = Position(self.epoch, head.seq + 1, chain(head.hash, data))
            events.append(Stored(stream, head, data))
        self._apply(stream, Accepted(parent, tuple(events), head, fork=False))
        return events

    def keep(self, verdict: Accepted) -> None:
        self._apply(verdict.events[0].stream, verdict)

    def _apply(self, stream: str, verdict: Accepted) -> None:
        """As `SqlJournal.keep`: both stay, the newest incarnation is a follower's main line."""
        self._ops.append((stream, verdict))
        tree = self._trees[stream]
        branch = 0
        if verdict.parent != tree.head():
            branch = self._branch_for(stream, tree, verdict)
        tree.put(verdict.parent, verdict.events, branch)

    def _branch_for(self, stream: str, tree: _Tree, verdict: Accepted) -> int:
        on = tree.branch.get(verdict.parent.hash, 0)
        if on and not verdict.fork:
            return on
        side = max(tree.branch.values(), default=0) + 1
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


class SqlStore(Faulty):
    """Real books in a SQLite file: the same faults, at the speed of a real database."""

    def __init__(self, node: str, epoch: str, folder: Path) -> None:
        self.node = node
        self._file = folder / f"{node}.db"
        self._copies = 0
        self._open(epoch)
        self.books.create()

    def _open(self, epoch: str) -> None:
        self.epoch = epoch
        self._database = Database(f"sqlite:///{self._file}")
        self.books = Books(self._database, SqlJournal(NodeId(self.node), epoch))
        self._tx = None

    @contextmanager
    def begin(self) -> Iterator["SqlStore"]:
        with self.books.begin() as tx:
            self._tx = tx
            try:
                yield self
            finally:
                self._tx = None

    def power_cut(self, epoch: str) -> None:
        self.close()
        self._open(epoch)

    def backup(self) -> Path:
        self._copies += 1
        target = self._file.with_suffix(f".{self._copies}")
        self.close()  # the last connection empties the WAL into the file
        shutil.copy(self._file, target)
        self._open(self.epoch)
        return target

    def restore(self, saved: Path, epoch: str) -> None:
        self.close()
        for file in self._file.parent.glob(self._file.name + "-*"):
            file.unlink()
        shutil.copy(saved, self._file)
        self._open(epoch)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _records(self) -> Iterator[SqlRecords]:
        if self._tx is not None:
            yield SqlRecords(self._tx)
            return
        with self._database.reading() as c:
            yield SqlRecords(c)

    def head(self, stream: str) -> Position:
        with self._records() as r:
            return r.head(stream)

    def find(self, stream: str, event_hash: str) -> Position | None:
        with self._records() as r:
            return r.find(stream, event_hash)

    def has_child(self, stream: str, position: Position) -> bool:
        with self._records() as r:
            return r.has_child(stream, position)

    def taken(self, stream: str, position: Position) -> bool:
        with self._records() as r:
            return r.taken(stream, position)

    def hash_at(self, stream: str, seq: int) -> str | None:
        with self._records() as r:
            return r.hash_at(stream, seq)

    def epoch_parent_seq(self, stream: str, seq: int) -> int:
        with self._records() as r:
            return r.epoch_parent_seq(stream, seq)

    def line(self, stream: str, after_seq: int, limit: int) -> list[Stored]:
        with self._records() as r:
            return read_line(r._connection, stream, after_seq, limit=limit)

    def everything(self, stream: str) -> list[Stored]:
        with self._records() as r:
            return [event for chunk in walk(r._connection, stream) for event in chunk]

    def copies(self, stream: str) -> int:
        return 0  # a unique index forbids them

    def append(self, stream: str, drafts: Sequence[Draft]) -> list[Stored]:
        assert self._tx is not None
        return [r.stored for r in self.books.record(self._tx, {stream: drafts})]

    def keep(self, verdict: Accepted) -> None:
        assert self._tx is not None
        self.books.keep(self._tx, verdict, at_ms=1)


Store = ListStore | SqlStore
