"""People of the shops with their PINs, and the accounts of head office."""

from typing import Final

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.people import Person
from central.web.fields import demand_sure, typed
from central.web.office import me, office
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError, define

pages = Blueprint("people", __name__)
SHOP_ROLES: Final = ("cashier", "manager")
HOUSE_ROLES: Final = ("buyer", "admin")

define(
    {
        "PINS_DIFFER": (
            "The two PINs are not the same. Nothing was changed; type them again.",
            "两次输入的 PIN 不一致。没有任何更改，请重新输入。",
        ),
        "PASSWORDS_DIFFER": (
            "The two passwords are not the same. Nothing was changed; type them again.",
            "两次输入的密码不一致。没有任何更改，请重新输入。",
        ),
    }
)


@pages.get("/people")
@needs("manage_people")
def people() -> ResponseReturnValue:
    """People of the shops."""
    return render_template("people.html", people=office().people.people())


def _person_page(person: Person | None, fault: TillmeshError | None = None) -> ResponseReturnValue:
    page = render_template(
        "person.html",
        person=person,
        stores=office().stores.stores(),
        roles=SHOP_ROLES,
        fault=fault,
        text=request.form if fault else {},
        picked=request.form.getlist("store") if fault else list(person.stores if person else ()),
    )
    return page, (422 if fault else 200)


def _pin() -> str:
    pin = typed("pin")
    if pin != typed("pin_again"):
        raise Refusal("PINS_DIFFER")
    return pin


def _read_person(person: str) -> Person:
    return Person(
        person=person,
        name=typed("name"),
        role=typed("role"),
        stores=tuple(request.form.getlist("store")),
    )


@pages.get("/people/new")
@needs("manage_people")
def new_person() -> ResponseReturnValue:
    """An empty form."""
    return _person_page(None)


@pages.post("/people/new")
@needs("manage_people")
def add_person() -> ResponseReturnValue:
    """Add somebody with a PIN."""
    try:
        office().people.add_person(_read_person(typed("person")), pin=_pin(), by=me())
    except TillmeshError as fault:
        return _person_page(None, fault)
    flash(gettext("Added. The PIN works in each shop as soon as the shop has the news."))
    return redirect(url_for(".people"))


@pages.get("/people/<person>")
@needs("manage_people")
def person(person: str) -> ResponseReturnValue:
    """One person."""
    return _person_page(office().people.person(person))


@pages.post("/people/<person>")
@needs("manage_people")
def change_person(person: str) -> ResponseReturnValue:
    """Change name, role, shops or PIN."""
    found = office().people.person(person)
    try:
        office().people.change_person(_read_person(person), by=me(), pin=_pin())
    except TillmeshError as fault:
        return _person_page(found, fault)
    flash(gettext("Saved. Each shop acts on it as soon as it has the news."))
    return redirect(url_for(".person", person=person))


@pages.post("/people/<person>/remove")
@needs("manage_people")
def remove(person: str) -> ResponseReturnValue:
    """End somebody's access in all shops."""
    demand_sure()
    office().people.remove(person, by=me())
    flash(gettext("Removed. Each shop acts on it as soon as it has the news."))
    return redirect(url_for(".people"))


def _accounts_page(fault: TillmeshError | None = None, of: str = "") -> ResponseReturnValue:
    page = render_template(
        "accounts.html",
        accounts=office().accounts.accounts(),
        roles=HOUSE_ROLES,
        fault=fault,
        of=of,
        text=request.form if fault else {},
        nav_mark="people",
    )
    return page, (422 if fault else 200)


def _password() -> str:
    password = request.form.get("password", "")
    if password != request.form.get("password_again", ""):
        raise Refusal("PASSWORDS_DIFFER")
    return password


@pages.get("/accounts")
@needs("manage_people")
def accounts() -> ResponseReturnValue:
    """Accounts of head office."""
    return _accounts_page()


@pages.post("/accounts/new")
@needs("manage_people")
def add_account() -> ResponseReturnValue:
    """Add an account."""
    try:
        office().accounts.add_account(
            typed("person"), name=typed("name"), role=typed("role"), password=_password(), by=me()
        )
    except TillmeshError as fault:
        return _accounts_page(fault)
    flash(gettext("The account can sign in now."))
    return redirect(url_for(".accounts"))


@pages.post("/accounts/<person>")
@needs("manage_people")
def change_account(person: str) -> ResponseReturnValue:
    """Role, state or password of an account."""
    wish = typed("do")
    try:
        if wish == "password":
            office().accounts.set_password(person, _password(), by=me())
        elif wish in {"stop", "allow"}:
            office().accounts.change_account(person, by=me(), active=wish == "allow")
        else:
            office().accounts.change_account(
                person, by=me(), name=typed("name"), role=typed("role")
            )
    except TillmeshError as fault:
        return _accounts_page(fault, of=person)
    flash(gettext("Saved."))
    return redirect(url_for(".accounts"))
