"""Print jobs as rows: a receipt is decided inside the sale's transaction and printed after it.

    define_print_job(metadata)                       # once, where the node lists its tables
    enqueue(connection, PrintRequest(...), at_ms=t)  # inside the sale's own transaction
    worker.wake()                                    # after its commit

    queued -> sending -> confirmed | sent            the fence was answered | this printer has none
    queued <- sending                                no byte left: tried again as it was
              sending -> unknown                     any byte may have left
    unknown -> sending                               again, marked as copy n, if it may
    queued, unknown -> failed                        expired, unprintable, dropped by a person

`sending` is committed before the first byte, so a crash leaves `sending`, which the next start
reads as `unknown`. A row stores the blocks, not the bytes: they are rendered when sent, so a copy
can carry its mark. A drawer kick has one try: a drawer that opens minutes later is a theft. So its
row says `sending` from the start, in the sale's own transaction, and waits for no other one.
"""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection

from devices.receipt import Block, Kick, dump_blocks

TRIES_MAX: Final = 5
KICK: Final = "kick"
KICK_LIFE_MS: Final = 5_000
KEPT_MS: Final = 30 * 86_400_000  # settled jobs: the page of the tills' printers shows them


class JobState(StrEnum):
    """Where a job is; the module's docstring draws the moves."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    CONFIRMED = "confirmed"
    UNKNOWN = "unknown"
    FAILED = "failed"


OPEN: Final = (JobState.QUEUED, JobState.SENDING, JobState.UNKNOWN)


class PrintRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to print where.

    `id` is made by who asks: the same id twice is one job. `resend` lets the worker send it again,
    marked, after a broken connection. After `expires_ms` a job that still waits is dropped.
    """

    id: str
    device: str
    blocks: Sequence[Block]
    kind: str = "receipt"
    resend: bool = True
    expires_ms: int | None = None
    copy_no: int = 0


class PrintJob(msgspec.Struct, frozen=True, kw_only=True):
    """One row."""

    seq: int
    id: str
    device: str
    kind: str
    doc_hash: str
    blocks: bytes
    copy_no: int
    resend: bool
    retry: bool  # the worker may take it by itself
    state: JobState
    tries: int
    error: str
    error_params: dict[str, Any]
    created_ms: int
    changed_ms: int
    expires_ms: int | None


def define_print_job(metadata: MetaData) -> Table:
    """Attach the work table `print_job` to the node's metadata."""
    return Table(
        "print_job",
        metadata,
        Column("seq", Integer, primary_key=True, autoincrement=True),
        Column("id", String(80), nullable=False, unique=True),
        Column("device", String(80), nullable=False, index=True),
        Column("kind", String(20), nullable=False),
        Column("doc_hash", String(64), nullable=False),
        Column("blocks", LargeBinary, nullable=False),
        Column("copy_no", Integer, nullable=False),
        Column("resend", Boolean, nullable=False),
        Column("retry", Boolean, nullable=False),
        Column("state", String(12), nullable=False, index=True),
        Column("tries", Integer, nullable=False),
        Column("error", String(60), nullable=False),
        Column("error_params", LargeBinary, nullable=False),
        Column("created_ms", BigInteger, nullable=False),
        Column("changed_ms", BigInteger, nullable=False),
        Column("expires_ms", BigInteger, nullable=True),
    )


_job = define_print_job(MetaData())  # statements need names only, whichever metadata made the table
_c = _job.c


def kick_request(job_id: str, device: str, *, pin: int = 2) -> PrintRequest:
    """The drawer's pulse (pin 2 or 5) as a job of its own; enqueue it before the receipt."""
    block = Kick(5 if pin == 5 else 2)
    return PrintRequest(id=job_id, device=device, blocks=[block], kind=KICK, resend=False)


def enqueue(connection: Connection, request: PrintRequest, *, at_ms: int) -> bool:
    """Insert a job in the caller's transaction; False when the id is already there.

    A drawer kick expires after KICK_LIFE_MS unless its request says otherwise.
    """
    expires_ms = request.expires_ms
    if request.kind == KICK and expires_ms is None:
        expires_ms = at_ms + KICK_LIFE_MS
    if connection.execute(select(_c.seq).where(_c.id == request.id)).first() is not None:
        return False
    blocks = dump_blocks(request.blocks)
    connection.execute(
        _job.insert().values(
            id=request.id,
            device=request.device,
            kind=request.kind,
            doc_hash=hashlib.sha256(blocks).hexdigest(),
            blocks=blocks,
            copy_no=request.copy_no,
            resend=request.resend,
            retry=True,
            state=JobState.SENDING if request.kind == KICK else JobState.QUEUED,
            tries=1 if request.kind == KICK else 0,
            error="",
            error_params=b"{}",
            created_ms=at_ms,
            changed_ms=at_ms,
            expires_ms=expires_ms,
        )
    )
    return True


def reprint(connection: Connection, job_id: str, *, at_ms: int) -> bool:
    """A person wants the paper (again): queue the job anew, marked REPRINT when it may be a copy.

    Works from unknown, failed, sent and confirmed; False for a kick, a job on its way, or none.
    """
    never_left = (_c.state == JobState.FAILED) & (_c.tries == 0)
    done = connection.execute(
        update(_job)
        .where(_c.id == job_id, _c.kind != KICK)
        .where(_c.state.in_([JobState.UNKNOWN, JobState.FAILED, JobState.SENT, JobState.CONFIRMED]))
        .values(
            copy_no=_c.copy_no + case((or_(never_left, _c.state == JobState.UNKNOWN), 0), else_=1),
            state=JobState.QUEUED,
            retry=True,
            tries=0,
            error="",
            error_params=b"{}",
            changed_ms=at_ms,
            expires_ms=None,
        )
    )
    return done.rowcount == 1


def drop(connection: Connection, job_id: str, *, at_ms: int) -> bool:
    """A person looked and wants no (further) paper: queued and unknown become failed."""
    done = connection.execute(
        update(_job)
        .where(_c.id == job_id, _c.state.in_([JobState.QUEUED, JobState.UNKNOWN]))
        .values(state=JobState.FAILED, retry=False, changed_ms=at_ms)
    )
    return done.rowcount == 1


def jobs(connection: Connection, *, device: str | None = None, limit: int = 50) -> list[PrintJob]:
    """The newest jobs, of one device or all."""
    query = select(_job).order_by(_c.seq.desc()).limit(limit)
    if device is not None:
        query = query.where(_c.device == device)
    return [_read(row) for row in connection.execute(query).mappings()]


def find(connection: Connection, job_id: str) -> PrintJob | None:
    """One job by its id."""
    row = connection.execute(select(_job).where(_c.id == job_id)).mappings().first()
    return _read(row) if row is not None else None


def waiting(connection: Connection, device: str) -> int:
    """How many jobs of a device are not settled: queued, sending or unknown."""
    query = select(func.count()).select_from(_job)
    count = connection.execute(query.where(_c.device == device, _c.state.in_(OPEN))).scalar_one()
    return int(count)


def recover(connection: Connection, device: str, *, at_ms: int) -> int:
    """At start: what was `sending` when the node died is `unknown`; returns how many."""
    done = connection.execute(
        update(_job)
        .where(_c.device == device, _c.state == JobState.SENDING)
        .values(
            state=JobState.UNKNOWN,
            retry=_c.resend & (_c.tries < TRIES_MAX),
            copy_no=_c.copy_no + 1,
            error=case((_c.kind == KICK, "DRAWER_UNSURE"), else_="PRINT_UNCONFIRMED"),
            error_params=msgspec.json.encode({"device": device}),
            changed_ms=at_ms,
        )
    )
    return done.rowcount


def prune(connection: Connection, device: str, *, before_ms: int) -> int:
    """Forget settled jobs that were changed before an instant; returns how many.

    The sale itself stands in the journal, and a receipt can be printed anew from it.
    """
    old = (_c.device == device) & (_c.changed_ms < before_ms) & _c.state.not_in(OPEN)
    return connection.execute(delete(_job).where(old)).rowcount


def hand_over(connection: Connection, old: str, new: str) -> int:
    """Open jobs of a device that nobody owns any more go to another; returns how many."""
    if old == new:
        return 0
    moved = update(_job).where(_c.device == old, _c.state.in_(OPEN)).values(device=new)
    return connection.execute(moved).rowcount


def take_next(connection: Connection, device: str, *, at_ms: int) -> PrintJob | None:
    """Drop what expired, then the next job that may be sent: kicks first, then in order.

    A kick that is `sending` is a new one: its one worker settles each before it asks again, and
    after a crash `recover` comes first.
    """
    new_kick = (_c.kind == KICK) & (_c.state == JobState.SENDING)
    may_go = (_c.device == device) & _c.retry
    may_go &= or_(_c.state.in_([JobState.QUEUED, JobState.UNKNOWN]), new_kick)
    order = (case((_c.kind == KICK, 0), else_=1), _c.seq)
    query = select(_job).where(may_go).order_by(*order)
    for row in connection.execute(query).mappings():
        job = _read(row)
        if job.expires_ms is None or job.expires_ms >= at_ms:
            return job
        record(
            connection,
            job,
            state=JobState.FAILED,
            retry=False,
            error="DRAWER_UNSURE" if job.kind == KICK else "PRINT_EXPIRED",
            error_params={"device": device},
            changed_ms=at_ms,
        )
    return None


def record(connection: Connection, job: PrintJob, **changes: Any) -> PrintJob:
    """Write changed fields of a job; the worker's only write."""
    values = dict(changes)
    if "error_params" in values:
        values["error_params"] = msgspec.json.encode(values["error_params"], enc_hook=str)
    connection.execute(update(_job).where(_c.seq == job.seq).values(**values))
    return msgspec.structs.replace(job, **changes)


def _read(row: RowMapping) -> PrintJob:
    fields = dict(row)
    fields["state"] = JobState(fields["state"])
    fields["error_params"] = msgspec.json.decode(fields["error_params"])
    return PrintJob(**fields)
