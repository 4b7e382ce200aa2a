"""One contract for everything that collects: plain JSON, WeChat Pay, Alipay, a card terminal.

The vendors' adapters run their own libraries, with real signatures both ways, against simulators
of the vendors' documented protocols; nobody here has spoken to a vendor.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devices.alipay import AlipayMerchant, AlipayProvider
from devices.cardterminal import CardTerminal
from devices.payhttp import HttpProvider
from devices.payment import Payment, PayRequest, PayState, Provider, ProviderLost, collect
from devices.sim.book import BEHAVIOURS, Book
from devices.sim.valipay import VirtualAlipay
from devices.sim.vcard import VirtualTerminal
from devices.sim.vpay import VirtualProvider
from devices.sim.vwechat import KEY_ID, VirtualWeChat, merchant_keys
from devices.wechatpay import WeChatMerchant, WeChatProvider

Desk = tuple[Book, Provider, Callable[[str], PayRequest]]
OURS, THEIRS = merchant_keys(), merchant_keys()


def wechat(url: str, public_key: str, private_key: str = OURS[0]) -> WeChatProvider:
    merchant = WeChatMerchant(
        app_id="wxd678efh567hg6787",
        merchant_id="1230000109",
        cert_serial="444F4864EA9B34415",
        private_key=private_key,
        api_key="0" * 32,
        public_key=public_key,
        public_key_id=KEY_ID,
    )
    return WeChatProvider(merchant, base_url=url)


def alipay(url: str, public_key: str, private_key: str = OURS[0]) -> AlipayProvider:
    merchant = AlipayMerchant(
        app_id="2021000000000000", private_key=private_key, alipay_public_key=public_key
    )
    return AlipayProvider(merchant, base_url=url)


def _scan(attempt: str) -> PayRequest:
    return PayRequest(
        attempt_id=attempt, amount_minor=1205, pay_code="134512345678901234", subject="麦香 s1 1"
    )


@pytest.fixture(scope="module", params=["http", "wechat", "alipay", "card"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A book, who collects into it, and how a request is made."""
    if request.param == "http":
        with VirtualProvider() as plain:
            yield plain, HttpProvider(plain.url), _scan
    elif request.param == "wechat":
        with VirtualWeChat(OURS[1]) as platform:
            yield platform, wechat(platform.url, platform.public_key), _scan
    elif request.param == "alipay":
        with VirtualAlipay(OURS[1]) as gateway:
            yield gateway, alipay(gateway.gateway, gateway.public_key), _scan
    else:
        numbers: dict[str, int] = {}

        def by_trace(attempt: str) -> PayRequest:
            trace = numbers.setdefault(attempt, len(numbers) + 1)
            return PayRequest(attempt_id=attempt, amount_minor=1205, trace=trace)

        with VirtualTerminal() as terminal:
            yield terminal, CardTerminal(terminal.url, timeout_s=2.0), by_trace
            assert terminal.faults == []


def known(book: Book, request: PayRequest) -> str:
    """The name of this try in the book."""
    return f"{request.trace:06d}" if request.trace else request.attempt_id


def run(desk: Desk, attempt: str, *, payment: Payment | None = None) -> PayState:
    now = [0.0]

    def wait(seconds: float) -> bool:
        now[0] += seconds
        return False

    payment = payment or Payment(desk[2](attempt), started_s=0)
    return collect(payment, desk[1], now_s=lambda: now[0], wait=wait, on_state=lambda state: None)


def balanced(desk: Desk, attempt: str, state: PayState) -> None:
    """Exactly one capture that we know of, or none that was not given back."""
    name = known(desk[0], desk[2](attempt))
    captured, back = desk[0].captured.count(name), desk[0].reversed.count(name)
    assert captured <= 1
    assert back <= 1
    assert state.final
    if state is PayState.PAID:
        assert (captured, back) == (1, 0)
    else:
        assert captured == 0 or back == 1


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_every_behaviour_settles(desk: Desk, behaviour: str) -> None:
    desk[0].script(behaviour)
    state = run(desk, f"settles-{behaviour}-0001")
    balanced(desk, f"settles-{behaviour}-0001", state)
    sure = {"ok": PayState.PAID, "slow": PayState.PAID, "refused": PayState.REFUSED}
    assert state is sure.get(behaviour, state)


@pytest.mark.parametrize("behaviour", ["ok", "slow", "lost-answer", "late", "refused"])
@pytest.mark.parametrize("lost", [1, 5])
def test_answers_lost_in_a_row(desk: Desk, behaviour: str, lost: int) -> None:
    desk[0].script(behaviour)
    desk[0].lose_next(lost)
    attempt = f"lost-{behaviour}-{lost}-001"
    balanced(desk, attempt, run(desk, attempt))


def test_what_an_answer_says(desk: Desk) -> None:
    book, provider, make = desk
    request = make("says-0000000000001")
    assert provider.query(request).kind == "not_found"
    assert provider.reverse(request).kind == "not_found"
    paid = provider.pay(request)
    assert (paid.kind, paid.amount_minor) == ("paid", 1205)
    assert paid.provider_id
    assert provider.query(request) == paid
    assert provider.pay(request).kind == "paid"
    assert book.captured.count(known(book, request)) == 1
    assert provider.reverse(request).kind == "reversed"
    assert provider.reverse(request).kind == "reversed"
    assert provider.query(request).kind == "reversed"


def test_a_refusal_has_the_providers_words(desk: Desk) -> None:
    desk[0].script("refused")
    said = desk[1].pay(desk[2]("refusal-0000000001"))
    assert (said.kind, said.reason) == ("refused", "balance too low")


def test_nobody_there(desk: Desk) -> None:
    desk[0].down = True
    try:
        for verb in (desk[1].pay, desk[1].query, desk[1].reverse):
            with pytest.raises(ProviderLost):
                verb(desk[2]("nobody-00000000001"))
    finally:
        desk[0].down = False


def test_wechat_moves_no_money_for_a_stranger_and_believes_no_stranger() -> None:
    with VirtualWeChat(OURS[1]) as platform:
        stranger = wechat(platform.url, platform.public_key, THEIRS[0])
        assert stranger.pay(_scan("stranger-000000001")).kind == "refused"
        assert platform.captured == []
        deceived = wechat(platform.url, THEIRS[1])
        with pytest.raises(ProviderLost):
            deceived.pay(_scan("deceived-000000001"))


def test_alipay_moves_no_money_for_a_stranger_and_believes_no_stranger() -> None:
    with VirtualAlipay(OURS[1]) as gateway:
        stranger = alipay(gateway.gateway, gateway.public_key, THEIRS[0])
        with pytest.raises(ProviderLost):
            stranger.pay(_scan("stranger-000000001"))
        assert gateway.captured == []
        deceived = alipay(gateway.gateway, THEIRS[1])
        with pytest.raises(ProviderLost):
            deceived.pay(_scan("deceived-000000001"))


WECHAT_SAYS: list[tuple[int, dict[str, Any], str]] = [
    (200, {"trade_state": "CLOSED"}, "refused"),
    (200, {"trade_state": "REFUND"}, "reversed"),
    (200, {"trade_state": "NOTPAY"}, "pending"),
    (400, {"code": "USERPAYING"}, "pending"),
    (403, {"code": "AUTH_CODE_EXPIRED", "message": "二维码已过期"}, "refused"),
    (500, {"code": "SYSTEM_ERROR"}, "lost"),
    (400, {"code": "OUT_TRADE_NO_USED"}, "lost"),
    (200, {"trade_state": "SOMETHING_NEW"}, "lost"),
]


@pytest.mark.parametrize(("status", "said", "kind"), WECHAT_SAYS)
def test_wechats_other_words(status: int, said: dict[str, Any], kind: str) -> None:
    class Talking(VirtualWeChat):
        def reply(self, *_: Any) -> Any:
            return self._say(status, said)

    with Talking(OURS[1]) as platform:
        provider = wechat(platform.url, platform.public_key)
        if kind == "lost":
            with pytest.raises(ProviderLost):
                provider.pay(_scan("words-000000000001"))
        else:
            assert provider.pay(_scan("words-000000000001")).kind == kind


ALIPAY_SAYS: list[tuple[dict[str, Any], str]] = [
    ({"code": "10003"}, "pending"),
    ({"code": "20000", "sub_code": "aop.ACQ.SYSTEM_ERROR"}, "lost"),
    ({"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"}, "lost"),
    ({"code": "40004", "sub_code": "ACQ.TRADE_HAS_SUCCESS"}, "lost"),
    ({"code": "40004", "sub_code": "ACQ.PAYMENT_AUTH_CODE_INVALID"}, "refused"),
    ({"code": "10000", "total_amount": "many"}, "lost"),
]


@pytest.mark.parametrize(("said", "kind"), ALIPAY_SAYS)
def test_alipays_other_words(said: dict[str, Any], kind: str) -> None:
    class Talking(VirtualAlipay):
        def reply(self, *_: Any) -> Any:
            return self._say("alipay.trade.pay", said)

    with Talking(OURS[1]) as gateway:
        provider = alipay(gateway.gateway, gateway.public_key)
        if kind == "lost":
            with pytest.raises(ProviderLost):
                provider.pay(_scan("words-000000000001"))
        else:
            assert provider.pay(_scan("words-000000000001")).kind == kind
