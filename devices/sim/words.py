"""The page's words, and what its buttons may do."""

from typing import Final

ACTIONS: Final = frozenset(
    {
        "scan", "unplug", "plug", "paper-out", "paper-low", "paper-in", "cover-open",
        "cover-close", "power-off", "power-on", "weigh",
    }
)  # fmt: skip

_TEXTS: Final = {  # key -> (zh, en)
    "title": ("虚拟门店", "Virtual shop"),
    "intro": (
        "这里的打印机、钱箱和扫码枪都是模拟的，收银系统用真正的驱动连接它们。",
        "Printer, drawer and scanner here are simulated; tills talk to them with real drivers.",
    ),
    "till": ("收银台", "Till"),
    "scanner": ("扫码枪", "Scanner"),
    "printer": ("小票打印机", "Receipt printer"),
    "code": ("条码", "Code"),
    "scan": ("扫码", "Scan"),
    "unplug": ("拔出扫码枪", "Unplug scanner"),
    "plug": ("插上扫码枪", "Plug scanner in"),
    "unplugged": ("已拔出", "unplugged"),
    "plugged": ("已连接", "plugged in"),
    "paper_out": ("缺纸", "Paper out"),
    "paper_low": ("纸将尽", "Paper low"),
    "paper_in": ("装纸", "New paper"),
    "cover_open": ("打开上盖", "Open cover"),
    "cover_close": ("合上上盖", "Close cover"),
    "power_off": ("断电", "Power off"),
    "power_on": ("通电", "Power on"),
    "state_on": ("已通电", "on"),
    "state_off": ("已断电", "off"),
    "state_connected": ("收银系统已连接", "till connected"),
    "state_alone": ("收银系统未连接", "no till connected"),
    "state_paper_2": ("有纸", "paper in"),
    "state_paper_1": ("纸将尽", "paper low"),
    "state_paper_0": ("缺纸", "no paper"),
    "state_cover": ("上盖打开", "cover open"),
    "drawer": ("钱箱打开次数", "Drawer opened"),
    "faults": ("打印机不认识的数据", "Bytes the printer did not understand"),
    "receipts": ("小票", "Receipts"),
    "receipt": ("小票", "Receipt"),
    "as_text": ("文字", "As text"),
    "torn": ("断电时撕下", "torn off at power cut"),
    "none": ("还没有小票。", "No receipts yet."),
    "scale": ("电子秤", "Scale"),
    "grams": ("重量（克）", "Weight (grams)"),
    "weigh": ("放上", "Put on"),
    "take_off": ("拿走", "Take off"),
    "display": ("顾客显示屏", "Customer display"),
    "back_room": ("后场", "Back room"),
    "labels": ("价签打印机", "Label printer"),
    "label": ("价签", "Label"),
    "labels_count": ("已打印价签", "Labels printed"),
    "provider": ("扫码支付（模拟）", "Scan-pay (simulated)"),
    "next_payment": ("下一笔付款", "The next payment"),
    "set": ("设定", "Set"),
    "captured": ("已收款", "Collected"),
    "reversed": ("已撤销", "Reversed"),
    "scripted": ("已设定", "Set for the next"),
    "goods": ("常用商品", "Goods"),
}
WORDS: Final = {key: {"zh-CN": zh, "en": en} for key, (zh, en) in _TEXTS.items()}
