"""What a receipt printer says, in words: status bits, paper sensor, fences (devices.md, 2.4)."""

from typing import Final, Literal

import msgspec

from devices.device import UP, Condition, DeviceState

BLOCKING: Final = frozenset(
    {"PRINTER_PAPER_OUT", "PRINTER_COVER_OPEN", "PRINTER_FAULT", "PRINTER_OFFLINE"}
)


class PrinterStatus(msgspec.Struct, frozen=True):
    """The four answers in words; None where the printer does not tell."""

    offline: bool | None = None
    drawer_pin: bool | None = None  # polarity differs between drawers
    cover_open: bool | None = None
    fault: bool | None = None
    paper: Literal["ok", "low", "out"] | None = None

    def condition(self, device: str) -> Condition:
        """The one thing to tell people, the worst first."""
        found = (
            (self.paper == "out", "PRINTER_PAPER_OUT"),
            (self.cover_open, "PRINTER_COVER_OPEN"),
            (self.fault, "PRINTER_FAULT"),
            (self.offline, "PRINTER_OFFLINE"),
            (self.paper == "low", "PRINTER_PAPER_LOW"),
        )
        for is_so, code in found:
            if is_so:
                return Condition(DeviceState.DEGRADED, code, {"device": device})
        return UP


def decode_status(answers: dict[int, int]) -> PrinterStatus:
    """DLE EOT answers by number (1-4), as devices.md section 2.4 lists their bits."""
    first, second = answers.get(1), answers.get(2)
    third, fourth = answers.get(3), answers.get(4)
    paper: Literal["ok", "low", "out"] | None = None
    if fourth is not None:
        paper = "out" if fourth & 0x60 else "low" if fourth & 0x0C else "ok"
    if second is not None and second & 0x20:
        paper = "out"
    return PrinterStatus(
        offline=None if first is None else bool(first & 0x08),
        drawer_pin=None if first is None else bool(first & 0x04),
        cover_open=None if second is None else bool(second & 0x04),
        fault=None if third is None else bool(third & 0x68),
        paper=paper,
    )


class Reply(msgspec.Struct, frozen=True):
    """One answer of the printer: a status byte, a `GS r` byte, a fence id, or garbage."""

    kind: Literal["status", "sensor", "fence", "garbage"]
    value: int = 0
    fence: bytes = b""


class ReplyDecoder:
    """Tells the answers apart by their fixed bits, however the bytes are split."""

    def __init__(self) -> None:
        self._fence = bytearray()

    def feed(self, data: bytes) -> list[Reply]:
        """All replies that are complete now."""
        replies = []
        for byte in data:
            reply = self._byte(byte)
            if reply is not None:
                replies.append(reply)
        return replies

    def _byte(self, byte: int) -> Reply | None:
        if self._fence or byte == 0x37:
            self._fence.append(byte)
            if len(self._fence) < 7:
                return None
            whole, self._fence = bytes(self._fence), bytearray()
            if whole[1] == 0x22 and whole[6] == 0:
                return Reply("fence", fence=whole[2:6])
            return Reply("garbage")
        if byte & 0x93 == 0x12:
            return Reply("status", byte)
        if byte & 0x90 == 0x00:
            return Reply("sensor", byte)
        return Reply("garbage", byte)
