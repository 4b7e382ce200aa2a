"""Throw a revoked machine off the broker: it keeps its open connection until somebody takes it.

A broker looks at its list of revoked certificates when a connection opens. Head office therefore
connects under the revoked name for a moment: the broker lets one connection per name live, so the
other one ends, and by then the list does not let it in again.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from central.authority import Authority
from central.settings import Settings
from protocol.clock import Clock
from protocol.events import NodeAccepted, NodeRevoked
from protocol.node import certificates
from protocol.node.mqttlink import Broker, MqttLink
from protocol.node.sqljournal import Recorded

AGAIN_S: Final = 5.0
FOR_S: Final = 300.0  # until the broker has surely read its new list
MOMENT_DAYS: Final = 1 / 24
CONNECT_S: Final = 10.0

log = structlog.get_logger("evicting")


class Evicting:
    """Hears of revocations by `heard`; works in a thread of its own."""

    def __init__(
        self, settings: Settings, clock: Clock, authority: Callable[[], Authority]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._authority = authority
        self.mine: Callable[[], bool] = lambda: True  # one of several processes does it
        self._until: dict[str, float] = {}
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def heard(self, recorded: Sequence[Recorded]) -> None:
        """After a commit: whom to throw off, and who is welcome again."""
        if not self._settings.mqtt.tls:
            return
        for event in recorded:
            with self._guard:
                if isinstance(event.body, NodeRevoked):
                    self._until[event.body.node] = time.monotonic() + FOR_S
                    self._wake.set()
                elif isinstance(event.body, NodeAccepted):
                    self._until.pop(event.body.node, None)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="evicting", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CONNECT_S)

    def _due(self) -> list[str]:
        now = time.monotonic()
        with self._guard:
            self._until = {node: end for node, end in self._until.items() if end > now}
            return sorted(self._until)

    def _run(self) -> None:
        while not self._stopping.is_set():
            nodes = self._due()
            for node in nodes if self.mine() else ():
                with contextlib.suppress(OSError):
                    self.evict(node)
            self._wake.wait(AGAIN_S if nodes else None)
            self._wake.clear()

    def evict(self, node: str) -> bool:
        """Take the name's place at the broker for a moment; True when it let us in."""
        authority, mqtt = self._authority(), self._settings.mqtt
        file = authority.folder / f".moment-{node}.pem"
        self._make(authority, node, file)
        came = threading.Event()
        link = MqttLink(
            Broker(
                mqtt.host,
                mqtt.port,
                client_id=node,
                tls=lambda: certificates.client_context(authority.certificate_path, file),
            ),
            [f"pos/1/{self._settings.chain}/all/clock"],
            on_message=lambda _: None,
            on_up=came.set,
            on_down=lambda _: None,
        )
        link.start()
        came.wait(CONNECT_S)
        link.stop()
        file.unlink(missing_ok=True)
        log.info("revoked_machine_thrown_off", node=node, done=came.is_set())
        return came.is_set()

    def _make(self, authority: Authority, node: str, file: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = authority.sign_node(
            certificates.make_csr(key, node),
            node=node,
            now_ms=self._clock.read().at_ms,
            days=MOMENT_DAYS,
        )
        certificates.keep(file, certificates.key_pem(key) + signed.encode())
