"""Fuzz `python -m promotions` by coverage: `python -m tests.fuzz.promotions -runs=100000`.

Two ways in: raw bytes as a line, and a worked case with odd values put in odd places. The answer is
one JSON object, in bounded time, and its parts sum to its whole. The arguments are libFuzzer's;
atheris comes with the extra `fuzz`.
"""

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["promotions", "protocol"]):
    from promotions.__main__ import Compiler, answer_line

DATA: Final = Path(__file__).parent.parent / "data" / "promotions"
CASES: Final = [
    case
    for name in ("cases.json", "own_cases.json")
    for case in json.loads((DATA / name).read_text(encoding="utf-8"))["cases"]
]
ODD: Final = (
    None, True, False, 0, -1, 1, 2**53, 10**20, -(10**20), 0.1, -0.0, 1e300, "", "0.1", "1e999",
    "NaN", "-0", "９", "\x00", "99999999999999999999", "2026-02-30T25:61", "2026-01-17T24:00",
    "Europe/Nowhere", [], {}, [None], [[]], {"all": True}, {"": ""},
)  # fmt: skip
TIMEOUT_S: Final = 30  # for one answer


def places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values of a document, in its own order."""
    inner = found.items() if isinstance(found, dict) else enumerate(found)
    made: list[tuple[Any, ...]] = []
    for key, value in inner:
        made.append((*path, key))
        if isinstance(value, dict | list):
            made += places(value, (*path, key))
    return made


def odd_case(data: "atheris.FuzzedDataProvider") -> Any:
    """A worked case with up to four values replaced."""
    case = json.loads(json.dumps(CASES[data.ConsumeIntInRange(0, len(CASES) - 1)]))
    for _ in range(data.ConsumeIntInRange(1, 4)):
        paths = places(case)
        if not paths:
            break
        *way, last = paths[data.ConsumeIntInRange(0, len(paths) - 1)]
        inner = case
        for key in way:
            inner = inner[key]
        kind = data.ConsumeIntInRange(0, 3)
        if kind == 0:
            inner[last] = data.ConsumeInt(8)
        elif kind == 1:
            inner[last] = data.ConsumeUnicodeNoSurrogates(12)
        elif kind == 2 and isinstance(inner, dict):
            del inner[last]
        else:
            inner[last] = deepcopy(ODD[data.ConsumeIntInRange(0, len(ODD) - 1)])
    return case


def one_input(raw: bytes) -> None:
    """One request, one answer."""
    data = atheris.FuzzedDataProvider(raw)
    line = (
        data.ConsumeBytes(1 << 16).decode("utf-8", "replace")
        if data.ConsumeIntInRange(0, 7) == 0
        else json.dumps(odd_case(data))
    )
    answer = answer_line(line, Compiler())
    json.dumps(answer)
    if "error" in answer or "refunds_minor" in answer:
        return
    assert sum(answer["per_line"]) == answer["total_discount_minor"] >= 0, answer
    assert answer["total_discount_minor"] <= answer["upper_bound_minor"] or answer["exact"], answer


def main() -> None:
    """Hand over to libFuzzer; it ends the process with 0 when nothing was found."""
    atheris.Setup([sys.argv[0], f"-timeout={TIMEOUT_S}", "-max_len=4096", *sys.argv[1:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
