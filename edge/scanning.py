"""Serial scanners, each bound to a till, enabled only while that till's page lives."""

import msgspec

from devices.device import Condition
from edge.node import ShopNode
from edge.selling import Selling


class ScannerView(msgspec.Struct, frozen=True):
    """One till's scanner; `condition` is None when the till has none."""

    till: str
    condition: Condition | None
    enabled: bool


class MissedScan(msgspec.Struct, frozen=True):
    """Scanned while no page lived: not in any basket."""

    n: int
    till: str
    code: str
    at_ms: int


class Scanning:
    """Scans go to `selling.scan` in order; the page hears of the new version on the hub.

    Hub topics: "basket/{till}" {"version": n, "line": n, "unknown": bool}, "scanner/{till}".
    """

    def __init__(self, node: ShopNode, selling: Selling) -> None:
        self._node = node
        self._selling = selling

    def till_alive(self, till: str, person: str) -> None:
        """The till's page lives (call every 5 s, or while its event stream is open)."""
        raise NotImplementedError

    def till_gone(self, till: str) -> None:
        """The page went away; scans are kept out from now on."""
        raise NotImplementedError

    def scanners(self) -> list[ScannerView]:
        """All tills with their scanners' condition."""
        raise NotImplementedError

    def missed(self, till: str) -> list[MissedScan]:
        """Scans that were kept out, newest first."""
        raise NotImplementedError

    def dismiss_missed(self, till: str) -> None:
        """The cashier has seen them."""
        raise NotImplementedError

    def start(self) -> None:
        """Start the devices."""
        raise NotImplementedError

    def stop(self) -> None:
        """End them."""
        raise NotImplementedError
