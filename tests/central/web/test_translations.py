"""Every string of the pages exists in Chinese, is not fuzzy, and keeps its parameters."""

import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

CENTRAL = Path(__file__).parents[3] / "central"
PO = CENTRAL / "translations" / "zh_Hans_CN" / "LC_MESSAGES" / "messages.po"
PARAMETER = re.compile(r"%\(\w+\)s|%%")


def wanted() -> set[str]:
    """All strings in the sources, read as babel.cfg says."""
    methods = []
    for line in (CENTRAL / "translations" / "babel.cfg").read_text().splitlines():
        method, _, pattern = line.strip("[]").partition(": ")
        methods.append((pattern, method))
    found = extract_from_dir(CENTRAL, method_map=methods)
    return {str(message) for _, _, message, _, _ in found}


def catalogue() -> Catalog:
    """The Chinese catalogue."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh_Hans_CN")


def test_nothing_is_missing_fuzzy_or_left_over() -> None:
    """The catalogue and the sources hold the same strings."""
    known = catalogue()
    texts = {message.id: message for message in known if message.id}
    assert len(texts) > 300
    assert wanted() - texts.keys() == set()
    assert texts.keys() - wanted() == set()
    assert [m.id for m in texts.values() if not m.string or m.fuzzy] == []


def test_parameters_are_the_same_in_both_languages() -> None:
    """A lost parameter would hide a figure."""
    for message in catalogue():
        if message.id:
            assert sorted(PARAMETER.findall(message.id)) == sorted(
                PARAMETER.findall(str(message.string))
            ), message.id
