"""Head office's work tables: written by verbs, migrated and backed up, never rebuilt."""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, Table, Text

work: Final = MetaData()

rule_draft = Table(
    "rule_draft",
    work,
    Column("rule", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("saved_ms", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
)
account = Table(
    "account",
    work,
    Column("person", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("active", Boolean, nullable=False),
)
sign_in_failures = Table(  # also for names that do not exist, so that nothing tells them apart
    "sign_in_failures",
    work,
    Column("person", Text, primary_key=True),
    Column("failures", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
web_session = Table(
    "web_session",
    work,
    Column("token_hash", Text, primary_key=True),
    Column("csrf", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Index("ix_web_session_person", "person"),
)
reprice_cursor = Table(
    "reprice_cursor",
    work,
    Column("store", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
reprice_result = Table(
    "reprice_result",
    work,
    Column("store", Text, primary_key=True),
    Column("sale", Text, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("receipt_number", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("sold_minor", BigInteger, nullable=False),
    Column("repriced_minor", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_reprice_result_outcome", "outcome", "at_ms"),
)
enrolment_token = Table(  # one per shop: a new one replaces the old one
    "enrolment_token",
    work,
    Column("store", Text, primary_key=True),
    Column("token_hash", Text, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("person", Text, nullable=False),
    Column("used_ms", BigInteger, nullable=False),  # 0: not yet
    Column("used_for", Text, nullable=False),  # hash of the keys that it was used for
)
certificate = Table(
    "certificate",
    work,
    Column("serial", Text, primary_key=True),  # hex
    Column("node", Text, nullable=False),
    Column("public_key", Text, nullable=False),  # the journal key that it was issued beside
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger, nullable=False),  # 0: it holds
    Column("reason", Text, nullable=False),
    Index("ix_certificate_node", "node"),
)
