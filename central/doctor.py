"""What head office needs to run, looked at part by part; each finding says what to do."""

import socket
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from central.compose import HeadOffice, compose
from central.settings import Settings
from protocol.errors import TillmeshError, sentence
from protocol.node.ntpclock import tried

CONNECT_S: Final = 2.0


class Finding(msgspec.Struct, frozen=True):
    """One part and how it is."""

    part: str
    ok: bool
    text: str


def broker_fault(settings: Settings) -> str:
    """Why the broker's port does not answer, or ""."""
    try:
        with socket.create_connection((settings.mqtt.host, settings.mqtt.port), CONNECT_S):
            return ""
    except OSError as fault:
        return fault.strerror or str(fault)


def broker_sentence(settings: Settings, language: str) -> str:
    """The same for people."""
    place = f"{settings.mqtt.host}:{settings.mqtt.port}"
    params = {"address": f"{place} ({broker_fault(settings)})"}
    told = sentence("ALARM_BROKER", params, language)
    return f"{told} {sentence('ALARM_BROKER_DO', params, language)}"


def _broker(settings: Settings) -> Iterator[Finding]:
    fault = broker_fault(settings)
    place = f"{settings.mqtt.host}:{settings.mqtt.port}"
    yield Finding("broker", not fault, f"{place} {fault or 'answers'}")


def _time(settings: Settings) -> Iterator[Finding]:
    if not settings.ntp_servers:
        yield Finding("time", False, "no ntp_servers in the settings: the clock is not trusted")
    for server in settings.ntp_servers:
        good, told = tried(server)
        yield Finding("time", good, f"{server} {told}")


def _backup(settings: Settings) -> Iterator[Finding]:
    folder = settings.backup_dir
    if folder is None:
        yield Finding("backup", False, "no backup_dir in the settings")
    else:
        there = folder.is_dir()
        yield Finding("backup", there, f"{folder} {'is there' if there else 'is missing'}")


def _shops(office: HeadOffice) -> Iterator[Finding]:
    for store in office.stores.stores():
        try:
            office.stores.pepper(store.store)
        except TillmeshError as fault:
            yield Finding(f"shop {store.store}", False, fault.sentence("en"))
            continue
        joined = bool(store.public_key)
        text = "joined" if joined else "its key was not accepted yet (accept-node)"
        yield Finding(f"shop {store.store}", joined, text)


def _certificates(office: HeadOffice) -> Iterator[Finding]:
    settings = office.settings
    if not (settings.mqtt.tls or settings.https.port):
        return
    now_ms = office.clock.read().at_ms
    issued = office.enrolment.certificates()
    held = {c.node for c in issued if not c.revoked_ms and c.until_ms > now_ms}
    text = f"{office.enrolment.authority.fingerprint}, {len(held)} machines hold a certificate"
    yield Finding("authority", True, text)


def _books(office: HeadOffice) -> Iterator[Finding]:
    yield Finding("database", True, office.books.database.url)
    wrong = office.stock.sum_of_places()
    text = "all places sum to zero" if not wrong else f"places do not sum to zero: {wrong}"
    yield Finding("stock", not wrong, text)
    admins = [a.person for a in office.accounts.accounts() if a.active and a.role == "admin"]
    yield Finding("accounts", bool(admins), f"admins: {', '.join(admins) or 'none'}")


OUTSIDE: Final[tuple[Callable[[Settings], Iterator[Finding]], ...]] = (_broker, _time, _backup)
INSIDE: Final[tuple[Callable[[HeadOffice], Iterator[Finding]], ...]] = (
    _books,
    _certificates,
    _shops,
)


def examine(settings: Settings) -> list[Finding]:
    """All findings; a database or key that fails is one of them."""
    found = [finding for look in OUTSIDE for finding in look(settings)]
    try:
        office = compose(settings)
    except TillmeshError as fault:
        return [*found, Finding("database", False, fault.sentence("en"))]
    try:
        return found + [finding for look in INSIDE for finding in look(office)]
    finally:
        office.books.database.close()
