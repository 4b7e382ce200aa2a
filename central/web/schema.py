"""The shapes of the JSON API; pydantic stays at this rim."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NO_NUL = r"^[^\x00]*$"  # no database stores one
Text = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=NO_NUL)]
Day = Annotated[str, StringConstraints(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
Whole = Annotated[int, Field(ge=1, le=1_000_000)]


class Fault(BaseModel):
    """Why something was not done: a stable code and a sentence for people."""

    code: str
    sentence: str


class Query(BaseModel):
    """Questions refuse what they do not know."""

    model_config = ConfigDict(extra="forbid")


class Search(Query):
    """A page of a searched list."""

    search: Text = ""
    page: Whole = 1


class StockSearch(Search):
    """`store` keeps what this shop has."""

    store: Text = ""


class SalesQuery(Query):
    """Newest first."""

    store: Text = ""
    business_date: Day = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class DayQuery(Query):
    """Empty = today, in each shop's own zone."""

    business_date: Day = ""


class SkuPath(BaseModel):
    """One product."""

    sku: Id


class RulePath(BaseModel):
    """One promotion."""

    rule: Id


class SalePath(BaseModel):
    """One sale."""

    store: Id
    sale: Id


class Now(BaseModel):
    """Head office's clock, and how far it has told what changed."""

    now: int
    mark: str


class Rows(BaseModel):
    """A list, and how long it is in all."""

    total: int
    rows: list[dict[str, Any]]


class One(BaseModel):
    """One thing with its fields."""

    item: dict[str, Any]


class RuleDocument(BaseModel):
    """A promotion rule to be checked."""

    model_config = ConfigDict(extra="forbid")
    document: dict[str, Any]


class RuleFault(BaseModel):
    """One thing that is wrong with a rule."""

    path: str
    found: str
    expected: str
    words: str
    sentence: str


class Checked(BaseModel):
    """Every fault of a rule; none = it may be published."""

    faults: list[RuleFault]
