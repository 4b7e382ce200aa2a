"""What the JSON API takes and gives. Requests are pydantic, answers are the node's own structs."""

from typing import Annotated, Any, Final

import msgspec
from flask import Response
from flask_openapi3.models.schema import Schema
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from edge.views import BasketView, PaidSale, PaymentView, ReasonView, TenderIn
from edge.weighing import TARE_MAX_G, WeighingView
from protocol.money import MINOR_MAX
from protocol.quantity import MILLI_MAX

Id = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Words = Annotated[str, Field(max_length=200)]


def _whole(value: object) -> object:
    """JSON knows no integers: 5.0 is 5, and 5.5 stays what it is and is refused."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Milli = Annotated[int, Field(gt=0, le=MILLI_MAX), BeforeValidator(_whole)]
MilliOrNone = Annotated[int, Field(ge=0, le=MILLI_MAX), BeforeValidator(_whole)]
Minor = Annotated[int, Field(ge=0, le=MINOR_MAX), BeforeValidator(_whole)]


class Body(BaseModel):
    """Root of requests: unknown fields and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ScanBody(Body):
    """One scan. `id` is made by the page: the same id twice is one scan."""

    id: Id
    raw: Annotated[str, Field(min_length=1, max_length=2048)]
    qty_milli: Milli | None = None


class AddBody(Body):
    """A product picked from a list."""

    id: Id
    sku: Id
    qty_milli: Milli | None = None


class ScreenBody(Body):
    """What the till's page shows; `away` when it is hidden or left."""

    screen: Annotated[str, Field(pattern="^(sale|tender|away)$")]
    page: Id


class LinePath(BaseModel):
    """A row of the basket."""

    line: Annotated[int, Field(ge=1, le=10**9)]


class QuantityBody(Body):
    """Another quantity of a row."""

    qty_milli: Milli


class TareBody(Body):
    """What the bag or the bowl weighs."""

    tare_g: Annotated[int, Field(ge=0, le=TARE_MAX_G), BeforeValidator(_whole)]


class HoldBody(Body):
    """Put aside."""

    note: Words = ""


class ResumeBody(Body):
    """Take up again."""

    held: Id


class TenderBody(Body):
    """Money handed over."""

    kind: Annotated[str, Field(pattern="^(cash|scan|card)$")]
    given_minor: Minor
    reference: Words = ""

    def told(self) -> TenderIn:
        """As the verbs take it."""
        return TenderIn(self.kind, self.given_minor, self.reference)


class PayBody(Body):
    """The sale's id comes with the basket: paying twice is one sale."""

    sale: Id
    tenders: Annotated[list[TenderBody], Field(min_length=1, max_length=8)]


Attempt = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,32}$")]


class PaymentBody(Body):
    """Money that is not cash. `attempt` is made by the page: the same one twice is one payment."""

    attempt: Attempt
    sale: Id
    kind: Annotated[str, Field(pattern="^(scan|card)$")]
    amount_minor: Minor
    code: Annotated[str, Field(max_length=80)] = ""


class PaymentPath(BaseModel):
    """A payment."""

    attempt: Attempt


class SaleBody(Body):
    """A recorded sale."""

    sale: Id


class ExplainQuery(BaseModel):
    """Which row (0: the whole basket), and whether rules that touch nothing are shown too."""

    line: Annotated[int, Field(ge=0, le=10**9)] = 0
    every: Annotated[int, Field(ge=0, le=1)] = 0


class SearchQuery(BaseModel):
    """Words, or the beginning of a code."""

    q: Annotated[str, Field(max_length=60)] = ""


class FindQuery(BaseModel):
    """A scanned or typed code."""

    code: Annotated[str, Field(min_length=1, max_length=2048)]


class PieceBody(Body):
    """So much of one product; a count may be 0."""

    sku: Id
    qty_milli: MilliOrNone


Pieces = Annotated[list[PieceBody], Field(min_length=1, max_length=500)]


class CountBody(Body):
    """A count, or a shop's opening stock."""

    document: Id
    lines: Pieces
    opening: bool = False
    note: Words = ""


class ReceiveBody(Body):
    """Goods from a supplier."""

    document: Id
    supplier: Annotated[str, Field(min_length=1, max_length=80)]
    lines: Pieces
    note: Words = ""


class ScrapBody(Body):
    """Goods thrown away."""

    document: Id
    reason: Annotated[str, Field(min_length=1, max_length=80)]
    lines: Pieces


class DispatchBody(Body):
    """Goods for another shop."""

    document: Id
    to_store: Id
    lines: Pieces
    note: Words = ""


class NoteBody(Body):
    """The text of a transfer note's QR."""

    text: Annotated[str, Field(min_length=1, max_length=2048)]


class TransferPath(BaseModel):
    """A transfer."""

    transfer: Id


class ArrivedBody(Body):
    """What came of one product; `broken_milli` of it is broken."""

    sku: Id
    qty_milli: MilliOrNone
    broken_milli: MilliOrNone = 0


class ArrivalBody(Body):
    """Goods from another shop; `by_note` is the QR's text when the news has not come yet."""

    receipt: Id
    lines: Annotated[list[ArrivedBody], Field(min_length=1, max_length=500)]
    by_note: Annotated[str, Field(max_length=2048)] = ""


class Said(msgspec.Struct, frozen=True):
    """An error: a stable code and a sentence for people."""

    code: str
    message: str
    detail: str = ""
    reference: str = ""


class HitView(msgspec.Struct, frozen=True):
    """A product that a search found."""

    sku: str
    zh: str
    en: str
    code: str
    unit: str
    decimals: int
    price_minor: int | None
    on_hand_milli: int


class Hits(msgspec.Struct, frozen=True):
    """Search results, best first."""

    hits: tuple[HitView, ...]


class FoundView(msgspec.Struct, frozen=True):
    """The product behind a code, or none."""

    found: HitView | None


class WeighingNow(msgspec.Struct, frozen=True):
    """What waits for its weight, with what lies on the scale, or nothing."""

    weighing: WeighingView | None


class Reasons(msgspec.Struct, frozen=True):
    """One verdict per rule."""

    reasons: tuple[ReasonView, ...]
    note: str = ""  # why newer promotions may be missing here, in the page's language


class HeldOut(msgspec.Struct, frozen=True):
    """A sale put aside."""

    held: str
    till: str
    person_name: str
    time: str
    items_milli: int
    first_zh: str
    first_en: str


class HeldList(msgspec.Struct, frozen=True):
    """All sales put aside in the shop."""

    held: tuple[HeldOut, ...]


class RecentOut(msgspec.Struct, frozen=True):
    """A finished sale."""

    sale: str
    receipt_number: str
    time: str
    total_minor: int
    items_milli: int


class RecentList(msgspec.Struct, frozen=True):
    """The newest first."""

    sales: tuple[RecentOut, ...]


class PaymentList(msgspec.Struct, frozen=True):
    """What is open at this till, oldest first."""

    payments: tuple[PaymentView, ...]


class Copy(msgspec.Struct, frozen=True):
    """A reprint."""

    copy_no: int


class Done(msgspec.Struct, frozen=True):
    """It is booked. `go` is the page to show next."""

    go: str
    message: str = ""


class NoteLine(msgspec.Struct, frozen=True):
    """One product on a note."""

    sku: str
    zh: str
    en: str
    unit: str
    decimals: int
    sent_milli: int


class NoteOut(msgspec.Struct, frozen=True):
    """What a note's QR says."""

    transfer: str
    from_store: str
    from_name: str
    known: bool  # the sender's news is here already
    lines: tuple[NoteLine, ...]


ANSWERS: Final[tuple[type[msgspec.Struct], ...]] = (
    Said, BasketView, Reasons, HeldList, PaidSale, RecentList, Copy, Done, WeighingNow,
    Hits, FoundView, NoteOut, PaymentView, PaymentList,
)  # fmt: skip
READING: Final[list[dict[str, list[Any]]]] = [{"browser": [], "session": []}]
WRITING: Final[list[dict[str, list[Any]]]] = [{"browser": [], "session": [], "form": []}]
FAULTS: Final = (400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)


def _described(text: str, name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def answers(kind: type[msgspec.Struct]) -> Any:
    """The documented answers of a call: its own struct, and the shape of every error."""
    found = {str(status): _described("An error", "Said") for status in FAULTS}
    summary = (kind.__doc__ or "").strip().split("\n")[0]
    return {"200": _described(summary, kind.__name__), **found}


def give(value: msgspec.Struct, status: int = 200) -> Response:
    """A struct as JSON."""
    return Response(msgspec.json.encode(value), status=status, mimetype="application/json")


def describe(app: OpenAPI) -> None:
    """Put the answers' schemas, made from the structs themselves, into the document."""
    _refs, schemas = msgspec.json.schema_components(
        ANSWERS, ref_template="#/components/schemas/{name}"
    )
    for name, schema in schemas.items():
        app.components_schemas[name] = Schema(**schema)
