"""The house rules that a lint cannot say: pure floors, documented events, both languages, sizes."""

import ast
import importlib
import pkgutil
import re
import string
import sys
from pathlib import Path

import grimp
import msgspec
import pytest
from hypothesis import given, settings

from protocol import errors, roles
from protocol.clock import ClockState, Reading
from protocol.codec import Draft, body_of, decode, encode
from protocol.events import TYPES, VERSION, Event
from protocol.folds import FOLDS, ROWS, SUMS
from protocol.node.tables import READ
from tests.builders import bodies

ROOT = Path(__file__).parent.parent
HOUSES = ("protocol", "promotions", "devices", "edge", "central")


def _modules(package: str) -> list[str]:
    """All importable modules of a package, migrations and `__main__` left out."""
    path = [str(ROOT / package)]
    names = [package, *(m.name for m in pkgutil.walk_packages(path, package + "."))]
    return [n for n in names if ".migrations" not in n and not n.endswith("__main__")]


def test_the_ground_knows_only_the_standard_library_and_msgspec() -> None:
    graph = grimp.build_graph("protocol", "promotions", include_external_packages=True)
    allowed = sys.stdlib_module_names | {"msgspec", "protocol", "promotions"}
    wrong = [
        (module, imported)
        for module in graph.modules
        if module.split(".")[0] in {"protocol", "promotions"}
        and not module.startswith("protocol.node")
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] not in allowed or imported.startswith("protocol.node")
    ]
    assert wrong == []


def test_the_pure_floors_ask_nobody() -> None:
    """No I/O, clock, randomness, threads: `zoneinfo` alone reads, `__main__` alone speaks."""
    banned = {"os", "io", "time", "random", "secrets", "socket", "threading", "logging", "sqlite3"}
    banned |= {"subprocess", "pathlib", "tempfile", "uuid", "asyncio", "shutil"}
    graph = grimp.build_graph("protocol", "promotions", include_external_packages=True)
    wrong = [
        (module, imported)
        for module in graph.modules
        if module.split(".")[0] in {"protocol", "promotions"}
        and not module.startswith("protocol.node")
        and not module.endswith("__main__")
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.split(".")[0] in banned
    ]
    assert wrong == []


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _placeholders(text: str) -> set[str]:
    """Parameters; `faults_en` and `faults_zh` are one parameter in two languages."""
    return {re.sub("_(en|zh)$", "", name) for name in _fields(text)}


@pytest.mark.parametrize("house", HOUSES)
def test_every_error_speaks_both_languages_alike(house: str) -> None:
    for name in _modules(house):
        importlib.import_module(name)
    for code, (en, zh) in errors.SENTENCES.items():
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", code), code
        assert en.strip(), code
        assert _placeholders(en) == _placeholders(zh), f"{code}: other parameters in zh than in en"
        assert re.search(r"[\u4e00-\u9fff]", zh), f"{code}: no Chinese in {zh!r}"
        assert not re.search(r"[\u4e00-\u9fff]", en), f"{code}: Chinese in {en!r}"


_RAISES = re.compile(r'(?:Refusal|Conflict|Unavailable|Corrupt)\(\s*"([A-Z0-9_]+)"')


@pytest.mark.parametrize("house", HOUSES)
def test_every_code_that_is_raised_has_a_sentence(house: str) -> None:
    for name in _modules(house):
        importlib.import_module(name)
    for file in (ROOT / house).rglob("*.py"):
        for code in _RAISES.findall(file.read_text()):
            assert code in errors.SENTENCES, f"{file.relative_to(ROOT)} raises {code}"


@pytest.mark.parametrize("house", HOUSES)
def test_raised_sentences_get_all_their_parameters(house: str) -> None:
    """A literal `Refusal("CODE", a=..)` names every parameter that its sentence speaks of."""
    for file in (ROOT / house).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id not in {"Refusal", "Conflict", "Unavailable", "Corrupt"}:
                continue
            code = node.args[0] if node.args else None
            if not isinstance(code, ast.Constant) or any(k.arg is None for k in node.keywords):
                continue
            importlib.import_module("protocol.node.books")
            texts = errors.SENTENCES.get(str(code.value))
            if texts is None:
                continue  # another house's code; the test above reports it
            given = {k.arg for k in node.keywords}
            lacking = (_fields(texts[0]) | _fields(texts[1])) - given
            assert not lacking, f"{file.relative_to(ROOT)}:{node.lineno} {code.value} {lacking}"


def test_every_event_type_is_documented_and_versioned() -> None:
    assert set(TYPES) == set(VERSION)
    for name, kind in TYPES.items():
        assert kind.__doc__, name
        assert kind.__doc__ != Event.__doc__, name
        assert not kind.__doc__.startswith(name + "("), f"{name} has no docstring of its own"
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_event_type_round_trips(name: str) -> None:
    @settings(max_examples=3)
    @given(bodies(TYPES[name]))
    def check(body: Event) -> None:
        draft = Draft(id="x", body=body, at=Reading(1, 2, ClockState.TRUSTED))
        envelope = decode(encode(draft, stream="shop/a", epoch="0" * 16, seq=1))
        assert envelope.type == name
        assert envelope.tv == VERSION[name]
        assert body_of(envelope) == body

    check()


def test_every_fold_speaks_of_registered_events_and_known_tables() -> None:
    assert {kind.__name__ for kind in FOLDS} <= set(TYPES)
    assert set(READ) == set(SUMS) | set(ROWS)
    assert not set(SUMS) & set(ROWS)


def test_the_role_table_is_whole() -> None:
    named = set().union(*roles.MAY.values())
    assert named == set(roles.ROLES), "a role that may do nothing, or one without a name"
    for role, words in roles.ROLES.items():
        assert set(words) == {"en", "zh"}, role
        assert role == role.lower()
    assert all(roles.MAY.values()), "an action that nobody may do"


_ASKS = re.compile(r'\b(?:may|demand|needs|allowed|require)\(\s*[\w.\[\]"]*,?\s*"([a-z_]+)"')


def test_every_action_that_is_asked_for_is_in_the_table() -> None:
    for house in ("edge", "central"):
        for file in (ROOT / house).rglob("*.py"):
            for action in _ASKS.findall(file.read_text()):
                if action not in roles.ROLES:
                    assert action in roles.MAY, f"{file.relative_to(ROOT)} asks for {action}"


def test_tests_lie_where_they_belong() -> None:
    folders = {"bench", "central", "contracts", "data", "deploy", "devices", "edge"}
    folders |= {"chaos", "fuzz", "journeys", "powercuts", "promotions", "protocol", "simulation"}
    tests = ROOT / "tests"
    assert {p.name for p in tests.iterdir() if p.is_dir()} - {"__pycache__"} <= folders
    names = [p.name for p in tests.rglob("*.py")]
    assert not [n for n in names if re.match(r"(utils?|helpers?|misc|common)\.py", n)]
    assert not list((tests / "data").rglob("test_*.py"))


def test_structs_on_the_wire_are_frozen() -> None:
    from protocol import wire  # noqa: PLC0415

    for thing in vars(wire).values():
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
            assert thing.__struct_config__.frozen, thing
