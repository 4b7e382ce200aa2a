"""A strict reader of ESC/POS: bytes in, paper and answers out (devices.md, section 2.5).

    printer = EscPos(columns=48, dots=576)
    answers = printer.feed(data)       # however the bytes are split
    printer.papers[-1].text(), printer.kicks, printer.faults

What a command is, is found out at once; what it does waits while the printer is held up (no paper,
cover open, offline), except status queries, which a real printer answers in real time. Every
unknown sequence is a fault with its first bytes in hex; the printer then goes on as a cheap one
would, by dropping the first byte.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

from devices.sim.codes import barcode_picture, qr_picture, raster_picture
from devices.sim.paper import Cell, Graphic, Line, Paper, Style

_FIXED: Final[dict[bytes, int]] = {  # command -> bytes of parameters
    b"\x1b@": 0, b"\x1b!": 1, b"\x1ba": 1, b"\x1bE": 1, b"\x1b-": 1, b"\x1bJ": 1, b"\x1bM": 1,
    b"\x1b2": 0, b"\x1b3": 1, b"\x1b{": 1, b"\x1bR": 1, b"\x1bt": 1, b"\x1bd": 1, b"\x1bp": 3,
    b"\x1d!": 1, b"\x1dB": 1, b"\x1db": 1, b"\x1dh": 1, b"\x1dw": 1, b"\x1dH": 1, b"\x1df": 1,
    b"\x1da": 1, b"\x1dr": 1, b"\x1c&": 0, b"\x1c.": 0, b"\x1cC": 1, b"\x10\x04": 1,
}  # fmt: skip
_ALIGN: Final = {0: "left", 1: "center", 2: "right", 48: "left", 49: "center", 50: "right"}
_NO_EFFECT: Final = frozenset(
    [b"\x1bJ", b"\x1bM", b"\x1b2", b"\x1b3", b"\x1b{", b"\x1bR", b"\x1bt", b"\x1db", b"\x1df",
     b"\x1da", b"\x1cC", b"\x1dH"]
)  # fmt: skip
Operation = Callable[[], bytes]
_ASCII_RUN: Final = re.compile(rb"[\x20-\x7e]+")
_GB_RUN: Final = re.compile(rb"(?:[\x81-\xfe][\x40-\x7e\x80-\xfe])+")
PAPERS_MAX: Final = 2000
_cell = lru_cache(maxsize=8192)(Cell)  # thousands of receipts are kept: share their letters


@dataclass
class Knobs:
    """What a person can do to a printer."""

    paper: Literal[0, 1, 2] = 2  # none, nearly none, plenty
    cover_open: bool = False
    offline: bool = False
    cutter_jam: bool = False
    drawer_pin: bool = False
    lines_left: int | None = None  # paper runs out after so many lines
    long_fence: bool = True  # answers GS ( H; many cheap models swallow it

    @property
    def held(self) -> bool:
        """Nothing is printed while this is so."""
        return self.paper == 0 or self.cover_open or self.offline or self.cutter_jam


class EscPos:
    """One printer's brain. Not thread-safe: the server holds the lock."""

    def __init__(self, *, columns: int = 48, dots: int = 576) -> None:
        self.columns = columns
        self.dots = dots
        self.knobs = Knobs()
        self.papers: list[Paper] = []  # the last PAPERS_MAX
        self.dropped = 0  # how many came before them
        self.kicks: list[tuple[int, int, int]] = []  # pin, on ms, off ms
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self._paper = Paper(columns, dots)
        self._now = bytearray()  # answers given in real time
        self.power_on()

    def power_on(self) -> None:
        """Reset as after switching on; what was on the way is lost, what was printed is torn."""
        if self._paper.items:
            self._paper.torn = True
            self._keep()
        self._paper = Paper(self.columns, self.dots)
        self._input = bytearray()
        self._broken = False
        self._held: deque[Operation] = deque()
        self._reading_gb = True
        self._reset()

    def _reset(self) -> None:
        self._style = Style()
        self._align = "left"
        self._cells: list[Cell] = []
        self._used = 0  # columns of the line
        self._qr_size, self._qr_data = 3, b""
        self._bar_height, self._bar_width = 162, 3

    def current(self) -> Paper:
        """The paper that is not cut yet."""
        return self._paper

    def feed(self, data: bytes) -> bytes:
        """Take bytes; return the answers that are due now, in order."""
        self._input += data
        answers = b""
        while self._input:
            answer = self._next()
            if answer is None:
                break
            answers += bytes(self._now) + answer
            self._now.clear()
        return answers

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Take bytes; return the answers given in real time, and those given in the job's order."""
        self._input += data
        in_order = b""
        while self._input:
            answer = self._next()
            if answer is None:
                break
            in_order += answer
        at_once = bytes(self._now)
        self._now.clear()
        return at_once, in_order

    def _next(self) -> bytes | None:
        """Read and do one command; None when it is not whole."""
        taken, operation = self._parse()
        if not taken:
            return None
        del self._input[:taken]
        return self._do(operation) if operation is not None else b""

    def line_broke(self) -> None:
        """The line broke: half a command may wait, and what comes next is read as its rest.

        As a real parser does. Until the next status question nonsense is therefore no fault.
        """
        self._broken = bool(self._input)

    def resume(self) -> bytes:
        """After a knob was turned: do what was held up."""
        answers = b""
        while self._held and not self.knobs.held:
            answers += self._held.popleft()()
        return answers

    def _do(self, operation: Operation) -> bytes:
        if self._held or self.knobs.held:
            self._held.append(operation)
            return b""
        return operation()

    # -- reading: how long is it, and what will it do ------------------------------------------

    def _parse(self) -> tuple[int, Operation | None]:
        """Length and effect of what the input starts with; (0, None) when it is not whole."""
        data = bytes(self._input[:2])
        if data[0] not in b"\x1b\x1c\x1d\x10":
            return self._parse_text(data)
        if len(data) < 2:
            return 0, None
        if data in _FIXED:
            return self._parse_fixed(data)
        variable = {
            b"\x1dV": self._parse_cut,
            b"\x1dv": self._parse_raster,
            b"\x1d(": self._parse_extended,
            b"\x1dk": self._parse_barcode,
        }.get(data)
        return variable() if variable else self._unknown()

    def _unknown(self) -> tuple[int, None]:
        self._complain(f"unknown sequence {bytes(self._input[:8]).hex(' ')}")
        return 1, None

    def _complain(self, fault: str) -> None:
        (self.warnings if self._broken else self.faults).append(fault)

    def _parse_fixed(self, command: bytes) -> tuple[int, Operation | None]:
        length = 2 + _FIXED[command]
        if len(self._input) < length:
            return 0, None
        parameters = bytes(self._input[2:length])
        if command == b"\x10\x04":  # answered in real time, held up or not
            self._broken = False
            self._now += self.status(parameters[0])
            return length, None
        if command in {b"\x1b@", b"\x1c&", b"\x1c."}:
            self._reading_gb = command != b"\x1c."
        return length, lambda: self._command(command, parameters)

    def _parse_run(self) -> tuple[int, Operation | None]:
        """Many characters of one kind at once: that is what makes it as fast as a printer."""
        ascii_run = _ASCII_RUN.match(self._input)
        if ascii_run is not None:
            text = ascii_run[0].decode("ascii")
            return len(text), lambda: self._put_all(text, 1)
        gb_run = _GB_RUN.match(self._input) if self._reading_gb else None
        if gb_run is None:
            return 0, None
        pairs = bytes(gb_run[0])
        try:
            text = pairs.decode("gb18030")
        except UnicodeDecodeError:
            return 0, None  # one by one finds out which
        return len(pairs), lambda: self._put_all(text, 2)

    def _parse_text(self, data: bytes) -> tuple[int, Operation | None]:
        taken, operation = self._parse_run()
        if taken:
            return taken, operation
        first = data[0]
        if first == 0x0A:
            return 1, self._line_feed
        if first in {0x0D, 0x00}:
            return 1, None
        if first < 0x20 or first == 0x7F:
            return self._unknown()
        if first < 0x80:
            return 1, lambda: self._put(chr(first), 1)
        if not self._reading_gb:
            return 1, lambda: self._put(bytes([first]).decode("cp437"), 1)
        if len(data) < 2:
            return 0, None
        if 0x30 <= data[1] <= 0x39:
            self._complain(f"4-byte GB18030 {bytes(self._input[:8]).hex(' ')}")
            return 2, lambda: self._put("?", 2)
        try:
            char = data.decode("gb18030")
        except UnicodeDecodeError:
            self._complain(f"no GB18030 pair {bytes(self._input[:8]).hex(' ')}")
            return 2, lambda: self._put("?", 2)
        return 2, lambda: self._put(char, 2)

    def _parse_cut(self) -> tuple[int, Operation | None]:
        if len(self._input) < 3:
            return 0, None
        length = 3 if self._input[2] in {0, 1, 48, 49} else 4
        return (length, self._cut) if len(self._input) >= length else (0, None)

    def _parse_raster(self) -> tuple[int, Operation | None]:
        if len(self._input) < 8:
            return 0, None
        if self._input[2] != 0x30:
            return self._unknown()
        width = int.from_bytes(self._input[4:6], "little")
        height = int.from_bytes(self._input[6:8], "little")
        length = 8 + width * height
        if len(self._input) < length:
            return 0, None
        if width * 8 > self.dots + 7:
            self.faults.append(f"picture of {width * 8} dots on {self.dots}")
        rows = bytes(self._input[8:length])
        return length, lambda: self._graphic("IMAGE", raster_picture(rows, width, height))

    def _parse_extended(self) -> tuple[int, Operation | None]:
        if len(self._input) < 5:
            return 0, None
        length = 5 + int.from_bytes(self._input[3:5], "little")
        if len(self._input) < length:
            return 0, None
        body = bytes(self._input[5:length])
        if self._input[2] == 0x48 and body[:2] == b"00" and len(body) == 6:
            return length, lambda: self._long_fence(body[2:])
        if self._input[2] == 0x6B and body[:1] == b"1" and body[1] in {65, 67, 69, 80, 81}:
            return length, lambda: self._qr(body[1], body[2:])
        return self._unknown()

    def _parse_barcode(self) -> tuple[int, Operation | None]:
        if len(self._input) < 4:
            return 0, None
        kind = self._input[2]
        if kind >= 65:
            length = 4 + self._input[3]
            data = bytes(self._input[4:length])
        else:
            end = self._input.find(0, 3)
            if end < 0:
                return 0, None
            length = end + 1
            data = bytes(self._input[3:end])
        if len(self._input) < length:
            return 0, None
        return length, lambda: self._barcode(kind, data)

    # -- doing ---------------------------------------------------------------------------------

    def _command(self, command: bytes, parameters: bytes) -> bytes:
        value = parameters[0] if parameters else 0
        if command in _NO_EFFECT:
            return b""
        if command == b"\x1dr":
            return self._sensor(value)
        if command == b"\x1bp":
            self._kick(parameters)
        elif command == b"\x1bd":
            self._feed(value)
        elif command == b"\x1b@":
            if self._cells:
                self.warnings.append("ESC @ in the middle of a line")
            self._reset()
        elif command in {b"\x1dh", b"\x1dw"}:
            name = "_bar_height" if command == b"\x1dh" else "_bar_width"
            setattr(self, name, value)
        elif command not in {b"\x1c&", b"\x1c."}:
            self._restyle(command, value)
        return b""

    def _kick(self, parameters: bytes) -> None:
        pin = {0: 2, 48: 2, 1: 5, 49: 5}.get(parameters[0])
        if pin is None:
            self._complain(f"no drawer {parameters.hex(' ')}")
        else:
            self.kicks.append((pin, parameters[1] * 2, parameters[2] * 2))

    def _restyle(self, command: bytes, value: int) -> None:
        style = self._style
        if command == b"\x1ba":
            if self._cells:
                self.warnings.append("alignment changed in the middle of a line")
            self._align = _ALIGN.get(value, "left")
        elif command == b"\x1bE":
            self._style = replace(style, bold=bool(value & 1))
        elif command == b"\x1b-":
            self._style = replace(style, underline=bool(value & 3))
        elif command == b"\x1dB":
            self._style = replace(style, inverse=bool(value & 1))
        elif command == b"\x1d!":
            self._style = replace(style, wide=(value >> 4 & 7) + 1, tall=(value & 7) + 1)
        elif command == b"\x1b!":
            wide, tall = 2 if value & 0x20 else 1, 2 if value & 0x10 else 1
            bold, underline = bool(value & 0x08), bool(value & 0x80)
            self._style = replace(style, bold=bold, underline=underline, wide=wide, tall=tall)

    def _long_fence(self, mark: bytes) -> bytes:
        return b"\x37\x22" + mark + b"\x00" if self.knobs.long_fence else b""

    def _sensor(self, number: int) -> bytes:
        if number in {1, 49}:
            return b"\x00" if self.knobs.paper == 2 else b"\x03"
        return b"\x01" if self.knobs.drawer_pin else b"\x00"

    def status(self, number: int) -> bytes:
        """The answer to DLE EOT `number`."""
        knobs = self.knobs
        bits = {
            1: 0x08 * knobs.held | 0x04 * knobs.drawer_pin,
            2: 0x04 * knobs.cover_open | 0x20 * (knobs.paper == 0) | 0x40 * knobs.cutter_jam,
            3: 0x08 * knobs.cutter_jam,
            4: {2: 0, 1: 0x0C, 0: 0x6C}[knobs.paper],
        }.get(number)
        return b"" if bits is None else bytes([0x12 | bits])

    def _put_all(self, text: str, columns: int) -> bytes:
        for char in text:
            self._put(char, columns)
        return b""

    def _put(self, char: str, columns: int) -> bytes:
        width = columns * self._style.wide
        if self._used + width > self.columns:
            self.warnings.append("line wrapped by the printer")
            self._line_feed()
        self._cells.append(_cell(char, columns, self._style))
        self._used += width
        return b""

    def _line_feed(self) -> bytes:
        self._paper.items.append(Line(tuple(self._cells), self._align))
        self._cells, self._used = [], 0
        self._use_paper(1)
        return b""

    def _use_paper(self, lines: int) -> None:
        if self.knobs.lines_left is not None:
            self.knobs.lines_left = max(0, self.knobs.lines_left - lines)
            if self.knobs.lines_left == 0:
                self.knobs.paper, self.knobs.lines_left = 0, None

    def _feed(self, lines: int) -> None:
        if self._cells:
            self._line_feed()
            lines -= 1
        for _ in range(lines):
            self._line_feed()

    def _cut(self) -> bytes:
        if self._cells:
            self.faults.append("cut with an unprinted line")
            self._line_feed()
        self._keep()
        self._paper = Paper(self.columns, self.dots)
        return b""

    def _keep(self) -> None:
        self.papers.append(self._paper)
        if len(self.papers) > PAPERS_MAX:
            del self.papers[0]
            self.dropped += 1

    def _graphic(self, kind: str, picture: object, data: str = "") -> bytes:
        if self._cells:
            self._line_feed()
        self._paper.items.append(Graphic(kind, picture, self._align, data))  # type: ignore[arg-type]
        self._use_paper(1)
        return b""

    def _qr(self, function: int, body: bytes) -> bytes:
        if function == 67:
            self._qr_size = body[0]
        elif function == 80:
            self._qr_data = body[1:]
        elif function == 81:
            text = self._qr_data.decode("utf-8", "replace")
            picture = qr_picture(text, self._qr_size)
            if picture.width > self.dots:
                self.faults.append(f"QR of {picture.width} dots on {self.dots}")
            return self._graphic("QR", picture, text)
        return b""

    def _barcode(self, kind: int, data: bytes) -> bytes:
        text, picture = barcode_picture(kind, data, width=self._bar_width, height=self._bar_height)
        if picture is None:
            self._complain(f"barcode {kind} cannot be {data[:8].hex(' ')}")
            return b""
        if picture.width > self.dots:
            self.faults.append(f"barcode of {picture.width} dots on {self.dots}")
        return self._graphic("BARCODE", picture, text)
