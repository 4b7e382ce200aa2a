"""Who comes in where: sessions, roles per route, tokens in forms, headers, faults in words."""

import re
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from flask import Flask
from werkzeug.routing import Rule

from central.compose import HeadOffice
from central.web import create_app
from central.web.session import OPEN, permission_of
from protocol.roles import may
from tests.central.web import bakery
from tests.central.web.conftest import Person

GIVEN = {
    "sku": "P0101",
    "rule": "buy2get1",
    "store": "south",
    "person": "chen",
    "transfer": "tr-1",
    "sale": "sale-south-00002",
}
ROLES = {"zhao": "admin", "qian": "buyer"}
Who = Callable[[str], Person]


def routes(app: Flask) -> list[tuple[Rule, str, str]]:
    """Every rule with its permission and a path that exists."""
    found = []
    with app.app_context(), app.test_request_context():
        for rule in app.url_map.iter_rules():
            path = rule.rule
            for name, value in GIVEN.items():
                path = path.replace(f"<{name}>", value)
            if rule.endpoint != "static":
                found.append((rule, permission_of(rule.endpoint), path))
    return found


def test_every_route_declares_its_permission(app: Flask) -> None:
    """A route without one would be refused."""
    assert [str(rule) for rule, needs, _ in routes(app) if needs is None] == []


def test_a_route_without_a_permission_is_refused(office: HeadOffice) -> None:
    """Forgetting it never opens a door."""
    app = create_app(office)
    app.add_url_rule("/forgotten", view_func=lambda: "secret")
    answer = Person(app, "zhao").client.get("/forgotten")
    assert answer.status_code == 404
    assert "secret" not in answer.text


def test_strangers_are_sent_to_the_door(app: Flask, person: Who) -> None:
    """Pages lead to the sign-in, programs get 401."""
    for rule, needs, path in routes(app):
        if needs == OPEN:
            continue
        for method in sorted({"GET", "POST"} & rule.methods):
            answer = person("").client.open(path, method=method)
            where = (str(rule), method, answer.status_code)
            if path.startswith(("/api/", "/live")):
                assert answer.status_code == 401, where
                assert answer.json["code"] == "SIGN_IN_NEEDED"
            else:
                assert answer.status_code == 302, where
                assert answer.location.startswith("/sign-in"), where


@pytest.mark.parametrize("name", ROLES)
def test_roles_open_exactly_their_routes(app: Flask, person: Who, name: str) -> None:
    """Route x role; nobody passes without the permission, with or without a token."""
    someone = person(name)
    for rule, needs, path in routes(app):
        if needs == OPEN or path == "/live":
            continue
        allowed = may(ROLES[name], needs)
        where = (str(rule), name)
        if "GET" in rule.methods:
            answer = someone.client.get(path)
            assert answer.status_code == (200 if allowed else 403), (where, answer.text[:300])
        if "POST" in rule.methods and not allowed:
            answer = someone.client.post(path, data={"csrf": someone.csrf})
            assert (answer.status_code, "NOT_ALLOWED" in answer.text) == (403, True), where


def test_every_form_needs_its_token(app: Flask, person: Who) -> None:
    """A POST from elsewhere changes nothing."""
    admin = person("zhao")
    for rule, needs, path in routes(app):
        if "POST" not in rule.methods or needs == OPEN or not may("admin", needs):
            continue
        for token in ("", "0" * 64):
            answer = admin.client.post(path, data={"csrf": token})
            assert (answer.status_code, "FORM_STALE" in answer.text) == (403, True), str(rule)


def test_sign_in_refuses_other_origins(person: Who) -> None:
    """Nobody is signed in by somebody else's page."""
    wish = {"person": "zhao", "password": bakery.PASSWORD}
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = person("").client.post("/sign-in", data=wish, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("wish", ["//evil.example", "/\\evil.example", "http://evil.example", "x"])
def test_sign_in_leads_nowhere_else(app: Flask, wish: str) -> None:
    """`next` stays inside."""
    answer = app.test_client().post(
        "/sign-in", data={"person": "zhao", "password": bakery.PASSWORD, "next": wish}
    )
    assert answer.location == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_sign_in_goes_on_where_it_was_asked(app: Flask) -> None:
    """A session that ended costs one step."""
    client = app.test_client()
    to = client.get("/stock?search=bun").location
    assert to == "/sign-in?next=/stock?search%3Dbun"
    assert 'value="/stock?search=bun"' in client.get(to).text


def test_wrong_passwords_wait_and_lock_in_words(app: Flask) -> None:
    """The delay grows and is said; the same for a name that does not exist."""
    for name in ("sun", "nobody"):
        client = app.test_client()
        codes = []
        for _ in range(12):
            answer = client.post(
                "/sign-in?lang=en", data={"person": name, "password": "wrong wrong"}
            )
            assert answer.status_code == 422
            codes.append(answer.text.split('<span class="code">')[1].split("<")[0])
        assert codes[0] == "SIGN_IN_WRONG"
        assert set(codes) & {"SIGN_IN_WAIT", "SIGN_IN_LOCKED"}, codes


def test_signing_out_ends_the_session(app: Flask) -> None:
    """The old cookie opens nothing."""
    someone = Person(app, "qian")
    cookie = someone.client.get_cookie("tillmesh_session")
    someone.send("/sign-out")
    someone.client.set_cookie("tillmesh_session", cookie.value)
    assert someone.client.get("/stock").status_code == 302


def test_every_answer_has_its_headers(person: Who) -> None:
    """Pages, parts, programs, faults and files."""
    for path in ("/", "/overview/tiles", "/api/now", "/nope", "/static/base.css", "/openapi.json"):
        with person("zhao").client.get(path) as answer:
            headers = answer.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'"), path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert person("zhao").client.get("/").headers["Cache-Control"] == "no-store"


def test_no_page_has_inline_scripts_or_styles(app: Flask, person: Who) -> None:
    """The policy would silently switch them off."""
    for rule, needs, path in routes(app):
        if "GET" in rule.methods and path not in {"/live", "/openapi.json"} and needs != OPEN:
            text = person("zhao").client.get(path).text
            assert " style=" not in text, path
            assert " onclick=" not in text, path
            assert "<script>" not in text, path


def test_faults_are_sentences(person: Who) -> None:
    """A page for people, JSON for programs, in their language."""
    admin = person("zhao")
    page = admin.client.get("/products/NONE?lang=en")
    assert (page.status_code, "HQ_PRODUCT_UNKNOWN" in page.text) == (404, True)
    assert "没有" in admin.client.get("/products/NONE?lang=zh").text
    admin.client.get("/?lang=en")
    told = admin.client.get("/api/products/NONE")
    assert (told.status_code, told.json["code"]) == (404, "HQ_PRODUCT_UNKNOWN")
    assert admin.client.get("/api/nothing").json["code"] == "PAGE_UNKNOWN"
    assert admin.client.delete("/api/now").json["code"] == "METHOD_UNKNOWN"
    large = admin.client.post("/api/promotions/check", data=b"x" * 9_000_000)
    assert large.status_code in {403, 413}


@pytest.mark.parametrize("odd", ["%00", "%C2%B2", "9" * 5000, str(2**63), "-1", "%ED%A0%80"])
def test_odd_values_are_no_fault_of_ours(app: Flask, person: Who, odd: str) -> None:
    """In every part of a path and in what pages are asked for: refused or left alone."""
    admin, plain = person("zhao"), unquote(odd, "latin-1")
    query = "&".join(f"{name}={odd}" for name in ("page", "search", "store", "sku", "branch", "to"))
    for rule, needs, path in routes(app):
        if path in {"/live", "/sign-out"}:
            continue
        odd_path = re.sub(r"<\w+>", odd, rule.rule)
        for method in sorted({"GET", "POST"} & rule.methods):
            fields = {"csrf": admin.csrf, "branch": plain, "person": plain, "store": plain}
            for where in {odd_path, f"{path}?{query}"}:
                data = fields if method == "POST" else None
                answer = admin.client.open(where, method=method, data=data)
                answer.close()
                told = (str(rule), method, needs, where[:60])
                assert answer.status_code != 500, told
                nul = odd == "%00" and (odd in where or method == "POST")
                assert not nul or answer.status_code == 400, (told, answer.status_code)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 20_000, b"\xff\xfe", b"", b"null"])
def test_json_that_nobody_can_read_is_a_wrong_request(person: Who, body: bytes) -> None:
    """However deep it nests."""
    admin = person("zhao")
    for path in ("/api/promotions/check", "/promotions/preflight", "/promotions/save"):
        answer = admin.client.post(
            path,
            data=body,
            content_type="application/json",
            headers={"X-CSRF-Token": admin.csrf},
        )
        assert answer.status_code < 500, (path, answer.text[:200])


def test_a_machines_clock_is_a_number(app: Flask, person: Who) -> None:
    """Its question about a snapshot carries its time; anything else is told ours."""
    for at in ("\u00b2", "9" * 5000, "-1", "", "1e9"):
        answer = person("").client.get("/node/north/snapshot", headers={"X-Node-At": at})
        assert answer.status_code == 409
        assert answer.json["now"] > 0


def test_what_nobody_foresaw_gets_a_reference(office: HeadOffice) -> None:
    """The page shows a reference and nothing of the inside."""
    app = create_app(office)

    def broken() -> str:
        raise KeyError("inner secret")

    broken.needs = "see_chain"  # type: ignore[attr-defined]
    app.add_url_rule("/broken", view_func=broken)
    answer = Person(app, "zhao").client.get("/broken")
    assert answer.status_code == 500
    assert "INTERNAL" in answer.text
    assert "inner secret" not in answer.text


def test_the_language_is_the_persons(app: Flask) -> None:
    """?lang=, then the cookie, then the browser."""
    client = app.test_client()
    assert "登录" in client.get("/sign-in").text
    assert "Sign in" in client.get("/sign-in", headers={"Accept-Language": "en-US"}).text
    assert "Sign in" in client.get("/sign-in?lang=en").text
    assert "Sign in" in client.get("/sign-in").text  # the cookie remembers
    assert 'lang="zh-CN"' in client.get("/sign-in?lang=zh").text
