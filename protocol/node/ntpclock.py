"""Ask time servers, let `protocol.clock` judge. ntplib only reads and writes the packets.

ntplib accepts kiss-o'-death, unsynchronised and stale answers, so everything is validated here: our
own socket, a random nonce as origin timestamp, both clocks read around the query (devices.md, 6).
"""

import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec
import ntplib

from protocol.clock import ClockState, Reading, Sample, TrustedClock, intersect

BUILD_MS = 1_793_491_200_000  # 2026-11-01: no true instant lies before it
NTP_EPOCH_S = 2_208_988_800
ERA_S = 2**32
TIMEOUT_S = 1.0
ROUND_S = 64.0
FIRST_ROUNDS_S = 2.0
ROOT_DISTANCE_MS_MAX = 1_500
STEP_MS_MAX = 5
KISS_HOLD_S = 3_600.0


def mono_ms() -> int:
    """Milliseconds that count on through suspend and clock steps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """The machine's own idea of UTC, milliseconds; only `NtpClock` may act on it."""
    return time.time_ns() // 1_000_000


class Answer(msgspec.Struct, frozen=True):
    """What one server said: a sample, or why it was rejected."""

    server: str
    sample: Sample | None
    reason: str = ""
    kiss: bool = False


def _unfold(seconds: float) -> float:
    """An NTP era rolls over in 2036: the answer cannot lie before the build date."""
    unix = seconds - NTP_EPOCH_S
    while unix * 1000 < BUILD_MS:
        unix += ERA_S
    return unix


def _reject(stats: ntplib.NTPStats, data: bytes, nonce: bytes, elapsed_ms: float) -> str:
    checks = (
        (data[24:32] != nonce, "origin does not match our question"),
        (stats.mode != 4, f"mode {stats.mode} is not a server's"),
        (not 0 < stats.stratum <= 15, f"stratum {stats.stratum}"),
        (stats.leap == 3, "not synchronised"),
        (stats.tx_timestamp == 0 or stats.tx_timestamp < stats.recv_timestamp, "stamps disordered"),
        (
            (stats.tx_timestamp - stats.recv_timestamp) * 1000 > elapsed_ms + 1,
            "claims to have held the question longer than it took",
        ),
        (
            (stats.root_delay / 2 + stats.root_dispersion) * 1000 > ROOT_DISTANCE_MS_MAX,
            "too far from its own source",
        ),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def ask(server: str) -> Answer:
    """One question to `host:port`; never raises."""
    host, _, port = server.rpartition(":")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as udp:
            udp.settimeout(TIMEOUT_S)
            udp.connect(found[4])
            nonce = secrets.token_bytes(8)
            packet = bytearray(ntplib.NTPPacket(version=4).to_data())
            packet[40:48] = nonce
            wall, start = time.time_ns(), time.monotonic_ns()
            udp.send(packet)
            data = udp.recv(512)
            end, wall_after = time.monotonic_ns(), time.time_ns()
    except (OSError, ValueError) as fault:
        return Answer(server, None, f"no answer ({fault})")
    return _read_answer(server, data, nonce, (wall, wall_after), end - start)


def _read_answer(
    server: str, data: bytes, nonce: bytes, wall_ns: tuple[int, int], elapsed_ns: int
) -> Answer:
    stats = ntplib.NTPStats()
    try:
        stats.from_data(data)
    except (ntplib.NTPException, struct.error) as fault:
        return Answer(server, None, f"unreadable answer ({fault})")
    if stats.stratum == 0:
        code = data[12:16].decode("ascii", "replace").strip("\0 ")
        return Answer(server, None, f"kiss-o'-death {code}", kiss=code in {"RATE", "DENY", "RSTR"})
    elapsed_ms = elapsed_ns / 1e6
    reason = _reject(stats, data, nonce, elapsed_ms)
    if abs((wall_ns[1] - wall_ns[0] - elapsed_ns) / 1e6) > STEP_MS_MAX:
        reason = "our clock stepped during the question"
    if reason:
        return Answer(server, None, reason)
    held_ms = (stats.tx_timestamp - stats.recv_timestamp) * 1000
    middle_ms = (_unfold(stats.recv_timestamp) + _unfold(stats.tx_timestamp)) * 500
    offset = middle_ms - (wall_ns[0] / 1e6 + elapsed_ms / 2)
    error = (elapsed_ms - held_ms) / 2 + (stats.root_delay / 2 + stats.root_dispersion) * 1000
    return Answer(server, Sample(server, round(offset), max(1, round(error + 0.5))))


class NtpClock:
    """The clock of a node: `read()` is a few arithmetic steps; a thread does the asking.

    `save_high_water` persists the last trusted instant, so that a dead hardware clock is noticed
    at the next boot.
    """

    def __init__(
        self,
        servers: tuple[str, ...],
        high_water_ms: int = 0,
        save_high_water: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.servers = servers
        self.answers: tuple[Answer, ...] = ()
        self.last_agreement: Sample | None = None
        self._judge = TrustedClock(build_ms=BUILD_MS, high_water_ms=high_water_ms)
        self._save = save_high_water
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._beacon: tuple[Sample, int] | None = None
        self._held: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._judge.boot_without_sources(wall_ms=wall_ms(), mono_ms=mono_ms())

    def read(self) -> Reading:
        """The judged reading now."""
        with self._lock:
            return self._judge.read(wall_ms=wall_ms(), mono_ms=mono_ms())

    @property
    def high_water_ms(self) -> int:
        """The last trusted instant."""
        return self._judge.high_water_ms

    def confirm(self, true_ms: int) -> None:
        """A manager vouched for the time."""
        with self._lock:
            self._judge.confirm(true_ms, mono_ms=mono_ms())

    def take_beacon(self, at_ms: int, u_ms: int) -> None:
        """Head office's signed time: one more source, wider by the unknown way here."""
        self._beacon = (Sample("central", at_ms - wall_ms(), u_ms + 500), mono_ms())

    def ask_all(self) -> Sample | None:
        """One round over all servers in parallel; anchors the clock when a majority agrees."""
        now = time.monotonic()
        asked = [s for s in self.servers if self._held.get(s, 0) <= now]
        answers = []
        if asked:
            with ThreadPoolExecutor(len(asked)) as pool:
                answers = list(pool.map(ask, asked))
        for answer in answers:
            if answer.kiss:
                self._held[answer.server] = now + KISS_HOLD_S
        self.answers = tuple(answers)
        samples = [a.sample for a in answers if a.sample]
        if self._beacon and mono_ms() - self._beacon[1] < 30_000:
            samples.append(self._beacon[0])
        agreed = intersect(samples)
        if agreed:
            with self._lock:
                self._judge.accept(agreed, wall_ms=wall_ms(), mono_ms=mono_ms())
            self.last_agreement = agreed
        return agreed

    def _run(self) -> None:
        while not self._stop.is_set():
            agreed = self.ask_all()
            if self.read().state is not ClockState.UNKNOWN:
                self._save(self.high_water_ms)
            self._stop.wait(ROUND_S if agreed else FIRST_ROUNDS_S)

    def start(self) -> None:
        """Ask in the background; selling never waits for it."""
        self._thread = threading.Thread(target=self._run, name="ntp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=3)

    def status(self) -> dict[str, str]:
        """Per source: "ok" with its offset, or why it was rejected."""
        return {
            a.server: f"ok {a.sample.offset_ms:+d} ms ±{a.sample.error_ms}"
            if a.sample
            else a.reason
            for a in self.answers
        }


def random_hex(digits: int) -> str:
    """An epoch or a session id."""
    return os.urandom((digits + 1) // 2).hex()[:digits]
