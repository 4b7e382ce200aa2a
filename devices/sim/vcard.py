"""A card terminal that is not there: real frames on a real socket, split and lost at will.

    with VirtualTerminal() as terminal:
        terminal.script("slow")            # the behaviours of `devices.sim.book`
        CardTerminal(terminal.url).pay(...)

Strict: a frame that it does not know is an entry in `faults`. `piece` bytes go out at a time.
"""

import socket
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

from devices import cardterminal as card
from devices.cardterminal import Frame, FrameBroken, Frames
from devices.sim.book import Book

VERBS: Final = {card.AUTHORISE: "pay", card.STATUS: "query", card.REVERSE: "reverse"}
_RESULT: Final = {
    "paid": 0x00, "refused": 0x05, "pending": 0x9C, "reversed": 0xA0, "not_found": 0xB4,
}  # fmt: skip
IDLE_S: Final = 10.0


class VirtualTerminal(Book):
    """A book behind frames; attempts are known by their trace number."""

    def __init__(self, port: int = 0, *, piece: int = 3) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.piece = piece
        self._listener = socket.create_server(("127.0.0.1", port))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="vcard", daemon=True)

    @property
    def url(self) -> str:
        """What a till's settings name as its card terminal."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        """Answer in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Switch it off."""
        self._stopping.set()
        if self._thread.is_alive():
            with socket.create_connection(self._listener.getsockname()):
                pass  # wakes the accept
            self._thread.join(5)
        self._listener.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            line, _ = self._listener.accept()
            with line:
                line.settimeout(IDLE_S)
                try:
                    self._talk(line)
                except OSError:
                    continue
                except FrameBroken as fault:
                    self.faults.append(str(fault))

    def _talk(self, line: socket.socket) -> None:
        frames = Frames()
        while data := line.recv(4096):
            for frame in frames.feed(data):
                if frame.command == card.TAKEN:
                    continue
                verb = VERBS.get(frame.command)
                if verb is None:
                    self.faults.append(bytes(frame.command).hex())
                    self._send(line, card.encode(Frame((card.NOT_TAKEN_CLASS, 0x83))))
                    continue
                trace = frame.number(card.TRACE)
                body = {"attempt_id": f"{trace:06d}", "amount_minor": frame.number(card.AMOUNT)}
                answer = self.carry_out(verb, body)
                if answer is None:
                    return  # hangs up without a word
                self._send(line, _reply(answer, trace))

    def _send(self, line: socket.socket, data: bytes) -> None:
        for at in range(0, len(data), self.piece):
            line.sendall(data[at : at + self.piece])
            time.sleep(0.0005)  # so that the pieces arrive as pieces


def _reply(answer: dict[str, Any], trace: int) -> bytes:
    if "garbage" in answer:
        return b"\x04\x0f\x04\x99\x99\x99\x99"
    fields = {
        card.RESULT: bytes([_RESULT[answer["kind"]]]),
        card.AMOUNT: card.bcd(int(answer.get("amount_minor", 0)), 6),
        card.TRACE: card.bcd(trace, 3),
    }
    if answer.get("reason"):
        fields[card.TEXT] = answer["reason"].encode()
    late = Frame(card.REPORT, fields | {card.TRACE: card.bcd(trace % 999_999 + 1, 3)})
    frames = (Frame(card.TAKEN), Frame(card.INTERMEDIATE), late, Frame(card.REPORT, fields))
    return b"".join(card.encode(frame) for frame in frames)
