"""Head office's settings: one TOML file, read once, every fault named at the same time."""

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from protocol.errors import Refusal, define
from protocol.ids import check_id
from protocol.node.signing import read_secret

define(
    {
        "SETTINGS_WRONG": (
            "The settings in {path} are wrong: {detail}",
            "设置文件 {path} 有误：{detail}",
        ),
    }
)


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """One name in both languages."""

    zh: str
    en: str


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pages are served."""

    host: str = "127.0.0.1"
    port: int = 8700


class Https(msgspec.Struct, frozen=True, kw_only=True):
    """Where the shops' machines enrol; off while `port` is 0."""

    host: str = "0.0.0.0"  # noqa: S104 - shops call it from outside; it serves no pages for people
    port: int = 0


class Mqtt(msgspec.Struct, frozen=True, kw_only=True):
    """The broker as head office reaches it."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = "central"
    password_file: Path | None = None  # one line, readable by this account only
    tls: bool = False  # certificates of the chain's own authority, for shops too
    others: tuple[str, ...] = ()  # further nodes of a clustered broker

    def password(self) -> str:
        """The broker's password; SECRET_MISSING when its file cannot be read."""
        return read_secret(self.password_file) if self.password_file else ""


class Public(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that shops use; they stand in the joining files."""

    broker_host: str = "127.0.0.1"
    broker_port: int = 1883
    url: str = "http://127.0.0.1:8700"
    https_url: str = ""  # where [https] is reached; empty: the broker's host and https.port


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `path` is the file they came from."""

    chain: str
    name: Names
    data_dir: Path
    database_url: str
    http: Http = Http()
    https: Https = Https()
    mqtt: Mqtt = Mqtt()
    public: Public = Public()
    ntp_servers: tuple[str, ...] = ()
    backup_dir: Path | None = None
    backup_key: Path | None = None  # the operator's key file
    backup_hours: int = 6
    backup_copies: int = 60
    path: Path | None = None

    @property
    def key_path(self) -> Path:
        """The node key, readable by its owner only."""
        return self.data_dir / "central.key"

    @property
    def authority_dir(self) -> Path:
        """The chain's certificate authority and head office's own certificates."""
        return self.data_dir / "authority"

    @property
    def https_url(self) -> str:
        """Where the shops' machines enrol; empty while it is off."""
        if not self.https.port:
            return ""
        return self.public.https_url or f"https://{self.public.broker_host}:{self.https.port}"

    @property
    def peppers_dir(self) -> Path:
        """One PIN pepper per shop, outside the databases."""
        return self.data_dir / "peppers"


class SettingsFaults(Refusal):
    """Everything that is wrong with a settings file; `lines` has one sentence per fault."""

    def __init__(self, path: Path, lines: tuple[str, ...]) -> None:
        super().__init__("SETTINGS_WRONG", path=str(path), detail="; ".join(lines))
        self.lines = lines


def sqlite_url(data_dir: Path) -> str:
    """The embedded default: one file in the data folder."""
    return f"sqlite:///{data_dir / 'central.db'}"


_HOST: Final = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,253}")


def _text(found: Any) -> str:
    if not isinstance(found, str) or not found.strip() or len(found) > 300:
        raise ValueError("a text that is not empty")
    return found


def _chain(found: Any) -> str:
    try:
        return check_id(_text(found), "chain")
    except Refusal:
        raise ValueError("letters, digits, - and _, 40 at most") from None


def _host(found: Any) -> str:
    if not _HOST.fullmatch(_text(found)):
        raise ValueError("a host name or an address")
    return str(found)


def _port(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= 65535:
        raise ValueError("a port number from 1 to 65535")
    return found


def _count(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= 10_000:
        raise ValueError("a number from 1 to 10000")
    return found


def _yes_or_no(found: Any) -> bool:
    if not isinstance(found, bool):
        raise ValueError("true or false")  # noqa: TRY004 - all faults of settings are ValueErrors
    return found


def _port_or_off(found: Any) -> int:
    return 0 if found == 0 and not isinstance(found, bool) else _port(found)


def _https(found: Any) -> str:
    if not re.fullmatch(r"https://[^\s/#]+", _text(found)):
        raise ValueError("an address like https://central.example:8743")
    return str(found)


def _url(found: Any) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", _text(found)):
        raise ValueError("an address like http://central.example:8700")
    return str(found).rstrip("/")


def _database(found: Any) -> str:
    try:
        backend = make_url(_text(found)).drivername
    except ArgumentError:
        backend = ""
    if backend not in {"sqlite", "postgresql+psycopg"}:
        raise ValueError("sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME")
    return str(found)


def _brokers(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(s, str) for s in found):
        raise ValueError('a list like ["10.0.0.3:1883"]')
    for server in found:
        host, _, port = server.rpartition(":")
        if not _HOST.fullmatch(host) or not port.isdecimal() or int(port) > 65535:
            raise ValueError('a list like ["10.0.0.3:1883"]')
    return tuple(found)


def _servers(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(s, str) for s in found):
        raise ValueError('a list like ["ntp.aliyun.com:123"]')
    for server in found:
        host, _, port = server.rpartition(":")
        if not _HOST.fullmatch(host or server) or (host and not port.isdecimal()):
            raise ValueError('a list like ["ntp.aliyun.com:123"]')
    return tuple(s if ":" in s else f"{s}:123" for s in found)


Kind = Callable[[Any], Any]
_REQUIRED: Final[dict[str, Kind]] = {
    "chain": _chain,
    "data_dir": _text,
    "name.zh": _text,
    "name.en": _text,
}
_OPTIONAL: Final[dict[str, Kind]] = {
    "database_url": _database,
    "backup_dir": _text,
    "backup_key": _text,
    "backup_hours": _count,
    "backup_copies": _count,
    "ntp_servers": _servers,
    "http.host": _host,
    "http.port": _port,
    "https.host": _host,
    "https.port": _port_or_off,
    "mqtt.host": _host,
    "mqtt.port": _port,
    "mqtt.username": _text,
    "mqtt.password_file": _text,
    "mqtt.tls": _yes_or_no,
    "mqtt.others": _brokers,
    "public.broker_host": _host,
    "public.broker_port": _port,
    "public.url": _url,
    "public.https_url": _https,
}


def _flat(document: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": each for inner, each in value.items()}
        else:
            flat[key] = value
    return flat


def _check(flat: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    good: dict[str, Any] = {}
    lines = [f"{key} is missing" for key in _REQUIRED.keys() - flat.keys()]
    for key, found in flat.items():
        kind = _REQUIRED.get(key) or _OPTIONAL.get(key)
        if kind is None:
            lines.append(f"{key} is not a setting")
            continue
        try:
            good[key] = kind(found)
        except ValueError as fault:
            lines.append(f"{key} must be {fault}, not {found!r}")
    return good, sorted(lines)


def _part(good: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {k.split(".")[1]: v for k, v in good.items() if k.startswith(f"{name}.")}


def load(path: Path) -> Settings:
    """Read and check the file; raise SettingsFaults with every fault."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise SettingsFaults(path, (f"the file cannot be read ({fault.strerror})",)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise SettingsFaults(path, (f"the file is not TOML: {fault}",)) from None
    good, lines = _check(_flat(document))
    if lines:
        raise SettingsFaults(path, tuple(lines))
    home = path.resolve().parent
    data_dir = home / good["data_dir"]
    paths = {name: home / good[name] for name in ("backup_dir", "backup_key") if name in good}
    numbers = {name: good[name] for name in ("backup_hours", "backup_copies") if name in good}
    return Settings(
        chain=good["chain"],
        name=Names(**_part(good, "name")),
        data_dir=data_dir,
        database_url=good.get("database_url") or sqlite_url(data_dir),
        http=Http(**_part(good, "http")),
        https=Https(**_part(good, "https")),
        mqtt=Mqtt(**_mqtt(good, home)),
        public=Public(**_part(good, "public")),
        ntp_servers=good.get("ntp_servers", ()),
        path=path,
        **paths,
        **numbers,
    )


TEMPLATE: Final = """\
# Head office of Tillmesh. Change what you need, then start `tillmesh-central run` again.
chain = {chain}
data_dir = {data_dir}            # database, node key and PIN peppers; relative to this file
{database}
{backup}
{backup_key}
backup_hours = {backup_hours}
backup_copies = {backup_copies}
ntp_servers = {ntp}

[name]
zh = {zh}
en = {en}

[http]                      # where this machine serves the pages
host = {http_host}
port = {http_port}

[https]                     # where the shops' machines enrol; 0: nowhere
host = {https_host}
port = {https_port}

[mqtt]                      # the broker as this machine reaches it
host = {mqtt_host}
port = {mqtt_port}
username = {username}
{password}
tls = {tls}
others = {others}

[public]                    # the same, as shops reach it: this stands in their joining files
broker_host = {broker_host}
broker_port = {broker_port}
url = {url}
{https_url}
"""


def _mqtt(good: Mapping[str, Any], home: Path) -> dict[str, Any]:
    part = _part(good, "mqtt")
    file = part.get("password_file")
    return {**part, "password_file": home / file} if file else part


def write(settings: Settings, path: Path) -> None:
    """Write a settings file that `load` reads back as the same settings."""

    def quoted(value: object) -> str:
        return msgspec.json.encode(str(value)).decode()

    default = sqlite_url(settings.data_dir)
    path.write_text(
        TEMPLATE.format(
            chain=quoted(settings.chain),
            data_dir=quoted(settings.data_dir),
            database=(
                f"# database_url = {quoted('postgresql+psycopg://tillmesh@127.0.0.1/tillmesh')}"
                if settings.database_url == default
                else f"database_url = {quoted(settings.database_url)}"
            ),
            backup=(
                f"backup_dir = {quoted(settings.backup_dir)}"
                if settings.backup_dir
                else '# backup_dir = "/var/backups/tillmesh"'
            ),
            backup_key=(
                f"backup_key = {quoted(settings.backup_key)}"
                if settings.backup_key
                else '# backup_key = "backup.key"   # tillmesh-central backup-key makes it'
            ),
            backup_hours=settings.backup_hours,
            backup_copies=settings.backup_copies,
            ntp=msgspec.json.encode(settings.ntp_servers).decode(),
            zh=quoted(settings.name.zh),
            en=quoted(settings.name.en),
            http_host=quoted(settings.http.host),
            http_port=settings.http.port,
            https_host=quoted(settings.https.host),
            https_port=settings.https.port,
            mqtt_host=quoted(settings.mqtt.host),
            mqtt_port=settings.mqtt.port,
            username=quoted(settings.mqtt.username),
            password=(
                f"password_file = {quoted(settings.mqtt.password_file)}"
                if settings.mqtt.password_file
                else '# password_file = "mqtt-password"'
            ),
            tls="true" if settings.mqtt.tls else "false",
            others=msgspec.json.encode(settings.mqtt.others).decode(),
            broker_host=quoted(settings.public.broker_host),
            broker_port=settings.public.broker_port,
            url=quoted(settings.public.url),
            https_url=(
                f"https_url = {quoted(settings.public.https_url)}"
                if settings.public.https_url
                else f"# https_url = {quoted('https://central.example:8743')}"
            ),
        ),
        encoding="utf-8",
    )
