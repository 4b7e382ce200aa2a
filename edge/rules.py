"""The promotions in force: compiled from what head office published, swapped in one step."""

from typing import Any

import msgspec
from sqlalchemy import Connection

from edge.node import ShopNode
from edge.words import Notice
from promotions.ruleset import RuleSet


class RefusedHere(msgspec.Struct, frozen=True):
    """A published rule that this shop cannot read, with every reason."""

    rule: str
    version: int
    why: Notice


class InForce(msgspec.Struct, frozen=True):
    """What prices now. `answered` is the hash that stands in this shop's journal."""

    hash: str
    versions: tuple[str, ...]
    refused: tuple[RefusedHere, ...]
    upto: dict[str, int]  # stream -> sequence it was compiled from
    changed_ms: int  # when the newest of its rules was published


class Rules:
    """Holder of the rule set; `start` runs the worker that compiles anew."""

    def __init__(self, node: ShopNode) -> None:
        self._node = node

    @property
    def rule_set(self) -> RuleSet:
        """The compiled rules, whole; never changed, only replaced."""
        raise NotImplementedError

    @property
    def in_force(self) -> InForce:
        """What to show of them."""
        raise NotImplementedError

    def refresh(self) -> InForce:
        """Compile what is published now, swap, and answer `RulesInForce` when it changed."""
        raise NotImplementedError

    def answer_needed(self, connection: Connection, rules: RuleSet) -> bool:
        """Does the journal not yet say that this very set is in force?"""
        raise NotImplementedError

    def document(self, rule: str) -> dict[str, Any] | None:
        """The published document of a rule."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin listening for published and withdrawn promotions."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the worker."""
        raise NotImplementedError
