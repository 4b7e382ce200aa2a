"""The shop's work tables: written by verbs, migrated and backed up, never rebuilt."""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from devices.spool import define_print_job

work: Final = MetaData()

basket = Table(  # the sale in progress, one per till; a power cut returns to it
    "basket",
    work,
    Column("till", Text, primary_key=True),
    Column("sale", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),  # edge.till.BasketState as JSON
    Column("changed_ms", BigInteger, nullable=False),
)
held_basket = Table(
    "held_basket",
    work,
    Column("held", Text, primary_key=True),  # the sale's id
    Column("till", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("held_ms", BigInteger, nullable=False),
)
receipt_counter = Table(  # gap-free within (till, generation)
    "receipt_counter",
    work,
    Column("till", Text, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("counter", Integer, nullable=False),
)
copy_counter = Table(
    "copy_counter",
    work,
    Column("sale", Text, primary_key=True),
    Column("copies", Integer, nullable=False),
)
shift_running = Table(  # so that closing costs the same after 10 sales and after 10,000
    "shift_running",
    work,
    Column("shift", Text, primary_key=True),
    Column("till", Text, nullable=False),
    Column("sales", Integer, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("discount_minor", BigInteger, nullable=False),
)
browser = Table(
    "browser",
    work,
    Column("token_hash", Text, primary_key=True),
    Column("till", Text, nullable=False),  # empty: a browser of the back office or a phone
    Column("name", Text, nullable=False),
    Column("paired_ms", BigInteger, nullable=False),
)
pairing_code = Table(
    "pairing_code",
    work,
    Column("code_hash", Text, primary_key=True),
    Column("till", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
session = Table(
    "session",
    work,
    Column("token_hash", Text, primary_key=True),
    Column("browser", Text, nullable=False),
    Column("till", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
)
pin_attempt = Table(  # survives a restart: pulling the plug is no way around a lock-out
    "pin_attempt",
    work,
    Column("who", Text, primary_key=True),  # "person/{id}", "browser/{hash}", "pairing"
    Column("failures", Integer, nullable=False),
    Column("failed_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False),
)
missed_scan = Table(  # scanned while no till page lived: kept out of the basket, and shown
    "missed_scan",
    work,
    Column("n", Integer, primary_key=True, autoincrement=True),
    Column("till", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
payment = Table(  # every try to collect money that is not cash, written before the first byte
    "payment",
    work,
    Column("attempt", Text, primary_key=True),  # out_trade_no: made by the till
    Column("sale", Text, nullable=False),
    Column("till", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("kind", Text, nullable=False),  # scan, card
    Column("provider", Text, nullable=False),  # its name in the settings
    Column("trace", Integer, nullable=False),  # of a card terminal; 0 otherwise
    Column("code_end", Text, nullable=False),  # the last digits of the pay code, never all
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # devices.payment.PayState
    Column("booked", Integer, nullable=False),  # 1: the sale with this money is recorded
    Column("provider_id", Text, nullable=False),
    Column("reason", Text, nullable=False),  # of a refusal, in the provider's words
    Column("started_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Index("ix_payment_sale", "sale"),
    Index("ix_payment_state", "state"),
)
frozen_sale = Table(  # a sale with an open payment: priced once, recorded just so
    "frozen_sale",
    work,
    Column("sale", Text, primary_key=True),
    Column("till", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # SaleCompleted as JSON, without tenders
    Column("frozen_ms", BigInteger, nullable=False),
)
pruned_document = Table(  # whose events are in a snapshot alone: asked again, it is the same one
    "pruned_document",
    work,
    Column("id", Text, primary_key=True),
)
print_job = define_print_job(work)

Index("ix_session_person", session.c.person)
