"""Products as CSV: what people type into spreadsheets, checked row by row and column by column."""

import msgspec

from protocol.errors import sentence


class CellFault(msgspec.Struct, frozen=True, kw_only=True):
    """One wrong cell. `row` counts lines of the file from 1 (the heading is 1)."""

    row: int
    column: str
    code: str
    params: dict[str, str] = {}

    def sentence(self, language: str) -> str:
        """What is wrong and what is expected."""
        return sentence(self.code, self.params, language)


class ImportResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an import found or did. `applied` False = a preview."""

    applied: bool
    rows: int
    new: tuple[str, ...] = ()  # SKUs
    changed: tuple[str, ...] = ()
    unchanged: int = 0
    priced: int = 0  # prices set
    faults: tuple[CellFault, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()  # (en, zh)
