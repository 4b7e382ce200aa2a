"""The examples in the modules' own words are run."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["promotions", "promotions.rule", "promotions.figures"])
def test_examples(name):
    module = importlib.import_module(name)
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0
