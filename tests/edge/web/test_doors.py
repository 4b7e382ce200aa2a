"""Who gets in where: every route against every role, forms, languages, errors."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs

from edge.web.visitor import OPEN, PAIRED, SESSION_COOKIE, SIGNED_IN, csrf_token, need_of
from protocol.events import Moved, TransferForwarded
from protocol.ids import to_stream
from protocol.roles import MAY
from tests.edge import shop_builder as house
from tests.edge.shop_builder import PINS
from tests.edge.web.conftest import SECRET, Site

Clients = Callable[..., FlaskClient]
NOTHING = "00000000-0000-7000-8000-000000000000"


def routes(site: Site) -> list[tuple[str, str, str]]:
    """(endpoint, method, a path) of every view."""
    found = []
    for rule in site.app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = re.sub(r"<int:\w+>", "1", rule.rule)
        path = re.sub(r"<\w+>", NOTHING, path)
        found += [
            (rule.endpoint, method, path)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]
    return found


def ask(client: FlaskClient, method: str, path: str) -> int:
    answer = client.open(path, method=method, json={} if path.startswith("/api") else None)
    answer.close()
    return answer.status_code


def test_every_view_declares_its_permission(site: Site) -> None:
    for endpoint, _method, _path in routes(site):
        need = need_of(site.app, endpoint)
        assert need is not None, endpoint
        assert need.action in MAY or need.action in {OPEN, PAIRED, SIGNED_IN}


@pytest.mark.parametrize("role", ["nobody", "cashier", "manager"])
def test_routes_by_role(site: Site, client_of: Clients, role: str) -> None:
    client = client_of({"nobody": "", "cashier": "anna", "manager": "mei"}[role])
    for endpoint, method, path in routes(site):
        if endpoint in {"session.sign_out", "live.stream"}:
            continue
        need = need_of(site.app, endpoint)
        assert need is not None
        status = ask(client, method, path)
        if need.action == OPEN:
            assert status not in {401, 403}, endpoint
        elif role == "nobody":
            expected = 401 if path.startswith(("/api", "/live")) else 302
            assert status == expected, endpoint
        elif need.action in MAY and role not in MAY[need.action]:
            assert status == 403, endpoint
        else:
            assert status not in {401, 403}, endpoint


def test_a_phone_may_not_sell(client_of: Clients) -> None:
    phone = client_of("anna", till="")
    assert phone.get("/till").status_code == 403
    answer = phone.post("/api/till/scan", json={"id": "a1", "raw": "6901028075831"})
    assert answer.status_code == 403
    assert answer.get_json()["code"] == "TILL_NEEDED"


def test_paired_but_signed_out_goes_to_the_pin_and_comes_back(client_of: Clients) -> None:
    client = client_of("mei")
    client.delete_cookie("tm_session")
    answer = client.get("/stock?q=bun")
    assert answer.status_code == 302
    assert answer.headers["Location"] == "/sign-in?next=/stock?q%3Dbun"
    form = {"csrf": csrf_token(SECRET), "pin": PINS["mei"], "next": "/stock?q=bun"}
    assert client.post("/sign-in", data=form).headers["Location"] == "/stock?q=bun"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_no_way_out_after_signing_in(client_of: Clients, target: str) -> None:
    client = client_of("mei")
    answer = client.post("/sign-in", data={"pin": PINS["mei"], "next": target})
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    "path", ["/sign-out", "/shift/open", "/settings/code", "/api/till/hold", "/api/documents/count"]
)
def test_posts_need_our_own_form(client_of: Clients, path: str) -> None:
    client = client_of("mei")
    client.environ_base["HTTP_X_CSRF"] = "wrong"
    answer = client.post(path, json={} if "/api/" in path else None)
    assert answer.status_code == 403
    assert b"FORM_EXPIRED" in answer.data
    client.environ_base["HTTP_X_CSRF"] = csrf_token(SECRET)
    client.delete_cookie("tm_csrf")
    assert client.post(path, json={}).status_code == 403


def test_security_headers_and_cookies(site: Site, client_of: Clients) -> None:
    answer = client_of("mei").get("/stock")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    cookie = site.app.test_client().get("/pair").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


def test_pages_hold_no_inline_script_or_style(client_of: Clients) -> None:
    client = client_of("mei")
    for path in ("/home", "/stock", "/receive", "/transfers", "/health", "/settings", "/till"):
        page = client.get(path, follow_redirects=True).get_data(as_text=True)
        assert not re.search(r"\sstyle=|\son\w+=", page), path
        for script in re.findall(r"<script[^>]*>", page):
            assert "src=" in script or "application/json" in script


def test_names_are_escaped(site: Site, client_of: Clients) -> None:
    trap = "<script>alert(1)</script>"
    answer = client_of("mei").get("/stock", query_string={"q": trap})
    assert trap.encode() not in answer.data
    assert b"&lt;script&gt;" in answer.data


def test_wrong_pins_wait_longer_in_words(site: Site) -> None:
    client = site.app.test_client()
    client.set_cookie("tm_csrf", SECRET)
    client.environ_base["HTTP_X_CSRF"] = csrf_token(SECRET)
    token = site.shop.pairing.pair(site.shop.pairing.make_code("2"))
    client.set_cookie("tm_browser", token)
    said = [client.post("/sign-in?lang=en", data={"pin": "0000"}) for _ in range(4)]
    assert b"PIN_WRONG" in said[0].data
    assert said[3].status_code == 429
    assert re.search(rb"Wait \d+ s", said[3].data)
    assert b'data-wait="0"' not in said[3].data


def test_a_pairing_code_works_once(site: Site) -> None:
    code = site.shop.pairing.make_code("2")
    form = {"code": f"{code[:3]} {code[3:]}", "name": "left"}
    first, second = site.app.test_client(), site.app.test_client()
    for client in (first, second):
        client.set_cookie("tm_csrf", SECRET)
        client.environ_base["HTTP_X_CSRF"] = csrf_token(SECRET)
    assert first.post("/pair", data=form).headers["Location"] == "/sign-in"
    again = second.post("/pair?lang=en", data=form)
    assert again.status_code == 422
    assert b"PAIRING_WRONG" in again.data


@pytest.mark.parametrize(
    ("asked", "accepts", "found"),
    [
        ("", "en-GB,en;q=0.9", "en"),
        ("", "zh-CN", "zh-CN"),
        ("", "fr", "zh-CN"),
        ("?lang=en", "zh-CN", "en"),
        ("?lang=xx", "en", "en"),
    ],
)
def test_language(site: Site, asked: str, accepts: str, found: str) -> None:
    client = site.app.test_client()
    page = client.get(f"/pair{asked}", headers={"Accept-Language": accepts})
    assert f'<html lang="{found}">' in page.get_data(as_text=True)
    kept = client.get("/pair", headers={"Accept-Language": accepts}).get_data(as_text=True)
    assert f'<html lang="{found}">' in kept


def test_errors_are_sentences_with_a_code(client_of: Clients) -> None:
    client = client_of("mei")
    page = client.get("/nowhere")
    assert page.status_code == 404
    assert b"HTTP_404" in page.data
    call = client.get("/api/nowhere")
    assert call.get_json()["code"] == "HTTP_404"
    wrong = client.post("/api/till/scan", json={"id": "a", "raw": 5})
    assert (wrong.status_code, wrong.get_json()["code"]) == (422, "FORM_INVALID")
    huge = client.post("/api/till/scan", data=b"x" * 300_000, content_type="application/json")
    assert huge.status_code == 413


def test_a_crash_shows_a_reference_and_nothing_else(
    site: Site,
    client_of: Clients,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(type(site.shop.stockroom), "on_hand", broken)
    with capture_logs() as said:  # wherever the log of this process goes
        answer = client_of("mei").get("/stock")
    assert answer.status_code == 500
    text = answer.get_data(as_text=True)
    assert "INTERNAL" in text
    assert "secret inside" not in text
    reference = re.search(r"reference ([0-9A-F]{8})", text)
    assert reference is not None
    assert any(reference[1] in map(str, line.values()) for line in said), said


def test_the_session_of_one_till_opens_nothing_at_another(
    site: Site, client_of: Callable[..., FlaskClient]
) -> None:
    client = client_of("anna", till="2")
    assert client.get("/api/till/basket").status_code == 200
    client.set_cookie(SESSION_COOKIE, site.cookies("mei", "1")[SESSION_COOKIE])
    answer = client.get("/api/till/basket")
    assert (answer.status_code, answer.get_json()["code"]) == (401, "SIGN_IN_FIRST")


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 20_000, b"\xff\xfe", b"", b"null", b'{"id":1e999}']
)
def test_json_that_nobody_can_read_is_a_wrong_request(
    site: Site, client_of: Clients, body: bytes
) -> None:
    client = client_of("mei")
    asked = [path for _, method, path in routes(site) if method == "POST" and "/api/" in path]
    assert len(asked) > 10
    for path in asked:
        answer = client.post(path, data=body, content_type="application/json")
        assert answer.status_code < 500, (path, answer.text[:200])


@pytest.mark.parametrize("odd", ["%00", "%C2%B2", "9" * 5000, str(2**63), "-1", "%ED%A0%80"])
def test_odd_values_are_no_fault_of_ours(site: Site, client_of: Clients, odd: str) -> None:
    client = client_of("mei")
    query = "&".join(f"{name}={odd}" for name in ("page", "q", "person", "way", "code", "to_store"))
    rules = {rule.endpoint: rule.rule for rule in site.app.url_map.iter_rules()}
    for endpoint, method, path in routes(site):
        if endpoint in {"session.sign_out", "live.stream"}:
            continue
        for where in {re.sub(r"<[^>]+>", odd, rules[endpoint]), f"{path}?{query}"}:
            assert ask(client, method, where) != 500, (method, where[:80])


def test_goods_from_a_shop_with_an_odd_clock_are_shown(site: Site, client_of: Clients) -> None:
    """Its machine says when it sent them; head office only hands that on."""
    for at in (0, 1, 253_402_300_800_000, 2**53):
        news = TransferForwarded(
            transfer=f"odd-{at}",
            from_store="s2",
            to_store="s1",
            dispatched_ms=at,
            person="<script>",
            lines=(Moved(sku="bun", qty_milli=1_000),),
        )
        house.head_office(site.shop, to_stream("s1"), news)
    client = client_of("mei")
    for path in ("/transfers", *(f"/transfers/odd-{at}" for at in (0, 2**53))):
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        assert "<script>" not in answer.text.replace('<script type="module"', "")
