"""What a rule covers: a selector of goods. No selector matches barred or returned lines."""

from typing import Final

import msgspec

from promotions.lines import Line
from promotions.reading import Reader


class Selector(msgspec.Struct, frozen=True, gc=False):
    """`all`, or the union of SKUs and groups, minus the excluded ones; exclusion wins."""

    all: bool = False
    skus: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    exclude_skus: frozenset[str] = frozenset()
    exclude_groups: frozenset[str] = frozenset()

    def covers(self, sku: str, group: str | None) -> bool:
        """Does it match a product?"""
        if sku in self.exclude_skus or (group is not None and group in self.exclude_groups):
            return False
        return self.all or sku in self.skus or (group is not None and group in self.groups)

    def matches(self, line: Line) -> bool:
        """Does it match a basket line?"""
        return not line.barred and self.covers(line.sku, line.group)


EVERYTHING: Final = Selector(all=True)


def read_selector(reader: Reader, key: str = "select", *, needed: bool = True) -> Selector | None:
    """The selector under `key`; None when it is absent and may be."""
    child = reader.child(key)
    if child is None:
        if needed and reader.document.get(key) is None:
            reader.fault(key, None, "a selector like {groups: [bread]} | 商品范围")
        return None
    every = child.get("all")
    if every is not None and not isinstance(every, bool):
        child.fault("all", every, "true or false | true 或 false")
    lists = {
        name: frozenset(child.texts(name) or ())
        for name in ("skus", "groups", "exclude_skus", "exclude_groups")
    }
    child.finish()
    return Selector(all=every is True, **lists)
