"""What people read when a device has trouble: what happened, what still works, what to do.

Every code a device, a print job or a scan can carry has its two sentences here. Codes are stable.
"""

from protocol.errors import define

_PORTS = {
    "DEVICE_LOST": (
        "{device} is gone ({detail}). Selling goes on. Check plug and power; it comes back alone.",
        "设备 {device} 已断开（{detail}）。收银不受影响。请检查插头和电源。",
    ),
    "DEVICE_MISSING": (
        "{device} is not there. Selling goes on. Plug it in or correct the settings.",
        "找不到设备 {device}。收银不受影响。请插上设备或更正设置。",
    ),
    "DEVICE_REFUSED": (
        "{device} refuses: off, or used by another till. Selling goes on. Switch it on.",
        "设备 {device} 拒绝连接（未开机或被占用）。收银不受影响。请开机。",
    ),
    "DEVICE_BUSY": (
        "{device} is held by another program on this machine. Selling goes on. End that program.",
        "设备 {device} 被本机其他程序占用。收银不受影响。请关闭该程序。",
    ),
    "DEVICE_TAKEN": (
        "{device} hangs up at once: another till or computer holds it. Selling goes on. End that "
        "one, or restart the device.",
        "设备 {device} 接通后立即断开：已被另一台收银机或电脑占用。收银不受影响。"
        "请关闭对方，或重启设备。",
    ),
    "DEVICE_NAME_UNKNOWN": (
        "{device} has the address {host}, which no name server knows. Selling goes on. Use a fixed "
        "IP address in the settings.",
        "设备 {device} 的地址 {host} 无法解析。收银不受影响。请在设置中使用固定 IP 地址。",
    ),
    "DEVICE_FORBIDDEN": (
        "No right to open {device}. Selling goes on. Add the account to its group (dialout, lp).",
        "无权打开设备 {device}。收银不受影响。请将账户加入 dialout 或 lp 组。",
    ),
    "DEVICE_SILENT": (
        "{device} did not answer within {seconds} s. Selling goes on. Check power and cable.",
        "设备 {device} 在 {seconds} 秒内无应答。收银不受影响。请检查电源和连线。",
    ),
    "DEVICE_STALLED": (
        "{device} takes no bytes for {seconds} s. Selling goes on. Look for a jam; restart it.",
        "设备 {device} 已 {seconds} 秒不接收数据。收银不受影响。请检查卡纸并重新开机。",
    ),
    "DEVICE_URL_WRONG": (
        "{device} is no device address ({detail}). Selling goes on. Correct the settings.",
        "{device} 不是有效的设备地址（{detail}）。收银不受影响。请更正设置。",
    ),
    "DEVICE_CLOSED": (
        "{device} is closed because Tillmesh stops. Nothing was lost.",
        "系统正在停止，设备 {device} 已关闭。没有数据丢失。",
    ),
    "DEVICE_NOT_STARTED": (
        "{device} is not in use yet. Selling goes on; wait a moment.",
        "设备 {device} 尚未启用。收银不受影响，请稍候。",
    ),
    "DEVICE_OK": (
        "{device} answers and is ready.",
        "设备 {device} 应答正常，可以使用。",
    ),
    "DEVICE_PRINTED": (
        "{device} printed a test page and confirmed it. Look at its width and its characters.",
        "设备 {device} 已打印测试页并确认。请检查宽度和文字。",
    ),
    "DEVICE_MUTE": (
        "{device} takes bytes but never answers. It can be used; print a test and look.",
        "设备 {device} 可接收数据但不会应答。可以使用，请打印测试页确认。",
    ),
    "DEVICE_OVERRUN": (
        "{device} has too many commands waiting. Selling goes on. Check it, then try again.",
        "设备 {device} 等待的指令过多。收银不受影响。请检查后重试。",
    ),
}

_PRINTERS = {
    "PRINTER_PAPER_OUT": (
        "{device} is out of paper. Selling goes on, receipts wait. Put in a new roll.",
        "打印机 {device} 缺纸。收银不受影响，小票已排队。请更换纸卷。",
    ),
    "PRINTER_PAPER_LOW": (
        "{device} is nearly out of paper. It still prints. Have a new roll ready.",
        "打印机 {device} 纸将用尽，仍可打印。请准备新纸卷。",
    ),
    "PRINTER_COVER_OPEN": (
        "The cover of {device} is open. Selling goes on, receipts wait. Close the cover.",
        "打印机 {device} 上盖未关。收银不受影响，小票已排队。请合上上盖。",
    ),
    "PRINTER_FAULT": (
        "{device} reports an error (cutter or head). Selling goes on. Clear it, restart it.",
        "打印机 {device} 报告故障（切刀或打印头）。收银不受影响。请排除后重新开机。",
    ),
    "PRINTER_OFFLINE": (
        "{device} is offline. Selling goes on, receipts wait. Press its online or feed key.",
        "打印机 {device} 处于脱机状态。收银不受影响，小票已排队。请按联机或走纸键。",
    ),
    "PRINTER_SILENT": (
        (
            "{device} does not answer. Selling goes on, receipts wait. Check power and cable; "
            "a model that never answers needs a -mute profile."
        ),
        (
            "打印机 {device} 没有应答。收银不受影响，小票已排队。请检查电源和连线；"
            "不会应答的型号请选 -mute 配置。"
        ),
    ),
    "PRINTER_GARBLED": (
        "{device} answers nonsense. Selling goes on. Check model, cable and baud rate.",
        "打印机 {device} 应答异常。收银不受影响。请检查型号、连线和波特率。",
    ),
    "PRINT_UNCONFIRMED": (
        "{device} did not confirm. The paper may be out; a resend says REPRINT. Look, then choose.",
        "打印机 {device} 未确认，小票可能已打出；重打会标注“补打”。请查看后决定。",
    ),
    "PRINT_EXPIRED": (
        "This print waited too long and was dropped. The sale is kept. Reprint it when needed.",
        "该打印任务等待过久已取消。销售已保存。需要时可补打。",
    ),
    "PRINT_BROKEN": (
        "This document cannot be printed ({detail}). The sale is kept. Tell your operator.",
        "该单据无法打印（{detail}）。销售已保存。请告知管理员。",
    ),
    "DRAWER_UNSURE": (
        "The drawer may not have opened. The sale is kept. Open it with the key or press Drawer.",
        "钱箱可能没有打开。销售已保存。请用钥匙打开或按“钱箱”键。",
    ),
    "PROFILE_UNKNOWN": (
        "There is no printer profile “{profile}”. Known: {known}. Correct the settings.",
        "没有打印机型号“{profile}”。可用：{known}。请更正设置。",
    ),
    "LOGO_UNUSABLE": (
        "The logo cannot be used ({detail}). Receipts print without it. Give a PNG or JPEG.",
        "标志图片无法使用（{detail}）。小票照常打印但没有标志。请提供 PNG 或 JPEG 图片。",
    ),
    "BARCODE_UNPRINTABLE": (
        "“{text}” cannot be a barcode. Use plain letters and digits, 80 at most.",
        "“{text}”不能作为条码。请用字母和数字，最多 80 个。",
    ),
}

_LABELS = {
    "LABEL_NO_FONT": (
        "No Chinese font on this machine, so no label was printed. Install fonts-noto-cjk.",
        "本机没有中文字体，标签未打印。请安装 fonts-noto-cjk。",
    ),
    "LABEL_COPIES": (
        "{copies} copies were asked for; 1 to {limit} are possible. Nothing was printed.",
        "要求打印 {copies} 份，允许 1 至 {limit} 份。尚未打印。",
    ),
}

_SCALES = {
    "SCALE_SILENT": (
        "{device} does not answer. Weighed goods: use a scale label. Check power and cable.",
        "电子秤 {device} 没有应答。称重商品请用秤签。请检查电源和连线。",
    ),
    "SCALE_OVERLOAD": (
        "There is too much on {device}. Nothing was weighed. Take some off.",
        "电子秤 {device} 超载，未取重量。请减少称重物。",
    ),
    "SCALE_GARBLED": (
        "{device} answers nonsense. Nothing was weighed. Check model, cable and baud rate.",
        "电子秤 {device} 应答异常，未取重量。请检查型号、连线和波特率。",
    ),
}

_SCANS = {
    "SCANNER_LOST": (
        "{device} is gone ({detail}). Type codes or use search meanwhile. Check its cable.",
        "扫码枪 {device} 已断开（{detail}）。可手工输入或搜索。请检查连线。",
    ),
    "SCANNER_OFF": (
        "{device} scanned while no till page was open; the code was not used. Scan again.",
        "扫码枪 {device} 在收银页面未打开时扫码，未被采用。请重新扫描。",
    ),
    "SCANNER_OVERRUN": (
        "{device} has too many scans waiting; this one was not used. Scan it again.",
        "扫码枪 {device} 等待处理的扫码过多，本次未采用。请重新扫描。",
    ),
    "SCAN_TOO_LONG": (
        "The scan is longer than {limit} bytes and was not used. The next scan works.",
        "扫码内容超过 {limit} 字节，未被采用。下一次扫码正常。",
    ),
    "SCAN_BINARY": (
        "The scan holds bytes that are no text and was not used. The next scan works.",
        "扫码内容含非文本数据，未被采用。下一次扫码正常。",
    ),
    "SCAN_NO_END": (
        "The scanner sends no Enter after a code. Set its suffix to CR, then scan again.",
        "扫码枪没有发送结束符。请将后缀设置为回车（CR）后重新扫描。",
    ),
    "SCAN_EMPTY": (
        "The scan was empty. Scan it again.",
        "扫码内容为空。请重新扫描。",
    ),
    "SCAN_NOT_A_CODE": (
        "“{text}” is no code that Tillmesh knows. Search the product by name.",
        "“{text}”不是可识别的条码。请按名称搜索商品。",
    ),
    "SCAN_CHECK_DIGIT": (
        "“{text}” is misread: its last digit should be {expected}. Scan it again.",
        "“{text}”读码有误：末位应为 {expected}。请重新扫描。",
    ),
    "SCAN_AMBIGUOUS": (
        "“{text}” can mean two things. Set the scanner to send AIM ids, or search by name.",
        "“{text}”有两种含义。请将扫码枪设为发送 AIM 标识，或按名称搜索。",
    ),
    "SCAN_GS1_NEEDS_AIM": (
        "“{text}” looks like GS1 data without its mark. Set the scanner to send AIM ids.",
        "“{text}”像 GS1 数据但缺少标识。请将扫码枪设为发送 AIM 标识。",
    ),
    "SCAN_GS1_BROKEN": (
        "“{text}” is GS1 data with an error ({detail}). Scan the product's EAN instead.",
        "“{text}”的 GS1 数据有误（{detail}）。请改扫商品条码。",
    ),
    "SCAN_FOREIGN_LINK": (
        "“{text}” is a web address, not a product. Scan the product's barcode.",
        "“{text}”是网址而不是商品。请扫描商品条码。",
    ),
    "SCAN_PALLET": (
        "“{text}” is a pallet label (SSCC), not a product. Scan the goods on it.",
        "“{text}”是物流单元标签（SSCC），不是商品。请扫描其中的商品。",
    ),
    "SCAN_PAY_CODE_EARLY": (
        "“{text}” looks like a payment code. Press Pay first, then scan it again.",
        "“{text}”像付款码。请先按“收款”，再扫描。",
    ),
    "SCAN_INNER_CHECK": (
        "“{text}” is a scale label with a wrong price check ({expected}). Weigh it again.",
        "“{text}”秤码的金额校验应为 {expected}。请重新称重打码。",
    ),
    "SCAN_NOTE_BROKEN": (
        "The note's code is damaged or cut ({detail}). Scan it again or type the note number.",
        "调拨单二维码损坏或不完整（{detail}）。请重新扫描或输入单号。",
    ),
    "NOTE_TOO_LONG": (
        "{lines} lines do not fit one code. Nothing was sent. Split the transfer in two.",
        "{lines} 行商品放不进一个二维码。尚未发出。请拆成两张调拨单。",
    ),
    "PREFIX_WRONG": (
        "The in-store code prefix “{prefix}” is wrong ({detail}). Correct the settings.",
        "店内码前缀“{prefix}”设置有误（{detail}）。请更正设置。",
    ),
}

define(_PORTS | _PRINTERS | _LABELS | _SCALES | _SCANS)
