"""A promotion rule: read from its document, or refused with everything that is wrong with it.

>>> rule = parse({"id": "R1", "type": "percent_off", "percent": 10, "select": {"all": True}})
>>> rule.terms
Percent(ratio=(1, 10))
>>> try:
...     parse({"id": "R2", "type": "percent_off", "percent": 110, "colour": "red"})
... except RuleFaults as refusal:
...     for fault in refusal.faults:
...         print(fault.sentence("en"))
percent: found 110, expected a percentage from 0 to 100.
select: found nothing, expected a selector like {groups: [bread]}.
colour: found red, expected no such field.
"""

from typing import Any, Final

import msgspec

from promotions.kinds import KINDS, Terms
from promotions.kinds import bundle as bundle_kind
from promotions.reading import Fault, Reader
from promotions.scope import Selector, read_selector
from promotions.window import When, read_when
from protocol.errors import Refusal, define

DOCUMENT_BYTES_MAX: Final = 64 * 1024
MODES: Final = ("exclusive_unit", "compound", "exclusive_basket")

define(
    {
        "RULE_UNREADABLE": (
            "Rule {rule} was refused: {faults_en}",
            "促销规则 {rule} 被拒绝：{faults_zh}",
        ),
    }
)


class RuleFaults(Refusal):
    """A rule document with all its faults."""

    def __init__(self, rule_id: str, faults: tuple[Fault, ...]) -> None:
        super().__init__(
            "RULE_UNREADABLE",
            rule=rule_id,
            faults_en=" ".join(fault.sentence("en") for fault in faults[:20]),
            faults_zh="".join(fault.sentence("zh") for fault in faults[:20]),
        )
        self.faults = faults


class Limits(msgspec.Struct, frozen=True, gc=False):
    """None means no limit."""

    max_units: int | None = None
    max_applications: int | None = None
    max_discount_minor: int | None = None
    budget_left_minor: int | None = None
    customer_left: int | None = None

    @property
    def cap(self) -> int | None:
        """The most that the rule may take off one basket."""
        caps = [c for c in (self.max_discount_minor, self.budget_left_minor) if c is not None]
        return min(caps) if caps else None


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One rule as parsed; `document` is what was published, and what the hash is taken of."""

    id: str
    type: str
    terms: Terms
    select: Selector | None
    when: When
    limits: Limits
    mode: str
    priority: int
    group: str | None
    active: bool
    version: int
    name: dict[str, str]
    note: str
    document: dict[str, Any]

    @property
    def stage(self) -> str:
        """line, tier, bundle or order."""
        return KINDS[self.type].stage

    def title(self, language: str) -> str:
        """The display name, or the id when the rule has none."""
        short = "zh" if language.startswith("zh") else "en"
        return self.name.get(short) or self.name.get("") or self.id


def _read_limits(reader: Reader) -> Limits:
    child = reader.child("limits")
    if child is None:
        return Limits()
    names = (
        "max_units",
        "max_applications",
        "max_discount_minor",
        "budget_left_minor",
        "customer_left",
    )
    limits = Limits(**{name: child.optional(name) for name in names})
    child.finish()
    return limits


def _read_combine(reader: Reader) -> tuple[str, int, str | None]:
    child = reader.child("combine")
    if child is None:
        return MODES[0], 0, None
    mode = child.choice("mode", MODES, MODES[0])
    priority = child.figure("priority", 0, low=-(10**12))
    group = child.text("group")
    child.finish()
    return mode, priority, group


def _read_name(reader: Reader) -> dict[str, str]:
    found = reader.get("name")
    if found is None:
        return {}
    if isinstance(found, str):
        return {"": found[:200]}
    if isinstance(found, dict) and all(isinstance(v, str) for v in found.values()):
        return {str(k): v[:200] for k, v in found.items()}
    reader.fault("name", found, "a text, or {zh, en} | 文字或 {zh, en}")
    return {}


def _read(reader: Reader, rule_id: str, kind: str) -> Rule:
    stage, module = KINDS[kind]
    terms = module.read(reader)
    select = None
    if stage != "bundle":
        select = read_selector(reader, needed=stage != "order")
    mode, priority, group = _read_combine(reader)
    if stage == "bundle" and mode == "compound":
        reader.fault("combine.mode", mode, "no compound bundle | 组合促销不能叠加")
    if stage == "order" and mode == "compound":
        mode = MODES[0]
    status = reader.text("status", "active")
    rule = Rule(
        id=rule_id,
        type=kind,
        terms=terms,
        select=select,
        when=read_when(reader),
        limits=_read_limits(reader),
        mode=mode,
        priority=priority,
        group=group,
        active=status == "active",
        version=reader.figure("version", 0),
        name=_read_name(reader),
        note=reader.text("note") or "",
        document=reader.document,
    )
    reader.finish()
    return rule


def _size_fault(document: dict[str, Any]) -> Fault | None:
    try:
        size = len(msgspec.json.encode(document))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return Fault("document", "something else", "plain JSON values | 普通 JSON 值")
    if size > DOCUMENT_BYTES_MAX:
        return Fault("document", f"{size} bytes", "at most 64 kB | 不超过 64 kB")
    return None


def parse(document: object, *, strict: bool = True) -> Rule:
    """The rule, or `RuleFaults` with every fault; `strict=False` ignores unknown fields."""
    if not isinstance(document, dict):
        raise RuleFaults("?", (Fault("document", type(document).__name__, "an object | 对象"),))
    found_id = document.get("id")
    rule_id = found_id if isinstance(found_id, str) and 0 < len(found_id) <= 100 else "?"
    too_large = _size_fault(document)
    if too_large is not None:
        raise RuleFaults(rule_id, (too_large,))
    faults: list[Fault] = []
    reader = Reader(document, "", faults, strict=strict)
    reader.known |= {"id", "type"}
    if rule_id == "?":
        reader.fault("id", found_id, "a text of at most 100 characters | 不超过 100 字符的文字")
    kind = document.get("type")
    if not isinstance(kind, str) or kind not in KINDS:
        words = ", ".join(KINDS)
        reader.fault("type", kind, f"one of {words} | {words} 之一")
        raise RuleFaults(rule_id, tuple(faults))
    rule = _read(reader, rule_id, kind)
    if faults:
        raise RuleFaults(rule_id, tuple(faults))
    return rule


def slots_of(rule: Rule) -> tuple[Selector, ...]:
    """Every selector of the rule: one per slot of a bundle, else its own or everything."""
    if isinstance(rule.terms, bundle_kind.Bundle):
        return tuple(slot.select for slot in rule.terms.slots)
    return (rule.select or Selector(all=True),)
