"""The JSON API: its document fuzzes clean, and a call asked twice happens once."""

from collections.abc import Callable

import schemathesis
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi.checks import ignored_auth

from edge.web.visitor import csrf_token
from tests.edge.shop_builder import BUN, MILK
from tests.edge.web.conftest import SECRET, Site

Clients = Callable[..., FlaskClient]


def test_fuzz(site: Site) -> None:
    """Every documented call with valid and invalid data: no crash, only documented answers."""
    site.empty_till()
    cookies = site.cookies("mei")
    headers = {"X-CSRF": csrf_token(SECRET), "Accept-Language": "en"}
    document = schemathesis.openapi.from_wsgi("/openapi.json", site.app)
    document.config.generation.update(with_security_parameters=False)  # doors are tested apart
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @settings(max_examples=8, deadline=None)
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: schemathesis.Case) -> None:
                case.call_and_validate(
                    headers=headers, cookies=cookies, excluded_checks=[ignored_auth]
                )

            try:
                run()
            except Unsatisfiable:
                assert mode is schemathesis.GenerationMode.NEGATIVE, operation.label


def test_the_same_scan_twice_is_one_row(site: Site, client_of: Clients) -> None:
    site.empty_till()
    client = client_of("anna")
    for _ in range(3):
        view = client.post("/api/till/scan", json={"id": "scan-1", "raw": BUN}).get_json()
    assert [row["qty_milli"] for row in view["lines"]] == [1000]
    client.post("/api/till/scan", json={"id": "scan-2", "raw": MILK, "qty_milli": 3000})
    assert site.codes() == [BUN, MILK, MILK, MILK]


def test_paying_twice_is_one_sale(site: Site, client_of: Clients) -> None:
    site.empty_till()
    client = client_of("anna")
    view = client.post("/api/till/scan", json={"id": "pay-1", "raw": BUN}).get_json()
    body = {"sale": view["sale"], "tenders": [{"kind": "cash", "given_minor": 500}]}
    first, second = (client.post("/api/till/pay", json=body).get_json() for _ in range(2))
    assert first["receipt_number"] == second["receipt_number"]
    assert (first["again"], second["again"]) == (False, True)
    assert first["change_minor"] == 150


def test_a_document_twice_is_one_document(site: Site, client_of: Clients) -> None:
    client = client_of("mei")
    before = site.shop.stockroom.find("bun")
    assert before is not None
    body = {
        "document": site.shop.node.new_id(),
        "supplier": "Mill",
        "lines": [{"sku": "bun", "qty_milli": 5000}],
    }
    for _ in range(2):
        assert client.post("/api/documents/receive", json=body).status_code == 200
    after = site.shop.stockroom.find("bun")
    assert after is not None
    assert after.on_hand_milli - before.on_hand_milli == 5000
