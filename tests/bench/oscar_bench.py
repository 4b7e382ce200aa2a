"""django-oscar on the same generated instances: time per basket, and what each saves.

Oscar is a bench-only extra (`pip install -e '.[bench]'`); without it the section says so. Its
offers live in SQLite in memory and are loaded for each basket, as its Applicator does it.
"""

import importlib.util
import time
from decimal import Decimal

from promotions import compile_rules
from promotions.rule import parse
from tests.bench.promotions_bench import baskets, documents, timed

SEED = 7
APPS = (
    ("analytics", "AnalyticsConfig"),
    ("checkout", "CheckoutConfig"),
    ("address", "AddressConfig"),
    ("shipping", "ShippingConfig"),
    ("catalogue", "CatalogueConfig"),
    ("catalogue.reviews", "CatalogueReviewsConfig"),
    ("communication", "CommunicationConfig"),
    ("partner", "PartnerConfig"),
    ("basket", "BasketConfig"),
    ("payment", "PaymentConfig"),
    ("offer", "OfferConfig"),
    ("order", "OrderConfig"),
    ("customer", "CustomerConfig"),
    ("search", "SearchConfig"),
    ("voucher", "VoucherConfig"),
    ("wishlists", "WishlistsConfig"),
)


def _configure():
    import django  # noqa: PLC0415 - only when the extra is installed
    from django.conf import settings  # noqa: PLC0415
    from oscar import defaults  # noqa: PLC0415

    apps = [f"oscar.apps.{name}.apps.{config}" for name, config in APPS]
    kept = {k: getattr(defaults, k) for k in dir(defaults) if k.startswith("OSCAR_")}
    settings.configure(
        **kept,
        SECRET_KEY="bench",
        SITE_ID=1,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        ROOT_URLCONF="",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        HAYSTACK_CONNECTIONS={
            "default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sites",
            "django.contrib.sessions",
            "django.contrib.messages",
            *apps,
            "haystack",
            "treebeard",
            "django_tables2",
        ],
        MIGRATION_MODULES={name.rpartition(".")[2]: None for name, _ in APPS}
        | dict.fromkeys(("auth", "contenttypes", "sites", "sessions", "reviews")),
    )
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", run_syncdb=True, verbosity=0)


class Oscar:
    """A catalogue with offers in memory."""

    def __init__(self, made, prices):
        from oscar.core.loading import get_model  # noqa: PLC0415

        self.model = get_model
        kind = get_model("catalogue", "ProductClass").objects.create(
            name="goods", requires_shipping=False, track_stock=False
        )
        product = get_model("catalogue", "Product")
        product.objects.bulk_create(
            product(upc=f"P{n}", title=f"P{n}", slug=f"p{n}", product_class=kind)
            for n in range(len(prices))
        )
        self.products = {each.upc: each for each in product.objects.all()}
        partner = get_model("partner", "Partner").objects.create(name="us")
        record = get_model("partner", "StockRecord")
        record.objects.bulk_create(
            record(
                product=self.products[f"P{n}"],
                partner=partner,
                partner_sku=f"P{n}",
                price_currency="CNY",
                price=Decimal(minor) / 100,
            )
            for n, minor in enumerate(prices)
        )
        for rule in made:
            self._offer(rule)

    def _offer(self, rule):
        select = rule.get("select") or rule["slots"][0]["select"]
        reach = self.model("offer", "Range").objects.create(name=rule["id"], slug=rule["id"])
        member = self.model("offer", "RangeProduct")
        member.objects.bulk_create(
            member(range=reach, product=self.products[sku]) for sku in select["skus"]
        )
        size = rule["slots"][0]["qty"] if "slots" in rule else 1
        condition = self.model("offer", "Condition").objects.create(
            range=reach, type="Count", value=size
        )
        effect = rule.get("effect", {"kind": "line"})
        kind, value, most = {
            "line": ("Percentage", rule.get("percent"), None),
            "free": ("Multibuy", None, None),
            "amount": ("Absolute", Decimal(effect.get("off_minor", 0)) / 100, size),
            "fixed_price": ("Fixed price", Decimal(effect.get("price_minor", 0)) / 100, None),
        }[effect["kind"]]
        benefit = self.model("offer", "Benefit").objects.create(
            range=None if kind == "Fixed price" else reach,
            type=kind,
            value=value,
            max_affected_items=most,
        )
        self.model("offer", "ConditionalOffer").objects.create(
            name=rule["id"], slug=rule["id"], condition=condition, benefit=benefit
        )

    def price(self, lines):
        """Milliseconds of CPU for Applicator().apply, and the saving in minor units."""
        from oscar.apps.offer.applicator import Applicator  # noqa: PLC0415
        from oscar.apps.partner.strategy import Default  # noqa: PLC0415

        basket = self.model("basket", "Basket").objects.create()
        basket.strategy = Default()
        for line in lines:
            basket.add_product(self.products[line.sku], quantity=line.qty_milli // 1000)
        begun = time.process_time_ns()
        Applicator().apply(basket)
        took = (time.process_time_ns() - begun) / 1e6
        return took, int((basket.total_discount * 100).to_integral_value())


def _compared(rules, lines, products, count):
    made, prices = documents(rules, products, SEED)
    found = baskets(count, lines, made, prices, SEED + 1)
    rule_set = compile_rules([parse(each) for each in made], "Asia/Shanghai")
    timed(rule_set, found)  # warm
    times, priced = timed(rule_set, found)
    oscar = Oscar(made, prices)
    theirs = [oscar.price(basket) for basket in found]
    shares = [
        100 * saved / ours.total_discount_minor
        for (_, saved), ours in zip(theirs, priced, strict=True)
    ]
    smaller = sum(
        saved > ours.total_discount_minor for (_, saved), ours in zip(theirs, priced, strict=True)
    )
    slow, fast = sorted(t for t, _ in theirs)[count // 2], sorted(times)[count // 2]
    return [
        (f"oscar, {rules} rules x {lines} lines, sparse: p50 of {count}", f"{slow:.0f} ms"),
        ("this engine, the same baskets: p50", f"{fast:.2f} ms"),
        ("times faster (goal: 1,000)", f"{slow / fast:,.0f}"),
        (
            "oscar's saving, % of ours: smallest, mean",
            f"{min(shares):.0f}, {sum(shares) / count:.0f}",
        ),
        ("baskets in which ours saves less (goal: 0)", str(smaller)),
    ]


def run() -> list[tuple[str, str]]:
    """The section of `make bench`."""
    if importlib.util.find_spec("oscar") is None:
        return [("django-oscar is not installed", "pip install -c constraints.txt -e '.[bench]'")]
    _configure()
    return _compared(1_000, 20, 5_000, 5)
