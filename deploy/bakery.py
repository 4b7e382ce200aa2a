"""A bakery chain to look at: goods with real check digits, groups, prices, promotions, people."""

import csv
import io
from typing import Any, Final

from stdnum import ean

CHAIN: Final = "maihua"
NAME: Final = {"zh": "麦花烘焙", "en": "Maihua Bakery"}
TZ: Final = "Asia/Shanghai"

STORES: Final = (
    {"store": "S1", "zh": "人民路店", "en": "People's Road", "zone": "city", "group": "east"},
    {"store": "S2", "zh": "大学城店", "en": "University Town", "zone": "campus", "group": "east"},
)

# group -> (zh, en, tax basis points, unit, decimals)
GROUPS: Final = {
    "bread": ("面包类", "Bread", 1300, "pc", 0),
    "toast": ("吐司类", "Toast", 1300, "pc", 0),
    "cake": ("蛋糕类", "Cake", 1300, "pc", 0),
    "pastry": ("酥点类", "Pastry", 1300, "pc", 0),
    "sandwich": ("三明治类", "Sandwich", 1300, "pc", 0),
    "drink": ("饮品类", "Drinks", 1300, "pc", 0),
    "cookie": ("散称饼干", "Loose cookies", 1300, "kg", 3),
    "trial": ("新品测试", "New on trial", 1300, "pc", 0),
}

_FLAVOURS: Final = (
    ("红豆", "Red bean", 0),
    ("芋泥", "Taro", 100),
    ("肉松", "Pork floss", 150),
    ("奶酥", "Milk crumble", 50),
    ("椰蓉", "Coconut", 0),
    ("抹茶", "Matcha", 150),
    ("可可", "Cocoa", 100),
    ("全麦", "Wholemeal", 50),
    ("黑芝麻", "Black sesame", 80),
    ("蔓越莓", "Cranberry", 180),
    ("核桃", "Walnut", 200),
    ("杏仁", "Almond", 160),
    ("原味", "Plain", -50),
)
# group -> shapes (zh, en, price in fen before the flavour's part)
_SHAPES: Final[dict[str, tuple[tuple[str, str, int], ...]]] = {
    "bread": (
        ("面包", "bread", 600),
        ("餐包", "roll", 350),
        ("软欧包", "soft loaf", 1_400),
        ("麻薯包", "mochi bun", 780),
    ),
    "toast": (("吐司", "toast", 1_250), ("厚切吐司", "thick toast", 1_600)),
    "cake": (
        ("杯子蛋糕", "cupcake", 850),
        ("瑞士卷", "Swiss roll", 1_680),
        ("千层", "crepe cake", 2_800),
    ),
    "pastry": (("酥", "flaky pastry", 550), ("蛋挞", "egg tart", 480), ("泡芙", "cream puff", 650)),
    "cookie": (("曲奇", "butter cookies", 5_600), ("桃酥", "peach crisp", 3_980)),
}
_SINGLES: Final = (
    ("sandwich", "火腿芝士三明治", "Ham and cheese sandwich", 1_380),
    ("sandwich", "金枪鱼三明治", "Tuna sandwich", 1_580),
    ("sandwich", "鸡蛋沙拉三明治", "Egg salad sandwich", 1_180),
    ("sandwich", "牛油果鸡胸三明治", "Avocado chicken sandwich", 1_980),
    ("drink", "美式咖啡", "Americano", 1_200),
    ("drink", "拿铁", "Latte", 1_600),
    ("drink", "卡布奇诺", "Cappuccino", 1_600),
    ("drink", "热巧克力", "Hot chocolate", 1_500),
    ("drink", "纯牛奶 250ml", "Milk 250 ml", 550),
    ("drink", "酸奶 200g", "Yoghurt 200 g", 700),
    ("drink", "豆浆", "Soy milk", 450),
    ("drink", "鲜橙汁", "Fresh orange juice", 1_400),
    ("drink", "柠檬红茶", "Lemon tea", 900),
    ("drink", "乌龙茶", "Oolong tea", 900),
    ("drink", "矿泉水 550ml", "Mineral water 550 ml", 250),
    ("drink", "苏打水 330ml", "Soda water 330 ml", 400),
    ("trial", "岩盐卷", "Sea salt roll", 880),
    ("trial", "桂花酒酿包", "Osmanthus rice-wine bun", 980),
    ("trial", "咸蛋黄流心酥", "Salted egg lava pastry", 1_080),
    ("trial", "椒麻鸡丝包", "Spicy chicken bun", 1_180),
)


def gtin(number: int) -> str:
    """An EAN-13 under a Chinese prefix with its right check digit."""
    body = f"69012345{number:04d}"
    return body + str(ean.calc_check_digit(body))


def goods() -> list[dict[str, str]]:
    """About 200 products as rows of head office's CSV import."""
    wanted: list[tuple[str, str, str, int]] = [
        (group, flavour[0] + shape[0], f"{flavour[1]} {shape[1]}", shape[2] + flavour[2])
        for group, shapes in _SHAPES.items()
        for shape in shapes
        for flavour in _FLAVOURS
    ]
    wanted += _SINGLES
    return [_row(n, *product) for n, product in enumerate(wanted, 1)]


def _row(n: int, group: str, zh: str, en: str, price: int) -> dict[str, str]:
    _, _, tax_bp, unit, decimals = GROUPS[group]
    weighed = unit == "kg"
    code = f"{n:05d}" if weighed else gtin(n)  # a scale prints the item number into its own code
    return {
        "sku": f"P{n:04d}",
        "name_zh": zh,
        "name_en": en,
        "group": group,
        "tax_rate": f"{tax_bp / 100:g}",
        "unit": unit,
        "decimals": str(decimals),
        "weighed": "yes" if weighed else "no",
        "codes": code,
        "price": f"{price / 100:.2f}",
    }


def goods_csv() -> str:
    """The same as CSV text."""
    rows = goods()
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


PROMOTIONS: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "bread-3for2",
        "name": {"zh": "面包买二送一", "en": "Bread: buy 2, get 1 free"},
        "type": "bundle",
        "slots": [{"select": {"groups": ["bread"]}, "qty": 3}],
        "effect": {"kind": "free", "on": "cheapest:1"},
    },
    {
        "id": "evening-pastry",
        "name": {"zh": "晚间酥点八折", "en": "Evening pastry, 20 % off"},
        "type": "percent_off",
        "select": {"groups": ["pastry"]},
        "percent": 20,
        "when": {"daily": {"from": "19:00", "to": "22:00"}},
    },
    {
        "id": "drink-second-half",
        "name": {"zh": "饮品第二杯半价", "en": "Second drink at half price"},
        "type": "bundle",
        "slots": [{"select": {"groups": ["drink"]}, "qty": 2}],
        "effect": {"kind": "percent", "percent": 50, "on": "cheapest:1"},
    },
)

# person, name, role, PIN, shops
PEOPLE: Final = (
    ("li", "李娜", "cashier", "2580", ("S1",)),
    ("wang", "王芳", "manager", "135790", ("S1",)),
    ("zhao", "赵磊", "cashier", "3690", ("S2",)),
    ("chen", "陈静", "manager", "246801", ("S2",)),
)
HQ_ACCOUNTS: Final = (
    ("admin", "总部管理员", "admin", "maihua-admin-2026"),
    ("buyer", "采购 周敏", "buyer", "maihua-buyer-2026"),
)


def opening_stock(store: str) -> list[tuple[str, int]]:
    """(sku, thousandths) on the shelf on the first morning; differs per shop, never zero."""
    shift = 3 if store == "S1" else 7
    return [
        (row["sku"], (8 + (n * shift) % 41) * (1000 if row["unit"] == "pc" else 500))
        for n, row in enumerate(goods())
    ]
