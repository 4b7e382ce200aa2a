"""The settings of one shop: read from TOML, every fault reported at once."""

from pathlib import Path
from typing import Literal

import msgspec

from protocol.errors import Refusal


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


class TillSettings(Frozen, frozen=True):
    """One till and its devices; an empty address means there is none."""

    id: str
    name: str = ""
    printer: str = ""  # socket://host:9100, /dev/serial/by-id/..., file:///dev/usb/lp0
    profile: str = "80mm-48col"
    scanner: str = ""
    drawer: bool = False


class ReceiptText(Frozen, frozen=True):
    """Lines under the store's name and at the foot, in one language."""

    header: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()


class OversellPolicy(Frozen, frozen=True):
    """What happens when the book has less than is asked for."""

    till: Literal["warn", "refuse"] = "warn"  # goods on the counter exist, so the till sells them
    dispatch: Literal["warn", "refuse"] = "refuse"


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
    languages: tuple[str, ...] = ("zh-CN", "en")
    receipt_language: str = "zh-CN"
    receipt: dict[str, ReceiptText] = {}  # language -> texts
    http: HttpSettings = HttpSettings()
    mqtt: MqttSettings = MqttSettings()
    ntp: tuple[str, ...] = ()  # "host:port"
    central_http: str = ""
    tills: tuple[TillSettings, ...] = ()
    oversell: OversellPolicy = OversellPolicy()
    low_disk_bytes: int = 200_000_000
    day_starts: str = "00:00"  # a sale before this time belongs to the day before
    idle_minutes: int = 720  # a signed-in person who does nothing is signed out

    @property
    def database_path(self) -> Path:
        """The one database file."""
        return Path(self.data_dir) / "edge.db"

    @property
    def key_path(self) -> Path:
        """The node's signing key."""
        return Path(self.data_dir) / "node.key"

    def till(self, till: str) -> TillSettings:
        """One till; TILL_UNKNOWN when the settings list no such till."""
        for one in self.tills:
            if one.id == till:
                return one
        raise Refusal("TILL_UNKNOWN", till=till, known=", ".join(t.id for t in self.tills))


class SettingsFaults(Exception):
    """Everything that is wrong with a settings file, one clear line per fault."""

    def __init__(self, path: str, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.path = path
        self.faults = faults


def load(path: Path) -> Settings:
    """Read and check; raise SettingsFaults with every fault."""
    raise NotImplementedError
