"""The settings file: every fault at once, and a written file that reads back the same."""

from pathlib import Path

import msgspec
import pytest

from central.settings import Http, Names, Settings, SettingsFaults, load, sqlite_url, write

GOOD = """
chain = "bakery"
data_dir = "data"
ntp_servers = ["ntp.aliyun.com", "127.0.0.1:1123"]
backup_dir = "backup"
[name]
zh = "小麦"
en = "Wheat"
[http]
port = 9000
"""


def test_a_file_becomes_settings(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    file.write_text(GOOD)
    found = load(file)
    assert found.data_dir == tmp_path / "data"
    assert found.database_url == sqlite_url(tmp_path / "data")
    assert found.ntp_servers == ("ntp.aliyun.com:123", "127.0.0.1:1123")
    assert (found.http.port, found.http.host) == (9000, "127.0.0.1")
    assert found.backup_dir == tmp_path / "backup"


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    file.write_text(
        'chain = "a b"\ncolour = 1\ndatabase_url = "mysql://x"\nntp_servers = ["a:b"]\n'
        '[name]\nzh = ""\n[http]\nport = 70000\nhost = "a b"\n[public]\nurl = "ftp://x"\n'
        "[mqtt]\nport = true\n"
    )
    with pytest.raises(SettingsFaults) as wrong:
        load(file)
    assert {line.split()[0] for line in wrong.value.lines} == {
        "chain",
        "colour",
        "data_dir",
        "database_url",
        "http.host",
        "http.port",
        "mqtt.port",
        "name.en",
        "name.zh",
        "ntp_servers",
        "public.url",
    }
    assert "chain" in wrong.value.sentence("zh")


@pytest.mark.parametrize("content", [b"chain = ", b"\xff\xfe", None])
def test_files_that_are_none(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "central.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsFaults) as wrong:
        load(file)
    assert len(wrong.value.lines) == 1


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    settings = Settings(
        chain="bakery",
        name=Names(zh='小"麦', en="Wheat\\"),
        data_dir=tmp_path / "d",
        database_url="postgresql+psycopg://tillmesh@127.0.0.1:5433/x",
        http=Http(host="0.0.0.0", port=81),
        ntp_servers=("a.example:123",),
        backup_dir=tmp_path / "b",
        path=file,
    )
    write(settings, file)
    assert load(file) == settings
    default = msgspec.structs.replace(
        settings, database_url=sqlite_url(tmp_path / "d"), backup_dir=None
    )
    write(default, file)
    assert load(file) == default
