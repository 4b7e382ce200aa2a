# ruff: noqa: INP001 - a script, not a package
"""The reference parts of docs/: every error code, message and event, taken from the code.

python docs/make_reference.py            write docs/errors.md and the tables in docs/wire.md
python docs/make_reference.py --check    exit 1 when one of them is not what the code says
"""

import ast
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec

from protocol import events, wire
from protocol.errors import SENTENCES
from protocol.events import TYPES, VERSION
from protocol.folds import SHOP_SAYS

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PACKAGES = ("protocol", "promotions", "devices", "edge", "central")
MESSAGES = (
    ("Batch", "`journal`", "yes"),
    ("Ack", "`ack`", "yes"),
    ("Hello", "`state`", "yes"),
    ("Manifest", "`manifest`", "yes"),
    ("Heartbeat", "`hb`", "no"),
    ("Request", "`req`", "no"),
    ("StockFigures", "`stock`, `rsp`", "no"),
    ("Beacon", "`clock`", "yes"),
    ("CertificateRequest", "`cert`", "yes"),
    ("CertificateAnswer", "`cert`", "yes"),
)
PARTS = ("Cursor", "Clk", "ClockFacts", "ScreenClock")
NODES = {"EpochStarted", "ClockConfirmed", "CertificateTaken", "PaymentReversed"}
NODES |= {"ReceiptReprinted", "StockDigest"}


def load_all() -> None:
    """Import every module of the product, so that every error code is known."""
    for package in PACKAGES:
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)


@cache
def homes() -> dict[str, str]:
    """Error code -> the module that defines it."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for code in re.findall(r'^ *"([A-Z][A-Z0-9_]+)": \(', text, re.MULTILINE):
                found.setdefault(code, path.relative_to(ROOT).as_posix())
    return found


def cell(text: str) -> str:
    """A sentence inside a table."""
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", text).replace("|", "\\|").replace("\n", " ")


def errors_page() -> str:
    """docs/errors.md."""
    load_all()
    lines = [
        "# Every code that people can meet",
        "",
        "<!-- made by docs/make_reference.py: change the sentence in the code, then run it -->",
        "",
        "Each sentence on a screen, in a log or on a command line comes with a stable code in",
        "brackets. Words in *italics* are filled in. 每条提示都带有固定代码，斜体部分由系统填写。",
    ]
    for package in PACKAGES:
        codes = sorted(c for c in SENTENCES if homes().get(c, "").startswith(f"{package}/"))
        if codes:
            lines += ["", f"## {package}", "", "| Code | English | 中文 |", "|---|---|---|"]
            lines += [
                f"| `{c}` | {cell(SENTENCES[c][0])} | {cell(SENTENCES[c][1])} |" for c in codes
            ]
    return "\n".join(lines) + "\n"


def comments(module: Any, kind: str) -> dict[str, str]:
    """Field -> the comment beside it in the source."""
    path = Path(str(module.__file__))
    source = path.read_text(encoding="utf-8")
    tree = next(n for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name == kind)
    rows = source.splitlines()
    said = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _, mark, words = rows[node.lineno - 1].partition("  # ")
            said[node.target.id] = words if mark else ""
    return said


def type_name(kind: Any) -> str:
    """A type as people read it."""
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    for long, short in (
        ("typing.", ""),
        ("msgspec.Raw", "raw JSON"),
        (", ...]", "]"),
        ("tuple[", "list of ["),
        ("NoneType", "null"),
        ("None", "null"),
        ("Any", "any"),
    ):
        text = text.replace(long, short)
    return re.sub(r"\bprotocol\.[\w.]+\.(\w+)", r"\1", text)


def field_rows(module: Any, kind: Any) -> Iterable[str]:
    """One row per field."""
    words = comments(module, kind.__name__)
    for field in msgspec.structs.fields(kind):
        name = type_name(field.type).replace("|", "\\|")
        need = "needed" if field.required else ""
        yield f"| `{field.encode_name}` | {name} | {need} | {words.get(field.name, '')} |"


def table(module: Any, kind: Any) -> list[str]:
    """All fields of a struct."""
    head = ["| Field | Type | | |", "|---|---|---|---|"]
    return [*head, *field_rows(module, kind)]


def first_line(kind: Any) -> str:
    """What a struct is, in one sentence or paragraph."""
    return " ".join((kind.__doc__ or "").split())


def messages_part() -> str:
    """Every message between nodes."""
    lines: list[str] = []
    for name, leaf, signed in MESSAGES:
        kind = getattr(wire, name)
        lines += [f"### `{name}`", "", f"On {leaf}; signed: {signed}. {first_line(kind)}", ""]
        lines += [*table(wire, kind), ""]
    for name in PARTS:
        kind = getattr(wire, name)
        lines += [f"### `{name}` (inside others)", "", first_line(kind), "", *table(wire, kind), ""]
    return "\n".join(lines)


def writer(name: str) -> str:
    """Who may say it."""
    if name in NODES:
        return "any node" if name == "EpochStarted" else "a shop"
    return "a shop" if TYPES[name] in SHOP_SAYS else "head office"


def events_part() -> str:
    """Every event of the business, and the records inside them."""
    lines: list[str] = []
    inner = [
        kind
        for name in events.__all__
        if isinstance(kind := getattr(events, name), type)
        and issubclass(kind, events.Event)
        and kind is not events.Event
        and name not in TYPES
    ]
    for name, kind in TYPES.items():
        lines += [f"### `{name}`", "", f"Version {VERSION[name]}, said by {writer(name)}. "]
        lines[-1] += first_line(kind)
        lines += ["", *table(sys.modules[kind.__module__], kind), ""]
    for kind in inner:
        lines += [f"### `{kind.__name__}` (inside others)", "", first_line(kind), ""]
        lines += [*table(sys.modules[kind.__module__], kind), ""]
    return "\n".join(lines)


def between(text: str, name: str, part: str) -> str:
    """Put a made part between its marks."""
    start, end = f"<!-- made: {name} -->", f"<!-- end: {name} -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    if not after and end not in text:
        raise SystemExit(f"docs/wire.md has no marks for {name}")
    return f"{before}{start}\n\n{part}\n{end}{after}"


def pages() -> dict[Path, str]:
    """Each page as it must be."""
    wire_page = (DOCS / "wire.md").read_text(encoding="utf-8")
    wire_page = between(wire_page, "messages", messages_part())
    wire_page = between(wire_page, "events", events_part())
    return {DOCS / "errors.md": errors_page(), DOCS / "wire.md": wire_page}


def main() -> int:
    """Write or compare."""
    stale = 0
    for path, text in pages().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in sys.argv:
            sys.stdout.write(f"{path.relative_to(ROOT)} is old: python docs/make_reference.py\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)} written\n")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
