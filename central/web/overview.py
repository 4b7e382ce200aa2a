"""The first page: today's figures per shop, what sells now, what needs somebody."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from central.sales import DayFigures
from central.web import charts
from central.web.chain import shops
from central.web.hours import HourFigures, hours
from central.web.language import store_name
from central.web.office import office
from central.web.session import needs

pages = Blueprint("overview", __name__)
STREAM_SHOWN = 12


def hours_picture(rows: list[HourFigures]) -> charts.Picture:
    """Takings by hour, stacked by shop."""
    busy = [row.hour for row in rows]
    first, last = min([8, *busy]), max([20, *busy])
    series: dict[str, dict[int, int]] = {}
    for row in rows:
        series.setdefault(row.store, {})[row.hour - first] = row.total_minor
    names = sorted(series)
    return charts.stacked(
        [f"{hour:02d}" for hour in range(first, last + 1)],
        {name: series[name] for name in names},
        words={name: store_name(name) for name in names},
    )


def totals(days: list[DayFigures]) -> list[tuple[str, int]]:
    """Takings per currency."""
    found: dict[str, int] = {}
    for day in days:
        found[day.currency] = found.get(day.currency, 0) + day.total_minor
    return sorted(found.items()) or [("CNY", 0)]


def _figures() -> dict[str, object]:
    house = office()
    days = house.sales.days()
    chain = shops()
    in_transit = house.transfers.in_transit()
    return {
        "days": {day.store: day for day in days},
        "totals": totals(days),
        "sales_count": sum(day.sales for day in days),
        "discount": sum(day.discount_minor for day in days),
        "shops": chain,
        "online": sum(shop.online for shop in chain),
        "in_transit": in_transit,
        "disputes": [t for t in in_transit if t.state == "disputed"],
        "alarms": house.alarms.alarms(),
        "picture": hours_picture(hours({day.store: day.business_date for day in days})),
    }


@pages.get("/")
@needs("see_chain")
def overview() -> ResponseReturnValue:
    """Overview."""
    rows = office().sales.sales(limit=STREAM_SHOWN)
    return render_template("overview.html", rows=rows, **_figures())


@pages.get("/overview/tiles")
@needs("see_chain")
def tiles() -> ResponseReturnValue:
    """The live part with the four figures."""
    return render_template("parts/overview_tiles.html", **_figures())


@pages.get("/overview/figures")
@needs("see_chain")
def figures() -> ResponseReturnValue:
    """The live part with figures, shops and alarms."""
    return render_template("parts/overview_figures.html", **_figures())


@pages.get("/overview/stream")
@needs("see_chain")
def stream() -> ResponseReturnValue:
    """The live part with the newest sales."""
    rows = office().sales.sales(limit=STREAM_SHOWN)
    return render_template("parts/sales_stream.html", rows=rows)
