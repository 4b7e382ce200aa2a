"""Who collects money that is not cash, as the settings say: scan-pay providers, card terminals."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from devices.cardterminal import CardTerminal
from devices.payhttp import HttpProvider
from devices.payment import Patience, Provider
from edge.settings import PaymentSettings, ProviderSettings, Settings
from protocol.errors import Unavailable, define

CARD: Final = "card"

define(
    {
        "PAY_KEYS_UNREADABLE": (
            "The payment provider {name} cannot be used: {detail}. Check its files in the "
            "settings; cash and other providers work.",
            "支付渠道 {name} 无法使用：{detail}。请检查设置中的密钥文件；现金及其他渠道可用。",
        ),
        "PAY_EXTRA_MISSING": (
            "The payment provider {name} needs a library that is not installed. Install "
            "tillmesh[pay] and start again; cash and other providers work.",
            "支付渠道 {name} 缺少所需组件。请安装 tillmesh[pay] 后重启；现金及其他渠道可用。",
        ),
    }
)


class Providers:
    """All that this shop can collect with. One that cannot be built says why, when it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._built: dict[str, Provider] = {}
        self._named = {one.name: one for one in settings.payment.providers}

    @property
    def scans(self) -> bool:
        """Is scan-pay set up?"""
        return bool(self._named)

    def card_at(self, till: str) -> str:
        """The address of the till's card terminal; "" when it has none."""
        return self._settings.till(till).card

    def kinds(self, till: str) -> tuple[str, ...]:
        """What the payment screen of a till offers, cash first."""
        driven = [("scan", self.scans), ("card", bool(self.card_at(till)))]
        return ("cash", *(kind for kind, there in driven if there))

    def reading(self, family: str) -> str:
        """The provider that takes pay codes of this family; "" when none does."""
        return next((one.name for one in self._named.values() if family in one.reads), "")

    def provider(self, name: str, till: str) -> Provider:
        """The one of this name; PAY_KEYS_UNREADABLE, PAY_EXTRA_MISSING, or KeyError."""
        key = f"{CARD}/{till}" if name == CARD else name
        found = self._built.get(key)
        if found is None:
            found = self._built[key] = self._build(name, till)
        return found

    def _build(self, name: str, till: str) -> Provider:
        if name == CARD:
            url = self.card_at(till)
            if not url:
                raise KeyError(name)
            return CardTerminal(url)
        one = self._named[name]
        try:
            return BUILD[one.kind](one)
        except ImportError as fault:
            raise Unavailable("PAY_EXTRA_MISSING", name=name) from fault
        except (OSError, ValueError) as fault:
            raise Unavailable("PAY_KEYS_UNREADABLE", name=name, detail=str(fault)) from fault

    def patience(self, name: str) -> Patience:
        """How long to wait with it."""
        return patience(self._settings.payment, self._named.get(name))


def patience(settings: PaymentSettings, one: ProviderSettings | None) -> Patience:
    """As the settings say; WeChat Pay must not be asked to reverse within 15 s."""
    wechat = one is not None and one.kind == "wechat"
    return Patience(
        patience_s=settings.patience_s,
        poll_s=settings.poll_s,
        reverse_min_s=min(1.0, settings.retry_max_s),
        reverse_max_s=settings.retry_max_s,
        watch_s=settings.watch_s,
        reverse_after_s=15.0 if wechat else 0.0,
    )


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii").strip()


def _wechat(one: ProviderSettings) -> Provider:
    from devices.wechatpay import WeChatMerchant, WeChatProvider  # noqa: PLC0415 - an extra

    merchant = WeChatMerchant(
        app_id=one.app_id,
        merchant_id=one.merchant_id,
        cert_serial=one.cert_serial,
        private_key=_read(one.key_file),
        api_key=_read(one.api_key_file),
        public_key=_read(one.public_key_file),
        public_key_id=one.public_key_id,
    )
    return WeChatProvider(merchant, base_url=one.url)


def _alipay(one: ProviderSettings) -> Provider:
    from devices.alipay import AlipayMerchant, AlipayProvider  # noqa: PLC0415 - an extra

    merchant = AlipayMerchant(
        app_id=one.app_id,
        private_key=_read(one.key_file),
        alipay_public_key=_read(one.public_key_file),
    )
    return AlipayProvider(merchant, base_url=one.url)


BUILD: Final[dict[str, Callable[[ProviderSettings], Provider]]] = {
    "simulated": lambda one: HttpProvider(one.url),
    "wechat": _wechat,
    "alipay": _alipay,
}
