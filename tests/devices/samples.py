"""A sale that several tests print."""

from devices.receipt_layout import PromotionAmount, ReceiptData, ReceiptLine, TaxLine, Tender

SALE = ReceiptData(
    store_name="好利来面包房",
    till="T1",
    cashier="王芳",
    receipt_number="T1-3-000123",
    time="2026-05-01 10:32",
    lines=(
        ReceiptLine(
            name="鲜牛奶面包 500g",
            qty="3",
            unit="个",
            unit_price_minor=1250,
            gross_minor=3750,
            discount_minor=1250,
            promotions=(PromotionAmount("买二送一", 1250),),
        ),
        ReceiptLine(name="散装饼干", qty="0.536", unit="kg", unit_price_minor=990, gross_minor=531),
    ),
    total_minor=3031,
    discount_minor=1250,
    tenders=(Tender("现金", 5000),),
    change_minor=1969,
    taxes=(TaxLine(rate="13%", net_minor=2682, tax_minor=349),),
    footer=("谢谢惠顾",),
)
