"""The settings of one shop: read from TOML, every fault reported at once."""

import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from devices.receipt import load_profiles
from devices.scan import parse_prefix
from edge.receipt_settings import ReceiptText, receipt_faults
from protocol.errors import Refusal, TillmeshError, define
from protocol.ids import check_id

LANGUAGES: Final = ("zh-CN", "en")

define(
    {
        "TILL_UNKNOWN": (
            "This shop has no till “{till}”. Its settings list: {known}.",
            "本店没有收银台“{till}”。设置中的收银台：{known}。",
        ),
    }
)


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of all settings."""


class HttpSettings(Frozen, frozen=True):
    """Where the pages are served."""

    host: str = "127.0.0.1"
    port: int = 8081


class MqttSettings(Frozen, frozen=True):
    """The broker between the shops and head office. A password stands in its own file."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password_file: str = ""
    tls: bool = False  # with the certificate that head office gave for a token
    others: tuple[str, ...] = ()  # further nodes of a clustered broker


class TillSettings(Frozen, frozen=True):
    """One till and its devices; an empty address means there is none."""

    id: str
    name: str = ""
    printer: str = ""  # socket://host:9100, /dev/serial/by-id/..., file:///dev/usb/lp0
    profile: str = "80mm-48col"
    scanner: str = ""
    scale: str = ""
    scale_kind: Literal["mettler", "cas"] = "mettler"
    display: str = ""  # a pole display; the customer's window /customer needs none
    display_kind: Literal["escpos", "cd5220"] = "escpos"
    display_gb: bool = False  # its ROM has Chinese
    drawer: bool = False
    drawer_pin: Literal[2, 5] = 2  # of the printer's drawer socket
    card: str = ""  # a card terminal: socket://host:port or a /dev path


class LabelSettings(Frozen, frozen=True):
    """The shop's label printer and its labels, millimetres; an empty address means: none."""

    printer: str = ""
    kind: Literal["zpl", "tspl"] = "zpl"
    width_mm: int = 60
    height_mm: int = 40
    gap_mm: int = 2
    dpi: Literal[203, 300] = 203


class OversellPolicy(Frozen, frozen=True):
    """What happens when the book has less than is asked for."""

    till: Literal["warn", "refuse"] = "warn"  # goods on the counter exist, so the till sells them
    dispatch: Literal["warn", "refuse"] = "refuse"


class ProviderSettings(Frozen, frozen=True):
    """One provider of scan-pay. Keys stand in files of their own, outside the database."""

    name: str
    kind: Literal["simulated", "wechat", "alipay"]
    codes: tuple[Literal["wechat", "alipay", "unionpay"], ...] = ()  # whose pay codes; "": its own
    url: str = ""  # empty: the vendor's own address
    app_id: str = ""
    merchant_id: str = ""
    key_file: str = ""  # our private key, PEM
    cert_serial: str = ""  # wechat: of the merchant's certificate
    api_key_file: str = ""  # wechat: the APIv3 key
    public_key_file: str = ""  # the vendor's public key, PEM
    public_key_id: str = ""  # wechat: its id

    @property
    def reads(self) -> tuple[str, ...]:
        """Whose pay codes go to it."""
        own = ("wechat", "alipay", "unionpay") if self.kind == "simulated" else (self.kind,)
        return tuple(self.codes) or own


class PaymentSettings(Frozen, frozen=True):
    """Money that is not cash. Cash is always there."""

    providers: tuple[ProviderSettings, ...] = ()
    by_hand: tuple[Literal["scan", "card"], ...] = ()  # taken on a device that we do not drive
    patience_s: float = 45.0  # how long a customer may take before it is taken back
    poll_s: float = 2.0
    retry_max_s: float = 30.0  # between two tries to take money back, at most
    watch_s: float = 900.0  # how long a try that nobody heard of is asked about


class Settings(Frozen, frozen=True):
    """One shop. Paths are absolute once loaded."""

    store: str
    chain: str
    zone: str
    group: str
    tz: str
    central_public_key: str
    data_dir: str = "data"
    pepper_file: str = "pepper"
    name: dict[str, str] = {}  # language -> name, until head office's StoreAdded arrives
    currency: str = "CNY"
    code_prefixes: tuple[str, ...] = ()  # in-store codes; empty: those of the chain
    languages: tuple[str, ...] = ("zh-CN", "en")
    receipt_language: str = "zh-CN"
    receipt: dict[str, ReceiptText] = {}  # language -> texts
    http: HttpSettings = HttpSettings()
    mqtt: MqttSettings = MqttSettings()
    ntp: tuple[str, ...] = ()  # "host:port"
    central_http: str = ""
    central_https: str = ""  # where this machine enrols
    tills: tuple[TillSettings, ...] = ()
    oversell: OversellPolicy = OversellPolicy()
    labels: LabelSettings = LabelSettings()
    payment: PaymentSettings = PaymentSettings()
    low_disk_bytes: int = 200_000_000
    day_starts: str = "00:00"  # a sale before this time belongs to the day before
    backup_dir: str = ""  # empty: no backups are made by the node itself
    backup_key: str = ""  # the operator's key file
    backup_hours: int = 6
    backup_copies: int = 60
    keep_days: int = 35  # of its own journal, event by event; 0: for ever
    idle_minutes: int = 720  # a signed-in person who does nothing is signed out

    @property
    def database_path(self) -> Path:
        """The one database file."""
        return Path(self.data_dir) / "edge.db"

    @property
    def head_office(self) -> str:
        """Head office's HTTPS once this machine is enrolled, else its pages; perhaps empty."""
        enrolled = self.central_https and self.authority_path.exists()
        return self.central_https if enrolled else self.central_http

    @property
    def key_path(self) -> Path:
        """The node's signing key."""
        return Path(self.data_dir) / "node.key"

    @property
    def authority_path(self) -> Path:
        """The chain's authority, whom alone this shop trusts."""
        return Path(self.data_dir) / "tls" / "authority.pem"

    @property
    def pair_path(self) -> Path:
        """The node's TLS key and certificate."""
        return Path(self.data_dir) / "tls" / "node.pem"

    def till(self, till: str) -> TillSettings:
        """One till; TILL_UNKNOWN when the settings list no such till."""
        for one in self.tills:
            if one.id == till:
                return one
        raise Refusal("TILL_UNKNOWN", till=till, known=", ".join(t.id for t in self.tills))


KEEP_DAYS_MIN: Final = 35  # head office's backups are younger
KEEP_DAYS_MAX: Final = 400


class SettingsFaults(Exception):
    """Everything that is wrong with a settings file, one clear line per fault."""

    def __init__(self, path: str, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.path = path
        self.faults = faults


def load(path: Path) -> Settings:
    """Read and check; raise SettingsFaults with every fault."""
    document = read_document(path)
    faults: list[str] = []
    _collect(document, Settings, "", faults)
    if faults:
        raise SettingsFaults(str(path), tuple(faults))
    settings = msgspec.convert(document, Settings, strict=True)
    placed = _absolute(settings, path.resolve().parent)
    faults = [fault for check in CHECKS for fault in check(settings)]
    faults += receipt_faults(placed.receipt)  # a logo's path counts from the file
    if faults:
        raise SettingsFaults(str(path), tuple(faults))
    return placed


def read_document(path: Path) -> dict[str, Any]:
    """A TOML (or, for *.json, JSON) file as plain values; raise SettingsFaults when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        found = msgspec.json.decode(text) if path.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError:
        fault = "there is no such file; `tillmesh-edge init` writes one"
    except (OSError, UnicodeDecodeError) as error:
        fault = f"cannot be read: {error}"
    except (tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        fault = f"is not valid: {error}"
    else:
        if isinstance(found, dict):
            return found
        fault = "must hold a table of settings"
    raise SettingsFaults(str(path), (fault,))


def _collect(value: object, kind: Any, path: str, faults: list[str]) -> None:
    """Every fault of form: msgspec stops at the first one, people want all."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _collect_struct(value, kind, path, faults)
    elif get_origin(kind) is tuple and _is_struct(get_args(kind)[0]):
        if not isinstance(value, list):
            faults.append(f"{path}: expected a list, found {value!r}")
            return
        for n, item in enumerate(value):
            _collect(item, get_args(kind)[0], f"{path}[{n}]", faults)
    elif get_origin(kind) is dict and isinstance(value, dict):
        for name, item in value.items():
            _collect(item, get_args(kind)[1], f"{path}.{name}", faults)
    else:
        try:
            msgspec.convert(value, kind, strict=True)
        except msgspec.ValidationError as fault:
            faults.append(f"{path}: {str(fault)[:1].lower()}{str(fault)[1:]}, found {value!r}")


def _collect_struct(
    value: object, kind: type[msgspec.Struct], path: str, faults: list[str]
) -> None:
    if not isinstance(value, dict):
        faults.append(f"{path or 'settings'}: expected a table, found {value!r}")
        return
    dot = f"{path}." if path else ""
    hints = get_type_hints(kind)
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    faults.extend(f"{dot}{name}: there is no such setting" for name in value if name not in known)
    for name, field in known.items():
        if name in value:
            _collect(value[name], hints[name], f"{dot}{name}", faults)
        elif field.required:
            faults.append(f"{dot}{name}: is missing")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _names(s: Settings) -> Iterable[str]:
    named = [("store", s.store), ("chain", s.chain), ("zone", s.zone), ("group", s.group)]
    named += [(f"tills[{n}].id", till.id) for n, till in enumerate(s.tills)]
    for path, text in named:
        try:
            check_id(text, path)
        except TillmeshError as fault:
            yield f"{path}: {fault.sentence('en')}"
    seen: set[str] = set()
    for n, till in enumerate(s.tills):
        if till.id in seen:
            yield f"tills[{n}].id: {till.id!r} is listed twice"
        seen.add(till.id)


def _ports(s: Settings) -> Iterable[str]:
    for path, port in (("http.port", s.http.port), ("mqtt.port", s.mqtt.port)):
        if not 0 <= port <= 65535:
            yield f"{path}: expected a port from 0 to 65535, found {port}"
    named = [(f"ntp[{n}]", "ntp.aliyun.com:123", server) for n, server in enumerate(s.ntp)]
    named += [(f"mqtt.others[{n}]", "10.0.0.2:1883", o) for n, o in enumerate(s.mqtt.others)]
    for path, like, server in named:
        host, _, port_text = server.rpartition(":")
        if not host or not port_text.isdecimal() or int(port_text) > 65535:
            yield f"{path}: expected host:port like {like}, found {server!r}"


def _time(s: Settings) -> Iterable[str]:
    try:
        ZoneInfo(s.tz)
    except (KeyError, ValueError, OSError):
        yield f"tz: there is no time zone {s.tz!r}; use an IANA name like Asia/Shanghai"
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", s.day_starts):
        yield f"day_starts: expected a time like 04:00, found {s.day_starts!r}"


def _key(s: Settings) -> Iterable[str]:
    if not re.fullmatch(r"[0-9a-f]{64}", s.central_public_key):
        yield "central_public_key: expected the 64 hex digits that `tillmesh-central` printed"


def _devices(s: Settings) -> Iterable[str]:
    profiles = load_profiles()
    for n, till in enumerate(s.tills):
        if till.profile not in profiles:
            known = ", ".join(profiles)
            yield f"tills[{n}].profile: there is no profile {till.profile!r}; known: {known}"
        for name, url in _addresses(till):
            yield from _address(f"tills[{n}].{name}", url)
        if till.drawer and not till.printer:
            yield f"tills[{n}].drawer: the drawer hangs on a printer, but this till has none"
    for name, size in (("width_mm", s.labels.width_mm), ("height_mm", s.labels.height_mm)):
        if not 20 <= size <= 120:
            yield f"labels.{name}: expected 20 to 120 millimetres, found {size}"
    yield from _address("labels.printer", s.labels.printer)
    for n, layout in enumerate(s.code_prefixes):
        if parse_prefix(layout) is None:
            yield (
                f"code_prefixes[{n}]: expected a layout of 13 digits like 20:item5:weight5 or "
                f"21:item5:check1:price4, found {layout!r}"
            )
    yield from _shared_printers(s)


def _shared_printers(s: Settings) -> Iterable[str]:
    """Tills may share a printer; it is one printer, so its profile is one too."""
    first: dict[str, TillSettings] = {}
    for n, till in enumerate(s.tills):
        other = first.setdefault(till.printer, till)
        if till.printer and other.profile != till.profile:
            yield (
                f"tills[{n}].profile: till {other.id} has the same printer with the profile "
                f"{other.profile!r}, found {till.profile!r}"
            )


_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "simulated": ("url",),
    "wechat": (
        "app_id", "merchant_id", "key_file", "cert_serial", "api_key_file", "public_key_file",
        "public_key_id",
    ),
    "alipay": ("app_id", "key_file", "public_key_file"),
}  # fmt: skip


def _payment(s: Settings) -> Iterable[str]:
    taken: dict[str, str] = {}
    for n, one in enumerate(s.payment.providers):
        path = f"payment.providers[{n}]"
        if one.name in {p.name for p in s.payment.providers[:n]} | {"card"} or not one.name:
            yield f"{path}.name: expected a name of its own, found {one.name!r}"
        for need in _NEEDS[one.kind]:
            if not getattr(one, need):
                yield f"{path}.{need}: is missing; a provider of kind {one.kind} needs it"
        if one.url and urlsplit(one.url).scheme not in {"http", "https"}:
            yield f"{path}.url: expected http:// or https://, found {one.url!r}"
        for code in one.reads:
            if code in taken:
                yield f"{path}.codes: {code} is read by {taken[code]!r} already"
            taken[code] = one.name
    for name in ("patience_s", "poll_s", "retry_max_s", "watch_s"):
        if getattr(s.payment, name) <= 0:
            yield f"payment.{name}: expected seconds above 0, found {getattr(s.payment, name)}"


def _address(path: str, url: str) -> Iterable[str]:
    known = URL_SCHEMES | ({"evdev"} if path.endswith(".scanner") else set())
    if url and not url.startswith("/") and urlsplit(url).scheme not in known:
        yield f"{path}: expected socket://host:port, a /dev path or file://, found {url!r}"


def _addresses(till: TillSettings) -> tuple[tuple[str, str], ...]:
    return (
        ("printer", till.printer),
        ("scanner", till.scanner),
        ("scale", till.scale),
        ("display", till.display),
        ("card", till.card),
    )


def _words(s: Settings) -> Iterable[str]:
    listed = [("languages", language) for language in s.languages]
    listed += [("receipt_language", s.receipt_language)]
    for path, language in listed:
        if language not in LANGUAGES:
            yield f"{path}: expected one of {', '.join(LANGUAGES)}, found {language!r}"
    if not s.languages:
        yield "languages: at least one is needed"


def _backups(s: Settings) -> Iterable[str]:
    for path, number in (("backup_hours", s.backup_hours), ("backup_copies", s.backup_copies)):
        if not 1 <= number <= 10_000:
            yield f"{path}: expected a number from 1 to 10000, found {number}"
    if s.keep_days and not KEEP_DAYS_MIN <= s.keep_days <= KEEP_DAYS_MAX:
        yield (
            f"keep_days: expected 0 (for ever) or a number from {KEEP_DAYS_MIN} to "
            f"{KEEP_DAYS_MAX}, found {s.keep_days}"
        )
    if s.backup_dir and not s.backup_key:
        yield "backup_key: is missing; `tillmesh-edge backup-key FILE` makes one"


URL_SCHEMES: Final = frozenset({"socket", "file", "serial"})
CHECKS: Final[tuple[Callable[[Settings], Iterable[str]], ...]] = (
    _names,
    _key,
    _time,
    _ports,
    _devices,
    _payment,
    _words,
    _backups,
)


def _absolute(settings: Settings, folder: Path) -> Settings:
    """Paths count from the settings file, not from wherever the node was started."""

    def placed(path: str) -> str:
        return str(folder / path) if path else ""

    return msgspec.structs.replace(
        settings,
        data_dir=placed(settings.data_dir),
        pepper_file=placed(settings.pepper_file),
        backup_dir=placed(settings.backup_dir),
        backup_key=placed(settings.backup_key),
        receipt={
            language: msgspec.structs.replace(text, logo=placed(text.logo))
            for language, text in settings.receipt.items()
        },
        mqtt=msgspec.structs.replace(
            settings.mqtt, password_file=placed(settings.mqtt.password_file)
        ),
        payment=msgspec.structs.replace(
            settings.payment,
            providers=tuple(
                msgspec.structs.replace(
                    one,
                    key_file=placed(one.key_file),
                    api_key_file=placed(one.api_key_file),
                    public_key_file=placed(one.public_key_file),
                )
                for one in settings.payment.providers
            ),
        ),
    )
