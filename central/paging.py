"""A page of a long list."""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
PAGE_SIZE = 50


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """`rows` of page `number` (from 1); `total` rows in all."""

    rows: tuple[T, ...]
    number: int
    size: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // self.size))
