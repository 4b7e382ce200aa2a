"""A virtual SNTP server on loopback that can misbehave in every way that time servers do.

server = VirtualNtp(offset_s=3600)      # an hour ahead
server.behave(kiss="RATE")              # from now on, until the next word
server.become("day-ahead")              # one of BEHAVIOURS, as the virtual shop's page names it
"""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

NTP_EPOCH_S: Final = 2_208_988_800
ERA_S: Final = 2**32


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a server answers; as it stands, a good server 10 ms from its source."""

    offset_s: float = 0.0  # its clock minus the truth
    silent: bool = False
    loss: int = 0  # of so many questions only the last is answered
    kiss: str = ""  # RATE, DENY, RSTR, or any other kiss-o'-death
    leap: int = 0  # 3: not synchronised
    stratum: int = 2
    mode: int = 4
    precision: int = -20
    root_delay_s: float = 0.0
    root_dispersion_s: float = 0.01
    held_s: float = 0.0  # works on the question for so long, and says so
    claims_held_s: float = 0.0  # says that it held the question, but did not
    way_out_s: float = 0.0  # the question is under way for so long
    way_back_s: float = 0.0  # the answer is
    stale: bool = False  # answers the question before, as a replay does
    forged_first: bool = False  # a forged packet comes before the right one
    no_receive: bool = False
    no_transmit: bool = False
    backwards: bool = False  # transmits before it receives
    cut: int = 0  # only so many bytes of the answer
    garbage: bool = False
    twice: bool = False
    other_port: bool = False  # answers from another port
    frozen_s: float | None = None  # its clock stands at this Unix time


BEHAVIOURS: Final[dict[str, Behaviour]] = {  # for people: name -> what it does
    "good": Behaviour(),
    "minute-behind": Behaviour(offset_s=-60),
    "hour-ahead": Behaviour(offset_s=3_600),
    "day-ahead": Behaviour(offset_s=86_400),
    "year-2000": Behaviour(frozen_s=946_684_800),
    "silent": Behaviour(silent=True),
    "unsynchronised": Behaviour(leap=3, stratum=16),
    "kiss-RATE": Behaviour(kiss="RATE"),
    "kiss-DENY": Behaviour(kiss="DENY"),
    "stale": Behaviour(stale=True),
    "slow": Behaviour(way_back_s=0.8),
}


class VirtualNtp:
    """Answers on `address` ("127.0.0.1:port") until `stop()`; `asked` counts the questions."""

    def __init__(
        self,
        *,
        offset_s: float = 0.0,
        port: int = 0,
        now: Callable[[], float] = time.time,
        **behaviour: Any,
    ) -> None:
        self.behaviour = Behaviour(offset_s=offset_s, **behaviour)
        self.asked = 0
        self._now = now
        self._last = bytes(8)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", port))
        self._other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._other.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._udp.getsockname()[1]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vntp", daemon=True)
        self._thread.start()

    def behave(self, **changes: Any) -> None:
        """Change some of its ways, from the next question on."""
        self.behaviour = replace(self.behaviour, **changes)

    def become(self, name: str) -> None:
        """Take on one of BEHAVIOURS; KeyError when there is none of this name."""
        self.behaviour = BEHAVIOURS[name]

    @property
    def named(self) -> str:
        """Which of BEHAVIOURS it has now; "" for another one."""
        return next((name for name, b in BEHAVIOURS.items() if b == self.behaviour), "")

    def stop(self) -> None:
        """End the thread and give the port back."""
        self._stop.set()
        with contextlib.suppress(OSError):
            self._other.sendto(b"", self._udp.getsockname())  # wakes the thread
        self._thread.join(timeout=2)
        self._udp.close()
        self._other.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                question, peer = self._udp.recvfrom(512)
            except OSError:
                return
            if len(question) >= 48:
                self.asked += 1
                with contextlib.suppress(OSError):
                    self._serve(question, peer)

    def _serve(self, question: bytes, peer: tuple[str, int]) -> None:
        how, origin = self.behaviour, question[40:48]
        if how.silent or (how.loss and self.asked % how.loss):
            return
        self._stop.wait(how.way_out_s)
        received_s = self._clock(how)
        self._stop.wait(how.held_s)
        answer = self._answer(how, self._last if how.stale else origin, received_s)
        self._last = origin
        self._stop.wait(how.way_back_s)
        door = self._other if how.other_port else self._udp
        if how.forged_first:
            door.sendto(self._answer(how, os.urandom(8), received_s + 86_400), peer)
        for _ in range(2 if how.twice else 1):
            door.sendto(answer, peer)

    def _clock(self, how: Behaviour) -> float:
        return (self._now() if how.frozen_s is None else how.frozen_s) + how.offset_s

    def _answer(self, how: Behaviour, origin: bytes, received_s: float) -> bytes:
        if how.garbage:
            return os.urandom(how.cut or 48)
        sent_s = self._clock(how) + how.claims_held_s
        if how.backwards:
            sent_s = received_s - 0.05
        reference = how.kiss.encode().ljust(4, b"\0")[:4] if how.kiss else b"LOCL"
        head = struct.pack(
            "!BBBbII",
            how.leap << 6 | 4 << 3 | how.mode,
            0 if how.kiss else how.stratum,
            6,
            how.precision,
            round(how.root_delay_s * 65_536),
            round(how.root_dispersion_s * 65_536),
        )
        received = bytes(8) if how.no_receive else _stamp(received_s)
        sent = bytes(8) if how.no_transmit else _stamp(sent_s)
        answer = head + reference + _stamp(received_s) + origin + received + sent
        return answer[: how.cut] if how.cut else answer


def _stamp(unix_s: float) -> bytes:
    seconds = unix_s + NTP_EPOCH_S
    return struct.pack("!II", int(seconds) % ERA_S, int((seconds % 1) * ERA_S))
