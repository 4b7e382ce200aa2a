"""The JSON API against its own description: whatever is asked, the answer is as described."""

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from central.compose import HeadOffice
from tests.central.web.conftest import Person

NEGATIVE = GenerationMode.NEGATIVE


@pytest.fixture(scope="module")
def signed(app: Flask) -> dict[str, str]:
    """The headers of somebody who is signed in."""
    admin = Person(app, "zhao")
    cookie = admin.client.get_cookie("tillmesh_session")
    return {"Cookie": f"tillmesh_session={cookie.value}", "X-CSRF-Token": admin.csrf}


def test_the_api_keeps_its_description(app: Flask, signed: dict[str, str]) -> None:
    """Every operation, with right and wrong input."""
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=NEGATIVE))
        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=signed)

        ask()
        count += 1
    assert count > 12


def test_the_description_names_every_route(app: Flask) -> None:
    """Nothing is served that is not described."""
    described = app.test_client().get("/openapi.json").json["paths"]
    served = {
        rule.rule.replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
    }
    assert served == set(described)


def test_a_rule_is_checked_with_every_fault(app: Flask, office: HeadOffice) -> None:
    """For programs and for the page's own editor; nothing is kept."""
    admin = Person(app, "zhao")
    document = {"id": "x", "type": "percent_off", "percent": 300, "colour": "red"}
    answer = admin.client.post(
        "/api/promotions/check?lang=en",
        json={"document": document},
        headers={"X-CSRF-Token": admin.csrf},
    )
    assert {fault["path"] for fault in answer.json["faults"]} == {"percent", "select", "colour"}
    assert "from 0 to 100" in answer.json["faults"][0]["sentence"]
    assert office.campaigns.draft("x") is None
    stale = admin.client.post("/api/promotions/check", json={"document": document})
    assert (stale.status_code, stale.json["code"]) == (403, "FORM_STALE")


def test_figures_are_whole_minor_units_and_thousandths(app: Flask) -> None:
    """Never floats."""
    admin = Person(app, "zhao").client
    for path in ("/api/products", "/api/stock", "/api/sales", "/api/days", "/api/stock/P0101"):
        text = admin.get(path).text
        assert admin.get(path).status_code == 200
        assert not any(ch in text for ch in (".0,", ".5,"))
    places = admin.get("/api/stock/P0101").json["item"]["places"]
    assert sum(place["qty_milli"] for place in places) == 0
