"""A label printer on a real socket: reads what our drivers send in ZPL and TSPL, strictly.

with VirtualLabelPrinter() as printer:
...send to printer.url...
printer.labels[0]          # a picture
"""

import base64
import binascii
import re
import socket
import threading
import zlib
from types import TracebackType
from typing import Final, Self

from PIL import Image

_ZPL = re.compile(
    rb"\^XA\^PW(\d+)\^LL(\d+)\^FO0,0\^GFA,(\d+),(\d+),(\d+),:Z64:([A-Za-z0-9+/=]+):([0-9A-F]{4})"
    rb"\^FS\^PQ(\d+)\^XZ\n"
)
_TSPL = re.compile(
    rb"SIZE \d+ mm,\d+ mm\r\nGAP \d+ mm,0 mm\r\nDIRECTION 1\r\nCLS\r\n"
    rb"BITMAP 0,0,(\d+),(\d+),0,"
)
_PRINT = re.compile(rb"\r\nPRINT (\d+),1\r\n")
LABELS_MAX: Final = 500


class LabelReader:
    """Bytes in, labels out, however the bytes are split. Pure."""

    def __init__(self) -> None:
        self.labels: list[Image.Image] = []
        self.faults: list[str] = []
        self._input = b""

    def feed(self, data: bytes) -> None:
        """Take bytes; whole labels are drawn at once."""
        self._input += data
        while self._input:
            taken = self._zpl() if self._input[:1] == b"^" else self._tspl()
            if not taken:
                return
            self._input = self._input[taken:]

    def _zpl(self) -> int:
        match = _ZPL.match(self._input)
        if not match:
            return self._fault() if b"^XZ\n" in self._input else 0
        width, height, length, total, row = (int(match[n]) for n in range(1, 6))
        packed = match[6]
        rows = zlib.decompress(base64.b64decode(packed))
        if binascii.crc_hqx(packed, 0) != int(match[7], 16) or length != len(packed) + 10:
            self.faults.append("Z64 checksum or length")
        if len(rows) != total or row != (width + 7) // 8 or total != row * height:
            self.faults.append("graphic size")
        self._keep(bytes(b ^ 0xFF for b in rows), (row * 8, height), int(match[8]))
        return match.end()

    def _tspl(self) -> int:
        match = _TSPL.match(self._input)
        if not match:
            return self._fault() if len(self._input) > 120 else 0
        row, height = int(match[1]), int(match[2])
        end = match.end() + row * height
        last = _PRINT.match(self._input, end)
        if not last:
            return self._fault() if len(self._input) > end + 20 else 0
        self._keep(self._input[match.end() : end], (row * 8, height), int(last[1]))
        return last.end()

    def _fault(self) -> int:
        self.faults.append(f"unknown bytes {self._input[:16]!r}")
        return len(self._input)

    def _keep(self, rows: bytes, size: tuple[int, int], copies: int) -> None:
        self.labels += [Image.frombytes("1", size, rows)] * copies
        del self.labels[:-LABELS_MAX]


class VirtualLabelPrinter:
    """A `LabelReader` behind a TCP port."""

    def __init__(self) -> None:
        self.reader = LabelReader()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="vlabel", daemon=True)

    @property
    def url(self) -> str:
        """What a shop's settings name."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def labels(self) -> list[Image.Image]:
        """What came out, copies included."""
        return list(self.reader.labels)

    def start(self) -> None:
        """Read in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Switch off."""
        self._stopping = True
        if self._thread.is_alive():
            self._thread.join(2)
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

    def _run(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(0.1)
                self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        while not self._stopping:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            if not data:
                return
            self.reader.feed(data)
