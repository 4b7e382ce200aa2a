"""The clock matrix on real UDP sockets: servers that misbehave, the real asker and judge."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from devices.sim.vntp import BEHAVIOURS, VirtualNtp
from protocol.clock import DAY_MS, ClockState
from protocol.clockstatus import Basis, Last, Mark
from protocol.node import ntpclock, ntpwire
from protocol.node.ntpclock import BUILD_MS, NtpClock
from protocol.timesources import Rejected, Sample

Servers = Callable[..., list[VirtualNtp]]
ERA_2036_S = 2_085_978_496  # 2036-02-07 06:28:16 UTC


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Makes servers by their ways, and ends them."""
    made: list[VirtualNtp] = []

    def make(*ways: dict[str, object] | str) -> list[VirtualNtp]:
        for way in ways:
            server = VirtualNtp(**(way if isinstance(way, dict) else {}))
            if isinstance(way, str):
                server.become(way)
            made.append(server)
        return made

    yield make
    for server in made:
        server.stop()


def asked(found: list[VirtualNtp], **changes: object) -> NtpClock:
    clock = NtpClock([server.address for server in found], **changes)
    clock.ask_all()
    return clock


def truth_ms() -> int:
    return time.time_ns() // 1_000_000


def check_right(clock: NtpClock, off_ms: int = 0) -> None:
    """The truth lies within u; the reading and our look at the truth are not the same instant."""
    before = truth_ms()
    reading = clock.read()
    after = truth_ms()
    assert before + off_ms - reading.u_ms - 1 <= reading.at_ms <= after + off_ms + reading.u_ms + 1


def codes(clock: NtpClock) -> list[str]:
    """Per server, in their order: "" when it is used, else why not."""
    notes = {note.source: note.code for note in clock.status().sources}
    return [notes[server] for server in clock.servers]


GOOD = {"way": "good"}
T, U = ClockState.TRUSTED, ClockState.UNKNOWN
MATRIX = {  # row -> the servers' ways, the state, what each is rejected for
    "4 good": (["good"] * 4, T, ["", "", "", ""]),
    "1 of 4 an hour ahead": (
        ["good", "hour-ahead", "good", "good"],
        T,
        ["", "NTP_OUTLIER", "", ""],
    ),
    "kiss, unsynchronised, 2 good": (
        ["kiss-RATE", "unsynchronised", "good", "good"],
        T,
        ["NTP_KISS", "NTP_UNSYNCHRONISED", "", ""],
    ),
    "stale origin, 2 good": (["stale", "good", "good"], T, ["NTP_ORIGIN", "", ""]),
    "2 against 2, a minute apart": (
        ["good", "good", "minute-behind", "minute-behind"],
        U,
        ["NTP_NOT_FOLLOWED"] * 4,
    ),
    "only one": (["good"], U, ["NTP_NOT_FOLLOWED"]),
    "none": ([], U, []),
    "one silent of 3": (["silent", "good", "good"], T, ["NTP_SILENT", "", ""]),
    "+8, -6 and 0 ms": (
        [{"offset_s": 0.008}, {"offset_s": -0.006}, {"offset_s": 0.0}],
        T,
        ["", "", ""],
    ),
    "deny, 2 good": (["kiss-DENY", "good", "good"], T, ["NTP_KISS", "", ""]),
    "the year 2000, 2 good": (["year-2000", "good", "good"], T, ["NTP_BEFORE_BUILD", "", ""]),
    "all in the year 2000": (["year-2000"] * 3, U, ["NTP_BEFORE_BUILD"] * 3),
    "slow, 2 good": (["slow", "good", "good"], T, ["", "", ""]),
    "wrong mode": ([{"mode": 3}, "good", "good"], T, ["NTP_MODE", "", ""]),
    "stratum 0 without a word": ([{"kiss": "XYZ"}, "good", "good"], T, ["NTP_KISS", "", ""]),
    "stratum 99": ([{"stratum": 99}, "good", "good"], T, ["NTP_STRATUM", "", ""]),
    "leap 3": ([{"leap": 3}, "good", "good"], T, ["NTP_UNSYNCHRONISED", "", ""]),
    "transmit 0": ([{"no_transmit": True}, "good", "good"], T, ["NTP_NO_STAMP", "", ""]),
    "receive 0": ([{"no_receive": True}, "good", "good"], T, ["NTP_NO_STAMP", "", ""]),
    "backwards": ([{"backwards": True}, "good", "good"], T, ["NTP_STAMPS", "", ""]),
    "claims to have held it": ([{"claims_held_s": 5.0}, "good", "good"], T, ["NTP_DELAY", "", ""]),
    "held it for real": ([{"held_s": 0.1}, "good", "good"], T, ["", "", ""]),
    "far from its source": (
        [{"root_dispersion_s": 1.6}, {"root_delay_s": 3.1}, "good", "good"],
        T,
        ["NTP_FAR", "NTP_FAR", "", ""],
    ),
    "coarse": ([{"precision": 3}, "good", "good"], T, ["NTP_FAR", "", ""]),
    "cut short": ([{"cut": 20}, "good", "good"], T, ["NTP_UNREADABLE", "", ""]),
    "garbage of 7 bytes": (
        [{"garbage": True, "cut": 7}, "good", "good"],
        T,
        ["NTP_UNREADABLE", "", ""],
    ),
    "answers twice": ([{"twice": True}] * 3, T, ["", "", ""]),
    "from another port": ([{"other_port": True}, "good", "good"], T, ["NTP_SILENT", "", ""]),
    "a forged answer comes first": ([{"forged_first": True}] * 3, T, ["", "", ""]),
}


@pytest.mark.parametrize("row", MATRIX)
def test_the_matrix(row: str, servers: Servers) -> None:
    ways, state, expected = MATRIX[row]
    clock = asked(servers(*ways))
    assert clock.read().state is state
    assert codes(clock) == expected
    if state is T:
        check_right(clock)
        assert clock.status().used == expected.count("")
    for note in clock.status().sources:
        assert note.used or (note.sentence("en") and note.sentence("zh"))


def test_random_bytes_of_the_right_length_are_never_believed(servers: Servers) -> None:
    clock = asked(servers({"garbage": True}, "good", "good"))
    assert clock.read().state is T
    assert codes(clock)[0].startswith("NTP_")


def test_three_servers_a_day_ahead_fool_nobody_who_has_an_anchor(servers: Servers) -> None:
    three = servers("good", "good", "good")
    clock = asked(three)
    for server in three:
        server.become("day-ahead")
    assert not clock.ask_all()
    assert clock.status().code == "CLOCK_JUMP"
    assert clock.read().state is ClockState.HOLDOVER
    check_right(clock)
    for server in three:
        server.become("good")
    assert clock.ask_all()
    assert clock.read().state is T


def test_three_servers_a_day_ahead_are_refused_when_head_office_contradicts_them(
    servers: Servers,
) -> None:
    clock = NtpClock([s.address for s in servers(*["day-ahead"] * 3)])
    clock.take_beacon(truth_ms(), 20)
    clock.ask_all()
    assert clock.status().code == "CLOCK_CENTRAL_DIFFERS"
    assert clock.read().state is U
    fooled = asked(servers())
    assert fooled.read().state is T
    fooled.take_beacon(truth_ms(), 20)
    assert fooled.status().code == "CLOCK_CENTRAL_DIFFERS"
    assert fooled.read().state is U


def test_two_servers_past_2036(servers: Servers) -> None:
    offset_s = ERA_2036_S + 1_000 - time.time()
    clock = asked(servers({"offset_s": offset_s}, {"offset_s": offset_s}))
    assert clock.read().state is T
    check_right(clock, round(offset_s * 1000))


def test_head_office_is_one_more_wider_source(servers: Servers) -> None:
    clock = NtpClock([s.address for s in servers("good")])
    clock.take_beacon(truth_ms(), 20)
    clock.ask_all()
    assert clock.read().state is T
    check_right(clock)
    assert [note.source for note in clock.status().sources if note.used][-1] == "central"


def test_a_server_that_sends_us_away_is_left_alone(servers: Servers) -> None:
    rude, *_ = servers("kiss-RATE", "good", "good")
    clock = asked([rude, *servers()[1:]])
    rude.become("good")
    for _ in range(3):
        clock.ask_all()
    assert rude.asked == 1
    assert codes(clock) == ["NTP_HELD", "", ""]


def test_a_step_of_the_wall_clock_during_the_question_is_noticed(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = servers(*[{"held_s": 0.3}] * 3)
    stepped = threading.Event()

    class Stepping:
        """The clock module as the asker sees it; only the wall clock can be moved."""

        def __getattr__(self, name: str) -> object:
            return getattr(time, name)

        def time_ns(self) -> int:
            return time.time_ns() + (1_000_000_000 if stepped.is_set() else 0)

    monkeypatch.setattr(ntpwire, "time", Stepping())
    stepper = threading.Timer(0.1, stepped.set)
    clock = NtpClock([server.address for server in three])
    stepper.start()
    clock.ask_all()
    stepper.join()
    assert codes(clock) == ["NTP_STEPPED"] * 3
    assert not clock.read().state.trusted
    assert clock.ask_all()  # the step is over: monotonic time carries on
    check_right(clock)


@pytest.mark.parametrize("wall_ms", [0, 946_684_800_000])
def test_a_dead_hardware_clock_is_behind_until_two_servers_answer(
    wall_ms: int, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ntpclock, "wall_ms", lambda: wall_ms)
    mark = Mark(utc_ms=BUILD_MS + DAY_MS, good_ms=BUILD_MS + DAY_MS, basis=Basis.SOURCES)
    clock = NtpClock([s.address for s in servers("good", "good")], Last(mark=mark))
    reading = clock.read()
    assert (reading.state, reading.u_ms) == (ClockState.BEHIND, 0)
    assert reading.at_ms >= BUILD_MS + DAY_MS
    clock.ask_all()
    assert clock.read().state is T
    check_right(clock)


def test_names_and_ports_that_are_none(servers: Servers) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    two = [server.address for server in servers("good", "good")]
    clock = NtpClock(["no.such.host.invalid:123", f"127.0.0.1:{port}", "::::", *two])
    clock.ask_all()
    assert clock.read().state is T
    found = dict(zip(clock.servers, codes(clock), strict=True))
    assert found["no.such.host.invalid:123"] in {"NTP_NAME", "NTP_SILENT"}
    assert found[f"127.0.0.1:{port}"] == "NTP_SILENT"
    assert found["::::"] == "NTP_NAME"


def test_one_question_is_a_sample_or_a_reason(servers: Servers) -> None:
    good, bad = servers("good", "silent")
    assert isinstance(ntpwire.ask(good.address, build_ms=BUILD_MS), Sample)
    found = ntpwire.ask(bad.address, build_ms=BUILD_MS, timeout_s=0.1)
    assert isinstance(found, Rejected)
    assert found.code == "NTP_SILENT"


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.01)


def test_it_asks_in_the_background_remembers_and_tells(servers: Servers) -> None:
    marks: list[Mark] = []
    told: list[bool] = []
    three = servers("good", "good", "silent")
    clock = NtpClock(
        [s.address for s in three], save=marks.append, changed=lambda: told.append(True)
    )
    clock.start()
    try:
        wait_for(lambda: clock.read().state is T)
        wait_for(lambda: bool(marks))
        assert told
        assert abs(marks[-1].utc_ms - truth_ms()) < 60_000
        assert marks[-1].basis is Basis.SOURCES
        assert marks[-1].boot == ntpclock.boot_id()
    finally:
        clock.stop()
    again = NtpClock([], Last(mark=marks[-1]))
    status = again.status()
    assert (status.reading.state, status.basis) == (ClockState.HOLDOVER, Basis.CONTINUED)
    check_right(again)


def test_a_mark_that_cannot_be_kept_does_not_stop_the_clock(servers: Servers) -> None:
    def full(_mark: Mark) -> None:
        raise OSError("no space left")

    three = servers("silent", "silent")
    clock = NtpClock([s.address for s in three], save=full)
    clock.start()
    try:
        wait_for(lambda: three[0].asked >= 1 and clock._asking._round >= 1)
        for server in three:
            server.become("good")
        wait_for(lambda: clock.read().state is T)
    finally:
        clock.stop()


def test_centrals_word_makes_it_ask_at_once(servers: Servers) -> None:
    clock = NtpClock([s.address for s in servers("good")])
    clock.start()
    try:
        wait_for(lambda: clock.status().code == "CLOCK_ONE_SOURCE")
        clock.take_beacon(truth_ms(), 20)
        wait_for(lambda: clock.read().state is T)
    finally:
        clock.stop()


def test_every_behaviour_that_people_can_choose_has_been_tried() -> None:
    tried = {way for ways, _, _ in MATRIX.values() for way in ways if isinstance(way, str)}
    assert set(BEHAVIOURS) - tried == {"day-ahead"}  # has rows of its own
