"""Alarms about clocks: a shop's, its tills' browsers', head office's own."""

from collections.abc import Iterable
from typing import Final

from central import watching
from central.alarm import Alarm
from protocol.clock import HOUR_MS, ClockState
from protocol.clockstatus import Status, span
from protocol.errors import define, sentence
from protocol.wire import ClockFacts

SKEW_MS: Final = 2_000
STATES: Final = {  # of a clock: (en, zh)
    "trusted": ("trusted", "可信"),
    "holdover": ("counting on by itself", "自行走时"),
    "behind": ("behind", "落后"),
    "unknown": ("not known", "未知"),
}

define(
    {
        "ALARM_CLOCK": (
            "The clock of {store} is not trusted ({state}): timed promotions wait there. {why_en}",
            "{store} 的时钟不可信（{state}）：该店限时促销暂不生效。{why_zh}",
        ),
        "ALARM_CLOCK_DO": (
            "Check the shop's internet line and its time servers (ntp in its settings). Until they "
            "answer, a manager confirms the time on the shop's health page.",
            "请检查门店网络和时间服务器（设置中的 ntp）。恢复之前，店长可在门店运行状态页"
            "确认时间。",
        ),
        "ALARM_CLOCK_SKEW": (
            "The clock of {store} is {by} from head office's (it says ± {u} s): timed prices and "
            "promotions start and end there at the wrong time.",
            "{store} 的时钟与总部相差 {by}（自称 ± {u} 秒）：该店定时价格和促销的起止时间会出错。",
        ),
        "ALARM_CLOCK_SKEW_DO": (
            "Compare both with a watch. If the shop is wrong, correct its time servers; a manager "
            "can confirm the time there. If head office is wrong, correct ntp_servers here.",
            "请分别与手表核对。若门店有误，请更正其时间服务器，店长可在门店确认时间；"
            "若总部有误，请更正此处的 ntp_servers。",
        ),
        "ALARM_CLOCK_CONTESTED": (
            "Sources of time contradict each other at {store}. {why_en}",
            "{store} 的时间来源互相矛盾。{why_zh}",
        ),
        "ALARM_CLOCK_CONTESTED_DO": (
            "Ask the shop what its watch says. If the time servers are right, its manager confirms "
            "the time; if not, somebody interferes with them: look at the shop's network.",
            "请询问门店手表时间。若时间服务器正确，请店长确认时间；否则可能有人干扰，请检查门店网络。",
        ),
        "ALARM_CLOCK_STEPPED": (
            "The clock of {store} was corrected by {by} within the last hour.",
            "{store} 的时钟在一小时内被修正了 {by}。",
        ),
        "ALARM_CLOCK_STEPPED_DO": (
            "Its sales just before bear the wrong time; look through them if a timed promotion "
            "ran.",
            "此前的销售时间有误；如当时有限时促销，请核对。",
        ),
        "ALARM_SCREEN_CLOCK": (
            "The browser at till {till} of {store} is {by} off, in zone {zone} (the shop: "
            "{shop_zone}). It decides nothing, but people read it.",
            "{store} 收银台 {till} 的浏览器时钟相差 {by}，时区 {zone}（门店：{shop_zone}）。"
            "系统不使用它，但员工会看。",
        ),
        "ALARM_SCREEN_CLOCK_DO": (
            "Have date, time and zone set right on that till's computer or tablet.",
            "请在该收银台的电脑或平板上校准日期、时间和时区。",
        ),
        "ALARM_OWN_CLOCK": (
            "Head office's own clock is {state}. {why_en} Shops do not follow it meanwhile.",
            "总部自身时钟状态为 {state}。{why_zh}在此期间门店不以总部时间为准。",
        ),
        "ALARM_OWN_CLOCK_DO": (
            "Check ntp_servers in the settings and the line to them; on the page Node health an "
            "administrator can confirm the time.",
            "请检查设置中的 ntp_servers 和网络；管理员可在节点状态页确认时间。",
        ),
    }
)


def _why(clock: ClockFacts | Status) -> dict[str, str]:
    """Why it is not trusted, in both languages, as parameters."""
    return {
        f"why_{language}": sentence(clock.code, clock.params, language) if clock.code else ""
        for language in ("en", "zh")
    }


def shop_clock(report: watching.ShopReport) -> Iterable[Alarm]:
    """A shop whose time is not known, not ours, disputed or was just corrected."""
    facts = report.clock or ClockFacts()

    def alarm(code: str, **params: str) -> Alarm:
        return Alarm(
            code=code,
            level="warn",
            subject=report.store,
            at_ms=report.seen_ms,
            params={"store": report.store, "state": state[0], **params},
            params_zh={"state": state[1]},
        )

    state = STATES.get(report.clock_state, (report.clock_state, report.clock_state))

    why = _why(facts)
    trusted = report.clock_state in {ClockState.TRUSTED, ClockState.HOLDOVER}
    if facts.contested:
        yield alarm("ALARM_CLOCK_CONTESTED", **why)
    elif not trusted:
        yield alarm("ALARM_CLOCK", **why)
    if trusted and abs(report.skew_ms) > SKEW_MS:
        by, u = span(report.skew_ms), f"{report.clock_u_ms / 1000:.1f}"
        yield alarm("ALARM_CLOCK_SKEW", by=by, u=u)
    if facts.stepped_ms and 0 <= report.seen_ms - facts.stepped_at_ms < HOUR_MS:
        yield alarm("ALARM_CLOCK_STEPPED", by=span(facts.stepped_ms))
    for one in facts.screens:
        yield alarm(
            "ALARM_SCREEN_CLOCK",
            till=one.till,
            by=span(one.off_ms),
            zone=one.zone,
            shop_zone=facts.zone,
        )


def own_clock(status: Status, now: int) -> Alarm:
    """Head office does not know its own time, or its sources dispute it."""
    en, zh = STATES[status.reading.state.value]
    return Alarm(
        code="ALARM_OWN_CLOCK",
        level="bad",
        subject="clock",
        at_ms=now,
        params={"state": en, **_why(status)},
        params_zh={"state": zh},
    )
