"""Promotions: draft, check, publish, withdraw, and how each shop answered."""

from typing import Any

import msgspec

from central.recording import Desk
from promotions.reading import Fault


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A rule document being written; `text` is JSON as the person left it, right or wrong."""

    rule: str
    text: str
    saved_ms: int
    person: str


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: published, withdrawn or only drafted (`state`: draft, published, withdrawn)."""

    rule: str
    name_zh: str
    name_en: str
    kind: str
    state: str
    version: int  # 0 before the first publishing
    at_ms: int  # of the last publishing, withdrawing or saving
    document: dict[str, Any] | None = None
    has_draft: bool = False
    in_force: int = 0  # shops
    refused: int = 0
    shops: int = 0


class ShopStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far one rule is in one shop.

    `state`: sent (not acknowledged yet), received (not answered yet), in_force, refused, ended.
    """

    store: str
    name_zh: str
    name_en: str
    state: str
    sent_ms: int
    received: bool
    in_force: bool
    refused_code: str = ""
    refused_en: str = ""
    refused_zh: str = ""
    rules_hash: str = ""  # the whole rule set that the shop answered with
    expected_hash: str = ""
    answered_ms: int = 0
    engine: int = 0
    tzdata: str = ""

    @property
    def agrees(self) -> bool:
        """Does the shop price with exactly the rules that head office expects?"""
        return bool(self.rules_hash) and self.rules_hash == self.expected_hash


class Campaigns:
    """Verbs of promotions; `by` is the person."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def save_draft(self, rule: str, text: str, *, by: str) -> tuple[Fault, ...]:
        """Keep the text as it is and answer what is wrong with it; nothing is lost by a fault."""
        raise NotImplementedError

    def draft(self, rule: str) -> Draft | None:
        """The draft of a rule."""
        raise NotImplementedError

    def discard_draft(self, rule: str) -> None:
        """Forget a draft."""
        raise NotImplementedError

    def check(self, document: object) -> tuple[Fault, ...]:
        """Every fault, the ones that only forbid publishing included; empty = may be published."""
        raise NotImplementedError

    def publish(self, rule: str, *, by: str) -> int:
        """Publish the draft; return its version. Refusal RULE_UNREADABLE, DRAFT_NONE."""
        raise NotImplementedError

    def publish_unchecked(self, document: dict[str, Any], *, by: str) -> int:
        """Publish a document of a newer version, which this one cannot read."""
        raise NotImplementedError

    def withdraw(self, rule: str, *, by: str) -> None:
        """End a rule in all shops now. Refusal RULE_NOT_PUBLISHED."""
        raise NotImplementedError

    def campaigns(self) -> list[Campaign]:
        """All rules, drafts included, newest first."""
        raise NotImplementedError

    def campaign(self, rule: str) -> Campaign:
        """One rule; Refusal RULE_UNKNOWN."""
        raise NotImplementedError

    def status(self, rule: str) -> list[ShopStatus]:
        """Shop by shop: sent, received, in force or refused because."""
        raise NotImplementedError

    def expected_hash(self, store: str) -> str:
        """The hash of the rule set that this shop must answer with (refused rules left out)."""
        raise NotImplementedError
