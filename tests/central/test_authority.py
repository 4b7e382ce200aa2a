"""The chain's own authority: what it signs, what it refuses, what it takes back."""

from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from central.authority import LIFE_DAYS, Authority
from protocol.errors import Refusal, Unavailable
from protocol.node import certificates
from protocol.node.certificates import Held, at, make_csr, named
from tests.central.shops import NOON

DAY_MS = 86_400_000
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority", "bakery", NOON)


def read(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def test_a_node_gets_ninety_days_under_its_own_name(authority: Authority) -> None:
    signed = read(authority.sign_node(make_csr(KEY, "S1"), node="S1", now_ms=NOON))
    signed.verify_directly_issued_by(read(authority.pem))
    assert signed.not_valid_before_utc <= at(NOON)
    assert signed.not_valid_after_utc == at(NOON) + timedelta(days=LIFE_DAYS)
    assert signed.public_key() == KEY.public_key()
    use = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(use.value) == [ExtendedKeyUsageOID.CLIENT_AUTH], "a shop can be no server"
    assert use.critical
    held = Held(signed.public_bytes(Encoding.PEM))
    assert held.renew_from_ms() == pytest.approx(NOON + 60 * DAY_MS, abs=3_600_000)
    assert (held.days_left(NOON), held.days_left(NOON + 90 * DAY_MS + 1)) == (90, -1)


def test_the_same_authority_is_opened_again_and_only_its_owner_reads_it(
    authority: Authority,
) -> None:
    again = Authority(authority.folder, "bakery", NOON + DAY_MS)
    assert (again.fingerprint, again.pem) == (authority.fingerprint, authority.pem)
    for file in authority.folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.parametrize("harm", ["gone", "empty", "half", "another's"])
def test_a_lost_key_is_told_and_never_replaced_by_another(
    authority: Authority, tmp_path: Path, harm: str
) -> None:
    path = authority.folder / "authority.key.pem"
    whole, other = path.read_bytes(), Authority(tmp_path / "other", "bakery", NOON)
    mine = whole[whole.index(b"-----BEGIN CERT") :]
    theirs = (other.folder / path.name).read_bytes()
    path.write_bytes(
        {
            "gone": b"",
            "empty": b"",
            "half": whole[: len(whole) // 2],
            "another's": theirs[: theirs.index(b"-----BEGIN CERT")] + mine,
        }[harm]
    )
    if harm == "gone":
        path.unlink()
    with pytest.raises(Unavailable, match="AUTHORITY_MISSING"):
        Authority(authority.folder, "bakery", NOON)
    path.write_bytes(whole)
    assert Authority(authority.folder, "bakery", NOON).fingerprint == authority.fingerprint


def test_what_can_be_made_again_is(authority: Authority) -> None:
    authority.certificate_path.write_bytes(b"damaged")
    authority.crl_path.write_bytes(b"damaged")
    again = Authority(authority.folder, "bakery", NOON)
    assert again.certificate_path.read_text() == authority.pem
    again.write_crl([("abc", NOON)], NOON)
    (revoked,) = x509.load_pem_x509_crl(again.crl_path.read_bytes())
    assert revoked.serial_number == 0xABC


def _other(subject: x509.Name, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def _forged() -> str:
    """A request over another one's key: its own signature does not fit."""
    good, other = make_csr(KEY, "S1"), make_csr(ec.generate_private_key(ec.SECP256R1()), "S1")
    der = bytearray(x509.load_pem_x509_csr(good.encode()).public_bytes(Encoding.DER))
    theirs = x509.load_pem_x509_csr(other.encode())
    mine = x509.load_pem_x509_csr(good.encode())
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    der = bytearray(
        bytes(der).replace(
            mine.public_key().public_bytes(*spki), theirs.public_key().public_bytes(*spki)
        )
    )
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()


def _altered(before: bytes, after: bytes) -> str:
    """A good request with some of its bytes replaced; its own signature fits no longer."""
    der = x509.load_pem_x509_csr(make_csr(KEY, "S1").encode()).public_bytes(Encoding.DER)
    assert before in der
    text = b64encode(der.replace(before, after, 1)).decode()
    lines = "\n".join(text[n : n + 64] for n in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{lines}\n-----END CERTIFICATE REQUEST-----\n"


TWO = x509.Name(
    [
        x509.NameAttribute(NameOID.COMMON_NAME, "S1"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x"),
    ]
)
BAD = {
    "another name": lambda: make_csr(KEY, "S2"),
    "head office's name": lambda: make_csr(KEY, "central"),
    "two names": lambda: _other(TWO, KEY),
    "no name": lambda: _other(x509.Name([]), KEY),
    "a weak key": lambda: _other(named("S1"), rsa.generate_private_key(65537, 2048)),
    "another curve": lambda: _other(named("S1"), ec.generate_private_key(ec.SECP384R1())),
    "another one's key": _forged,
    "a curve that nobody knows": lambda: _altered(
        bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177")
    ),
    "a version that nobody knows": lambda: _altered(b"\x02\x01\x00", b"\x02\x01\x07"),
    "nothing": lambda: "",
    "garbage": lambda: (
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"
    ),
    "Chinese": lambda: "证书申请",
}


@pytest.mark.parametrize("name", BAD)
def test_a_request_that_is_not_the_shops_own_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(Refusal) as caught:
        authority.sign_node(BAD[name](), node="S1", now_ms=NOON)
    assert caught.value.code == "CSR_WRONG"


def test_what_a_request_asks_for_beyond_its_name_is_not_given(authority: Authority) -> None:
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(named("S1"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("central")]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    csr = greedy.public_bytes(Encoding.PEM).decode()
    signed = read(authority.sign_node(csr, node="S1", now_ms=NOON))
    assert not signed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        signed.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_head_offices_own_certificate_is_renewed_at_two_thirds(authority: Authority) -> None:
    path, first = authority.pair("central", NOON)
    assert authority.pair("central", NOON + 59 * DAY_MS)[1].serial == first.serial
    before = path.read_bytes()
    path, second = authority.pair("central", NOON + 61 * DAY_MS)
    assert second.serial != first.serial
    assert certificates.read_key(path).private_numbers() != _key_of(before)
    assert path.stat().st_mode & 0o077 == 0


def _key_of(pem: bytes) -> object:
    key = certificates.load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers()


def test_a_server_gets_a_new_certificate_when_its_addresses_change(authority: Authority) -> None:
    _, first = authority.pair("broker", NOON, hosts=("10.0.0.2", "central.example"))
    same = authority.pair("broker", NOON, hosts=("10.0.0.2", "central.example"))
    other = authority.pair("broker", NOON, hosts=("10.0.0.3",))
    assert same[1].serial == first.serial != other[1].serial
    signed = x509.load_pem_x509_certificates(other[0].read_bytes())[0]
    use = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(use) == [ExtendedKeyUsageOID.SERVER_AUTH], "a server can be no node"


def test_every_list_of_revoked_certificates_is_newer_than_the_one_before(
    authority: Authority,
) -> None:
    def crl() -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl(authority.crl_path.read_bytes())

    public = read(authority.pem).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    first = crl()
    for revoked in ([("ab12", NOON)], [("ab12", NOON), ("ff", NOON)], []):
        before = crl().last_update_utc
        authority.write_crl(revoked, NOON)
        assert crl().is_signature_valid(public)
        assert crl().last_update_utc > before
        assert {f"{one.serial_number:x}" for one in crl()} == {s for s, _ in revoked}
    assert first.next_update_utc is not None
