"""What somebody should look at now."""

from flask import Blueprint, g, render_template
from flask.typing import ResponseReturnValue

from central.web.office import office, session_or_none
from central.web.session import needs

pages = Blueprint("alarms", __name__)


def count() -> int:
    """How many alarms are open; counted once per page."""
    if session_or_none() is None:
        return 0
    if "alarm_count" not in g:
        g.alarm_count = len(office().alarms.alarms())
    return int(g.alarm_count)


@pages.get("/alarms")
@needs("see_health")
def alarms() -> ResponseReturnValue:
    """All alarms."""
    return render_template("alarms.html", alarms=office().alarms.alarms())


@pages.get("/alarms/list")
@needs("see_health")
def listing() -> ResponseReturnValue:
    """The live part."""
    return render_template("parts/alarm_list.html", alarms=office().alarms.alarms())
