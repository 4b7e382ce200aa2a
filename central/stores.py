"""Shops: adding one, the file it joins with, and the key it signs with."""

import os
import re
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from central.accounts import check_name
from central.recording import Desk, record
from promotions.ruleset import check_zone
from protocol.errors import Refusal, Unavailable, define
from protocol.events import ChainSettings, NodeAccepted, StoreAdded
from protocol.ids import ALL, CENTRAL, check_id, to_stream
from protocol.node.signing import NodeKey
from protocol.node.tables import READ

PEPPER_BYTES: Final = 32
_LINE: Final = re.compile(r"tillmesh-node\s+(\S+)\s+ed25519\s+([0-9a-fA-F]{64})")

define(
    {
        "HQ_STORE_UNKNOWN": (
            "There is no shop {store}. Add it first.",
            "没有门店 {store}。请先添加。",
        ),
        "NODE_LINE_WRONG": (
            "This is not the line that the shop showed (tillmesh-node SHOP ed25519 KEY). "
            "Copy it whole.",
            "这不是门店显示的公钥行（tillmesh-node 门店 ed25519 公钥）。请完整复制。",
        ),
        "HQ_PEPPER_MISSING": (
            "The PIN pepper of shop {store} is missing ({path}). Restore it from your backup; "
            "without it no PIN can be set.",
            "门店 {store} 的 PIN 密钥文件缺失（{path}）。请从备份恢复，否则无法设置 PIN。",
        ),
    }
)


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A shop; `public_key` is empty until its node was accepted."""

    store: str
    name_zh: str
    name_en: str
    zone: str
    group: str
    tz: str
    currency: str = "CNY"
    public_key: str = ""


def _quoted(value: object) -> str:
    # A JSON string, number or list of strings is valid TOML too.
    return msgspec.json.encode(value).decode()


class Stores:
    """Verbs of shops."""

    def __init__(self, desk: Desk, key: NodeKey) -> None:
        self._desk = desk
        self._key = key

    def add_store(self, store: Store, *, by: str) -> str:
        """Add a shop (or change its data); return its joining file, as TOML text.

        The pepper in it is made once per shop. Refusal ZONE_UNKNOWN, ID_UNREADABLE, NAME_MISSING.
        """
        self._check(store)
        self._make_pepper(store.store)
        zh = check_name(store.name_zh or store.name_en)
        said = StoreAdded(
            store=store.store,
            name={"zh": zh, "en": check_name(store.name_en or zh)},
            zone=store.zone,
            group=store.group,
            tz=store.tz,
            currency=store.currency,
        )
        with self._desk.books.begin() as tx:
            before = self._find(tx, store.store)
            if before is None or _event_of(before) != said:
                record(self._desk, tx, {ALL: [(self._desk.new_id(), said)]}, by=by)
        return self.joining_file(store.store)

    @staticmethod
    def _check(store: Store) -> None:
        check_id(store.store, "shop")
        if (store.store + "-").lower().startswith(CENTRAL + "-"):  # head office's own at the broker
            raise Refusal("ID_UNREADABLE", text=store.store, kind="shop")
        check_id(store.zone, "price zone")
        check_id(store.group, "shop group")
        check_zone(store.tz)

    def _make_pepper(self, store: str) -> None:
        path = self.pepper_path(store)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self._desk.random_bytes(PEPPER_BYTES).hex())
            file.flush()
            os.fsync(file.fileno())

    def describe_chain(
        self,
        *,
        zh: str,
        en: str,
        by: str,
        footer: dict[str, str] | None = None,
        prefixes: tuple[str, ...] | None = None,
    ) -> None:
        """The chain's names, what stands below each receipt, its in-store barcode prefixes.

        What is None stays as it is. The currency is that of the shops (CNY).
        """
        with self._desk.books.begin() as tx:
            row = tx.execute(select(READ["chain"])).first()
            before = _chain_of(row) if row else ChainSettings(name={})
            said = ChainSettings(
                name={"zh": check_name(zh or en), "en": check_name(en or zh)},
                currency=before.currency,
                receipt_footer=before.receipt_footer if footer is None else footer,
                store_code_prefixes=before.store_code_prefixes if prefixes is None else prefixes,
            )
            if said != before:
                record(self._desk, tx, {ALL: [(self._desk.new_id(), said)]}, by=by)

    def joining(self, store: str) -> dict[str, object]:
        """What a shop's machine must know to join; Refusal HQ_STORE_UNKNOWN."""
        found, settings = self.store(store), self._desk.settings
        public = settings.public
        return {
            "store": found.store,
            "chain": settings.chain,
            "zone": found.zone,
            "group": found.group,
            "tz": found.tz,
            "currency": found.currency,
            "central_public_key": self._key.public_hex,
            "central_http": public.url,
            "central_https": settings.https_url,
            "pepper": self.pepper(store).hex(),
            "ntp": list(settings.ntp_servers),
            "name": {"zh": found.name_zh, "en": found.name_en},
            "broker": {
                "host": public.broker_host,
                "port": public.broker_port,
                "username": found.store,
                "tls": settings.mqtt.tls,
            },
        }

    def joining_file(self, store: str) -> str:
        """The same as a file (without certificates); Refusal HQ_STORE_UNKNOWN."""
        known = self.joining(store)
        lines = [
            f"# Joins the shop {store} to {known['chain']}. It holds the PIN pepper of the",
            "# shop: keep it secret, use it once (tillmesh-edge init --join FILE), then delete it.",
        ]
        tables = {name: part for name, part in known.items() if isinstance(part, dict)}
        lines += [f"{n} = {_quoted(value)}" for n, value in known.items() if n not in tables]
        for name, part in tables.items():
            lines += ["", f"[{name}]", *(f"{n} = {_quoted(value)}" for n, value in part.items())]
        return "\n".join(lines) + "\n"

    def accept_node(self, line: str, *, by: str) -> str:
        """Accept `tillmesh-node {store} ed25519 {hex}`; return the shop (NODE_LINE_WRONG)."""
        found = _LINE.fullmatch(line.strip())
        if found is None:
            raise Refusal("NODE_LINE_WRONG")
        store, key = found[1], found[2].lower()
        said = NodeAccepted(node=store, public_key=key)
        with self._desk.books.begin() as tx:
            known = self._find(tx, store)
            if known is None:
                raise Refusal("HQ_STORE_UNKNOWN", store=store[:40])
            if known.public_key != key:
                record(self._desk, tx, {to_stream(store): [(self._desk.new_id(), said)]}, by=by)
        return store

    def node_key(self, store: str) -> str | None:
        """The public key (hex) that signs for a shop; None before it was accepted."""
        with self._desk.books.database.reading() as connection:
            found = self._find(connection, store)
        return (found.public_key or None) if found else None

    def known_key(self, connection: Connection, store: str) -> str:
        """The same inside a transaction; empty before it was accepted (HQ_STORE_UNKNOWN)."""
        found = self._find(connection, store)
        if found is None:
            raise Refusal("HQ_STORE_UNKNOWN", store=store[:40])
        return found.public_key

    @staticmethod
    def _find(connection: Connection, store: str) -> Store | None:
        return next(iter(_rows(connection, store)), None)

    def stores(self) -> list[Store]:
        """All shops by id."""
        with self._desk.books.database.reading() as connection:
            return _rows(connection)

    def store(self, store: str) -> Store:
        """One shop; Refusal HQ_STORE_UNKNOWN."""
        with self._desk.books.database.reading() as connection:
            found = self._find(connection, store)
        if found is None:
            raise Refusal("HQ_STORE_UNKNOWN", store=store[:40])
        return found

    def pepper(self, store: str) -> bytes:
        """The shop's PIN pepper, 32 bytes. Unavailable HQ_PEPPER_MISSING."""
        path = self.pepper_path(store)
        try:
            pepper = bytes.fromhex(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            pepper = b""
        if len(pepper) != PEPPER_BYTES:
            raise Unavailable("HQ_PEPPER_MISSING", store=store, path=str(path))
        return pepper

    def pepper_path(self, store: str) -> Path:
        """Where it is kept."""
        return self._desk.settings.peppers_dir / store


def _rows(connection: Connection, store: str = "") -> list[Store]:
    shop, node = READ["store"], READ["node"]
    query = (
        select(shop, node.c.public_key)
        .outerjoin(node, node.c.store == shop.c.store)
        .order_by(shop.c.store)
    )
    if store:
        query = query.where(shop.c.store == store)
    return [
        Store(
            store=row.store,
            name_zh=row.name_zh,
            name_en=row.name_en,
            zone=row.zone,
            group=row.stock_group,
            tz=row.tz,
            currency=row.currency,
            public_key=row.public_key or "",
        )
        for row in connection.execute(query)
    ]


def all_stores(connection: Connection) -> list[Store]:
    """All shops by id, inside somebody else's read or transaction."""
    return _rows(connection)


def _chain_of(row: Any) -> ChainSettings:
    footer = {"zh": row.footer_zh, "en": row.footer_en}
    return ChainSettings(
        name={"zh": row.name_zh, "en": row.name_en},
        currency=row.currency,
        receipt_footer={k: v for k, v in footer.items() if v},
        store_code_prefixes=msgspec.json.decode(row.prefixes, type=tuple[str, ...]),
    )


def _event_of(store: Store) -> StoreAdded:
    return StoreAdded(
        store=store.store,
        name={"zh": store.name_zh, "en": store.name_en},
        zone=store.zone,
        group=store.group,
        tz=store.tz,
        currency=store.currency,
    )
