"""Both languages are complete, and the scripts stay small."""

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask import g

from edge.web import words
from edge.web.visitor import Visitor
from tests.edge.web.conftest import Site

ROOT = Path(__file__).parents[3]
EDGE = ROOT / "edge"
PO = EDGE / "translations/zh_Hans_CN/LC_MESSAGES/messages.po"
STATIC = EDGE / "web/static"
METHODS = [("web/**.py", "python"), ("web/templates/**.html", "jinja2")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "plural": (1, 2)}
TILL_BYTES_MAX = 60 * 1024


def sources() -> set[str]:
    found = extract_from_dir(str(EDGE), METHODS, keywords=KEYWORDS)
    texts = (message for _file, _line, message, _comments, _context in found)
    return {text[0] if isinstance(text, tuple) else text for text in texts} - {""}


def test_nothing_is_missing_fuzzy_or_left_over() -> None:
    with PO.open("rb") as file:
        catalogue = read_po(file, locale="zh_Hans_CN")
    known = {}
    for message in catalogue:
        if message.id:
            key = message.id[0] if isinstance(message.id, tuple) else message.id
            text = message.string[0] if isinstance(message.string, tuple) else message.string
            known[key] = text
            assert not message.fuzzy, key
            assert text, key
            assert not list(message.check(catalogue)), key
    assert known.keys() == sources()


def test_placeholders_are_the_same_in_both_languages() -> None:
    with PO.open("rb") as file:
        for message in read_po(file, locale="zh_Hans_CN"):
            key = message.id[0] if isinstance(message.id, tuple) else message.id
            text = message.string[0] if isinstance(message.string, tuple) else message.string
            for pattern in (r"\{\w+\}", r"%\(\w+\)s"):
                assert sorted(re.findall(pattern, key)) == sorted(re.findall(pattern, text)), key


@pytest.mark.parametrize("page", ["till", "goods"])
def test_every_word_that_a_script_asks_for_exists(page: str, site: Site) -> None:
    folder = {"till": "js/till", "goods": "js/pages"}[page]
    files = [*(STATIC / "js").glob("*.js"), *(STATIC / folder).glob("*.js")]
    for beside in ("tender", "lists", "weigh") if page == "till" else ():
        files += (STATIC / "js" / beside).glob("*.js")
    asked = {w for f in files for w in re.findall(r'\bt\("(\w+)"', f.read_text())}
    with site.app.test_request_context():
        g.visitor = Visitor(language="zh", csrf="")
        known = (words.till_words if page == "till" else words.goods_words)()
    shared_only = {"one_less"} if page == "goods" else set()
    assert asked - known.keys() - shared_only == set()
    assert all(re.search(r"[\u4e00-\u9fff{]", text) for text in known.values())


def test_scripts_stay_small() -> None:
    scripts = [*(STATIC / "js").glob("*.js"), *(STATIC / "js/till").glob("*.js")]
    assert sum(f.stat().st_size for f in scripts) <= TILL_BYTES_MAX
    for script in STATIC.rglob("*.js"):
        text = script.read_text()
        assert len(text.splitlines()) <= 500, script
        assert not re.search(
            r"\b(alert|confirm|prompt)\(|innerHTML|https?://(?!www\.w3\.org)", text
        ), script
