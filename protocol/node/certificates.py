"""A node's TLS key and certificate: made, kept in files that only its owner reads, put to use.

The journal key (Ed25519, `signing`) says who wrote something; this key (P-256) opens connections.
A pair file holds key and certificate together, so that a renewal replaces both in one step.
"""

import contextlib
import os
import ssl
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from protocol.errors import Unavailable, define

CURVE: Final = ec.SECP256R1()
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)

define(
    {
        "CERTIFICATE_MISSING": (
            "The certificate file {path} is missing or unreadable. Restore it from your backup, or "
            "enrol this machine anew with a token of head office.",
            "证书文件 {path} 缺失或无法读取。请从备份恢复，或用总部的令牌重新注册本机。",
        ),
    }
)


def at(ms: int) -> datetime:
    """An instant in UTC ms as certificates write it."""
    return EPOCH + ms * MS


def keep(path: Path, data: bytes) -> None:
    """Write a secret so that it is there whole or not at all, and durable; only its owner reads."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as files hold it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_tls_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A P-256 key kept at `path`; one that is there already stays (CERTIFICATE_MISSING)."""
    if path.exists():
        return read_key(path)
    key = ec.generate_private_key(ec.SECP256R1())
    keep(path, key_pem(key))
    return key


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in a file; CERTIFICATE_MISSING."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        raise Unavailable("CERTIFICATE_MISSING", path=str(path)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Unavailable("CERTIFICATE_MISSING", path=str(path))
    return key


def named(name: str) -> x509.Name:
    """The subject of a node."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_csr(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    """A request for a certificate with CN = name, PEM."""
    made = x509.CertificateSigningRequestBuilder().subject_name(named(name))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def fingerprint(pem: str) -> str:
    """SHA-256 over a certificate (DER), hex; ValueError when it is none."""
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    return sha256(der).hexdigest()


class Held:
    """The certificate in a pair file."""

    def __init__(self, pem: bytes) -> None:
        found = x509.load_pem_x509_certificate(pem[pem.index(b"-----BEGIN CERTIFICATE") :])
        self.serial = f"{found.serial_number:x}"
        self.from_ms = (found.not_valid_before_utc - EPOCH) // MS
        self.until_ms = (found.not_valid_after_utc - EPOCH) // MS
        (name,) = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        self.name = str(name.value)

    def renew_from_ms(self) -> int:
        """Two thirds of its life are over."""
        return self.from_ms + (self.until_ms - self.from_ms) * 2 // 3

    def days_left(self, now_ms: int) -> int:
        """Whole days until it ends; negative when it has."""
        return (self.until_ms - now_ms) // 86_400_000


def read_held(path: Path) -> Held:
    """The certificate in a file; CERTIFICATE_MISSING."""
    try:
        return Held(path.read_bytes())
    except (OSError, ValueError):
        raise Unavailable("CERTIFICATE_MISSING", path=str(path)) from None


def client_context(authority: Path, pair: Path | None = None) -> ssl.SSLContext:
    """Trust the chain's authority alone, show our own certificate; TLS 1.2 at least.

    Made anew for each connection: a renewed file counts from the next one on. OSError when a file
    is missing or no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(authority))
    if pair is not None:
        context.load_cert_chain(str(pair))
    return context


def server_context(authority: Path, pair: Path) -> ssl.SSLContext:
    """Show our certificate; a caller's own is checked when he shows one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(authority))
    context.load_cert_chain(str(pair))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
