"""Before publishing: whom a rule reaches, and the button that then publishes it."""

from typing import Any

import msgspec
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from central.preflighting import Preflight
from central.web.fields import typed
from central.web.office import me, office
from central.web.session import needs
from promotions.rule import DOCUMENT_BYTES_MAX, RuleFaults
from protocol.errors import Refusal, define

pages = Blueprint("preflights", __name__)

define(
    {
        "DRAFT_CHANGED": (
            "The draft was changed after this page was shown. Nothing was published; look again.",
            "显示本页后草稿又被修改。尚未发布，请重新查看。",
        ),
    }
)


def _with_names(report: Preflight, rule: str) -> dict[str, Any]:
    """The report with the names of the rules that it speaks of."""
    told = {*report.displaced, *(report.loses.winners if report.loses else ())}
    names = {c.rule: c for c in office().campaigns.campaigns() if c.rule in told} if told else {}
    return {"report": report, "rule": rule, "rules": names}


@pages.get("/promotions/<rule>/preflight")
@needs("publish_promotion")
def preflight(rule: str) -> ResponseReturnValue:
    """The draft's preflight, with the publish button; of a published rule, as it is."""
    draft = office().campaigns.draft(rule)
    if draft is None:
        document = office().campaigns.campaign(rule).document
        report = office().preflighting.report(document)
        return render_template("preflight.html", draft=None, **_with_names(report, rule))
    if office().campaigns.faults_of_text(rule, draft.text):
        return redirect(url_for("campaigns.edit", rule=rule))
    document = {**msgspec.json.decode(draft.text), "id": rule}
    report = office().preflighting.report(document)
    return render_template("preflight.html", draft=draft, **_with_names(report, rule))


@pages.post("/promotions/<rule>/publish")
@needs("publish_promotion")
def publish(rule: str) -> ResponseReturnValue:
    """Publish what the preflight showed."""
    draft = office().campaigns.draft(rule)
    if draft is not None and typed("seen") != str(draft.saved_ms):
        raise Refusal("DRAFT_CHANGED")
    version = office().campaigns.publish(rule, by=me())
    flash(
        gettext(
            "Published as version %(version)s. Below you see each shop answer.", version=version
        )
    )
    return redirect(url_for("campaigns.campaign", rule=rule))


@pages.post("/promotions/preflight")
@needs("publish_promotion")
def part() -> ResponseReturnValue:
    """For the editor: the preflight of the document as it stands; nothing when it has faults."""
    if (request.content_length or 0) > 2 * DOCUMENT_BYTES_MAX:
        raise Refusal("DRAFT_TOO_LARGE")
    try:
        document = msgspec.json.decode(request.get_data())
        report = office().preflighting.report(document)
    except (RuleFaults, msgspec.DecodeError):
        return "", 200
    return render_template("parts/preflight.html", **_with_names(report, report.rule))
