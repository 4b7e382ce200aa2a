"""Every kind of rule is one module here and one line in `KINDS`.

A kind reads its own fields (`read`) and does its own arithmetic:

- line kinds (`rate`, `compound`): k units of a line give `hu(k * rate)`, a compound line its share;
- `tier_qty`: one of the line kinds, chosen by the covered quantity;
- `bundle`: units taken together;
- order kinds (`offer`, `thresholds`): an amount off the selected lines after all item rules.
"""

from types import ModuleType
from typing import Final, NamedTuple

from promotions.kinds import (
    amount_off,
    bundle,
    fixed_price,
    gift,
    order_amount,
    order_percent,
    percent_off,
    tier_qty,
)


class Kind(NamedTuple):
    """`stage` says where in the order of evaluation it belongs: line, tier, bundle or order."""

    stage: str
    module: ModuleType


Terms = (
    percent_off.Percent
    | amount_off.Amount
    | fixed_price.Price
    | tier_qty.Tiers
    | bundle.Bundle
    | order_amount.OrderAmount
    | order_percent.OrderPercent
    | gift.Gift
)

KINDS: Final[dict[str, Kind]] = {
    "percent_off": Kind("line", percent_off),
    "amount_off": Kind("line", amount_off),
    "fixed_price": Kind("line", fixed_price),
    "tier_qty": Kind("tier", tier_qty),
    "bundle": Kind("bundle", bundle),
    "order_amount": Kind("order", order_amount),
    "order_percent": Kind("order", order_percent),
    "gift": Kind("order", gift),
}
