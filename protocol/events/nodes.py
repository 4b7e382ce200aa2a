"""What nodes say about themselves."""

from protocol.events.registry import Event


class EpochStarted(Event, frozen=True, kw_only=True):
    """First event of an incarnation; names its parent so that restored backups cannot hide."""

    node: str
    parent_epoch: str  # empty at the very beginning
    parent_seq: int
    parent_hash: str


class ClockConfirmed(Event, frozen=True, kw_only=True):
    """A manager vouched for the time with a PIN."""

    confirmed_ms: int
    person: str


class CertificateTaken(Event, frozen=True, kw_only=True):
    """This shop opens its connections with this certificate from now on."""

    serial: str  # hex
    until_ms: int
