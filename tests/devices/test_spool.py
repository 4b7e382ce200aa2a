"""Print jobs: never lost, never silently doubled, whatever is killed."""

import contextlib
import itertools
import subprocess
import sys
import time

import pytest
from sqlalchemy.exc import OperationalError

from devices import spool
from devices.device import DeviceState
from devices.printer import Printer
from devices.printworker import PrintWorker
from devices.receipt import Cut, Row, Rule, Text, profile, render
from devices.receipt_layout import sale_receipt
from devices.sim.vprinter import VirtualPrinter
from devices.spool import JobState, PrintRequest
from tests.devices.samples import SALE
from tests.devices.waiting import wait_for

PAPER = [Text("好利来"), Rule(), Row("面包", "¥5.00"), Row("应付", "¥5.00", bold=True), Cut()]


@pytest.fixture
def worker(begin, till_printer):
    tick = itertools.count(1_000)
    thread = PrintWorker(begin, till_printer, now_ms=lambda: next(tick))
    thread.start()
    yield thread
    thread.stop()


def _put(begin, job_id="r1", **more):
    with begin() as connection:
        request = PrintRequest(id=job_id, device="till-1", blocks=PAPER, **more)
        return spool.enqueue(connection, request, at_ms=1)


def _job(begin, job_id="r1"):
    with begin() as connection:
        return spool.find(connection, job_id)


def _reaches(begin, state, job_id="r1"):
    return lambda: (_job(begin, job_id).state is state) and _job(begin, job_id)


def test_enqueued_in_the_callers_transaction_and_once(begin):
    with contextlib.suppress(ZeroDivisionError), begin() as connection:
        request = PrintRequest(id="r1", device="till-1", blocks=PAPER)
        spool.enqueue(connection, request, at_ms=1)
        raise ZeroDivisionError
    assert _job(begin) is None
    assert _put(begin)
    assert not _put(begin)
    with begin() as connection:
        assert spool.waiting(connection, "till-1") == 1
        assert [job.id for job in spool.jobs(connection, device="till-1")] == ["r1"]


def test_prints_and_confirms(begin, worker, vprinter, eventually):
    _put(begin)
    worker.wake()
    job = eventually(_reaches(begin, JobState.CONFIRMED))
    assert (job.copy_no, job.tries, job.error) == (0, 1, "")
    assert len(vprinter.receipts()) == 1


def test_paper_out_waits_with_the_reason_and_then_prints(begin, worker, vprinter, eventually):
    vprinter.set(paper=0)
    _put(begin)
    worker.wake()
    eventually(lambda: _job(begin).error == "PRINTER_PAPER_OUT")
    assert _job(begin).state is JobState.QUEUED
    vprinter.set(paper=2)
    job = eventually(_reaches(begin, JobState.CONFIRMED))
    assert (job.copy_no, job.tries) == (0, 1)
    assert "REPRINT" not in vprinter.receipts()[0]


def test_the_drawer_comes_first_and_has_one_try(begin, worker, vprinter, eventually):
    vprinter.power_off()
    with begin() as connection:
        spool.enqueue(connection, spool.kick_request("k1", "till-1"), at_ms=1)
    worker.wake()
    job = eventually(_reaches(begin, JobState.FAILED, "k1"))
    assert job.error == "DRAWER_UNSURE"
    vprinter.power_on()
    with begin() as connection:
        assert not spool.reprint(connection, "k1", at_ms=2)
        spool.enqueue(connection, spool.kick_request("k2", "till-1"), at_ms=3)
    eventually(lambda: worker._printer.state().state is DeviceState.UP)
    with begin() as connection:
        spool.enqueue(connection, spool.kick_request("k3", "till-1"), at_ms=3)
    worker.wake()
    eventually(_reaches(begin, JobState.CONFIRMED, "k3"))
    assert vprinter.kicks <= 2


def test_a_kick_that_came_too_late_opens_nothing(begin, till_printer, vprinter, eventually):
    now = [1_000]
    thread = PrintWorker(begin, till_printer, now_ms=lambda: now[0])
    thread.start()
    assert thread.ready.wait(30)
    eventually(lambda: till_printer.state().state is DeviceState.UP)
    now[0] += spool.KICK_LIFE_MS + 1
    with begin() as connection:
        spool.enqueue(connection, spool.kick_request("k1", "till-1"), at_ms=1_000)
    thread.wake()
    assert eventually(_reaches(begin, JobState.FAILED, "k1")).error == "DRAWER_UNSURE"
    thread.stop()
    assert vprinter.kicks == 0


def test_a_kick_from_before_the_crash_opens_nothing(begin, till_printer, vprinter, eventually):
    with begin() as connection:  # its sale was committed, and the node died
        spool.enqueue(connection, spool.kick_request("k1", "till-1"), at_ms=1_000)
    _put(begin)
    thread = PrintWorker(begin, till_printer, now_ms=lambda: 1_001)
    thread.start()
    eventually(_reaches(begin, JobState.CONFIRMED))
    job = _job(begin, "k1")
    assert (job.state, job.error, job.retry) == (JobState.UNKNOWN, "DRAWER_UNSURE", False)
    thread.stop()
    assert vprinter.kicks == 0


CHILD = """
import sys, time
from sqlalchemy import create_engine
from devices.printer import Printer
from devices.printworker import PrintWorker
from devices.receipt import profile
engine = create_engine(sys.argv[1])
printer = Printer("till-1", sys.argv[2], profile=profile("80mm-48col"), on_event=lambda e: None)
printer.start()
PrintWorker(engine.begin, printer, now_ms=lambda: 5).start()
time.sleep(60)
"""


def test_kill_9_while_the_printer_holds_the_paper(begin, tmp_path, vprinter, events, eventually):
    vprinter.set(lines_left=2)
    _put(begin)
    database = f"sqlite:///{tmp_path}/edge.db"
    with subprocess.Popen([sys.executable, "-c", CHILD, database, vprinter.url]) as child:
        eventually(lambda: vprinter.brain.knobs.paper == 0)
        assert _job(begin).state is JobState.SENDING
        child.kill()
    vprinter.set(paper=2)  # the bytes had left: the paper comes out although nobody waits for it
    printer = Printer("till-1", vprinter.url, profile=profile("80mm-48col"), on_event=events.put)
    printer.start()
    thread = PrintWorker(begin, printer, now_ms=lambda: 6)
    thread.start()
    eventually(_reaches(begin, JobState.CONFIRMED))
    thread.stop()
    printer.stop()
    assert ["REPRINT" in text for text in vprinter.receipts()] == [False, True]


@pytest.mark.parametrize("at_call", [1, 2])
def test_a_bug_in_a_listener_does_not_end_printing(
    begin, till_printer, vprinter, eventually, at_call
):
    calls = []

    def listener(job):
        calls.append(job.state)
        if len(calls) == at_call:
            raise ZeroDivisionError

    _put(begin)
    _put(begin, "r2")
    thread = PrintWorker(begin, till_printer, now_ms=lambda: 5, on_job=listener)
    thread.start()
    eventually(_reaches(begin, JobState.CONFIRMED, "r2"))
    eventually(_reaches(begin, JobState.CONFIRMED))
    thread.stop()
    assert len(vprinter.receipts()) == 2


def test_expired_jobs_are_not_printed_hours_later(begin, worker, vprinter, eventually):
    vprinter.power_off()
    _put(begin, "old", expires_ms=500)
    _put(begin, "new")
    worker.wake()
    assert eventually(_reaches(begin, JobState.FAILED, "old")).error == "PRINT_EXPIRED"
    vprinter.power_on()
    eventually(_reaches(begin, JobState.CONFIRMED, "new"))
    with begin() as connection:
        assert spool.reprint(connection, "old", at_ms=9)
        assert spool.reprint(connection, "new", at_ms=9)
    worker.wake()
    eventually(_reaches(begin, JobState.CONFIRMED, "old"))
    eventually(_reaches(begin, JobState.CONFIRMED, "new"))
    marks = ["REPRINT" in text for text in vprinter.receipts()]
    assert marks == [False, False, True]  # old never left the machine, new is a copy


def test_unprintable_document_fails_alone(begin, worker, vprinter, eventually):
    with begin() as connection:
        spool.enqueue(connection, PrintRequest(id="bad", device="till-1", blocks=PAPER), at_ms=1)
        spool.record(connection, spool.find(connection, "bad"), blocks=b'[{"type":"no"}]')
    _put(begin)
    worker.wake()
    assert eventually(_reaches(begin, JobState.FAILED, "bad")).error == "PRINT_BROKEN"
    eventually(_reaches(begin, JobState.CONFIRMED))


def test_a_person_drops_a_job(begin):
    _put(begin)
    with begin() as connection:
        assert spool.drop(connection, "r1", at_ms=2)
        assert spool.take_next(connection, "till-1", at_ms=3) is None


@pytest.mark.parametrize("resend", [True, False])
def test_a_crash_while_sending_is_unknown_at_the_next_start(
    begin, till_printer, vprinter, eventually, resend
):
    _put(begin, resend=resend)
    with begin() as connection:
        job = spool.take_next(connection, "till-1", at_ms=2)
        spool.record(connection, job, state=JobState.SENDING, tries=1)
    thread = PrintWorker(begin, till_printer, now_ms=lambda: 5)
    thread.start()
    if resend:
        eventually(_reaches(begin, JobState.CONFIRMED))
        assert "补打 第1次 REPRINT 1" in vprinter.receipts()[0]
    else:
        assert eventually(_reaches(begin, JobState.UNKNOWN)).error == "PRINT_UNCONFIRMED"
        time.sleep(0.3)
        assert vprinter.receipts() == []
    thread.stop()


def test_a_live_printer_that_does_not_confirm_is_left_to_a_person(
    begin, worker, vprinter, eventually, monkeypatch
):
    monkeypatch.setattr("devices.printer.FENCE_S", 0.3)
    monkeypatch.setattr(vprinter.brain, "_sensor", lambda number: b"")
    _put(begin)
    worker.wake()
    job = eventually(_reaches(begin, JobState.UNKNOWN))
    assert (job.retry, job.copy_no) == (False, 1)
    time.sleep(0.5)
    assert len(vprinter.receipts()) == 1
    monkeypatch.undo()
    with begin() as connection:
        assert spool.reprint(connection, "r1", at_ms=9)
    worker.wake()
    eventually(_reaches(begin, JobState.CONFIRMED))
    assert ["REPRINT" in text for text in vprinter.receipts()] == [False, True]


def test_a_failing_database_sends_nothing(begin, till_printer, vprinter, eventually):
    broken = True

    @contextlib.contextmanager
    def sometimes():
        if broken:
            raise OperationalError("x", {}, Exception("disk full"))
        with begin() as connection:
            yield connection

    _put(begin)
    thread = PrintWorker(sometimes, till_printer, now_ms=lambda: 5)
    thread.start()
    eventually(lambda: thread.fault)
    assert vprinter.receipts() == []
    broken = False
    thread.wake()
    eventually(_reaches(begin, JobState.CONFIRMED))
    assert thread.fault == ""
    thread.stop()


RECEIPT = sale_receipt(SALE, "zh-CN")
LENGTH = len(render(RECEIPT, profile("80mm-48col"))) + 40  # with the kick and the questions


def _cut_at(offset, begin, events, *, cut, mend):
    """A drawer and a receipt; `cut` after `offset` bytes, then `mend`: what is on paper?"""
    job_id = f"r{offset}"
    vprinter = VirtualPrinter()
    vprinter.start()
    printer = Printer("till-1", vprinter.url, profile=profile("80mm-48col"), on_event=events.put)
    printer.start()
    thread = PrintWorker(begin, printer, now_ms=lambda: 5)
    thread.start()
    assert thread.ready.wait(60)
    wait_for(lambda: printer.state().state is DeviceState.UP)
    cut(vprinter, offset)
    with begin() as connection:
        spool.enqueue(connection, spool.kick_request(f"k{offset}", "till-1"), at_ms=1)
        request = PrintRequest(id=job_id, device="till-1", blocks=RECEIPT)
        spool.enqueue(connection, request, at_ms=1)
    thread.wake()
    wait_for(lambda: not vprinter.reachable or _job(begin, job_id).state is JobState.CONFIRMED)
    mend(vprinter)
    job = wait_for(_reaches(begin, JobState.CONFIRMED, job_id))
    kick = _job(begin, f"k{offset}")
    thread.stop()
    printer.stop()
    vprinter.stop()
    assert vprinter.faults == []
    assert vprinter.kicks <= 1
    assert kick.state in {JobState.CONFIRMED, JobState.UNKNOWN, JobState.FAILED}
    assert kick.tries == 1
    return vprinter.papers(), job


def _one_confirmed_job_and_no_unmarked_copy(papers, job):
    whole = [paper for paper in papers if not paper.torn]
    assert 1 <= len(whole) <= 2
    assert all("REPRINT" in paper.text() for paper in papers[1:])
    assert "REPRINT" not in papers[0].text() or len(papers) == 1
    assert job.copy_no in {0, job.tries - 1}


def _power_cut_at(offset, begin, events):
    papers, job = _cut_at(
        offset, begin, events, cut=VirtualPrinter.die_at, mend=VirtualPrinter.power_on
    )
    _one_confirmed_job_and_no_unmarked_copy(papers, job)


@pytest.mark.parametrize("offset", range(1, LENGTH, 16))
def test_power_cut_at_an_offset(offset, begin, events):
    _power_cut_at(offset, begin, events)


@pytest.mark.nightly
def test_power_cut_at_every_offset(begin, events):
    for offset in range(1, LENGTH):
        _power_cut_at(offset, begin, events)


def _cable_out_at(offset, begin, events):
    """The printer keeps its power, its paper and half a command; only the line breaks."""
    papers, job = _cut_at(
        offset, begin, events, cut=VirtualPrinter.unplug_at, mend=VirtualPrinter.plug
    )
    text = "".join(paper.text() for paper in papers)
    assert text.count("好利来") <= 2
    assert text.count("REPRINT") == job.copy_no
    assert text.count("谢谢惠顾") in {1, 1 + job.copy_no}


@pytest.mark.parametrize("offset", range(9, LENGTH, 64))
def test_cable_pulled_at_an_offset(offset, begin, events):
    _cable_out_at(offset, begin, events)


@pytest.mark.nightly
def test_cable_pulled_at_every_offset(begin, events):
    for offset in range(1, LENGTH):
        _cable_out_at(offset, begin, events)


def test_settled_jobs_are_forgotten_after_a_month_and_open_ones_never(begin, till_printer):
    for job_id in ("done", "waits", "fresh"):
        _put(begin, job_id)
    with begin() as connection:
        for job_id, at_ms in (("done", 1), ("fresh", spool.KEPT_MS)):
            job = spool.find(connection, job_id)
            spool.record(connection, job, state=JobState.CONFIRMED, retry=False, changed_ms=at_ms)
        before_ms = 2
        assert spool.prune(connection, "till-1", before_ms=before_ms) == 1
        assert spool.prune(connection, "till-2", before_ms=2**50) == 0
    assert [job_id for job_id in ("done", "waits", "fresh") if _job(begin, job_id)] == [
        "waits",
        "fresh",
    ]


def test_jobs_of_a_printer_that_is_gone_move_to_the_one_that_is_shared_now(begin):
    _put(begin, "open")
    _put(begin, "done")
    with begin() as connection:
        done = spool.find(connection, "done")
        spool.record(connection, done, state=JobState.CONFIRMED)
        assert spool.hand_over(connection, "till-1", "till-1") == 0
        assert spool.hand_over(connection, "till-1", "till-9") == 1
        assert spool.waiting(connection, "till-9") == 1
        assert spool.find(connection, "done").device == "till-1"
