"""How one part of the node is, in words: its name, what is the matter, what still works."""

from typing import Final, Literal

import msgspec

from edge.words import Notice
from protocol.wire import SENTENCE_MAX, Complaint

State = Literal["ok", "warn", "bad"]
# part -> its name (en, zh)
NAMES: Final[dict[str, tuple[str, str]]] = {
    "printer": ("Printer", "打印机"),
    "scanner": ("Scanner", "扫码枪"),
    "scale": ("Scale", "电子秤"),
    "display": ("Customer display", "顾客显示屏"),
    "labels": ("Label printer", "标签打印机"),
    "disk": ("Disk", "磁盘"),
    "database": ("Database", "数据库"),
    "broker": ("Internet", "网络"),
    "central": ("Head office", "总部"),
    "clock": ("Clock", "时钟"),
    "screen": ("Browser clock at till", "收银台浏览器时钟"),
    "rules": ("Promotions", "促销"),
    "prices": ("Prices", "价格"),
    "queue": ("Waiting to be sent", "待上传"),
    "parked": ("Messages", "消息"),
    "payments": ("Payments", "收款记录"),
    "backup": ("Backup", "备份"),
    "certificate": ("Certificate", "证书"),
}
# part -> what still works while it is not well (en, zh)
STILL: Final[dict[str, tuple[str, str]]] = {
    "printer": ("Selling goes on; receipts wait.", "可照常销售，小票排队等待。"),
    "scanner": ("Type codes or search by name.", "可手工输入条码或按名称查找。"),
    "scale": (
        "Selling goes on. Weighed goods: use a scale label, or type the weight; it is marked.",
        "可照常销售。称重商品请用秤签或手工输入重量（会有标记）。",
    ),
    "display": (
        "Selling goes on; the customer's window on a screen works too.",
        "可照常销售；也可使用屏幕上的顾客显示窗口。",
    ),
    "labels": ("Selling goes on; labels can be printed later.", "可照常销售，标签可稍后打印。"),
    "disk": ("What was sold is safe.", "已完成的销售均已保存。"),
    "database": ("What was sold is safe.", "已完成的销售均已保存。"),
    "broker": (
        "Selling, printing, prices and promotions work; records are sent later.",
        "销售、打印、价格和促销均可用，记录稍后上传。",
    ),
    "central": (
        "Selling, printing, prices and promotions work; records are sent later.",
        "销售、打印、价格和促销均可用，记录稍后上传。",
    ),
    "clock": (
        "Selling goes on; timed promotions may wait.",
        "可照常销售，限时促销可能暂不生效。",
    ),
    "screen": (
        "Everything works: only the shop computer's clock counts.",
        "一切正常：系统只使用门店电脑的时钟。",
    ),
    "rules": ("All other promotions apply.", "其他促销照常生效。"),
    "prices": ("The prices that came last apply.", "沿用最近收到的价格。"),
    "queue": ("Selling goes on; nothing is lost.", "可照常销售，数据不会丢失。"),
    "parked": ("Everything else works.", "其他功能正常。"),
    "payments": (
        "Selling goes on; the money is asked about by itself.",
        "可照常销售，系统会自动查询这些款项。",
    ),
    "certificate": (
        "Selling, printing, prices and promotions work; records are sent later.",
        "销售、打印、价格和促销均可用，记录稍后上传。",
    ),
    "backup": (
        "Everything works; head office holds this shop's journal too.",
        "一切正常，总部也保存着本店的日志。",
    ),
}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How one part is; `code` is stable, "" when all is well.

    Parts: printer/{till}, scanner/{till}, scale/{till}, display/{till}, screen/{till}, labels,
    disk, database, broker, central, queue, clock, rules, prices, parked, payments, backup,
    certificate.
    """

    part: str
    state: State
    code: str = ""
    sentence_en: str = ""
    sentence_zh: str = ""
    can_still_en: str = ""
    can_still_zh: str = ""

    def name(self, language: str) -> str:
        """What people call the part, with its till."""
        kind, _, till = self.part.partition("/")
        en, zh = NAMES[kind]
        return f"{zh if language.startswith('zh') else en} {till}".rstrip()

    def sentence(self, language: str) -> str:
        """What is the matter."""
        return self.sentence_zh if language.startswith("zh") else self.sentence_en

    def can_still(self, language: str) -> str:
        """What still works."""
        return self.can_still_zh if language.startswith("zh") else self.can_still_en

    def complaint(self) -> Complaint:
        """The same for head office, whose people read neither keys nor codes."""
        return Complaint(
            state=self.state,
            code=self.code,
            name_en=self.name("en"),
            name_zh=self.name("zh"),
            en=_short(self.sentence_en),
            zh=_short(self.sentence_zh),
        )


def _short(text: str) -> str:
    """What a heartbeat may hold: a sentence can quote what a device said."""
    return text.replace("\0", "")[:SENTENCE_MAX]


def verdict(part: str, state: State, why: Notice | None = None) -> Verdict:
    """A verdict with what still works beside it."""
    if why is None:
        return Verdict(part=part, state=state)
    en, zh = STILL[part.partition("/")[0]]
    return Verdict(
        part=part,
        state=state,
        code=why.code,
        sentence_en=why.en,
        sentence_zh=why.zh,
        can_still_en=en,
        can_still_zh=zh,
    )
