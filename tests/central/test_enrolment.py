"""One-time tokens at head office: what they open, once, for whom and for how long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import delete, insert, select

from central.compose import HeadOffice, compose
from central.enrolment import TOKEN_MINUTES, Patience
from central.settings import Https, Settings
from central.tables import certificate, enrolment_token
from protocol.codec import decode
from protocol.enrolment import EnrolAnswer, EnrolRequest, Invitation
from protocol.errors import Refusal
from protocol.node.books import opened
from protocol.node.certificates import Held, make_csr
from protocol.node.signing import NodeKey, make_key
from protocol.node.sqljournal import read_line
from protocol.node.tables import journal
from tests.central.conftest import TestClock
from tests.central.shops import Shop

HERE = "192.168.1.10"
MINUTE_MS = 60_000


@pytest.fixture
def office(settings: Settings, clock: TestClock) -> Iterator[HeadOffice]:
    """A head office whose machines enrol at port 8743."""
    make_key(settings.key_path)
    settings = msgspec.structs.replace(settings, https=Https(port=8743))
    composed = compose(settings, clock=clock)
    yield composed
    composed.books.database.close()


class Machine:
    """A shop's computer with its two keys."""

    def __init__(self, folder: Path, name: str = "m") -> None:
        self.tls = ec.generate_private_key(ec.SECP256R1())
        self.key: NodeKey = make_key(folder / f"{name}.key")

    def asks(self, invitation: Invitation, *, name: str = "", **changes: str) -> EnrolRequest:
        asked = EnrolRequest(
            store=invitation.store,
            token=invitation.token,
            csr=make_csr(self.tls, name or invitation.store),
            public_key=self.key.public_hex,
        )
        asked = msgspec.structs.replace(asked, **changes)
        if "sig" in changes:
            return asked
        return msgspec.structs.replace(asked, sig=self.key.sign(asked.signed_part()))


def refused(office: HeadOffice, asked: EnrolRequest, address: str = HERE) -> str:
    with pytest.raises(Refusal) as caught:
        office.enrolment.enrol(asked, address=address)
    return caught.value.code


def said(office: HeadOffice, stream: str) -> list[str]:
    query = select(journal.c.data).where(journal.c.stream == stream).order_by(journal.c.seq)
    with office.books.database.reading() as connection:
        rows = connection.execute(query).scalars().all()
    return [decode(row).type for row in rows]


def test_a_token_becomes_a_certificate_and_everything_to_join(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path
) -> None:
    machine, invitation = Machine(tmp_path), office.enrolment.invite("A", by="ann")
    asked = machine.asks(invitation)
    answer: EnrolAnswer = office.enrolment.enrol(asked, address=HERE)
    held = Held(answer.certificate.encode())
    assert held.name == "A"
    assert answer.joining["store"] == "A"
    assert answer.joining["pepper"] == office.stores.pepper("A").hex()
    assert answer.authority == office.enrolment.authority.pem
    assert office.stores.node_key("A") == machine.key.public_hex
    assert [c.serial for c in office.enrolment.certificates("A")] == [held.serial]
    assert office.enrolment.holds(answer.certificate, node="A")
    assert not office.enrolment.holds(answer.certificate, node="B")
    assert [t for t in said(office, "to/A") if t != "EpochStarted"] == [
        "NodeAccepted",
        "CertificateIssued",
    ]


def test_a_token_is_hashed_at_rest(office: HeadOffice, shops: dict[str, Shop]) -> None:
    invitation = office.enrolment.invite("A", by="ann")
    assert len(bytes.fromhex(invitation.token)) == 16
    with office.books.database.reading() as connection:
        row = connection.execute(select(enrolment_token)).one()
    assert invitation.token not in str(row)


def test_a_token_opens_nothing_else(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path
) -> None:
    machine, invitation = Machine(tmp_path), office.enrolment.invite("A", by="ann")
    office.enrolment.invite("B", by="ann")
    elsewhere = [f"10.0.0.{n}" for n in range(20)]
    wrong = {
        "TOKEN_WRONG": [
            machine.asks(invitation, token="0" * 32),
            machine.asks(invitation, token=""),
            machine.asks(invitation, token="店"),
            machine.asks(msgspec.structs.replace(invitation, store="B")),
            machine.asks(msgspec.structs.replace(invitation, store="nobody")),
            machine.asks(msgspec.structs.replace(invitation, store="A\0"), name="A"),
            machine.asks(msgspec.structs.replace(invitation, store=""), name="A"),
        ],
        "CSR_WRONG": [
            machine.asks(invitation, name="B"),
            machine.asks(invitation, name="central"),
            machine.asks(invitation, csr="x" * 4_001),
            machine.asks(invitation, sig="00" * 64),
            machine.asks(invitation, public_key="00" * 32),
            machine.asks(invitation, token="0" * 201),
            machine.asks(invitation, public_key="0" * 65),
        ],
    }
    for code, requests in wrong.items():
        for asked in requests:
            assert refused(office, asked, elsewhere.pop()) == code
    assert office.stores.node_key("A") is None
    assert office.enrolment.certificates() == []
    office.enrolment.enrol(machine.asks(invitation), address=HERE)  # it still holds


def test_a_token_is_burnt_but_a_lost_answer_can_be_asked_again(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path, clock: TestClock
) -> None:
    mine, thief = Machine(tmp_path), Machine(tmp_path, "thief")
    invitation = office.enrolment.invite("A", by="ann")
    asked = mine.asks(invitation)
    office.enrolment.enrol(asked, address=HERE)
    again = office.enrolment.enrol(asked, address=HERE)
    assert office.enrolment.holds(again.certificate, node="A")
    assert said(office, "to/A").count("NodeAccepted") == 1
    assert refused(office, thief.asks(invitation)) == "TOKEN_USED"
    clock.forward(TOKEN_MINUTES * MINUTE_MS)
    assert refused(office, asked) == "TOKEN_EXPIRED"
    assert office.stores.node_key("A") == mine.key.public_hex


def test_two_machines_at_once_cannot_both_use_a_token(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path
) -> None:
    invitation = office.enrolment.invite("A", by="ann")
    asked = [Machine(tmp_path, f"m{n}").asks(invitation) for n in range(4)]
    gate = Barrier(len(asked))

    def knock(n: int) -> str:
        gate.wait(30)
        try:
            office.enrolment.enrol(asked[n], address=f"10.0.0.{n}")
        except Refusal as fault:
            return fault.code
        return "in"

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = sorted(pool.map(knock, range(len(asked))))
    assert answers == ["TOKEN_USED"] * 3 + ["in"]
    (issued,) = office.enrolment.certificates("A")
    assert office.stores.node_key("A") == issued.public_key


def test_a_revoked_key_does_not_come_back_in_capitals(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path
) -> None:
    machine = Machine(tmp_path)
    office.enrolment.enrol(machine.asks(office.enrolment.invite("A", by="ann")), address=HERE)
    office.enrolment.revoke("A", by="ann", second="ben", reason="stolen")
    again = office.enrolment.invite("A", by="ann")
    assert refused(office, machine.asks(again)) == "KEY_BARRED"
    capitals = machine.asks(again, public_key=machine.key.public_hex.upper())
    assert refused(office, capitals) == "CSR_WRONG"


def test_a_token_ends_after_thirty_minutes_and_by_a_newer_one(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path, clock: TestClock
) -> None:
    machine, first = Machine(tmp_path), office.enrolment.invite("A", by="ann")
    second = office.enrolment.invite("A", by="ann")
    assert refused(office, machine.asks(first)) == "TOKEN_WRONG"
    clock.forward(TOKEN_MINUTES * MINUTE_MS - 1)
    office.enrolment.enrol(machine.asks(second), address=HERE)
    third = office.enrolment.invite("A", by="ann")
    clock.forward(TOKEN_MINUTES * MINUTE_MS)
    assert refused(office, machine.asks(third)) == "TOKEN_EXPIRED"


def test_a_replaced_machine_is_locked_out(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path
) -> None:
    old, new = Machine(tmp_path, "old"), Machine(tmp_path, "new")
    first = office.enrolment.enrol(old.asks(office.enrolment.invite("A", by="ann")), address=HERE)
    second = office.enrolment.enrol(new.asks(office.enrolment.invite("A", by="ann")), address=HERE)
    assert office.stores.node_key("A") == new.key.public_hex
    assert not office.enrolment.holds(first.certificate, node="A")
    assert office.enrolment.holds(second.certificate, node="A")
    assert Held(first.certificate.encode()).serial in _revoked(office)


def _revoked(office: HeadOffice) -> set[str]:
    crl = x509.load_pem_x509_crl(office.enrolment.authority.crl_path.read_bytes())
    return {f"{one.serial_number:x}" for one in crl}


def test_what_was_said_of_certificates_counts_again_after_a_restore(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path, clock: TestClock
) -> None:
    """The backup knows the first machine only; the shop gives back what was said later."""
    enrolment, first, second = office.enrolment, Machine(tmp_path, "1"), Machine(tmp_path, "2")

    def taken_in(machine: Machine) -> str:
        clock.forward(MINUTE_MS)
        asked = machine.asks(enrolment.invite("A", by="ann"))
        return enrolment.enrol(asked, address=HERE).certificate

    one = taken_in(first)
    kept, before = enrolment.certificates(), len(said(office, "to/A"))
    two = taken_in(second)
    wanted = {c.serial: c.reason for c in enrolment.certificates()}
    enrolment.revoke("A", by="ann", second="ben")
    three = taken_in(Machine(tmp_path, "3"))
    with office.books.database.begin() as tx:  # as the backup has it
        tx.execute(delete(certificate))
        tx.execute(insert(certificate), [msgspec.structs.asdict(c) for c in kept])
    enrolment.publish_revoked()
    assert _revoked(office) == set()
    with office.books.database.reading() as connection:
        words = [opened(w)[0] for w in read_line(connection, "to/A", before, limit=100)]
    revoked = next(n for n, w in enumerate(words) if w.envelope.type == "NodeRevoked")
    for part in (words[:revoked], words[revoked:]):
        with office.books.database.begin() as tx:
            enrolment.regain(tx, part)
        enrolment.heard(part)
        if part == words[:revoked]:
            assert {c.serial: c.reason for c in enrolment.certificates()} == wanted
            assert enrolment.holds(two, node="A")
    assert not enrolment.holds(one, node="A")
    assert not enrolment.holds(two, node="A")
    assert enrolment.holds(three, node="A")
    assert _revoked(office) == {Held(pem.encode()).serial for pem in (one, two)}
    again = second.asks(enrolment.invite("A", by="ann"))
    assert refused(office, again) == "KEY_BARRED"


def test_whoever_guesses_waits_longer_each_time_and_nobody_else_does(
    office: HeadOffice, shops: dict[str, Shop], tmp_path: Path, clock: TestClock
) -> None:
    machine, invitation = Machine(tmp_path), office.enrolment.invite("A", by="ann")
    guess = machine.asks(invitation, token="0" * 32)
    waits = []
    for _ in range(8):
        assert refused(office, guess) == "TOKEN_WRONG"
        if _must_wait(office):
            assert refused(office, machine.asks(invitation)) == "TOKEN_WAIT", "even the right one"
        before = clock.at_ms
        while _must_wait(office):
            clock.forward(1000)
        waits.append(clock.at_ms - before)
    assert waits == sorted(waits)
    assert waits[-1] > waits[2] > 0
    office.enrolment.enrol(machine.asks(office.enrolment.invite("A", by="a")), address="10.0.0.9")


def _must_wait(office: HeadOffice) -> bool:
    try:
        office.enrolment._patience.demand(HERE, office.clock.read().at_ms)
    except Refusal:
        return True
    return False


def test_patience_forgets_the_oldest_address_and_who_was_right() -> None:
    patience = Patience()
    for n in range(3_000):
        for _ in range(3):
            patience.wrong(f"a{n}", 0)
    assert len(patience._wrong) == 1_000
    with pytest.raises(Refusal):
        patience.demand("a2999", 1)
    patience.right("a2999")
    patience.demand("a2999", 1)


def test_without_https_no_token_is_given_out(settings: Settings, clock: TestClock) -> None:
    make_key(settings.key_path)
    office = compose(settings, clock=clock)
    try:
        with pytest.raises(Refusal) as caught:
            office.enrolment.invite("A", by="ann")
    finally:
        office.books.database.close()
    assert caught.value.code == "HTTPS_OFF"
