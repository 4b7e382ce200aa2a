"""A virtual SNTP server on loopback, with knobs: offset, silence, kiss-o'-death, unsynchronised."""

import contextlib
import socket
import struct
import threading
import time

NTP_EPOCH_S = 2_208_988_800


class VirtualNtp:
    """Answers on `address` ("127.0.0.1:port") until `stop()`."""

    def __init__(self, *, offset_s: float = 0.0, port: int = 0) -> None:
        self.offset_s = offset_s
        self.silent = False
        self.kiss = ""  # "RATE" or "DENY"
        self.unsynchronised = False
        self.stale = False  # answers with another origin
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", port))
        self._udp.settimeout(0.2)
        self.address = f"127.0.0.1:{self._udp.getsockname()[1]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vntp", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the port back."""
        self._stop.set()
        self._thread.join(timeout=2)
        self._udp.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                question, peer = self._udp.recvfrom(512)
            except TimeoutError:
                continue
            except OSError:
                return
            if not self.silent and len(question) >= 48:
                with contextlib.suppress(OSError):
                    self._udp.sendto(self._answer(question), peer)

    def _answer(self, question: bytes) -> bytes:
        origin = bytes(8) if self.stale else question[40:48]
        leap = 3 if self.unsynchronised else 0
        stratum = 0 if self.kiss else (16 if self.unsynchronised else 2)
        reference = self.kiss.encode().ljust(4, b"\0") if self.kiss else b"LOCL"
        now = _stamp(time.time() + self.offset_s)
        head = struct.pack("!BBBbII", leap << 6 | 4 << 3 | 4, stratum, 6, -20, 0, 0x28F)
        return head + reference + now + origin + now + now


def _stamp(unix_s: float) -> bytes:
    seconds = unix_s + NTP_EPOCH_S
    return struct.pack("!II", int(seconds) % 2**32, int((seconds % 1) * 2**32))
