"""The commands of docs/operations.md are run as they stand there, but for folders and accounts."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.servers import free_port

DOCS = Path(__file__).parents[2] / "docs"
BIN = Path(sys.executable).parent
OPERATOR = "runuser -u tillmesh -- /opt/tillmesh/bin/"
SECRETS = {"ADMIN_PASSWORD": "a long one for tests"}
MAY_COMPLAIN = {"doctor"}  # of time servers and a broker that are not here


def blocks(page: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Every line that runs one of the two programs, and the one that edits their settings."""
    lines = "\n".join(blocks("operations.md")).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", x) for x in lines if OPERATOR in x or x.startswith("sed ")]


def test_both_languages_give_the_same_commands() -> None:
    assert blocks("operations.md") == blocks("operations.zh.md")


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    """Runs a command in the folder of head office or of the shop."""

    def one(command: str, house: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / house
        folder.mkdir(exist_ok=True)
        command = command.replace(OPERATOR, f"{BIN}/")
        command = re.sub(r"/var/lib/tillmesh-(central|edge)/", "", command)
        command = command.replace("/var/lib/tillmesh-backup", str(tmp_path / "backup"))
        for newest in sorted((tmp_path / "backup").glob("*.tmbk"), key=lambda p: p.stat().st_mtime):
            command = command.replace(f"{newest.name.split('-')[0]}-NEWEST", newest.stem)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, **SECRETS},
            capture_output=True,
            text=True,
            check=False,
        )

    return one


@contextmanager
def served(folder: Path) -> Iterator[None]:
    """Head office runs, as its unit does, for the machines that enrol."""
    with (folder / "run.log").open("wb") as log:
        program = subprocess.Popen(
            [BIN / "tillmesh-central", "-s", "central.toml", "run"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        end = time.monotonic() + 60
        while b"head office of" not in (folder / "run.log").read_bytes():
            assert program.poll() is None, (folder / "run.log").read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        yield
    finally:
        program.terminate()
        program.wait(60)


def placed(command: str, ports: dict[str, str]) -> str:
    """The example's chain, addresses and ports become free ones of this machine."""
    for written, here in {"--chain CHAIN": "--chain maihua", "10.0.0.2": "127.0.0.1"}.items():
        command = command.replace(written, here)
    return re.sub(r"\b(8700|8743|8883)\b", lambda m: ports[m[1]], command)


@pytest.mark.slow
def test_the_commands_set_up_a_head_office_and_a_shop(
    run: Callable[[str, str], subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    line = ""
    done = []
    ports = {port: str(free_port()) for port in ("8700", "8743", "8883")}
    office, shop = tmp_path / "central", tmp_path / "edge"
    shop.mkdir()
    for written in commands():
        command = placed(written, ports).replace("LINE", line)
        house = "edge" if "tillmesh-edge" in command or "edge.toml" in command else "central"
        with served(office) if "--token" in command else nullcontext():
            answer = run(command, house)
        word = re.search(r"toml ([a-z][a-z-]+)", command)
        allowed = {0, 1} if word and word[1] in MAY_COMPLAIN else {0}
        assert answer.returncode in allowed, f"{command}\n{answer.stdout}{answer.stderr}"
        assert "Traceback" not in answer.stderr
        if " invite " in command:
            line = answer.stdout.strip()
        if " init --chain" in command:  # the pages' port has its own default
            text = (office / "central.toml").read_text().replace("= 8700\n", f"= {ports['8700']}\n")
            (office / "central.toml").write_text(text)
        if " certificates" in command:
            assert re.fullmatch(r"S1  (89|90) days  [0-9a-f]+\n", answer.stdout)
        done.append(command)
    assert len(done) == 24, done
    names = {p.name for p in (office / "broker").iterdir()}
    installed = (DOCS.parent / "deploy" / "broker.sh").read_text(encoding="utf-8")
    assert names == {"authority.pem", "broker.pem", "revoked.pem", "tillmesh.acl", "tillmesh.conf"}
    assert all(name in installed for name in names)
    settings = (tmp_path / "central" / "central.toml").read_text()
    assert f'\nbackup_dir = "{tmp_path / "backup"}"' in settings
    assert len(list((tmp_path / "backup").glob("drill-*.md"))) == 2
    asked = run(f"{OPERATOR}tillmesh-edge -s edge.toml pair --till 1", "edge")
    assert re.search(r"\b\d{6}\b", asked.stdout), asked.stderr
