"""Join by a one-time token: make keys, ask head office over a pinned connection, keep the answer.

    invitation = parse_invitation(line)
    joining = enrol(invitation, target)     # keys and certificate are in place
    join(joining, target)                   # settings and pepper: edge.joining

The keys wait beside the old ones until head office has answered: a failed try changes nothing,
and the same token may be tried again with them.
"""

import http.client
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from edge.joining import Joining, check_joining
from edge.settings import Settings, SettingsFaults
from protocol.enrolment import (
    ANSWER_BYTES_MAX,
    EnrolAnswer,
    EnrolRefusal,
    EnrolRequest,
    Invitation,
)
from protocol.errors import SENTENCES, Refusal, Unavailable
from protocol.node import certificates
from protocol.node.signing import NodeKey, make_key

ANSWER_S: Final = 20.0
DATA: Final = "data"  # below the shop's folder, as `settings_text` writes it


def enrol(invitation: Invitation, target: Path, *, data: Path | None = None) -> Joining:
    """Exchange the token for a certificate; keys and certificate stand below `target`/data.

    Refusal FINGERPRINT_WRONG, or with head office's own code; Unavailable
    HEAD_OFFICE_UNREACHABLE. Nothing counts before everything is there.
    """
    folder = data or target / DATA
    tls = folder / "tls"
    tls.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = fetch_authority(invitation)
    new_key, new_tls = folder / "node.key.new", tls / "node.new.key"
    key, tls_key = make_key(new_key), certificates.make_tls_key(new_tls)
    certificates.keep(tls / "authority.new.pem", authority.encode())
    context = certificates.client_context(tls / "authority.new.pem")
    answer = _exchange(invitation, key, certificates.make_csr(tls_key, invitation.store), context)
    joining = _checked(answer, invitation)
    pair = certificates.key_pem(tls_key) + answer.certificate.encode()
    certificates.keep(tls / "node.pem", pair)
    (tls / "authority.new.pem").replace(tls / "authority.pem")
    new_key.replace(folder / "node.key")
    new_tls.unlink()
    return joining


def _exchange(
    invitation: Invitation, key: NodeKey, csr: str, context: ssl.SSLContext
) -> EnrolAnswer:
    asked = EnrolRequest(
        store=invitation.store, token=invitation.token, csr=csr, public_key=key.public_hex
    )
    asked = msgspec.structs.replace(asked, sig=key.sign(asked.signed_part()))
    body = ask(invitation.url, "/enrol", context, body=msgspec.json.encode(asked))
    try:
        return msgspec.json.decode(body, type=EnrolAnswer)
    except ValueError as fault:
        raise Refusal("ANSWER_UNREADABLE", url=invitation.url, detail=str(fault)[:120]) from None


def _checked(answer: EnrolAnswer, invitation: Invitation) -> Joining:
    try:
        joining = check_joining(answer.joining, invitation.url)
        held = certificates.Held(answer.certificate.encode())
    except (SettingsFaults, ValueError) as fault:
        raise Refusal("ANSWER_UNREADABLE", url=invitation.url, detail=str(fault)[:120]) from None
    if not joining.store == held.name == invitation.store:
        detail = f"it is made out to {held.name}"
        raise Refusal("ANSWER_UNREADABLE", url=invitation.url, detail=detail)
    return joining


def fetch_authority(invitation: Invitation) -> str:
    """The chain's authority (PEM), if it is the one that the line names (FINGERPRINT_WRONG).

    Asked without trust, because the fingerprint is the trust: nothing secret is sent here.
    """
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.minimum_version = ssl.TLSVersion.TLSv1_2
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    pem = ask(invitation.url, "/authority.pem", blind).decode("ascii", "replace")
    try:
        found = certificates.fingerprint(pem)
    except ValueError:
        found = "-"
    if found != invitation.fingerprint:
        raise Refusal(
            "FINGERPRINT_WRONG", url=invitation.url, found=found, wanted=invitation.fingerprint
        )
    return pem


def trusted_context(settings: Settings) -> ssl.SSLContext:
    """For calls to head office's HTTPS as this shop, once it is enrolled; OSError without files."""
    return certificates.client_context(settings.authority_path, settings.pair_path)


def ask(
    url: str,
    path: str,
    context: ssl.SSLContext,
    *,
    body: bytes | None = None,
    most: int = ANSWER_BYTES_MAX,
) -> bytes:
    """GET, or POST a body, and return the answer's bytes.

    A refusal of head office is raised as its own code; Unavailable HEAD_OFFICE_UNREACHABLE for
    everything that the line or TLS does.
    """
    where = urlsplit(url)
    connection = http.client.HTTPSConnection(
        where.hostname or "", where.port or 443, timeout=ANSWER_S, context=context
    )
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read(most + 1)
    except (OSError, http.client.HTTPException) as fault:
        detail = str(fault) or type(fault).__name__
        raise Unavailable("HEAD_OFFICE_UNREACHABLE", url=url, detail=detail[:160]) from None
    finally:
        connection.close()
    if len(data) > most:
        raise Refusal("ANSWER_UNREADABLE", url=url, detail=f"more than {most} bytes")
    if answer.status != http.HTTPStatus.OK:
        raise _refusal(data, url, answer.status)
    return data


def _refusal(data: bytes, url: str, status: int) -> Refusal:
    """Head office's own code when this version knows it, else its sentence."""
    try:
        said = msgspec.json.decode(data, type=EnrolRefusal)
    except ValueError:
        return Refusal("ANSWER_UNREADABLE", url=url, detail=f"HTTP {status}")
    if said.code in SENTENCES:
        return Refusal(said.code, **said.params)
    return Refusal("ANSWER_UNREADABLE", url=url, detail=f"{said.code}: {said.en[:200]}")
