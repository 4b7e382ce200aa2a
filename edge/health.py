"""One verdict per part of the node, each with its reason and with what still works."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select

from devices.device import Condition, DeviceState
from edge.backup import read_status
from edge.clockhealth import clock_notice, screen_notices
from edge.credentials import Credentials
from edge.labelling import Labelling
from edge.node import ShopNode
from edge.payments import list_open
from edge.printing import Printing
from edge.room import MEGA, Room
from edge.rules import Rules
from edge.scanning import Scanning
from edge.screens import Screens
from edge.showing import Showing
from edge.syncing import LinkStatus
from edge.verdict import State, Verdict, verdict
from edge.weighing import Weighing
from edge.words import Notice, notice, notice_of
from protocol.clock import DAY_MS
from protocol.clockstatus import status_of
from protocol.errors import TillmeshError, define
from protocol.node.tables import fork, parked, refused
from protocol.replication import PRUNED

QUEUE_WARN: Final = 200
DOUBT_MIN: Final = 5  # no customer takes so long
DAYS_WARN: Final = 30
DAYS_BAD: Final = 8  # the last seven days and the last one are one state, with the days in words
STALE_MS: Final = 7 * DAY_MS
HOUR_MS: Final = 3_600_000
COMPLAINTS: Final = 64  # so many fit into a heartbeat
LATE: Final = 3  # so many times the interval without a good backup

define(
    {
        "HEALTH_CHECK_FAILED": (
            "This part could not be checked ({detail}).",
            "无法检查此项（{detail}）。",
        ),
        "HEALTH_DISK_SOON": (
            "The disk has {free_mb} MB left; below {need_mb} MB no sale can be started.",
            "磁盘剩余 {free_mb} MB；低于 {need_mb} MB 将无法销售。",
        ),
        "HEALTH_BROKER": (
            "The network to head office is down; nobody answers at {address}.",
            "与总部的网络已断开，{address} 没有响应。",
        ),
        "HEALTH_DENIED": (
            "The message broker refuses this shop's name, password or certificate. Selling goes "
            "on; ask the operator to check them.",
            "消息服务器拒绝本店的账号、密码或证书。可继续销售；请管理员检查。",
        ),
        "HEALTH_CENTRAL": (
            "The network works, but head office does not answer.",
            "网络正常，但总部没有响应。",
        ),
        "HEALTH_CENTRAL_FAR": (
            "Head office cannot be reached without the network.",
            "网络断开，无法连接总部。",
        ),
        "HEALTH_STOPPED": (
            "Head office does not take this shop's records: {detail}.",
            "总部拒收本店记录：{detail}。",
        ),
        "HEALTH_PRUNED": (
            "Head office was set back further than this shop remembers, and takes no more of its "
            "records. Selling goes on and everything is kept. Head office must restore a newer "
            "backup.",
            "总部恢复的备份过旧，早于本店保存的记录，暂时无法接收本店数据。"
            "可照常销售，数据均已保留。请总部恢复较新的备份。",
        ),
        "HEALTH_CLONED": (
            "Another machine uses this shop's name. Call your operator now.",
            "另一台机器正在使用本店的身份，请立即联系管理员。",
        ),
        "HEALTH_QUEUE": (
            "{count} records wait to be sent to head office.",
            "有 {count} 条记录等待上传总部。",
        ),
        "HEALTH_RULES_REFUSED": (
            "{count} promotions cannot be used here: {rules}.",
            "有 {count} 个促销本店无法使用：{rules}。",
        ),
        "HEALTH_OLD": (
            "Nothing new came from head office for {days} days.",
            "已有 {days} 天没有收到总部的更新。",
        ),
        "HEALTH_CERTIFICATE": (
            "This shop's certificate ends in {days} days and was not renewed: head office did not "
            "answer. After that its records wait; tell your operator.",
            "本店证书将在 {days} 天后到期且尚未续期：总部没有应答。"
            "到期后记录将排队等待，请告知管理员。",
        ),
        "HEALTH_CERTIFICATE_OVER": (
            "This shop's certificate is over: the broker lets it in no more. Ask head office for a "
            "token, then your operator enrols this machine anew.",
            "本店证书已到期，消息服务器不再接受连接。请向总部索取令牌，由管理员重新注册本机。",
        ),
        "HEALTH_BACKUP": (
            "The last backup of this shop did not work ({why}).",
            "本店最近一次备份失败（{why}）。",
        ),
        "HEALTH_BACKUP_OLD": (
            "The last good backup of this shop is {hours} hours old.",
            "本店最近一次有效备份是 {hours} 小时前。",
        ),
        "HEALTH_PAYMENTS": (
            "{count} payments are in doubt for over {minutes} minutes. See the Payments page.",
            "有 {count} 笔收款超过 {minutes} 分钟未结束，请查看收款记录。",
        ),
        "HEALTH_PARKED": (
            "{parked} events could not be understood, {refused} messages were refused, {forks} "
            "forks of a journal exist.",
            "{parked} 条事件无法处理，拒收 {refused} 条消息，日志分叉 {forks} 处。",
        ),
    }
)


def _say(code: str, **params: Any) -> Notice:
    return notice(code, params)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is asked; made by `edge.compose`."""

    node: ShopNode
    room: Room
    printing: Printing
    scanning: Scanning
    screens: Screens
    weighing: Weighing
    showing: Showing
    labelling: Labelling
    rules: Rules
    prices_changed_ms: Callable[[], int]
    link: Callable[[], LinkStatus]
    credentials: Credentials


class Health:
    """Asks the parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._checks: dict[str, Callable[[], list[Verdict]]] = {
            "printer": self._printers,
            "scanner": self._scanners,
            "scale": self._scales,
            "display": self._displays,
            "labels": self._label_printer,
            "disk": self._disk,
            "database": self._database,
            "broker": self._link,
            "clock": self._clock,
            "screen": self._screens,
            "rules": self._rules,
            "prices": self._prices,
            "parked": self._set_aside,
            "payments": self._payments,
            "backup": self._backup,
            "certificate": self._certificate,
        }

    def verdicts(self) -> list[Verdict]:
        """All verdicts; a check that fails itself is a bad verdict, never an exception."""
        found: list[Verdict] = []
        for part, check in self._checks.items():
            try:
                found += check()
            except TillmeshError as fault:
                found.append(verdict(part, "bad", notice_of(fault)))
            except Exception as fault:  # noqa: BLE001 - the health page must always come up
                found.append(
                    verdict(part, "bad", _say("HEALTH_CHECK_FAILED", detail=repr(fault)[:120]))
                )
        return found

    def complaints(self) -> list[Verdict]:
        """For the heartbeat: all that is not well, but what head office sees for itself."""
        found = [
            v
            for v in self.verdicts()
            if v.state != "ok" and v.part not in {"broker", "central", "queue"}
        ]
        return found[:COMPLAINTS]

    def unsynced(self) -> int:
        """Events that head office has not acknowledged yet."""
        return self._parts.link().unsynced

    def demand_room(self) -> None:
        """Raise Unavailable when the disk is nearly full or failing: before any money is taken."""
        self._parts.room.demand()

    def _printers(self) -> list[Verdict]:
        return [
            _device(f"printer/{view.till}", view.condition)
            for view in self._parts.printing.printers()
            if view.condition is not None
        ]

    def _scanners(self) -> list[Verdict]:
        return [
            _device(f"scanner/{view.till}", view.condition)
            for view in self._parts.scanning.scanners()
            if view.condition is not None
        ]

    def _scales(self) -> list[Verdict]:
        return [
            _device(f"scale/{view.till}", view.condition)
            for view in self._parts.weighing.scales()
            if view.condition is not None
        ]

    def _displays(self) -> list[Verdict]:
        return [
            _device(f"display/{view.till}", view.condition)
            for view in self._parts.showing.displays()
            if view.condition is not None
        ]

    def _label_printer(self) -> list[Verdict]:
        condition = self._parts.labelling.condition()
        return [] if condition is None else [_device("labels", condition)]

    def _disk(self) -> list[Verdict]:
        room = self._parts.room
        try:
            room.demand()
        except TillmeshError as fault:
            return [verdict("disk", "bad", notice_of(fault))]
        need, free = self._parts.node.settings.low_disk_bytes, room.free_bytes()
        if free < 2 * need:
            soon = _say("HEALTH_DISK_SOON", free_mb=free // MEGA, need_mb=need // MEGA)
            return [verdict("disk", "warn", soon)]
        return [verdict("disk", "ok")]

    def _payments(self) -> list[Verdict]:
        node = self._parts.node
        with node.books.database.reading() as connection:
            rows = list_open(connection)
        before = node.clock.read().at_ms - DOUBT_MIN * 60_000
        late = sum(row.started_ms < before for row in rows)
        if not late:
            return [verdict("payments", "ok")]
        return [verdict("payments", "warn", _say("HEALTH_PAYMENTS", count=late, minutes=DOUBT_MIN))]

    def _database(self) -> list[Verdict]:
        if not self._parts.node.books.database.healthy:
            self._parts.room.probe()
        return [verdict("database", "ok")]

    def _link(self) -> list[Verdict]:
        link = self._parts.link()
        found = []
        if link.cloned:
            found.append(verdict("broker", "bad", _say("HEALTH_CLONED")))
        elif link.broker_up:
            found.append(verdict("broker", "ok"))
        elif link.denied:
            found.append(verdict("broker", "bad", _say("HEALTH_DENIED")))
        else:
            mqtt = self._parts.node.settings.mqtt
            why = _say("HEALTH_BROKER", address=f"{mqtt.host}:{mqtt.port}")
            found.append(verdict("broker", "warn", why))
        if link.stopped:
            pruned = link.stopped == PRUNED
            told = {} if pruned else {"detail": link.stopped[:120]}
            why = _say("HEALTH_PRUNED" if pruned else "HEALTH_STOPPED", **told)
            found.append(verdict("central", "bad", why))
        elif link.central_up:
            found.append(verdict("central", "ok"))
        else:
            code = "HEALTH_CENTRAL" if link.broker_up else "HEALTH_CENTRAL_FAR"
            found.append(verdict("central", "warn", _say(code)))
        waits = _say("HEALTH_QUEUE", count=link.unsynced) if link.unsynced else None
        slow = link.unsynced > QUEUE_WARN or (link.unsynced and not link.central_up)
        found.append(verdict("queue", "warn" if slow else "ok", waits))
        return found

    def _clock(self) -> list[Verdict]:
        wrong = clock_notice(status_of(self._parts.node.clock))
        return [verdict("clock", "warn" if wrong else "ok", wrong)]

    def _screens(self) -> list[Verdict]:
        wrong = screen_notices(self._parts.screens.screens())
        return [verdict(f"screen/{till}", "warn", why) for till, why in sorted(wrong.items())]

    def _rules(self) -> list[Verdict]:
        rules = self._parts.rules
        if rules.fault is not None:
            return [verdict("rules", "bad", rules.fault)]
        left_out = rules.in_force.refused
        if left_out:
            names = ", ".join(r.rule for r in left_out)[:120]
            why = _say("HEALTH_RULES_REFUSED", count=len(left_out), rules=names)
            return [verdict("rules", "warn", why)]
        return [verdict("rules", "ok")]

    def _prices(self) -> list[Verdict]:
        newest = max(self._parts.prices_changed_ms(), self._parts.rules.in_force.changed_ms)
        age = self._parts.node.clock.read().at_ms - newest
        if newest and age > STALE_MS and not self._parts.link().central_up:
            return [verdict("prices", "warn", _say("HEALTH_OLD", days=age // DAY_MS))]
        return [verdict("prices", "ok")]

    def _set_aside(self) -> list[Verdict]:
        with self._parts.node.books.database.reading() as connection:
            counts: Mapping[str, int] = {
                name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in (("parked", parked), ("refused", refused), ("forks", fork))
            }
        if any(counts.values()):
            return [verdict("parked", "warn", _say("HEALTH_PARKED", **counts))]
        return [verdict("parked", "ok")]

    def _certificate(self) -> list[Verdict]:
        """It renews itself with a third of its life left; whoever is later needs somebody."""
        if not self._parts.credentials.used:
            return []
        days = self._parts.credentials.held().days_left(self._parts.node.clock.read().at_ms)
        if days < 0:
            return [verdict("certificate", "bad", _say("HEALTH_CERTIFICATE_OVER"))]
        if days >= DAYS_WARN:
            return [verdict("certificate", "ok")]
        state: State = "warn" if days >= DAYS_BAD else "bad"
        return [verdict("certificate", state, _say("HEALTH_CERTIFICATE", days=days))]

    def _backup(self) -> list[Verdict]:
        settings = self._parts.node.settings
        status = read_status(Path(settings.data_dir))
        if not settings.backup_dir or status is None:
            return []
        if status.code:
            return [verdict("backup", "warn", _say("HEALTH_BACKUP", why=status.code))]
        hours = (self._parts.node.clock.read().at_ms - status.at_ms) // HOUR_MS
        if hours > LATE * settings.backup_hours:
            return [verdict("backup", "warn", _say("HEALTH_BACKUP_OLD", hours=hours))]
        return [verdict("backup", "ok")]


def _device(part: str, condition: Condition) -> Verdict:
    if condition.state is DeviceState.UP:
        return verdict(part, "ok")
    state: State = "bad" if condition.state is DeviceState.DOWN else "warn"
    return verdict(
        part,
        state,
        Notice(condition.code, condition.sentence("en"), condition.sentence("zh")),
    )
