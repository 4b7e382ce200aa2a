"""A card terminal on TCP or a serial line, as a `devices.payment.Provider`.

The frames have the shape of ZVT's: class, instruction, length (one byte, or FF and two, little end
first), data. The data are fields: 04 amount (6 bytes BCD), 49 currency (2, BCD), 0B trace
number (3, BCD), 27 result (1), 3C text (three length digits F0-F9, then bytes).

  till -> terminal   06 01 authorise {04 49 0B} · 05 01 how does {0B} stand · 06 30 reverse {0B}
  terminal -> till   80 00 taken · 84 xx not taken · 04 FF still at it · 04 0F status {27 04 0B 3C}

The till makes the trace number and keeps it before the first byte leaves: after a lost answer it
asks by that number. A terminal answers at once and works on its own (`pending`) while the customer
enters the PIN. Frames may come in pieces; a frame about another trace number is an answer that came
late, and is passed over.
"""

import time
from typing import Final

import msgspec

from devices.payment import PayAnswer, PayRequest, ProviderLost
from devices.port import Cancel, DeviceLost, Port, open_port

TIMEOUT_S: Final = 5.0
FRAME_MAX: Final = 4096
AUTHORISE, STATUS, REVERSE = (0x06, 0x01), (0x05, 0x01), (0x06, 0x30)
TAKEN, INTERMEDIATE, REPORT = (0x80, 0x00), (0x04, 0xFF), (0x04, 0x0F)
NOT_TAKEN_CLASS: Final = 0x84
AMOUNT, CURRENCY, TRACE, RESULT, TEXT = 0x04, 0x49, 0x0B, 0x27, 0x3C
_FIXED: Final = {AMOUNT: 6, CURRENCY: 2, TRACE: 3, RESULT: 1}
CURRENCIES: Final = {"CNY": 156, "EUR": 978, "USD": 840, "HKD": 344}
RESULTS: Final = {  # result byte -> what it means for us
    0x00: "paid",
    0x05: "refused",
    0x6C: "refused",  # cancelled at the terminal
    0x9C: "pending",
    0xA0: "reversed",
    0xB4: "not_found",
}


class FrameBroken(ValueError):
    """These bytes are no frame."""


class Frame(msgspec.Struct, frozen=True):
    """One frame: its command, and its data by field."""

    command: tuple[int, int]
    fields: dict[int, bytes] = {}

    def number(self, field: int) -> int:
        """A field in BCD as an integer; 0 when it is not there."""
        text = self.fields.get(field, b"").hex() or "0"
        if not text.isdigit():
            raise FrameBroken(f"field {field:02X} is no BCD: {text}")
        return int(text)


def bcd(value: int, size: int) -> bytes:
    """A number as packed digits; FrameBroken when it does not fit."""
    text = f"{value:0{2 * size}d}"
    if value < 0 or len(text) > 2 * size:
        raise FrameBroken(f"{value} does not fit into {size} bytes")
    return bytes.fromhex(text)


def encode(frame: Frame) -> bytes:
    """A frame as bytes."""
    data = b""
    for tag, value in frame.fields.items():
        if tag in _FIXED:
            data += bytes([tag]) + value
        else:  # LLLVAR
            digits = f"{len(value):03d}"
            data += bytes([tag, *(0xF0 | int(digit) for digit in digits)]) + value
    length = bytes([len(data)]) if len(data) < 0xFF else b"\xff" + len(data).to_bytes(2, "little")
    return bytes(frame.command) + length + data


class Frames:
    """Bytes in, whole frames out, however they were split."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> list[Frame]:
        """What is complete now; FrameBroken when it cannot be a frame."""
        self._kept += data
        found = []
        while (cut := _cut(self._kept)) is not None:
            raw, self._kept = self._kept[: cut[1]], self._kept[cut[1] :]
            found.append(Frame((raw[0], raw[1]), _fields(raw[cut[0] :])))
        if len(self._kept) > FRAME_MAX:
            raise FrameBroken("frame too long")
        return found


def _cut(data: bytes) -> tuple[int, int] | None:
    """Where the first frame's data begin and end; None when it is not whole."""
    if len(data) < 3:
        return None
    start, length = 3, data[2]
    if length == 0xFF:
        if len(data) < 5:
            return None
        start, length = 5, int.from_bytes(data[3:5], "little")
    if length > FRAME_MAX:
        raise FrameBroken(f"a frame of {length} bytes")
    return (start, start + length) if len(data) >= start + length else None


def _fields(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        tag, at = data[at], at + 1
        size = _FIXED.get(tag)
        if size is None:
            digits = data[at : at + 3]
            if tag != TEXT or len(digits) < 3 or any(d & 0xF0 != 0xF0 or d > 0xF9 for d in digits):
                raise FrameBroken(f"unknown field {tag:02X}")
            size, at = int("".join(str(d & 0x0F) for d in digits)), at + 3
        if at + size > len(data):
            raise FrameBroken(f"field {tag:02X} is cut off")
        found[tag], at = data[at : at + size], at + size
    return found


class CardTerminal:
    """A `devices.payment.Provider`; one connection per message, so that none is owed an answer."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def pay(self, request: PayRequest) -> PayAnswer:
        """Ask for the amount; the terminal goes on by itself."""
        currency = CURRENCIES.get(request.currency)
        if currency is None:
            return PayAnswer("refused", reason=f"{request.currency}?")
        fields = {AMOUNT: bcd(request.amount_minor, 6), CURRENCY: bcd(currency, 2)}
        return self._ask(AUTHORISE, request, fields)

    def query(self, request: PayRequest) -> PayAnswer:
        """How does it stand, by trace number."""
        return self._ask(STATUS, request, {})

    def reverse(self, request: PayRequest) -> PayAnswer:
        """Undo it, by trace number."""
        return self._ask(REVERSE, request, {})

    def _ask(
        self, command: tuple[int, int], request: PayRequest, fields: dict[int, bytes]
    ) -> PayAnswer:
        frame = Frame(command, fields | {TRACE: bcd(request.trace, 3)})
        cancel = Cancel()
        try:
            port = open_port(self._url, cancel)
            try:
                port.write(encode(frame))
                return self._answer(port, request.trace)
            finally:
                port.close()
        except (DeviceLost, FrameBroken) as fault:
            raise ProviderLost(str(fault)) from fault
        finally:
            cancel.close()

    def _answer(self, port: Port, trace: int) -> PayAnswer:
        frames, deadline = Frames(), time.monotonic() + self._timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            for frame in frames.feed(port.read(left_s)):
                if frame.command[0] == NOT_TAKEN_CLASS:
                    raise ProviderLost(f"not taken: {frame.command[1]:02X}")
                if frame.command == REPORT and frame.number(TRACE) == trace:
                    port.write(encode(Frame(TAKEN)))
                    return _told(frame, trace)
        raise ProviderLost("no answer in time")


def _told(frame: Frame, trace: int) -> PayAnswer:
    result = frame.fields.get(RESULT, b"")
    kind = RESULTS.get(result[0]) if result else None
    if kind is None:
        raise FrameBroken(f"unknown result {result.hex()}")
    return PayAnswer(
        kind,  # type: ignore[arg-type]  # RESULTS holds nothing else
        provider_id=f"{trace:06d}",
        amount_minor=frame.number(AMOUNT),
        reason=frame.fields.get(TEXT, b"").decode("utf-8", "replace")[:200],
    )
