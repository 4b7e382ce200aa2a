"""Documents say what the code says: modules, commands, settings, events, topics, codes, links."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec
import pytest

import central.cli
import central.settings
import edge.cli
import edge.settings
from protocol import wire
from protocol.events import TYPES
from protocol.topics import Topics

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("protocol", "promotions", "devices", "edge", "central")
GUIDES = ("cashier", "manager", "head-office", "operations")
PAGES = [ROOT / n for n in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")]
PAGES += sorted(DOCS.glob("*.md"))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def all_words() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


def mapped() -> set[str]:
    """Every module that the code map names, as a path."""
    part = text_of("ARCHITECTURE.md").split("## Code map")[1].split("\n## ")[0]
    found, folder = set(), ""
    for line in part.splitlines():
        if heading := re.match(r"### `([\w/]+)/`", line):
            folder = heading[1]
        elif line.startswith("- "):
            names, _, words = line[2:].partition(": ")
            assert words, f"a line without a word on what it is: {line}"
            found |= {f"{folder}/{name}" for name in re.findall(r"`(\w+)`", names)}
    return found


def modules() -> set[str]:
    return {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py" and "migrations" not in path.parts
    }


def test_the_code_map_names_every_module_and_no_other() -> None:
    assert modules() - mapped() == set(), "missing in ARCHITECTURE.md, Code map"
    assert mapped() - modules() == set(), "named there, but there is no such module"


def commands(group: click.Command) -> list[str]:
    assert isinstance(group, click.Group)
    return sorted(group.commands)


@pytest.mark.parametrize(
    ("program", "group"),
    [("tillmesh-edge", edge.cli.commands), ("tillmesh-central", central.cli.main)],
)
def test_every_command_is_documented(program: str, group: click.Command) -> None:
    table = text_of("docs/operations.md")
    missing = [c for c in commands(group) if f"`{program} {c}`" not in table]
    assert not missing
    named = set(re.findall(rf"{program} (?:-s \S+ )?([a-z][a-z-]+)", all_words()))
    assert named <= set(commands(group)), "the documents name a command that does not exist"


def settings_of(kind: Any) -> set[str]:
    """Every setting, as documents write it: `table.setting`."""
    names = set()
    for field in msgspec.structs.fields(kind):
        parts = [field.type, *getattr(field.type, "__args__", ())]
        structs = [p for p in parts if isinstance(p, type) and issubclass(p, msgspec.Struct)]
        if structs and field.name != "receipt":
            inner = settings_of(structs[0])
            deep = {name.split(".")[0] for name in inner if "." in name}  # a table has its own row
            names |= {f"{field.name}.{name}" for name in inner | deep}
        else:
            names.add(field.name)
    return names


@pytest.mark.parametrize(
    ("heading", "kind", "inside"),
    [
        ("## A shop", edge.settings.Settings, set()),
        ("## Head office", central.settings.Settings, {"path"}),
    ],
)
def test_every_setting_is_documented(heading: str, kind: Any, inside: set[str]) -> None:
    part = text_of("docs/settings.md").split(heading)[1].split("\n## ")[0]
    shown = set(re.findall(r"^\| `([\w.]+)` \|", part, re.MULTILINE))
    assert shown == settings_of(kind) - inside


def test_the_defaults_in_the_table_are_those_of_a_shop() -> None:
    part = text_of("docs/settings.md").split("## A shop")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `?([^|`]*)`? \|", part, re.MULTILINE))
    needed = {"store": "x", "chain": "x", "zone": "x", "group": "x", "tz": "x"}
    settings = edge.settings.Settings(**needed, central_public_key="x")
    for name, told in rows.items():
        table, _, inner = name.rpartition(".")
        if told.strip() in {"needed", "empty"} or table in {"tills", "payment.providers"}:
            continue
        value = getattr(getattr(settings, table) if table else settings, inner)
        written = msgspec.json.encode(value).decode().strip('"').replace(",", ", ")
        assert told.strip() == written, name


def test_every_event_and_message_is_documented() -> None:
    page = text_of("docs/wire.md")
    kinds = [*TYPES, *(k.__name__ for k in wire._DECODERS)]
    assert not [k for k in kinds if f"### `{k}`" not in page]


def test_every_topic_is_documented() -> None:
    page = text_of("docs/wire.md")
    topics, shown = Topics("{chain}"), set(re.findall(r"`(pos/1/[^`]+)`", page))
    wanted = {topics.up("S1", leaf) for leaf in ("state", "journal", "hb", "req", "ack", "cert")}
    wanted |= {topics.dn("S1", leaf) for leaf in ("ack", "journal", "cmd", "rsp", "cert")}
    wanted |= {topics.all(leaf) for leaf in ("journal", "state", "clock")}
    wanted |= {topics.zone("{zone}"), topics.group("{group}")}
    wanted |= {topics.worker("{worker}"), topics.dn("S1", "state"), topics.manifest("{stream}")}
    wanted = {re.sub(r"/up/\d+/S1/", "/up/{shard}/{store}/", t) for t in wanted}
    assert {t.replace("/dn/S1/", "/dn/{store}/") for t in wanted} == shown


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", DOCS / "make_reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_made_pages_are_those_that_the_code_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "make_reference.py"), "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_is_explained_to_operators() -> None:
    """Each has a row in the guide: what it means, what to do; and a sentence that says so."""
    made = reference()
    made.load_all()
    codes = {c for c in made.SENTENCES if c.startswith("ALARM_") and not c.endswith("_DO")}
    assert {f"{code}_DO" for code in codes} <= made.SENTENCES.keys()
    for page in ("docs/operations.md", "docs/operations.zh.md"):
        rows = re.findall(r"^\| `(ALARM_\w+)` \| [^|]+ \| [^|]+ \|$", text_of(page), re.MULTILINE)
        assert sorted(rows) == sorted(codes)
        assert set(re.findall(r"`(ALARM_\w+)`", text_of(page))) == codes


def test_every_error_code_is_on_the_errors_page() -> None:
    made = reference()
    made.load_all()
    page = text_of("docs/errors.md")
    assert not [code for code in made.SENTENCES if f"`{code}`" not in page]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    words = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", words)
    for target in (a or b for a, b in targets):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_files_exist(page: Path) -> None:
    """`folder/file.ext` in a document is a file of this repository."""
    words = page.read_text(encoding="utf-8")
    names = re.findall(
        r"`((?:deploy|docs|protocol|promotions|devices|edge|central)/[\w./-]+)`", words
    )
    assert not [n for n in names if not (ROOT / n).exists()]


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_has_the_same_sections_in_both_languages(guide: str) -> None:
    english = text_of(f"docs/{guide}.md").count("\n## ")
    chinese = text_of(f"docs/{guide}.zh.md").count("\n## ")
    assert english == chinese > 0


def test_pictures_are_small() -> None:
    for picture in (DOCS / "images").glob("*.png"):
        assert picture.stat().st_size < 250_000, picture.name


def test_make_targets_in_the_documents_exist() -> None:
    makefile = text_of("Makefile")
    for target in set(
        re.findall(r"(?:^|`)make ([a-z][a-z-]+)", text_of("README.md"), re.MULTILINE)
    ):
        assert f"\n{target}:" in makefile, target
