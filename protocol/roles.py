"""Who may do what: one table."""

from typing import Final

from protocol.errors import Refusal, define

ROLES: Final[dict[str, dict[str, str]]] = {
    "cashier": {"en": "Cashier", "zh": "收银员"},
    "manager": {"en": "Store manager", "zh": "店长"},
    "buyer": {"en": "Buyer", "zh": "采购"},
    "admin": {"en": "Head office admin", "zh": "总部管理员"},
}

MAY: Final[dict[str, frozenset[str]]] = {
    # at a shop
    "sell": frozenset({"cashier", "manager"}),
    "shift": frozenset({"cashier", "manager"}),
    "override": frozenset({"manager"}),
    "see_stock": frozenset({"cashier", "manager", "buyer", "admin"}),
    "receive": frozenset({"manager"}),
    "count": frozenset({"manager"}),
    "scrap": frozenset({"manager"}),
    "transfer": frozenset({"manager"}),
    "pair_till": frozenset({"manager"}),
    "confirm_time": frozenset({"manager", "admin"}),
    "see_health": frozenset({"cashier", "manager", "buyer", "admin"}),
    # at head office
    "see_chain": frozenset({"buyer", "admin"}),
    "list_product": frozenset({"buyer", "admin"}),
    "set_price": frozenset({"buyer", "admin"}),
    "publish_promotion": frozenset({"buyer", "admin"}),
    "settle_dispute": frozenset({"buyer", "admin"}),
    "manage_people": frozenset({"admin"}),
    "manage_stores": frozenset({"admin"}),
}

define(
    {
        "NOT_ALLOWED": (
            "Your role ({role_en}) may not do this. Nothing was changed. Ask: {needed_en}.",
            "您的角色（{role_zh}）无权进行此操作。没有任何更改。请联系：{needed_zh}。",
        ),
    }
)


def may(role: str, action: str) -> bool:
    """Is this action open to this role? KeyError for an action that is not in the table."""
    return role in MAY[action]


def _name(role: str, language: str) -> str:
    return ROLES.get(role, {}).get(language, role)


def demand(role: str, action: str) -> None:
    """Raise NOT_ALLOWED unless the role may."""
    if not may(role, action):
        needed = [r for r in ROLES if r in MAY[action]]
        raise Refusal(
            "NOT_ALLOWED",
            action=action,
            role_en=_name(role, "en"),
            role_zh=_name(role, "zh"),
            needed_en=" / ".join(_name(r, "en") for r in needed),
            needed_zh="、".join(_name(r, "zh") for r in needed),
        )
