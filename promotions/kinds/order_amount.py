"""order_amount {tiers} or {every_minor, off_minor}: an amount off the order from a spend on."""

import msgspec

from promotions.reading import Reader


class OrderAmount(msgspec.Struct, frozen=True, gc=False):
    """Rising (min_minor, off_minor) steps, or an amount for every so much spent."""

    steps: tuple[tuple[int, int], ...]
    every_minor: int
    off_minor: int
    before: bool

    @property
    def least(self) -> int:
        """The smallest spend that gives anything."""
        if self.every_minor:
            return self.every_minor
        return next((low for low, off in self.steps if off), 0)


def read(reader: Reader) -> OrderAmount:
    """Take the kind's own fields."""
    before = reader.choice("basis", ("after", "before"), "after") == "before"
    if reader.document.get("tiers") is None and reader.document.get("every_minor") is not None:
        every = reader.figure("every_minor", low=1)
        return OrderAmount((), every, reader.figure("off_minor"), before)
    steps: list[tuple[int, int]] = []
    for child in reader.children("tiers"):
        least = child.figure("min_minor", 0)
        if steps and least <= steps[-1][0]:
            child.fault("min_minor", least, "more than in the tier before | 递增的金额")
        steps.append((least, child.figure("off_minor")))
        child.finish()
    return OrderAmount(tuple(steps), 0, 0, before)


def offer(terms: OrderAmount, base: int, run: int) -> int:
    """The amount before any cut."""
    del run
    if terms.every_minor:
        return base // terms.every_minor * terms.off_minor
    given = 0
    for least, off in terms.steps:
        if base < least:
            break
        given = off
    return given


def thresholds(terms: OrderAmount, base_max: int) -> list[int]:
    """The spends at which the offer changes, up to `base_max`."""
    if terms.every_minor:
        count = base_max // terms.every_minor
        return [terms.every_minor * i for i in range(max(1, count - 400), count + 1)]
    return [least for least, _ in terms.steps if least <= base_max]
