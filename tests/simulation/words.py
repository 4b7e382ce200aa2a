"""Names that the whole simulation shares."""

SHOPS = ["a", "b", "c"]
SQL_EVERY = 20  # every so many seeds run on real SQLite


class Wrong(AssertionError):
    """An invariant does not hold."""
