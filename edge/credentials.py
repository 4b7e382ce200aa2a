"""The shop's TLS certificate: how long it holds, renewal in time, a note in the journal."""

from pathlib import Path
from typing import Final

from cryptography import x509

from edge.node import ShopNode
from protocol.errors import Corrupt, TillmeshError
from protocol.events import CertificateTaken
from protocol.node import certificates
from protocol.node.certificates import Held

NOTED: Final = "certificate_serial"


class Credentials:
    """Of one shop; without TLS there is nothing to hold."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node
        settings = node.settings
        self._pair: Path = settings.pair_path
        self._next: Path = settings.pair_path.with_name("node.next.key")
        self.used = settings.mqtt.tls

    def held(self) -> Held:
        """The certificate in use; Unavailable CERTIFICATE_MISSING."""
        return certificates.read_held(self._pair)

    def request(self, now_ms: int) -> str:
        """A request for a new certificate once two thirds of the old one's life are over.

        Empty before that. The new key waits in a file of its own, so that a lost answer can be
        asked again.
        """
        if not self.used:
            return ""
        try:
            due = now_ms >= self.held().renew_from_ms()
        except TillmeshError:
            return ""  # nothing to renew: the health page says so
        if not due:
            return ""
        return certificates.make_csr(
            certificates.make_tls_key(self._next), self._node.settings.store
        )

    def take(self, pem: str) -> Held:
        """Put a new certificate in place of the old one, in one step; Corrupt when it is not ours.

        The next connection shows it. The same answer a second time changes nothing.
        """
        try:
            held = Held(pem.encode())
            key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        except ValueError:
            raise Corrupt("MESSAGE_UNREADABLE", detail="no certificate") from None
        if not self._next.exists():
            return self.held()
        mine = certificates.read_key(self._next)
        if held.name != self._node.settings.store or key != mine.public_key():
            raise Corrupt("MESSAGE_UNREADABLE", detail="a certificate for another key or shop")
        certificates.keep(self._pair, certificates.key_pem(mine) + pem.encode())
        self._next.unlink()
        return held

    def note(self) -> bool:
        """Say in the journal which certificate is in use, once for each; True when it was new."""
        if not self.used:
            return False
        try:
            held = self.held()
        except TillmeshError:
            return False
        books = self._node.books
        with books.database.reading() as connection:
            if books.state(connection, NOTED) == held.serial:
                return False
        body = CertificateTaken(serial=held.serial, until_ms=held.until_ms)
        with books.begin() as tx:
            books.record(tx, {self._node.stream: [self._node.draft(body)]})
            books.set_state(tx, NOTED, held.serial)
        return True
