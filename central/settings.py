"""Head office's settings: one TOML file, read once, every fault named at the same time."""

from pathlib import Path

import msgspec

from protocol.errors import Refusal


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """One name in both languages."""

    zh: str
    en: str


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pages are served."""

    host: str = "127.0.0.1"
    port: int = 8700


class Mqtt(msgspec.Struct, frozen=True, kw_only=True):
    """The broker as head office reaches it."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = "central"


class Public(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses that shops use; they stand in the joining files."""

    broker_host: str = "127.0.0.1"
    broker_port: int = 1883
    url: str = "http://127.0.0.1:8700"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `path` is the file they came from."""

    chain: str
    name: Names
    data_dir: Path
    database_url: str
    http: Http = Http()
    mqtt: Mqtt = Mqtt()
    public: Public = Public()
    ntp_servers: tuple[str, ...] = ()
    backup_dir: Path | None = None
    path: Path | None = None

    @property
    def key_path(self) -> Path:
        """The node key, readable by its owner only."""
        return self.data_dir / "central.key"

    @property
    def peppers_dir(self) -> Path:
        """One PIN pepper per shop, outside the databases."""
        return self.data_dir / "peppers"


class SettingsFaults(Refusal):
    """Everything that is wrong with a settings file; `lines` has one sentence per fault."""

    def __init__(self, path: Path, lines: tuple[str, ...]) -> None:
        super().__init__("SETTINGS_WRONG", path=str(path), detail="; ".join(lines))
        self.lines = lines


def load(path: Path) -> Settings:
    """Read and check the file; raise SettingsFaults with every fault."""
    raise NotImplementedError(path)
