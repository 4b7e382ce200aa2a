"""What `tillmesh-edge doctor` says: what is in force, and whether each part works.

`examine_node` tries what a start needs; `examine_devices` opens every device of the settings with
its real driver. While the shop runs, its devices are its own: they are named as held, not tried.
"""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from devices.doctor import DeviceSettings, Verdict, examine
from edge.compose import open_books, read_pepper
from edge.settings import Settings, TillSettings
from protocol.errors import TillmeshError, define
from protocol.node.certificates import at, client_context, read_held
from protocol.node.ntpclock import tried
from protocol.node.signing import load_key

CONNECT_S: Final = 2.0

define(
    {
        "DEVICE_HELD": (
            "{device} is in use by this running shop, as it should be. The page Health says how it "
            "is; stop the shop to try it here.",
            "设备 {device} 正由运行中的本店节点使用，属正常情况。状态请看“健康”页；"
            "如需在此测试，请先停止本店节点。",
        ),
        "DEVICES_NONE": (
            "The settings list no device.",
            "设置中没有设备。",
        ),
    }
)


def configured(settings: Settings) -> list[DeviceSettings]:
    """Every device that the settings name, once each, as the drivers know it."""
    found: dict[str, DeviceSettings] = {}
    for till in settings.tills:
        for device in _of_till(till):
            found.setdefault(device.url, device)
    if settings.labels.printer:
        labels = DeviceSettings("labels", "label", settings.labels.printer)
        found.setdefault(labels.url, labels)
    return list(found.values())


def _of_till(till: TillSettings) -> list[DeviceSettings]:
    devices = [
        DeviceSettings(f"printer-{till.id}", "printer", till.printer, profile=till.profile),
        DeviceSettings(f"scanner-{till.id}", "scanner", till.scanner),
        DeviceSettings(f"scale-{till.id}", "scale", till.scale, protocol=till.scale_kind),
        DeviceSettings(f"display-{till.id}", "display", till.display),
    ]
    return [device for device in devices if device.url]


def examine_devices(
    settings: Settings, language: str, *, running: bool, test_page: bool = False
) -> tuple[list[str], int]:
    """One line per device, and how many cannot be used.

    Args:
        settings: whose devices.
        language: "en" or "zh-CN".
        running: the shop runs on this machine, so what is held is held by it.
        test_page: print one on each printer that is ready.
    """
    verdicts = [
        _held(verdict) if running and verdict.code == "DEVICE_BUSY" else verdict
        for verdict in examine(configured(settings), test_page=test_page)
    ]
    if not verdicts:
        return [TillmeshError("DEVICES_NONE").sentence(language)], 0
    width = max(len(verdict.device) for verdict in verdicts)
    lines = [_line(verdict, width, language) for verdict in verdicts]
    return lines, sum(not verdict.ok for verdict in verdicts)


def _held(verdict: Verdict) -> Verdict:
    return Verdict(
        verdict.device, verdict.kind, verdict.url, True, "DEVICE_HELD", {"device": verdict.device}
    )


def _line(verdict: Verdict, width: int, language: str) -> str:
    word = "ok   " if verdict.ok else "WRONG"
    return (
        f"{word}  {verdict.device:<{width}}  {verdict.url}\n"
        f"{'':7}{'':{width}}  {verdict.sentence(language)}"
    )


def examine_node(path: Path, settings: Settings) -> tuple[list[str], int]:
    """What is in force and what a start needs, line by line, and how much of it is wrong."""
    lines = [
        f"settings  {path.resolve()}",
        f"shop      {settings.store}, chain {settings.chain}, zone {settings.zone}",
    ]
    lines += [
        f"till      {till.id}: printer {till.printer or '-'}, scanner {till.scanner or '-'}"
        for till in settings.tills
    ]
    wrong = 0
    for name, question in CHECKS:
        try:
            lines.append(f"ok        {name}: {question(settings)}")
        except (TillmeshError, OSError) as fault:
            wrong += 1
            text = fault.sentence("en") if isinstance(fault, TillmeshError) else str(fault)
            lines.append(f"WRONG     {name}: {text}")
    return lines, wrong


def _ask_key(settings: Settings) -> str:
    return f"tillmesh-node {settings.store} ed25519 {load_key(settings.key_path).public_hex}"


def _ask_pepper(settings: Settings) -> str:
    return f"{len(read_pepper(settings))} bytes"


def _ask_books(settings: Settings) -> str:
    books = open_books(settings)
    try:
        with books.database.reading() as connection:
            return f"{settings.database_path}, {len(books.streams(connection))} streams"
    finally:
        books.database.close()


def _ask_disk(settings: Settings) -> str:
    found = os.statvfs(settings.data_dir)
    return f"{found.f_bavail * found.f_frsize // 1_000_000} MB free"


def _ask_certificate(settings: Settings) -> str:
    if not settings.mqtt.tls:
        return "none is used"
    held = read_held(settings.pair_path)
    return f"{held.name}, until {at(held.until_ms):%Y-%m-%d}"


def _ask_broker(settings: Settings) -> str:
    where = (settings.mqtt.host, settings.mqtt.port)
    try:
        with socket.create_connection(where, timeout=CONNECT_S) as line:
            if settings.mqtt.tls:  # is it the chain's own?
                context = client_context(settings.authority_path, settings.pair_path)
                context.wrap_socket(line, server_hostname=where[0]).close()
    except OSError as fault:
        text = f"{where[0]}:{where[1]} does not answer ({fault}); selling works without it"
        raise OSError(text) from fault
    return f"{where[0]}:{where[1]} answers"


def _ask_time(settings: Settings) -> str:
    if not settings.ntp:
        raise OSError("no ntp in the settings: head office's time alone is not enough to be sure")
    with ThreadPoolExecutor(len(settings.ntp)) as pool:
        told = dict(zip(settings.ntp, pool.map(tried, settings.ntp), strict=True))
    text = "; ".join(f"{server} {says}" for server, (_, says) in told.items())
    if sum(good for good, _ in told.values()) * 2 <= len(told):
        raise OSError(f"{text}; selling works without them")
    return text


CHECKS: Final[tuple[tuple[str, Callable[[Settings], str]], ...]] = (
    ("key", _ask_key),
    ("pepper", _ask_pepper),
    ("books", _ask_books),
    ("disk", _ask_disk),
    ("certificate", _ask_certificate),
    ("broker", _ask_broker),
    ("time", _ask_time),
)
