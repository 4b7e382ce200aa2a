"""What an operator copies: example settings, service units, the compose file."""

import configparser
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import central.settings
import edge.settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted(p for p in (DEPLOY / "systemd").iterdir())
SERVICES = [u for u in UNITS if u.name in {"tillmesh-edge.service", "tillmesh-central.service"}]
NEVER_IN_AN_EXAMPLE = {"central": {"path", "database_url"}, "edge": set()}


def shown(document: dict[str, Any]) -> set[str]:
    """Every setting in a document, tables as `table.setting`."""
    names = set()
    for name, value in document.items():
        inner = value[0] if isinstance(value, list) and value else value
        names |= {f"{name}.{k}" for k in inner} if isinstance(inner, dict) else {name}
    return names | set(document)


def possible(kind: Any) -> set[str]:
    """Every setting of a struct, one table deep."""
    names = set()
    for field in msgspec.structs.fields(kind):
        inner = field.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            names |= {f"{field.name}.{f.name}" for f in msgspec.structs.fields(inner)}
        else:
            names.add(field.name)
    return names


def test_the_example_of_a_shop_is_read_without_faults(tmp_path: Path) -> None:
    target = tmp_path / "edge.toml"
    shutil.copy(DEPLOY / "edge.toml.example", target)
    settings = edge.settings.load(target)
    assert [till.id for till in settings.tills] == ["1", "2"]
    assert settings.database_path == tmp_path / "data" / "edge.db"
    assert settings.mqtt.username == settings.store, "the broker knows a shop by its id"


def test_the_example_of_head_office_is_read_without_faults(tmp_path: Path) -> None:
    target = tmp_path / "central.toml"
    shutil.copy(DEPLOY / "central.toml.example", target)
    settings = central.settings.load(target)
    assert settings.database_url == f"sqlite:///{tmp_path / 'data' / 'central.db'}"
    assert settings.mqtt.tls
    assert settings.mqtt.port == settings.public.broker_port, "one listener, for certificates only"


@pytest.mark.parametrize("house", ["edge", "central"])
def test_an_example_shows_every_setting(house: str) -> None:
    document = tomllib.loads((DEPLOY / f"{house}.toml.example").read_text(encoding="utf-8"))
    kind = edge.settings.Settings if house == "edge" else central.settings.Settings
    assert not possible(kind) - shown(document) - NEVER_IN_AN_EXAMPLE[house]


def unit(path: Path) -> configparser.ConfigParser:
    """A unit file; a key that stands there several times keeps its last value."""
    found = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_a_node_comes_back_by_itself_and_owns_nothing_but_its_folder(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["User"] == "tillmesh"
    assert service["Restart"] == "always"
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert service["CapabilityBoundingSet"] == ""
    assert service["RestartPreventExitStatus"] == "2", "wrong settings do not mend themselves"
    assert unit(path)["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory'].split()[0]}"


def test_the_units_hold_before_systemd(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("no systemd on this machine; the other tests read the units")
    for path in UNITS:  # a program that exists, whatever is installed here
        text = path.read_text(encoding="utf-8")
        text = text.replace("/opt/tillmesh/bin/tillmesh-edge", "/bin/true")
        text = text.replace("/opt/tillmesh/bin/tillmesh-central", "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, "verify", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [x for x in done.stderr.splitlines() if "tillmesh" in x]
    assert not complaints, done.stderr


def test_the_compose_file_names_three_services_and_says_that_it_is_untried() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert "UNTRIED" in text.splitlines()[0]
    document = yaml.safe_load(text)
    assert set(document["services"]) == {"central", "postgres", "mosquitto"}
    for name, service in document["services"].items():
        for place in service.get("volumes", ()):
            source = place.split(":")[0]
            if source.startswith("."):
                there = (DEPLOY / source).exists() or f"touch {source[2:]}" in text
                assert there, f"{name} mounts {source}, which is not there"
            else:
                assert source in document["volumes"]
    build = document["services"]["central"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("path", SERVICES, ids=lambda p: p.name)
def test_the_command_of_a_unit_is_one_that_the_program_knows(path: Path, tmp_path: Path) -> None:
    program, *words = unit(path)["Service"]["ExecStart"].split()
    command = [str(Path(sys.executable).parent / Path(program).name)]
    command += [str(tmp_path / "none.toml") if w.endswith(".toml") else w for w in words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, "wrong settings, which systemd must not try again"
    assert "none.toml" in done.stderr
    assert "Usage" not in done.stderr
