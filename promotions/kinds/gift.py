"""gift {gift_sku, gift_qty, min_minor}: something for nothing from a spend on; no discount."""

import msgspec

from promotions.reading import Reader


class Gift(msgspec.Struct, frozen=True, gc=False):
    """What is given, from a spend on."""

    gift_sku: str
    gift_qty: int
    min_minor: int
    before: bool

    @property
    def least(self) -> int:
        """The smallest spend that gives anything."""
        return self.min_minor


def read(reader: Reader) -> Gift:
    """Take the kind's own fields."""
    before = reader.choice("basis", ("after", "before"), "after") == "before"
    sku = reader.text("gift_sku", needed=True) or ""
    return Gift(sku, reader.figure("gift_qty", 1, low=1), reader.figure("min_minor", 0), before)


def offer(terms: Gift, base: int, run: int) -> int:
    """A gift takes nothing off."""
    del terms, base, run
    return 0


def thresholds(terms: Gift, base_max: int) -> list[int]:
    """The spends at which the offer changes, up to `base_max`."""
    return [terms.min_minor] if terms.min_minor <= base_max else []
