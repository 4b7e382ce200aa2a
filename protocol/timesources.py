"""What time sources say: one answer judged, and what a majority of answers agrees on.

A time server is asked over UDP; its answer is believed only after every check below, because a
packet library lets kiss-o'-death, unsynchronised, stale and forged answers pass (devices.md,
section 6). Each refusal keeps its reason. Offsets are true UTC minus our monotonic clock, so a wall
clock that is set between two answers changes nothing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from protocol.errors import define, sentence

NTP_EPOCH_S: Final = 2_208_988_800  # from 1900 to 1970
ERA_S: Final = 2**32  # 2036-02-07: the seconds of NTP begin anew
ROOT_DISTANCE_MS_MAX: Final = 1_500
STEP_MS_MAX: Final = 5
HELD_SLACK_MS: Final = 1.0  # two clocks do not tick alike
HOLD_CODES: Final = frozenset({"RATE", "DENY", "RSTR"})
MODE_SERVER: Final = 4

define(
    {
        "NTP_SILENT": ("No answer ({detail}).", "没有应答（{detail}）。"),
        "NTP_WAITING": ("Has not answered yet.", "尚未应答。"),
        "NTP_NAME": ("Its name is not found ({detail}).", "无法解析服务器名称（{detail}）。"),
        "NTP_UNREADABLE": ("Its answer cannot be read ({detail}).", "应答无法解析（{detail}）。"),
        "NTP_ORIGIN": (
            "Its answer does not match our question: stale or forged.",
            "应答与请求不符：过期或伪造。",
        ),
        "NTP_KISS": (
            "It sent us away ({kiss}); RATE, DENY and RSTR are left alone for an hour.",
            "服务器拒绝服务（{kiss}）；RATE、DENY、RSTR 停用一小时。",
        ),
        "NTP_HELD": (
            "It had sent us away ({kiss}); it is asked again in {minutes} min.",
            "服务器曾拒绝服务（{kiss}），{minutes} 分钟后再询问。",
        ),
        "NTP_MODE": ("It does not answer as a server (mode {mode}).", "应答模式错误（{mode}）。"),
        "NTP_STRATUM": ("Its stratum {stratum} is none.", "层级 {stratum} 无效。"),
        "NTP_UNSYNCHRONISED": (
            "It says that it is not synchronised itself.",
            "服务器自称尚未同步。",
        ),
        "NTP_NO_STAMP": ("It gives no time.", "应答中没有时间。"),
        "NTP_STAMPS": (
            "It sent its answer before the question came, as it says.",
            "应答的发送时间早于接收时间。",
        ),
        "NTP_DELAY": (
            "It claims to have held the question for longer than the answer took.",
            "声称的处理时间长于实际往返时间。",
        ),
        "NTP_BEFORE_BUILD": (
            "It names a time before this program was made.",
            "所报时间早于本程序的制作日期。",
        ),
        "NTP_STEPPED": (
            "Our own clock was set by {step_ms} ms during the question.",
            "询问期间本机时钟被调整 {step_ms} 毫秒。",
        ),
        "NTP_FAR": (
            "It is too far from its own source (± {distance_ms} ms).",
            "距其时间源过远（± {distance_ms} 毫秒）。",
        ),
        "NTP_OUTLIER": (
            "The majority contradicts it: it is {by} off.",
            "与多数来源不符：相差 {by}。",
        ),
        "NTP_NOT_FOLLOWED": (
            "It says {by}, which was not followed.",
            "其时间相差 {by}，未采用。",
        ),
    }
)


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of one answer that the judge needs; stamps in NTP seconds, 0 for none."""

    leap: int
    mode: int
    stratum: int
    precision: int = -20  # log2 of seconds
    root_delay_ms: float = 0.0
    root_dispersion_ms: float = 0.0
    reference: bytes = b""
    origin: bytes = b""
    received_s: float
    transmitted_s: float


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One question and its answer; clocks in nanoseconds when the question left, the answer came.

    `mono_ns` counts on through suspend and clock steps; `nonce` is what we wrote as our own stamp.
    """

    server: str
    nonce: bytes
    wall_ns: tuple[int, int]
    mono_ns: tuple[int, int]
    packet: Packet

    @property
    def elapsed_ms(self) -> float:
        """From the question to the answer."""
        return (self.mono_ns[1] - self.mono_ns[0]) / 1e6

    @property
    def held_ms(self) -> float:
        """How long the server says that it kept the question."""
        return (self.packet.transmitted_s - self.packet.received_s) * 1000

    @property
    def distance_ms(self) -> float:
        """Half the way there and back, and the server's own distance to its source."""
        p = self.packet
        root_ms = p.root_delay_ms / 2 + p.root_dispersion_ms + 1000 * 2.0 ** min(p.precision, 10)
        return max(0.0, self.elapsed_ms - self.held_ms) / 2 + root_ms


class Sample(msgspec.Struct, frozen=True):
    """One believed answer: UTC minus our monotonic clock lies in offset_ms ± error_ms."""

    source: str
    offset_ms: int
    error_ms: int

    @property
    def low_ms(self) -> int:
        """The least that it can be."""
        return self.offset_ms - self.error_ms

    @property
    def high_ms(self) -> int:
        """The most that it can be."""
        return self.offset_ms + self.error_ms


class Rejected(msgspec.Struct, frozen=True):
    """A source that is not used, and why."""

    source: str
    code: str
    params: dict[str, str] = {}

    def sentence(self, language: str) -> str:
        """Why, in words."""
        return sentence(self.code, self.params, language)

    @property
    def hold(self) -> bool:
        """Must it be left alone for an hour?"""
        return self.code == "NTP_KISS" and self.params.get("kiss") in HOLD_CODES


def unfold(seconds: float, build_ms: int) -> float | None:
    """NTP seconds as UTC seconds in the era that begins at the build date; None: before it.

    Half an era (68 years) after the build counts as later, the other half as before.

    >>> unfold(1.0, 1_793_491_200_000) == ERA_S - NTP_EPOCH_S + 1  # just after the roll-over
    True
    >>> unfold(3_155_673_600.0, 1_793_491_200_000) is None  # the year 2000
    True
    """
    unix = seconds - NTP_EPOCH_S
    while unix * 1000 < build_ms:
        unix += ERA_S
    return unix if unix * 1000 < build_ms + ERA_S * 500 else None


def _step_ms(x: Exchange) -> float:
    wall, mono = x.wall_ns, x.mono_ns
    return abs((wall[1] - wall[0]) - (mono[1] - mono[0])) / 1e6


Check = tuple[str, Callable[[Exchange], bool], Callable[[Exchange], dict[str, str]]]


def _nothing(_x: Exchange) -> dict[str, str]:
    return {}


def kiss_of(packet: Packet) -> str:
    """The code of a kiss-o'-death."""
    text = packet.reference.decode("ascii", "replace").strip("\0 ")
    return "".join(c for c in text if c.isalnum())[:4] or "?"


CHECKS: Final[tuple[Check, ...]] = (  # the origin first: who did not hear us may say nothing
    ("NTP_ORIGIN", lambda x: x.packet.origin != x.nonce, _nothing),
    ("NTP_MODE", lambda x: x.packet.mode != MODE_SERVER, lambda x: {"mode": str(x.packet.mode)}),
    ("NTP_KISS", lambda x: x.packet.stratum == 0, lambda x: {"kiss": kiss_of(x.packet)}),
    ("NTP_UNSYNCHRONISED", lambda x: x.packet.leap == 3 or x.packet.stratum == 16, _nothing),
    (
        "NTP_STRATUM",
        lambda x: not 0 < x.packet.stratum <= 15,
        lambda x: {"stratum": str(x.packet.stratum)},
    ),
    ("NTP_NO_STAMP", lambda x: x.packet.transmitted_s <= 0 or x.packet.received_s <= 0, _nothing),
    ("NTP_STAMPS", lambda x: x.held_ms < 0, _nothing),
    ("NTP_DELAY", lambda x: x.held_ms > x.elapsed_ms + HELD_SLACK_MS, _nothing),
    (
        "NTP_STEPPED",
        lambda x: _step_ms(x) > STEP_MS_MAX,
        lambda x: {"step_ms": f"{_step_ms(x):.0f}"},
    ),
    (
        "NTP_FAR",
        lambda x: not x.distance_ms <= ROOT_DISTANCE_MS_MAX,
        lambda x: {"distance_ms": f"{min(x.distance_ms, 1e9):.0f}"},
    ),
)


def judge(exchange: Exchange, *, build_ms: int) -> Sample | Rejected:
    """Believe one answer, or say why not."""
    for code, wrong, params in CHECKS:
        if wrong(exchange):
            return Rejected(exchange.server, code, params(exchange))
    received = unfold(exchange.packet.received_s, build_ms)
    transmitted = unfold(exchange.packet.transmitted_s, build_ms)
    if received is None or transmitted is None:
        return Rejected(exchange.server, "NTP_BEFORE_BUILD")
    middle_ms = sum(exchange.mono_ns) / 2e6
    offset_ms = (received + transmitted) * 500 - middle_ms
    return Sample(exchange.server, round(offset_ms), math.ceil(exchange.distance_ms) + 1)


class Agreement(msgspec.Struct, frozen=True):
    """What a majority shares: UTC minus our monotonic clock lies in [low_ms, high_ms]."""

    low_ms: int
    high_ms: int
    sources: tuple[str, ...]

    @property
    def offset_ms(self) -> int:
        """The middle."""
        return (self.low_ms + self.high_ms) // 2

    @property
    def error_ms(self) -> int:
        """Half the width, rounded up."""
        return (self.high_ms - self.low_ms + 1) // 2


def intersect(samples: Sequence[Sample], *, voters: int = 0) -> Agreement | None:
    """Where the truth can be while a majority of at least two sources is honest, or None.

    All that a majority shares, not only what most share (as Marzullo has it): a liar whose interval
    touches an honest one would else push the truth out. `voters` counts those too who have not
    answered yet: what a majority of all shares, no late answer can overturn.

    >>> intersect([Sample("a", 0, 10), Sample("b", 4, 10), Sample("c", 3_600_000, 10)])
    Agreement(low_ms=-6, high_ms=10, sources=('a', 'b'))
    """
    need = max(2, max(len(samples), voters) // 2 + 1)
    depth, low, high = 0, None, None
    for at, closing in sorted(edge for s in samples for edge in ((s.low_ms, 0), (s.high_ms, 1))):
        if closing:
            if depth == need:
                high = at
            depth -= 1
        else:
            depth += 1
            if depth == need and low is None:
                low = at
    if low is None or high is None:
        return None
    agreeing = tuple(s.source for s in samples if s.low_ms <= high and s.high_ms >= low)
    return Agreement(low, high, agreeing)
