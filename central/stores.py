"""Shops: adding one, the file it joins with, and the key it signs with."""

from pathlib import Path

import msgspec

from central.recording import Desk


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


class Stores:
    """Verbs of shops."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_store(self, store: Store, *, by: str) -> str:
        """Add a shop (or change its data); return its joining file, as TOML text.

        The pepper in it is made once per shop. Refusal ZONE_UNKNOWN, ID_UNREADABLE, NAME_MISSING.
        """
        raise NotImplementedError

    def joining_file(self, store: str) -> str:
        """The joining file again; Refusal STORE_UNKNOWN."""
        raise NotImplementedError

    def accept_node(self, line: str, *, by: str) -> str:
        """Accept `tillmesh-node {store} ed25519 {hex}`; return the shop (NODE_LINE_WRONG)."""
        raise NotImplementedError

    def node_key(self, store: str) -> str | None:
        """The public key (hex) that signs for a shop; None before it was accepted."""
        raise NotImplementedError

    def stores(self) -> list[Store]:
        """All shops by id."""
        raise NotImplementedError

    def store(self, store: str) -> Store:
        """One shop; Refusal STORE_UNKNOWN."""
        raise NotImplementedError

    def pepper(self, store: str) -> bytes:
        """The shop's PIN pepper, 32 bytes. Unavailable PEPPER_MISSING."""
        raise NotImplementedError

    def pepper_path(self, store: str) -> Path:
        """Where it is kept."""
        return self._desk.settings.peppers_dir / store
