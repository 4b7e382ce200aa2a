"""Join a chain: the file that head office's `add-store` wrote becomes settings, pepper and key."""

import os
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.settings import SettingsFaults, load, read_document
from protocol.errors import Refusal, define
from protocol.node.signing import NodeKey, make_key

HEX_PEPPER_MIN: Final = 32

define(
    {
        "JOINED_ALREADY": (
            "{path} exists already, so this machine has joined a chain before. Nothing was "
            "changed. To join anew, move that folder away first.",
            "{path} 已存在，本机此前已加入连锁。没有任何更改。如需重新加入，请先移走该目录。",
        ),
        "JOIN_NEEDS_TOKEN": (
            "This chain's broker wants certificates, which a joining file cannot give. Nothing was "
            "written. Ask head office for a token, then: tillmesh-edge init --token LINE",
            "本连锁的消息服务器需要证书，加入文件无法提供。没有写入任何内容。"
            "请向总部索取令牌，然后运行：tillmesh-edge init --token LINE",
        ),
    }
)


class Broker(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where shop and head office meet."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = ""
    tls: bool = False


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """The joining file. Unknown fields are left alone: head office may be newer than this shop."""

    store: str
    chain: str
    zone: str
    group: str
    tz: str
    central_public_key: str
    pepper: str  # hex; stays outside every database
    name: dict[str, str] = {}
    currency: str = "CNY"
    broker: Broker = Broker()
    central_http: str = ""
    central_https: str = ""
    ntp: tuple[str, ...] = ()


def read_joining(path: Path) -> Joining:
    """Read it; raise SettingsFaults with what is wrong."""
    return check_joining(read_document(path), str(path))


def check_joining(document: dict[str, Any], path: str) -> Joining:
    """What head office said, checked; SettingsFaults with `path` as where it came from."""
    try:
        joining = msgspec.convert(document, Joining)
    except msgspec.ValidationError as fault:
        raise SettingsFaults(path, (f"is no joining file: {fault}",)) from None
    if len(joining.pepper) < HEX_PEPPER_MIN or not re.fullmatch("([0-9a-f]{2})+", joining.pepper):
        words = "pepper: is cut or altered, ask head office for a new file"
        raise SettingsFaults(path, (words,))
    return joining


def join(joining: Joining, target: Path, *, http_port: int = 8081) -> NodeKey:
    """Write settings, pepper and key into `target`; return the key that head office must accept.

    The settings are checked as `load` checks them before anything else is written.
    """
    settings = refuse_second(target)
    target.mkdir(parents=True, exist_ok=True)
    private(target / "pepper", joining.pepper + "\n")
    if joining.broker.password:
        private(target / "mqtt-password", joining.broker.password + "\n")
    settings.write_text(settings_text(joining, http_port=http_port), encoding="utf-8")
    try:
        loaded = load(settings)
    except SettingsFaults:
        settings.unlink()
        raise
    Path(loaded.data_dir).mkdir(parents=True, exist_ok=True)
    return make_key(loaded.key_path)


def refuse_second(target: Path) -> Path:
    """Where the settings will stand; Refusal JOINED_ALREADY when they do."""
    settings = target / "edge.toml"
    if settings.exists():
        raise Refusal("JOINED_ALREADY", path=str(settings))
    return settings


def private(path: Path, text: str) -> None:
    """Write a secret that only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def settings_text(joining: Joining, *, http_port: int) -> str:
    """The first settings file of a shop: one till, no devices, a comment for what comes next."""
    top = {
        name: getattr(joining, name)
        for name in ("store", "chain", "zone", "group", "tz", "currency", "central_public_key")
    }
    lines = [
        "# Settings of one Tillmesh shop. `tillmesh-edge doctor` shows what is in force.",
        *(_pair(name, value) for name, value in top.items()),
        _pair("data_dir", "data"),
        _pair("pepper_file", "pepper"),
        _pair("ntp", list(joining.ntp)),
        _pair("central_http", joining.central_http),
        _pair("central_https", joining.central_https),
        "",
        "[name]",
        *(_pair(language, text) for language, text in joining.name.items()),
        "",
        "[http]",
        _pair("host", "127.0.0.1"),
        _pair("port", http_port),
        "",
        "[mqtt]",
        _pair("host", joining.broker.host),
        _pair("port", joining.broker.port),
        _pair("username", joining.broker.username),
        _pair("password_file", "mqtt-password" if joining.broker.password else ""),
        _pair("tls", joining.broker.tls),
        "",
        "# One table per till. Devices: socket://192.168.1.50:9100, /dev/serial/by-id/...",
        "[[tills]]",
        _pair("id", "1"),
        _pair("printer", ""),
        _pair("profile", "80mm-48col"),
        _pair("scanner", ""),
        _pair("drawer", value=False),
    ]
    return "\n".join(lines) + "\n"


def _pair(name: str, value: Any) -> str:
    # A JSON string, number, boolean or list of strings is valid TOML too.
    return f"{name} = {msgspec.json.encode(value).decode()}"
