"""What head office says about goods, prices, promotions and shops."""

from typing import Any

from protocol.events.registry import Event


class ProductCode(Event, frozen=True, kw_only=True):
    """One barcode of a product; one scan of it is `pack_qty_milli` units."""

    code: str
    pack_qty_milli: int = 1000


class ProductListed(Event, frozen=True, kw_only=True):
    """A product as it is from now on; no product without a promotion group (R68)."""

    sku: str
    name: dict[str, str]
    group: str
    tax_rate_bp: int
    decimals: int = 2
    unit: str = "pc"  # pc, kg, m, l
    weighed: bool = False
    no_discount: bool = False
    floor_minor: int | None = None
    codes: tuple[ProductCode, ...] = ()
    active: bool = True


class GroupDefined(Event, frozen=True, kw_only=True):
    """A promotion group."""

    group: str
    name: dict[str, str]


class PriceSet(Event, frozen=True, kw_only=True):
    """The list price, tax included, from an instant on. In `all` for the chain, else per zone."""

    sku: str
    price_minor: int
    effective_from_ms: int = 0
    currency: str = "CNY"


class PromotionPublished(Event, frozen=True, kw_only=True):
    """A rule as promotions.rule reads it; protocol only carries it."""

    rule: str
    version: int
    document: dict[str, Any]


class PromotionWithdrawn(Event, frozen=True, kw_only=True):
    """The rule ends now."""

    rule: str
    version: int


class RulesRefreshRequested(Event, frozen=True, kw_only=True):
    """Every shop compiles its rules anew and answers this request with `RulesInForce`."""

    request: str
    rule: str  # why somebody asked; the whole set is compiled


class StoreAdded(Event, frozen=True, kw_only=True):
    """A shop of the chain, or its new data."""

    store: str
    name: dict[str, str]
    zone: str
    group: str  # neighbours who see each other's stock
    tz: str  # IANA
    currency: str = "CNY"


class NodeAccepted(Event, frozen=True, kw_only=True):
    """In `to/{store}`: this key signs for the shop from now on."""

    node: str
    public_key: str  # Ed25519, 64 hex digits


class CertificateIssued(Event, frozen=True, kw_only=True):
    """In `to/{store}`: the chain's authority vouches for this node's connections."""

    node: str
    serial: str  # hex
    until_ms: int
    renewal: bool = False  # False: enrolled with a token


class NodeRevoked(Event, frozen=True, kw_only=True):
    """In `to/{store}`: neither the node's certificates nor its key count any more."""

    node: str
    public_key: str  # the key that signed until now; empty when there was none
    serials: tuple[str, ...] = ()
    reason: str = ""
    second: str = ""  # who confirmed it


class ForkJudged(Event, frozen=True, kw_only=True):
    """In `to/{store}` (of head office's own journals: `all`): what people said a fork was."""

    stream: str
    parent_seq: int
    parent_hash: str
    ruling: str  # restored: both ways stay; clone: one of them is a copy's
    epochs: tuple[str, ...] = ()  # of the copy: banned from the fork on
    second: str = ""  # who confirmed it


class ChainSettings(Event, frozen=True, kw_only=True):
    """What the whole chain shares."""

    name: dict[str, str]
    currency: str = "CNY"
    receipt_footer: dict[str, str] = {}
    store_code_prefixes: tuple[str, ...] = ()  # weighed-goods barcodes, "20:item5:weight5"


class PersonSet(Event, frozen=True, kw_only=True):
    """In `to/{store}`: somebody who may work there. The hash is argon2id with the shop's pepper."""

    person: str
    name: str
    role: str
    pin_hash: str
    active: bool = True
