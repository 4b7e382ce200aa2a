"""What somebody at head office should look at now: one list, each with what to do."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from central import watching
from central.alarm import Alarm
from central.backupstatus import read_status
from central.campaigns import answers_of
from central.clockalarms import own_clock, shop_clock
from central.enrolment import REVOKED
from central.forks import open_forks, speaking_clones
from central.recording import Desk
from central.repricing import AGREED, OTHER_ENGINE
from central.tables import certificate, reprice_result
from protocol.clock import DAY_MS, HOUR_MS
from protocol.clockstatus import status_of
from protocol.errors import define
from protocol.ids import shop_stream
from protocol.node.certificates import read_held
from protocol.node.sqljournal import SqlRecords
from protocol.node.tables import READ, digest_check, parked, refused
from protocol.wire import Complaint

ROWS_MAX: Final = 50
DETAIL_MAX: Final = 600
DAYS_WARN: Final = 30
DAYS_BAD: Final = 7
NO_PAIRS: Final = frozenset({"authority.pem", "authority.key.pem", "revoked.pem"})
LATE: Final = 3  # so many times the interval without a good backup
RECENT_MS: Final = 7 * DAY_MS

define(
    {
        "ALARM_DIGEST": (
            "The stock of {store} here and in the shop differ at event {seq}.",
            "{store} 的库存在第 {seq} 条处，总部与门店不一致。",
        ),
        "ALARM_DIGEST_DO": (
            "Run `tillmesh-central verify`, then `rebuild`. If it stays, do the same in the shop, "
            "then call your operator.",
            "请运行 `tillmesh-central verify`，再运行 `rebuild`。"
            "若仍不一致，请在门店执行同样操作并联系管理员。",
        ),
        "ALARM_PARKED": (
            "An event of {stream} ({type}, number {seq}) could not be used: {reason}",
            "{stream} 的一条事件（{type}，第 {seq} 条）无法处理：{reason}",
        ),
        "ALARM_PARKED_DO": (
            "It is kept. Update Tillmesh at head office and rebuild; if it stays, call your "
            "operator.",
            "该事件已保留。请升级总部软件并重建；若仍存在，请联系管理员。",
        ),
        "ALARM_REFUSED": (
            "{count} messages were refused in the last day, the last one on {topic}: {detail}",
            "过去一天拒绝了 {count} 条消息，最近一条在 {topic}：{detail}",
        ),
        "ALARM_REFUSED_DO": (
            "Check which machine writes there, and that the shop's key was accepted here.",
            "请检查是哪台机器在写入，以及该门店的公钥是否已在总部登记。",
        ),
        "ALARM_STRANGER": (
            "The broker turned {count} connections away in the last day that showed no certificate "
            "that holds (the last one: {detail})",
            "过去一天消息服务器拒绝了 {count} 个没有有效证书的连接（最近一次：{detail}）",
        ),
        "ALARM_STRANGER_DO": (
            "A revoked or expired machine, or a stranger: the broker's log has the address. They "
            "heard and changed nothing.",
            "可能是已吊销或过期的设备，或陌生人：消息服务器日志中有其地址。对方没有收到或更改任何内容。",
        ),
        "ALARM_CERTIFICATE": (
            "The certificate of {node} ends in {days} days and was not renewed.",
            "{node} 的证书将在 {days} 天后到期，尚未续期。",
        ),
        "ALARM_CERTIFICATE_DO": (
            "A shop: see why it is silent; when the certificate is over, give it a new token. The "
            "broker: `tillmesh-central broker-files`, then reload it. Head office: start it again.",
            "门店：检查为何没有连接；证书到期后请发放新令牌。消息服务器：运行 "
            "`tillmesh-central broker-files` 后重新加载。总部：重新启动。",
        ),
        "ALARM_LOCKED_OUT": (
            "The machine of {store} is locked out: its key and its certificate were "
            "revoked. What it sells waits there.",
            "{store} 的设备已被锁定：其密钥和证书已吊销。其销售保存在本机等待上传。",
        ),
        "ALARM_LOCKED_OUT_DO": (
            "Give the machine that is the shop's own a token (page Shops) and run `tillmesh-edge "
            "enrol` on it, or `init` on a new one.",
            "请为该门店自己的设备发放令牌（“门店”页面），在其上运行 `tillmesh-edge enrol`，"
            "或在新设备上运行 `init`。",
        ),
        "ALARM_SILENT": (
            "{store} has been silent for {minutes} minutes. It goes on selling; its figures here "
            "are old.",
            "{store} 已 {minutes} 分钟没有消息。门店仍可销售，但此处数据不是最新。",
        ),
        "ALARM_SILENT_DO": (
            "Check the shop's internet line and whether its computer runs.",
            "请检查门店网络和电脑是否正常运行。",
        ),
        "ALARM_NEVER": (
            "{store} has never been in touch.",
            "{store} 从未连接过。",
        ),
        "ALARM_NEVER_DO": (
            "Join its computer with the shop's joining file, and accept its key here.",
            "请用该门店的加入文件设置其电脑，并在此登记公钥。",
        ),
        "ALARM_RULE": (
            "{store} refuses the promotion {rule} (version {version}): {reason}",
            "{store} 拒绝促销 {rule}（版本 {version}）：{reason}",
        ),
        "ALARM_RULE_DO": (
            "Correct and publish the rule again, or update Tillmesh in the shop.",
            "请修改并重新发布该促销，或升级门店软件。",
        ),
        "ALARM_PRICE": (
            "{count} sales of {store} come out differently when priced again (last: {receipt}).",
            "{store} 有 {count} 笔销售重新计价后不一致（最近：{receipt}）。",
        ),
        "ALARM_PRICE_DO": (
            "Open the list of differences; compare the rules and versions of shop and head office.",
            "请打开差异列表，核对门店与总部的规则和版本。",
        ),
        "ALARM_PORTS": (
            "{store} reports: {detail}",
            "{store} 报告：{detail}",
        ),
        "ALARM_PORTS_DO": (
            "Ask the shop to look at its health page.",
            "请让门店查看健康页面。",
        ),
        "ALARM_PRUNED": (
            "Head office holds the journal of {store} up to event {have}; the shop holds it from "
            "{low} on. A backup older than 35 days was restored here. {store} goes on selling and "
            "keeps everything; its figures here stand still. Other shops are not concerned.",
            "总部保存的 {store} 日志到第 {have} 条，而门店只保存第 {low} 条及之后的记录："
            "此处恢复的备份超过 35 天。{store} 可照常销售并保留全部数据，"
            "但此处数据不再更新。其他门店不受影响。",
        ),
        "ALARM_PRUNED_DO": (
            "Restore a newer backup of head office, one that reaches event {low} of {store}. "
            "Everything after it comes by itself.",
            "请恢复较新的总部备份，须包含 {store} 的第 {low} 条。之后的数据会自动补齐。",
        ),
        "ALARM_BROKER": (
            "The message broker at {address} does not answer head office.",
            "消息服务器 {address} 没有响应总部。",
        ),
        "ALARM_DENIED": (
            "The message broker at {address} refuses head office's name or password.",
            "消息服务器 {address} 拒绝总部的账号或密码。",
        ),
        "ALARM_DENIED_DO": (
            "Check mqtt.username and the password file in the settings. Shops go on selling.",
            "请检查设置中的 mqtt.username 和密码文件。门店可继续销售。",
        ),
        "ALARM_BROKER_DO": (
            "Start the broker or correct its address in the settings. Shops go on selling.",
            "请启动消息服务器或更正设置中的地址。门店可继续销售。",
        ),
    }
)


Look = Callable[[Connection, int], Iterable[Alarm]]


def _forks(connection: Connection, _now: int) -> Iterable[Alarm]:
    for stream, seq, at_ms in open_forks(connection)[:ROWS_MAX]:
        params = {"stream": stream, "seq": str(seq)}
        yield Alarm(code="ALARM_FORK", level="bad", subject=stream, at_ms=at_ms, params=params)
    for stream, count, at_ms in speaking_clones(connection):
        params = {"stream": stream, "count": str(count)}
        yield Alarm(code="ALARM_CLONE", level="bad", subject=stream, at_ms=at_ms, params=params)


def _pruned(connection: Connection, now: int) -> Iterable[Alarm]:
    """Shops that hold only what follows on what is missing here."""
    records = SqlRecords(connection)
    for store, low in sorted(watching.lows(connection).items()):
        have = records.head(shop_stream(store)).seq
        if have + 1 < low:
            params = {"store": store, "have": str(have), "low": str(low)}
            yield Alarm(code="ALARM_PRUNED", level="bad", subject=store, at_ms=now, params=params)


def _digests(connection: Connection, _now: int) -> Iterable[Alarm]:
    newest = (
        select(digest_check.c.store, func.max(digest_check.c.seq).label("seq"))
        .group_by(digest_check.c.store)
        .subquery()
    )
    query = select(digest_check).join(
        newest, (newest.c.store == digest_check.c.store) & (newest.c.seq == digest_check.c.seq)
    )
    for row in connection.execute(query.where(~digest_check.c.agreed)):
        params = {"store": row.store, "seq": str(row.seq)}
        yield Alarm(
            code="ALARM_DIGEST", level="bad", subject=row.store, at_ms=row.at_ms, params=params
        )


def _parked(connection: Connection, now: int) -> Iterable[Alarm]:
    for row in connection.execute(select(parked).order_by(parked.c.seq.desc()).limit(ROWS_MAX)):
        params = {"stream": row.stream, "seq": str(row.seq), "type": row.type, "reason": row.reason}
        yield Alarm(code="ALARM_PARKED", level="bad", subject=row.stream, at_ms=now, params=params)


def _refused(connection: Connection, now: int) -> Iterable[Alarm]:
    strange = refused.c.code == "STRANGER_AT_BROKER"
    for code, which in (("ALARM_REFUSED", ~strange), ("ALARM_STRANGER", strange)):
        recent = (refused.c.at_ms > now - DAY_MS, which)
        query = select(func.count()).select_from(refused).where(*recent)
        count = connection.execute(query).scalar()
        rows = select(refused).where(*recent).order_by(refused.c.n.desc()).limit(1)
        last = connection.execute(rows).first()
        if last is not None:
            params = {"count": str(count), "topic": last.topic, "detail": last.detail}
            yield Alarm(
                code=code, level="warn", subject=last.topic, at_ms=last.at_ms, params=params
            )


def _certificates(connection: Connection, now: int) -> Iterable[Alarm]:
    """Of shops that were enrolled: the last one that holds, at 30, 7 and 1 days."""
    c = certificate.c
    query = select(c.node, func.max(c.until_ms)).where(c.revoked_ms == 0).group_by(c.node)
    for node, until_ms in connection.execute(query):
        yield from _ending(node, until_ms, now)


def _locked_out(connection: Connection, _now: int) -> Iterable[Alarm]:
    """Shops that were revoked and have no new key yet."""
    c, node = certificate.c, READ["node"].c
    query = (
        select(c.node, func.max(c.revoked_ms))
        .join(READ["node"], node.store == c.node)
        .where(c.reason == REVOKED, node.public_key == "")
        .group_by(c.node)
    )
    for store, at_ms in connection.execute(query):
        params = {"store": store}
        yield Alarm(code="ALARM_LOCKED_OUT", level="bad", subject=store, at_ms=at_ms, params=params)


def _own_certificates(desk: Desk, now: int) -> Iterable[Alarm]:
    """Head office's own, and the broker's as it was written last."""
    for path in sorted(desk.settings.authority_dir.glob("*.pem")):
        if path.name not in NO_PAIRS and not path.name.startswith("."):
            held = read_held(path)
            yield from _ending(held.name, held.until_ms, now)


def _ending(node: str, until_ms: int, now: int) -> Iterable[Alarm]:
    days = (until_ms - now) // DAY_MS
    if days < DAYS_WARN:
        yield Alarm(
            code="ALARM_CERTIFICATE",
            level="warn" if days > DAYS_BAD else "bad",
            subject=node,
            at_ms=until_ms - DAYS_WARN * DAY_MS,
            params={"node": node, "days": str(max(0, days))},
        )


def _shops(connection: Connection, now: int) -> Iterable[Alarm]:
    reports = watching.reports(connection)
    stores = connection.execute(select(READ["store"].c.store)).scalars().all()
    for store in stores:
        report = reports.get(store)
        if report is None or not report.seen_ms:
            yield Alarm(
                code="ALARM_NEVER", level="warn", subject=store, at_ms=0, params={"store": store}
            )
        elif report.offline(now):
            minutes = max(0, now - report.seen_ms) // 60_000
            params = {"store": store, "minutes": str(minutes)}
            yield Alarm(
                code="ALARM_SILENT", level="bad", subject=store, at_ms=report.seen_ms, params=params
            )
        else:
            yield from _spoken(report)


def _spoken(report: watching.ShopReport) -> Iterable[Alarm]:
    """What a shop that is there complains about."""
    store, at_ms = report.store, report.seen_ms
    if report.health or report.version:  # a greeting alone says nothing of its clock
        yield from shop_clock(report)
    ill = [
        (part, one)
        for part, one in sorted(report.complaints.items())
        if not (report.clock and part.partition("/")[0] in {"clock", "screen"})
    ]
    if ill:
        yield Alarm(
            code="ALARM_PORTS",
            level="warn",
            subject=store,
            at_ms=at_ms,
            params={"store": store, "detail": _told(ill, "en")},
            params_zh={"detail": _told(ill, "zh")},
        )


def _told(ill: Sequence[tuple[str, Complaint]], language: str) -> str:
    """Each part by its name with its sentence; key and code where an older shop sent no words."""
    told = [
        f"{one.name(language) or part}: {one.sentence(language) or one.code}" for part, one in ill
    ]
    return " ".join(told)[:DETAIL_MAX]


def _rules(connection: Connection, _now: int) -> Iterable[Alarm]:
    for store, answer in answers_of(connection).items():
        for rule in answer.refused:
            params = {
                "store": store,
                "rule": rule.rule,
                "version": str(rule.version),
                "reason": rule.detail.get("en", rule.reason),
            }
            yield Alarm(
                code="ALARM_RULE",
                level="bad",
                subject=store,
                at_ms=answer.at_ms,
                params=params,
                params_zh={"reason": rule.detail.get("zh", rule.reason)},
            )


def _prices(connection: Connection, now: int) -> Iterable[Alarm]:
    table = reprice_result
    query = (
        select(
            table.c.store, func.count(), func.max(table.c.at_ms), func.max(table.c.receipt_number)
        )
        .where(table.c.outcome.not_in([AGREED, OTHER_ENGINE]), table.c.at_ms > now - RECENT_MS)
        .group_by(table.c.store)
    )
    for store, count, at_ms, receipt in connection.execute(query):
        params = {"store": store, "count": str(count), "receipt": receipt}
        yield Alarm(code="ALARM_PRICE", level="bad", subject=store, at_ms=at_ms, params=params)


def _backups(desk: Desk, now: int) -> Iterable[Alarm]:
    settings = desk.settings
    if settings.backup_dir is None or settings.backup_key is None:
        return  # `doctor` says that none is made
    status = read_status(settings.data_dir)
    age = now - status.good_ms
    if status.at_ms and (status.code or age > LATE * settings.backup_hours * HOUR_MS):
        hours = str(age // HOUR_MS) if status.good_ms else "-"
        params = {"hours": hours, "detail": status.detail[:300]}
        yield Alarm(
            code="ALARM_BACKUP", level="bad", subject="backup", at_ms=status.at_ms, params=params
        )
    if status.dropped_to_milli is not None:
        params = {
            "was": f"{status.stock_milli / 1000:g}",
            "now": f"{status.dropped_to_milli / 1000:g}",
        }
        yield Alarm(
            code="ALARM_STOCK_DROP",
            level="bad",
            subject="stock",
            at_ms=status.at_ms,
            params=params,
        )


LOOKS: Final[tuple[Look, ...]] = (
    _forks,
    _pruned,
    _digests,
    _parked,
    _refused,
    _shops,
    _certificates,
    _locked_out,
    _rules,
    _prices,
)


class Alarms:
    """Looks for what is wrong, each time anew.

    `deaf_broker` gives the alarm's code and the address of a broker that does not answer.
    """

    def __init__(self, desk: Desk, deaf_broker: Callable[[], tuple[str, str]]) -> None:
        self._desk = desk
        self._deaf_broker = deaf_broker

    def alarms(self) -> list[Alarm]:
        """All alarms, the worst and newest first."""
        now = self._desk.clock.read().at_ms
        with self._desk.books.database.reading() as connection:
            found = [alarm for look in LOOKS for alarm in look(connection, now)]
        wrong, address = self._deaf_broker()
        if wrong:
            params = {"address": address}
            found.append(Alarm(code=wrong, level="bad", subject="broker", at_ms=now, params=params))
        found += _backups(self._desk, now)
        status = status_of(self._desk.clock)
        if status.contested or not status.reading.state.trusted:
            own = own_clock(status, now)
            found = [own, *(a for a in found if a.code != "ALARM_CLOCK_SKEW")]
        found += _own_certificates(self._desk, now)
        return sorted(found, key=lambda a: (a.level != "bad", -a.at_ms, a.code, a.subject))
