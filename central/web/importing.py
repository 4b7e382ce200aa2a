"""Products from and to CSV: look first, then take; faults by row and column."""

import csv
import io
from typing import Final

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from central.web.language import language
from central.web.office import me, office
from central.web.session import needs
from protocol.errors import Refusal, define

pages = Blueprint("importing", __name__)
FAULTS_SHOWN: Final = 200
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

define(
    {
        "UPLOAD_MISSING": (
            "Choose a CSV file, or paste its rows. Nothing was read.",
            "请选择 CSV 文件或粘贴内容。尚未读取任何数据。",
        ),
        "UPLOAD_UNREADABLE": (
            "The file is no text in UTF-8 or GB18030. Save it as CSV (UTF-8) and send it again.",
            "文件不是 UTF-8 或 GB18030 文本。请另存为 CSV（UTF-8）后重新上传。",
        ),
    }
)


def decode(data: bytes) -> str:
    """Text as spreadsheets save it: UTF-8, or GB18030 as Chinese Excel does."""
    for name in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    raise Refusal("UPLOAD_UNREADABLE")


def _text() -> str:
    file = request.files.get("file")
    text = decode(file.read()) if file and file.filename else request.form.get("text", "")
    if not text.strip():
        raise Refusal("UPLOAD_MISSING")
    return text


def neutral(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(cell)
    return f"'{text}" if text.startswith(FORMULA) else text


def download(text: str, name: str) -> Response:
    """A CSV file; the mark in front makes Excel read UTF-8."""
    return Response(
        "\ufeff" + text.removeprefix("\ufeff"),
        mimetype="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@pages.get("/products/import")
@needs("list_product")
def start() -> ResponseReturnValue:
    """Choose a file."""
    return render_template("import.html", nav_mark="catalogue")


@pages.post("/products/import")
@needs("list_product")
def run() -> ResponseReturnValue:
    """Preview, take over, or download the faults."""
    wish = request.form.get("do", "preview")
    try:
        text = _text()
        result = office().catalogue.import_csv(text, by=me(), apply=wish == "apply")
    except Refusal as fault:
        return render_template("import.html", fault=fault, nav_mark="catalogue"), 422
    if wish == "faults":
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["row", "column", "code", "fault"])
        for each in result.faults:
            cells = (each.row, each.column, each.code, each.sentence(language()))
            writer.writerow([neutral(cell) for cell in cells])
        return download(out.getvalue(), "faults.csv")
    return render_template(
        "import.html",
        result=result,
        text=text,
        shown=result.faults[:FAULTS_SHOWN],
        nav_mark="catalogue",
    )


@pages.get("/products/export.csv")
@needs("see_chain")
def export() -> Response:
    """All products."""
    return download(office().catalogue.export_csv(), "products.csv")
