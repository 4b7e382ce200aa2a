"""A shop's page gives out tokens and, with a second person, locks the shop's machine out."""

import re
from collections.abc import Callable
from html import unescape

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from central.compose import HeadOffice
from protocol.enrolment import EnrolRequest, parse_invitation
from protocol.errors import Refusal
from protocol.node import certificates
from protocol.node.certificates import make_csr
from protocol.node.signing import make_key
from tests.central.web import bakery
from tests.central.web.conftest import Person

People = Callable[[str], Person]
LINE = re.compile(r"init --token '(https://[^']+)'")


def line_of(page: str) -> str:
    found = LINE.search(unescape(page))
    assert found, page
    return found[1]


def lock(person: Person, **fields: str) -> str:
    wanted = {"reason": "stolen", "second": "sun", "password": bakery.PASSWORD, **fields}
    status = 422 if fields else 302
    return person.send("/shops/north/revoke", status=status, **wanted)


def test_a_token_is_shown_once_as_a_command_and_a_qr(person: People, office: HeadOffice) -> None:
    first = person("zhao").send("/shops/north/token", status=200)
    second = person("zhao").send("/shops/north/token", status=200)
    shown = parse_invitation(line_of(second))
    assert shown.store == "north"
    assert shown.fingerprint == office.enrolment.authority.fingerprint
    assert parse_invitation(line_of(first)).token != shown.token
    assert 'src="data:image/svg+xml' in second
    assert shown.token not in person("zhao").get("/shops/north?lang=en")


def test_who_may_not_manage_shops_gets_no_token(person: People) -> None:
    assert "NOT_ALLOWED" in person("qian").send("/shops/north/token", status=403)
    assert "NOT_ALLOWED" in person("qian").send("/shops/north/revoke", status=403)
    assert "Lock this machine out" not in person("qian").get("/shops/north?lang=en")


def test_a_machine_is_locked_out_by_two_persons_only(
    person: People, office: HeadOffice, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown = parse_invitation(line_of(person("zhao").send("/shops/north/token", status=200)))
    key = make_key(tmp_path_factory.mktemp("machine") / "node.key")
    asked = EnrolRequest(
        store="north",
        token=shown.token,
        csr=make_csr(ec.generate_private_key(certificates.CURVE), "north"),
        public_key=key.public_hex,
    )
    asked = msgspec.structs.replace(asked, sig=key.sign(asked.signed_part()))
    office.enrolment.enrol(asked, address="here")
    page = person("zhao").get("/shops/north?lang=en")
    assert key.public_hex in page
    assert "Certificate" in page
    assert "SECOND_NEEDED" in lock(person("zhao"), second="zhao")
    assert "SIGN_IN_WRONG" in lock(person("zhao"), password="wrong")
    assert "NOT_ALLOWED" in lock(person("zhao"), second="qian")
    assert office.stores.node_key("north") == key.public_hex
    done = lock(person("zhao"))
    assert "locked out" in done
    assert "Revoked" in done
    assert office.stores.node_key("north") is None
    assert "NOTHING_TO_REVOKE" in person("zhao").send(
        "/shops/north/revoke", status=422, reason="x", second="sun", password=bakery.PASSWORD
    )
    again = parse_invitation(line_of(person("zhao").send("/shops/north/token", status=200)))
    barred = msgspec.structs.replace(asked, token=again.token)
    barred = msgspec.structs.replace(barred, sig=key.sign(barred.signed_part()))
    with pytest.raises(Refusal) as caught:
        office.enrolment.enrol(barred, address="here")
    assert caught.value.code == "KEY_BARRED"
