"""Settings: every fault at once, one clear line each; joining a chain."""

from pathlib import Path

import pytest

from edge.joining import join, read_joining
from edge.settings import SettingsFaults, load
from protocol.errors import Refusal, TillmeshError

JOINING = """
store = "s1"
chain = "demo"
zone = "east"
group = "g1"
tz = "Asia/Shanghai"
central_public_key = "{key}"
pepper = "{pepper}"
central_http = "https://hq.example:8443"
ntp = ["ntp.aliyun.com:123"]
from_a_newer_head_office = true

[name]
zh = "一店 \\"东\\""
en = "Shop 1"

[broker]
host = "10.0.0.5"
port = 1884
username = "s1"
password = "secret"
"""


def joining(tmp_path: Path) -> Path:
    path = tmp_path / "join.toml"
    path.write_text(JOINING.format(key="ab" * 32, pepper="cd" * 32), encoding="utf-8")
    return path


def test_joining_writes_settings_that_load(tmp_path: Path) -> None:
    key = join(read_joining(joining(tmp_path)), tmp_path / "shop", http_port=9000)
    settings = load(tmp_path / "shop" / "edge.toml")
    assert (settings.store, settings.zone, settings.http.port) == ("s1", "east", 9000)
    assert (settings.mqtt.host, settings.mqtt.port) == ("10.0.0.5", 1884)
    assert settings.name == {"zh": '一店 "东"', "en": "Shop 1"}
    assert settings.ntp == ("ntp.aliyun.com:123",)
    assert settings.data_dir == str(tmp_path / "shop" / "data")
    assert Path(settings.mqtt.password_file).read_text().strip() == "secret"
    assert Path(settings.pepper_file).stat().st_mode & 0o777 == 0o600
    assert settings.key_path.stat().st_mode & 0o777 == 0o600
    assert len(key.public_hex) == 64
    assert settings.till("1").id == "1"
    with pytest.raises(Refusal, match="TILL_UNKNOWN"):
        settings.till("7")
    with pytest.raises(Refusal, match="JOINED_ALREADY"):
        join(read_joining(joining(tmp_path)), tmp_path / "shop")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("cd" * 32, "short"), "pepper"),
        (("cd" * 32, "cd"), "pepper"),
        (('store = "s1"', ""), "store"),
        (("port = 1884", 'port = "x"'), "port"),
        (("[name]", "[name"), "valid"),
    ],
)
def test_a_broken_joining_file_says_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], word: str
) -> None:
    path = joining(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    with pytest.raises(SettingsFaults, match=word):
        read_joining(path)


def test_a_joining_file_with_a_wrong_zone_leaves_no_settings(tmp_path: Path) -> None:
    path = joining(tmp_path)
    path.write_text(
        path.read_text(encoding="utf-8").replace("Asia/Shanghai", "Asia/Atlantis"), encoding="utf-8"
    )
    with pytest.raises(SettingsFaults, match="Atlantis"):
        join(read_joining(path), tmp_path / "shop")
    assert not (tmp_path / "shop" / "edge.toml").exists()


WRONG_FORM = """
store = 7
chain = "demo"
zone = "east"
tz = "Asia/Shanghai"
central_public_key = "x"
colour = "blue"

[http]
port = "eighty"
prot = 1

[[tills]]
name = "no id"

[[tills]]
id = "2"
drawer = "yes"

[receipt.zh-CN]
foot = []
"""

WRONG_SENSE = """
store = "s 1"
chain = "demo"
zone = "east"
group = "g1"
tz = "Asia/Atlantis"
central_public_key = "x"
ntp = ["ntp.example"]
languages = ["fr"]
day_starts = "4"

[http]
port = 99999

[[tills]]
id = "1"
printer = "ftp://x"
profile = "none"

[[tills]]
id = "1"
drawer = true
"""


def faults(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "edge.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsFaults) as caught:
        load(path)
    return caught.value.faults


def test_every_fault_of_form_is_named_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, WRONG_FORM)
    paths = [fault.partition(":")[0] for fault in found]
    assert sorted(paths) == sorted(
        [
            "colour",
            "store",
            "group",
            "http.port",
            "http.prot",
            "tills[0].id",
            "tills[1].drawer",
            "receipt.zh-CN.foot",
        ]
    )
    assert all("\n" not in fault for fault in found)


def test_every_fault_of_sense_is_named_at_once(tmp_path: Path) -> None:
    found = faults(tmp_path, WRONG_SENSE)
    paths = [fault.partition(":")[0] for fault in found]
    assert paths == [
        "store",
        "tills[1].id",
        "central_public_key",
        "tz",
        "day_starts",
        "http.port",
        "ntp[0]",
        "tills[0].profile",
        "tills[0].printer",
        "tills[1].drawer",
        "languages",
    ]


@pytest.mark.parametrize("text", ["[[[", "a = 1\na = 2", "\x00"])
def test_what_is_no_settings_file_says_so(tmp_path: Path, text: str) -> None:
    assert len(faults(tmp_path, text)) == 1


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsFaults, match="tillmesh-edge init"):
        load(tmp_path / "none.toml")


def test_sentences_exist_in_both_languages() -> None:
    fault = TillmeshError("TILL_UNKNOWN", till="9", known="1, 2")
    assert fault.sentence("en") != fault.sentence("zh-CN")
