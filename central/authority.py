"""The chain's own certificate authority: one P-256 key in head office's data folder.

It signs the certificates of nodes (CN = node id), of head office's own processes and of the
servers that nodes call (broker, HTTPS), and the list of those that were revoked.
"""

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.errors import Refusal, Unavailable, define
from protocol.node import certificates
from protocol.node.certificates import Held, at, named

LIFE_DAYS: Final = 90
AUTHORITY_DAYS: Final = 3650
LEEWAY: Final = timedelta(hours=1)  # clocks that are a little behind
CRL_DAYS: Final = 3650  # a broker whose list went stale would refuse everybody


define(
    {
        "AUTHORITY_MISSING": (
            "The key of the chain's certificate authority, {path}, is missing or damaged. No other "
            "one was made, because every shop trusts this one alone. Put it back from a backup of "
            "head office. Without one, move the folder away and invite every shop's machine anew.",
            "连锁证书机构的密钥 {path} 缺失或损坏。没有另行生成，因为所有门店只信任该密钥。"
            "请从总部备份恢复；没有备份时，请移走该目录，并为每家门店的设备重新发放令牌。",
        ),
    }
)


class Authority:
    """Opened from its folder; made there by the first who asks."""

    def __init__(self, folder: Path, chain: str, now_ms: int) -> None:
        self.folder, self.chain = folder, chain
        self.certificate_path = folder / "authority.pem"
        self.crl_path = folder / "revoked.pem"
        self._pair_path = folder / "authority.key.pem"
        if not self._pair_path.exists() and not self.certificate_path.exists():
            self._make(chain, now_ms)
        self._key, self._own = self._read()
        self.pem = self._own.public_bytes(Encoding.PEM).decode("ascii")
        self.fingerprint = certificates.fingerprint(self.pem)
        if not _holds(self.certificate_path, self.pem.encode()):
            certificates.keep(self.certificate_path, self.pem.encode())
        if not self.crl_path.exists():
            self.write_crl([], now_ms)

    def _read(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        """The key with its own certificate; AUTHORITY_MISSING rather than another one."""
        try:
            pair = self._pair_path.read_bytes()
            own = x509.load_pem_x509_certificate(pair[pair.index(b"-----BEGIN CERT") :])
            key = certificates.read_key(self._pair_path)
            if own.public_key() == key.public_key():
                return key, own
        except (OSError, ValueError, Unavailable):
            pass
        raise Unavailable("AUTHORITY_MISSING", path=str(self._pair_path))

    def _make(self, chain: str, now_ms: int) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, chain),
                x509.NameAttribute(NameOID.COMMON_NAME, f"{chain} Tillmesh authority"),
            ]
        )
        own = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(at(now_ms) - LEEWAY)
            .not_valid_after(at(now_ms) + timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .sign(key, hashes.SHA256())
        )
        part = self.folder / f".new.{os.getpid()}"
        certificates.keep(part, certificates.key_pem(key) + own.public_bytes(Encoding.PEM))
        try:
            os.link(part, self._pair_path)  # never over another one's
        except FileExistsError:
            pass
        finally:
            part.unlink()

    # -- signing ------------------------------------------------------------------------------

    def sign_node(self, csr: str, *, node: str, now_ms: int, days: float = LIFE_DAYS) -> str:
        """A node's certificate (PEM) for its request; Refusal CSR_WRONG."""
        try:
            found = x509.load_pem_x509_csr(csr.encode())
            good = found.is_signature_valid
            names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            key = found.public_key()
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion):
            raise Refusal("CSR_WRONG", detail="it is no readable PEM request") from None
        if not good:
            raise Refusal("CSR_WRONG", detail="its own signature does not fit")
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(
            key.curve, ec.SECP256R1
        ):
            raise Refusal("CSR_WRONG", detail="the key is not P-256")
        if [n.value for n in names] != [node] or len(list(found.subject)) != 1:
            raise Refusal("CSR_WRONG", detail=f"it is not made out to {node} alone")
        return self._sign(key, node, now_ms, days=days)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str,
        now_ms: int,
        *,
        days: float,
        hosts: Iterable[str] = (),
    ) -> str:
        """Clients say who they are by CN; servers answer for their hosts, and never as a client."""
        made = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(self._own.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(at(now_ms) - LEEWAY)
            .not_valid_after(at(now_ms) + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )
        names = [_host(host) for host in dict.fromkeys(hosts)]
        use = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        made = made.add_extension(x509.ExtendedKeyUsage([use]), critical=True)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = made.sign(self._key, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM).decode("ascii")

    def pair(self, name: str, now_ms: int, *, hosts: Iterable[str] = ()) -> tuple[Path, Held]:
        """Head office's own key and certificate of that name, as one file.

        Made at the first call, and anew with a new key when two thirds of its life are over or
        when `hosts` (of a server) are others than before.
        """
        path = self.folder / f"{name}.pem"
        hosts = tuple(hosts)
        if path.exists():
            held = certificates.read_held(path)
            if now_ms < held.renew_from_ms() and _same_hosts(path, hosts):
                return path, held
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(key.public_key(), name, now_ms, days=LIFE_DAYS, hosts=hosts)
        certificates.keep(path, certificates.key_pem(key) + signed.encode())
        return path, certificates.read_held(path)

    def write_crl(self, revoked: Iterable[tuple[str, int]], now_ms: int) -> None:
        """The list of revoked certificates (serial in hex, instant); newer than any before."""
        this = at(now_ms) - LEEWAY
        with contextlib.suppress(OSError, ValueError):  # a damaged one is replaced
            before = x509.load_pem_x509_crl(self.crl_path.read_bytes())
            this = max(this, before.last_update_utc + timedelta(seconds=1))
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._own.subject)
            .last_update(this)
            .next_update(this + timedelta(days=CRL_DAYS))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
            )
        )
        for serial, revoked_ms in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(int(serial, 16))
            made = made.add_revoked_certificate(entry.revocation_date(at(revoked_ms)).build())
        signed = made.sign(self._key, hashes.SHA256())
        certificates.keep(self.crl_path, signed.public_bytes(Encoding.PEM))


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return x509.DNSName(host)


def _same_hosts(path: Path, hosts: tuple[str, ...]) -> bool:
    pem = path.read_bytes()
    found = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERT") :])
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not hosts
    return list(names) == [_host(host) for host in dict.fromkeys(hosts)]
