"""Drafts, publishing, refusals by name, and how shops answer."""

import msgspec
import pytest

from central.compose import HeadOffice
from promotions.rule import RuleFaults
from protocol.errors import Refusal
from protocol.events import RefusedRule
from protocol.journal import Position
from protocol.node.sqljournal import SqlRecords
from tests.central.shops import Shop

TEN = {
    "type": "percent_off",
    "percent": 10,
    "select": {"groups": ["bread"]},
    "name": {"zh": "九折", "en": "10 % off"},
}


def _text(**changes: object) -> str:
    return msgspec.json.encode({**TEN, **changes}).decode()


def _publish(office: HeadOffice, rule: str, **changes: object) -> int:
    assert office.campaigns.save_draft(rule, _text(**changes), by="ann") == ()
    return office.campaigns.publish(rule, by="ann")


def test_a_draft_is_kept_even_when_it_is_wrong(office: HeadOffice) -> None:
    campaigns = office.campaigns
    (fault,) = campaigns.save_draft("R1", '{"type": ', by="ann")
    assert fault.path == "document"
    draft = campaigns.draft("R1")
    assert draft is not None
    assert (draft.text, draft.person) == ('{"type": ', "ann")
    with pytest.raises(RuleFaults):
        campaigns.publish("R1", by="ann")
    faults = campaigns.save_draft("R1", _text(percent=140, colour="red"), by="ann")
    assert {f.path for f in faults} == {"percent", "colour"}
    assert campaigns.save_draft("R1", _text(id="R2"), by="ann")[0].path == "id"
    campaigns.discard_draft("R1")
    assert campaigns.draft("R1") is None
    with pytest.raises(Refusal, match="DRAFT_NONE"):
        campaigns.publish("R1", by="ann")
    with pytest.raises(Refusal, match="ID_UNREADABLE"):
        campaigns.save_draft("a b", "{}", by="ann")
    with pytest.raises(Refusal, match="DRAFT_TOO_LARGE"):
        campaigns.save_draft("R1", " " * 70_000, by="ann")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"when": {"members": ["gold"]}}, "when.members"),
        ({"when": {"tender": ["card"]}}, "when.tender"),
        ({"when": {"coupon": "SPRING"}}, "when.coupon"),
        ({"limits": {"customer_left": 1}}, "limits.customer_left"),
        ({"limits": {"budget_left_minor": 500}}, "limits.budget_left_minor"),
    ],
)
def test_a_rule_that_shops_cannot_judge_is_refused_by_name(
    office: HeadOffice, changes: dict[str, object], path: str
) -> None:
    faults = office.campaigns.save_draft("R1", _text(**changes), by="ann")
    assert [f.path for f in faults] == [path]
    with pytest.raises(RuleFaults) as refused:
        office.campaigns.publish("R1", by="ann")
    assert path in refused.value.sentence("en")
    assert path in refused.value.sentence("zh")
    assert office.campaigns.campaign("R1").state == "draft"


def test_versions_rise_and_a_withdrawn_rule_stays_at_hand(office: HeadOffice) -> None:
    assert _publish(office, "R1") == 1
    assert _publish(office, "R1", percent=20) == 2
    found = office.campaigns.campaign("R1")
    assert (found.state, found.version, found.name_zh, found.kind) == (
        "published",
        2,
        "九折",
        "percent_off",
    )
    assert not found.has_draft
    office.campaigns.withdraw("R1", by="ann")
    found = office.campaigns.campaign("R1")
    assert (found.state, found.has_draft, found.name_en) == ("withdrawn", True, "10 % off")
    with pytest.raises(Refusal, match="RULE_NOT_PUBLISHED"):
        office.campaigns.withdraw("R1", by="ann")
    assert office.campaigns.publish("R1", by="ann") == 3
    with pytest.raises(Refusal, match="HQ_RULE_UNKNOWN"):
        office.campaigns.campaign("R9")
    with pytest.raises(Refusal, match="HQ_RULE_UNKNOWN"):
        office.campaigns.status("R9")


def _states(office: HeadOffice, rule: str) -> dict[str, str]:
    return {s.store: s.state for s in office.campaigns.status(rule)}


def test_status_follows_each_shop(office: HeadOffice, shops: dict[str, Shop]) -> None:
    a, b = shops["A"], shops["B"]
    _publish(office, "R1")
    assert _states(office, "R1") == {"A": "sent", "B": "sent"}
    with office.books.database.begin() as tx:
        head = SqlRecords(tx).head("all")
        office.books.journal.save_ack(tx, "B", "all", Position(head.epoch, head.seq, head.hash))
    assert _states(office, "R1") == {"A": "sent", "B": "received"}
    rules = a.answer(office)
    a.deliver(office)
    status = {s.store: s for s in office.campaigns.status("R1")}
    assert status["A"].state == "in_force"
    assert status["A"].agrees
    assert status["A"].rules_hash == rules.hash == office.campaigns.expected_hash("A")
    assert not status["B"].agrees
    reason = RefusedRule(
        rule="R1", version=1, reason="RULE_UNSUPPORTED", detail={"en": "no", "zh": "不行"}
    )
    b.answer(office, reason)
    b.deliver(office)
    status = {s.store: s for s in office.campaigns.status("R1")}
    assert (status["B"].state, status["B"].refused_zh) == ("refused", "不行")
    found = office.campaigns.campaign("R1")
    assert (found.in_force, found.refused, found.shops) == (1, 1, 2)
    assert any(
        alarm.code == "ALARM_RULE" and "不行" in alarm.sentence("zh")
        for alarm in office.alarms.alarms()
    )
    office.campaigns.withdraw("R1", by="ann")
    assert _states(office, "R1")["A"] == "sent"
    a.answer(office)
    a.deliver(office)
    assert _states(office, "R1")["A"] == "ended"


def test_a_rule_of_a_newer_version_reaches_shops_and_is_refused_there(
    office: HeadOffice, shops: dict[str, Shop]
) -> None:
    _publish(office, "R1")
    assert office.campaigns.publish_unchecked({"id": "R7", "type": "teleport"}, by="ann") == 1
    assert office.campaigns.campaign("R7").kind == "teleport"
    shops["A"].answer(office, RefusedRule(rule="R7", version=1, reason="RULE_UNREADABLE"))
    shops["A"].deliver(office)
    (status, _) = office.campaigns.status("R7")
    assert status.state == "refused"
    assert status.agrees  # the rest of its rules are the ones expected
