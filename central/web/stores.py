"""Shops: add one, hand out its joining file, accept the key that its node made."""

from typing import Final

import msgspec
import segno
from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.enrolment import TOKEN_MINUTES
from central.stores import Store
from central.web.chain import shops
from central.web.fields import typed
from central.web.office import me, office
from central.web.session import needs
from protocol.errors import Refusal, TillmeshError, define
from protocol.roles import demand

pages = Blueprint("stores", __name__)
SHOWN: Final = 5  # certificates on a shop's page
BLANK: Final = Store(store="", name_zh="", name_en="", zone="", group="", tz="Asia/Shanghai")

define(
    {
        "KEY_OTHER_SHOP": (
            "This line does not name the shop {store}. Copy the line that this shop's machine "
            "printed. Nothing was accepted.",
            "该公钥行不属于门店 {store}。请复制本门店设备显示的那一行。没有接受任何密钥。",
        ),
    }
)


@pages.get("/shops")
@needs("see_chain")
def stores() -> ResponseReturnValue:
    """All shops."""
    return render_template("stores.html", shops=shops())


def _store_page(
    store: Store, *, new: bool, fault: TillmeshError | None = None
) -> ResponseReturnValue:
    node = next((s for s in shops() if s.store.store == store.store), None)
    page = render_template(
        "store.html",
        store=store,
        node=node,
        new=new,
        fault=fault,
        text=request.form if fault else {},
        zones=office().catalogue.zones(),
        certificates=[] if new else office().enrolment.certificates(store.store)[:SHOWN],
        enrols=bool(office().settings.https_url),
    )
    return page, (422 if fault else 200)


def _read_store(store: str) -> Store:
    zh, en = typed("name_zh"), typed("name_en")
    return Store(
        store=store,
        name_zh=zh or en,
        name_en=en or zh,
        zone=typed("zone"),
        group=typed("group"),
        tz=typed("tz"),
    )


@pages.get("/shops/new")
@needs("manage_stores")
def new_store() -> ResponseReturnValue:
    """An empty form."""
    return _store_page(BLANK, new=True)


@pages.post("/shops/new")
@needs("manage_stores")
def add_store() -> ResponseReturnValue:
    """Add a shop."""
    store = typed("store")
    try:
        office().stores.add_store(_read_store(store), by=me())
    except TillmeshError as fault:
        blank = msgspec.structs.replace(BLANK, store=store)
        return _store_page(blank, new=True, fault=fault)
    flash(gettext("The shop is added. Take its joining file to the shop's machine."))
    return redirect(url_for(".store", store=store))


@pages.get("/shops/<store>")
@needs("see_chain")
def store(store: str) -> ResponseReturnValue:
    """One shop."""
    return _store_page(office().stores.store(store), new=False)


@pages.post("/shops/<store>")
@needs("manage_stores")
def change_store(store: str) -> ResponseReturnValue:
    """Change a shop's data."""
    before = office().stores.store(store)
    try:
        office().stores.add_store(_read_store(store), by=me())
    except TillmeshError as fault:
        return _store_page(before, new=False, fault=fault)
    flash(gettext("Saved."))
    return redirect(url_for(".store", store=store))


@pages.post("/shops/<store>/joining-file")
@needs("manage_stores")
def joining_file(store: str) -> Response:
    """The joining file; it holds the shop's PIN pepper, so it is asked for by a form."""
    text = office().stores.joining_file(store)
    return Response(
        text,
        mimetype="application/toml",
        headers={"Content-Disposition": f'attachment; filename="{store}.join.toml"'},
    )


@pages.post("/shops/<store>/token")
@needs("manage_stores")
def invite(store: str) -> ResponseReturnValue:
    """A one-time token, shown once: as a line, a command and a QR."""
    found = office().stores.store(store)
    try:
        invitation = office().enrolment.invite(store, by=me())
    except TillmeshError as fault:
        return _store_page(found, new=False, fault=fault)
    return render_template(
        "token.html",
        store=found,
        line=invitation.line(),
        fingerprint=invitation.fingerprint,
        minutes=TOKEN_MINUTES,
        qr=segno.make_qr(invitation.line(), error="m").svg_data_uri(scale=4, border=2),
    )


@pages.post("/shops/<store>/revoke")
@needs("manage_stores")
def revoke(store: str) -> ResponseReturnValue:
    """Lock the shop's machine out; a second person vouches with his own password."""
    found = office().stores.store(store)
    try:
        second = office().accounts.confirm(typed("second"), request.form.get("password", ""))
        demand(second.role, "manage_stores")
        office().enrolment.revoke(store, by=me(), second=second.person, reason=typed("reason"))
    except TillmeshError as fault:
        return _store_page(found, new=False, fault=fault)
    flash(gettext("The machine is locked out. It sells on; a new token brings it back."))
    return redirect(url_for(".store", store=store))


@pages.post("/shops/<store>/key")
@needs("manage_stores")
def accept_key(store: str) -> ResponseReturnValue:
    """Accept the public-key line that the shop's node printed."""
    found = office().stores.store(store)
    line = typed("line")
    try:
        if f" {store} " not in f" {' '.join(line.split())} ":
            raise Refusal("KEY_OTHER_SHOP", store=store)
        accepted = office().stores.accept_node(line, by=me())
    except TillmeshError as fault:
        return _store_page(found, new=False, fault=fault)
    flash(gettext("The key is accepted. The shop is connected as soon as it calls."))
    return redirect(url_for(".store", store=accepted))
