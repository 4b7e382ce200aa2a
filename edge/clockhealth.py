"""What the health page says of the clock and of the tills' browser clocks, in words."""

from collections.abc import Iterable
from typing import Any, Final

from edge.screens import Screen
from edge.words import Notice, notice
from protocol.clock import HOUR_MS, ClockState
from protocol.clockstatus import Basis, Status, span
from protocol.errors import define

define(
    {
        "HEALTH_CLOCK_BEHIND": (
            "The shop computer's clock shows a time that has gone by: it was set back, or its "
            "battery is dead. {why_en} A manager confirms the time here; then have the battery "
            "replaced.",
            "门店电脑的时钟显示的是已过去的时间：被调回或电池失效。{why_zh}请店长在此确认时间，"
            "然后更换电池。",
        ),
        "HEALTH_CLOCK_UNKNOWN": (
            "Nobody vouches for the time. {why_en} Check the internet line and the time servers in "
            "the settings; a manager can confirm the time here.",
            "没有来源能证明当前时间。{why_zh}请检查网络和设置中的时间服务器；店长可在此确认时间。",
        ),
        "HEALTH_CLOCK_CONTESTED": (
            "{why_en} If your watch says the same as the time servers, a manager confirms it here; "
            "else somebody interferes with them: call your operator.",
            "{why_zh}若手表与时间服务器一致，请店长在此确认；否则可能有人干扰，请联系管理员。",
        ),
        "HEALTH_HOLDOVER": (
            "The clock runs on by itself (± {seconds} s). {why_en} Check the internet line and the "
            "time servers in the settings.",
            "时钟自行走时（误差 ± {seconds} 秒）。{why_zh}请检查网络和设置中的时间服务器。",
        ),
        "HEALTH_CLOCK_HARDWARE": (
            "After the start nobody could be asked: the time is that of the shop computer's own "
            "clock (± {seconds} s). {why_en} Compare it with a watch.",
            "启动后没有时间来源：当前使用门店电脑自身的时钟（误差 ± {seconds} 秒）。{why_zh}"
            "请与手表核对。",
        ),
        "HEALTH_CLOCK_MANAGER": (
            "The time stands on what a manager confirmed (± {seconds} s). {why_en} Time servers "
            "would make it exact again.",
            "当前时间以店长确认为准（误差 ± {seconds} 秒）。{why_zh}时间服务器恢复后将自动校准。",
        ),
        "HEALTH_CLOCK_STEPPED": (
            "The time was corrected by {by} within the last hour. Sales before it bear the wrong "
            "time; look through them if a timed promotion was running.",
            "一小时内时间被修正了 {by}。此前的销售时间有误；如有限时促销，请核对。",
        ),
        "HEALTH_SCREEN_OFF": (
            "The clock of the browser at till {till} is {by} off. It is not used; set it right so "
            "that nobody reads a wrong time.",
            "收银台 {till} 的浏览器时钟相差 {by}。系统不使用它；请校准以免误读。",
        ),
        "HEALTH_SCREEN_ZONE": (
            "The browser at till {till} is set to another time zone ({zone}; its clock is {by} "
            "off). It is not used; set it right so that nobody reads a wrong time.",
            "收银台 {till} 的浏览器时区不同（{zone}，时钟相差 {by}）。系统不使用它；"
            "请校准以免误读。",
        ),
    }
)
_BASIS: Final = {
    Basis.HARDWARE: "HEALTH_CLOCK_HARDWARE",
    Basis.MANAGER: "HEALTH_CLOCK_MANAGER",
}


def clock_notice(status: Status) -> Notice | None:
    """What is wrong with the clock, or None."""
    reading = status.reading
    params: dict[str, Any] = {
        "why_en": status.why("en"),
        "why_zh": status.why("zh"),
        "seconds": -(-reading.u_ms // 1000),
    }
    if status.contested:
        code = "HEALTH_CLOCK_CONTESTED"
    elif not reading.state.trusted:
        behind = reading.state is ClockState.BEHIND
        code = "HEALTH_CLOCK_BEHIND" if behind else "HEALTH_CLOCK_UNKNOWN"
    elif reading.state is ClockState.HOLDOVER:
        code = _BASIS.get(status.basis, "HEALTH_HOLDOVER")
    elif status.stepped_ms and reading.at_ms - status.stepped_at_ms < HOUR_MS:
        code, params = "HEALTH_CLOCK_STEPPED", {"by": span(status.stepped_ms)}
    else:
        return None
    return notice(code, params)


def screen_notices(screens: Iterable[Screen]) -> dict[str, Notice]:
    """Till -> what is wrong with the clock of its browser."""
    found = {}
    for one in screens:
        if one.till and one.wrong:
            found[one.till] = screen_notice(one)
    return found


def screen_notice(screen: Screen) -> Notice:
    """One browser's clock, in words."""
    params = {"till": screen.till or "-", "by": span(screen.off_ms), "zone": screen.zone}
    if screen.other_zone:
        return notice("HEALTH_SCREEN_ZONE", params)
    return notice("HEALTH_SCREEN_OFF", params)
