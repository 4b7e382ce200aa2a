"""Ids, topics, roles, errors: the words that both sides share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import errors, ids, roles
from protocol.topics import SHARDS, Topic, Topics, shard_of

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", fullmatch=True)
LEAVES = st.sampled_from(["state", "journal", "hb", "req", "ack", "rsp", "cmd", "clock", "stock"])


@given(NAMES)
def test_a_safe_name_is_itself(name: str) -> None:
    assert ids.check_id(name, "store") == name


@pytest.mark.parametrize(
    "text", ["", "-a", "a/b", "a+", "#", "a b", "a\n", "店", "a" * 41, "a\0", "..", "é"]
)
def test_an_unsafe_name_is_refused(text: str) -> None:
    with pytest.raises(errors.Refusal) as caught:
        ids.check_id(text, "store")
    assert caught.value.code == "ID_UNREADABLE"
    assert len(caught.value.sentence("zh-CN")) < 200


@given(NAMES)
def test_streams_know_their_writer_and_their_shop(store: str) -> None:
    assert ids.stream_owner(ids.shop_stream(store)) == store
    assert ids.stream_owner(ids.to_stream(store)) == ids.CENTRAL
    assert ids.stream_owner(ids.zone_stream(store)) == ids.CENTRAL
    assert ids.stream_owner(ids.ALL) == ids.CENTRAL
    assert ids.stream_store(ids.shop_stream(store)) == store
    assert ids.stream_store(ids.to_stream(store)) == store
    assert ids.stream_store(ids.zone_stream(store)) is None
    assert ids.stream_store(ids.ALL) is None


@given(NAMES, NAMES, LEAVES)
def test_parse_is_the_inverse_of_build(chain: str, name: str, leaf: str) -> None:
    topics = Topics(chain)
    assert topics.parse(topics.up(name, leaf)) == Topic("up", name, leaf)
    assert topics.parse(topics.dn(name, leaf)) == Topic("dn", name, leaf)
    assert topics.parse(topics.zone(name, leaf)) == Topic("zone", name, leaf)
    assert topics.parse(topics.group(name, leaf)) == Topic("grp", name, leaf)
    assert topics.parse(topics.all(leaf)) == Topic("all", "", leaf)


@given(NAMES, LEAVES, st.integers(0, SHARDS - 1))
def test_a_wrong_shard_is_foreign(store: str, leaf: str, shard: int) -> None:
    found = Topics("c").parse(f"pos/1/c/up/{shard}/{store}/{leaf}")
    assert (found is not None) == (shard == shard_of(store))


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "pos/1/c",
        "pos/1/c/",
        "pos/1/other/all/journal",
        "pos/2/c/all/journal",
        "pos/1/cc/all/journal",
        "pos/1/c/dn//journal",
        "pos/1/c/dn/s/",
        "pos/1/c/up/0//journal",
        "pos/1/c/up/01/s/journal",
        "pos/1/c/dn/s/journal/more",
        "pos/1/c/xx/s/journal",
        "pos/1/c/dn/a b/journal",
        "$SYS/broker",
    ],
)
def test_foreign_topics_are_not_ours(topic: str) -> None:
    assert Topics("c").parse(topic) is None


@given(st.text(max_size=60))
def test_any_topic_is_judged_without_a_crash(text: str) -> None:
    Topics("c").parse(text)
    Topics("c").parse("pos/1/c/" + text)


def _matches(pattern: str, topic: str) -> bool:
    wanted, got = pattern.split("/"), topic.split("/")
    return len(wanted) == len(got) and all(w in ("+", g) for w, g in zip(wanted, got, strict=True))


def test_subscriptions_cover_what_the_other_side_says() -> None:
    t = Topics("c")
    for leaf in ("state", "journal", "hb", "req", "ack"):
        assert any(_matches(p, t.up("s1", leaf)) for p in t.for_central())
    shop = t.for_store("s1", "z", "g")
    known = (t.dn("s1", "ack"), t.all("journal"), t.zone("z"), t.group("g"))
    for topic in (*known, t.manifest("all"), t.manifest("zone/z")):
        assert t.parse(topic)
        assert any(_matches(p, topic) for p in shop)
    for topic in (t.dn("s2", "ack"), t.zone("y"), t.up("s2", "journal"), t.manifest("zone/y")):
        assert not any(_matches(p, topic) for p in shop)


def test_only_shared_streams_have_a_tail() -> None:
    t = Topics("c")
    assert t.tail("all") == t.all("journal")
    assert t.tail("zone/z") == t.zone("z")
    assert t.tail("to/s1") is None
    assert t.tail("shop/s1") is None


@given(st.text(min_size=1))
def test_a_shard_is_fixed(store: str) -> None:
    assert 0 <= shard_of(store) < SHARDS
    assert shard_of("s1") == shard_of("s1")


def test_a_role_may_what_the_table_says() -> None:
    roles.demand("manager", "override")
    with pytest.raises(errors.Refusal) as caught:
        roles.demand("cashier", "override")
    assert "Store manager" in caught.value.sentence("en")
    assert "店长" in caught.value.sentence("zh-CN")
    assert "cashier" not in caught.value.sentence("zh-CN")
    assert not roles.may("nobody", "sell")
    with pytest.raises(errors.Refusal):
        roles.demand("nobody", "sell")
    with pytest.raises(KeyError):
        roles.may("cashier", "fly")


def test_a_sentence_never_hides_the_fault() -> None:
    assert errors.sentence("NO_SUCH_CODE", {}) == "NO_SUCH_CODE"
    assert "amount" in errors.sentence("MONEY_UNREADABLE", {})
    fault = errors.Refusal("MONEY_UNREADABLE", text="{x}")
    assert str(fault) == "MONEY_UNREADABLE: “{x}” is not an amount. Type it like 12.50."
    assert "金额" in fault.sentence("zh")
    with pytest.raises(ValueError, match="twice"):
        errors.define({"INTERNAL": ("a", "b")})
