"""One question to one time server over UDP. ntplib only reads and writes the packet.

Our own socket, a random nonce as our stamp, both clocks read around the question; whether the
answer is believed is said by `protocol.timesources`.
"""

import secrets
import socket
import struct
import time

import ntplib

from protocol.timesources import Exchange, Packet, Rejected, Sample, judge

TIMEOUT_S = 1.0
ANSWER_BYTES_MAX = 512
NANO = 1_000_000_000


def mono_ns() -> int:
    """Nanoseconds that count on through suspend and clock steps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def question(nonce: bytes) -> bytes:
    """A client's packet; servers give the nonce back as the origin."""
    packet = bytearray(ntplib.NTPPacket(version=4, mode=3).to_data())
    packet[40:48] = nonce
    return bytes(packet)


def read_packet(data: bytes) -> Packet | None:
    """The fields of an answer; None when these bytes are none."""
    stats = ntplib.NTPStats()
    try:
        stats.from_data(data)
    except (ntplib.NTPException, struct.error):
        return None
    return Packet(
        leap=stats.leap,
        mode=stats.mode,
        stratum=stats.stratum,
        precision=stats.precision,
        root_delay_ms=stats.root_delay * 1000,
        root_dispersion_ms=stats.root_dispersion * 1000,
        reference=data[12:16],
        origin=data[24:32],
        received_s=stats.recv_timestamp,
        transmitted_s=stats.tx_timestamp,
    )


def ask(server: str, *, build_ms: int, timeout_s: float = TIMEOUT_S) -> Sample | Rejected:
    """One question to `host:port`; never raises, and never takes much longer than `timeout_s`.

    A stray or forged packet does not end the waiting: the right answer may still come.
    """
    host, _, port = server.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    except (OSError, ValueError, OverflowError) as fault:
        return Rejected(server, "NTP_NAME", {"detail": str(fault)[:80]})
    try:
        with socket.socket(found[0], socket.SOCK_DGRAM) as udp:
            udp.connect(found[4])
            return _converse(udp, server, build_ms=build_ms, timeout_s=timeout_s)
    except OSError as fault:
        return Rejected(server, "NTP_SILENT", {"detail": str(fault)[:80]})


def _converse(
    udp: socket.socket, server: str, *, build_ms: int, timeout_s: float
) -> Sample | Rejected:
    nonce = secrets.token_bytes(8)
    packet = question(nonce)
    wall, sent = time.time_ns(), mono_ns()
    udp.send(packet)
    verdict: Sample | Rejected = Rejected(server, "NTP_SILENT", {"detail": f"{timeout_s:g} s"})
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        udp.settimeout(left_s)
        try:
            data = udp.recv(ANSWER_BYTES_MAX)
        except TimeoutError:
            break
        came, wall_after = mono_ns(), time.time_ns()
        answer = read_packet(data)
        if answer is None:
            detail = {"detail": f"{len(data)} bytes"}
            verdict = Rejected(server, "NTP_UNREADABLE", detail)
            continue
        exchange = Exchange(
            server=server,
            nonce=nonce,
            wall_ns=(wall, wall_after),
            mono_ns=(sent, came),
            packet=answer,
        )
        verdict = judge(exchange, build_ms=build_ms)
        if not isinstance(verdict, Rejected) or verdict.code != "NTP_ORIGIN":
            return verdict
    return verdict
