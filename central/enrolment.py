"""Machines of shops: one-time tokens, certificates for them, renewal and revocation."""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from central.authority import Authority
from central.recording import Desk, Said, record
from central.stores import Stores
from central.tables import certificate, enrolment_token
from protocol.enrolment import (
    CSR_CHARS_MAX,
    TOKEN_BYTES,
    EnrolAnswer,
    EnrolRequest,
    Invitation,
    check_length,
)
from protocol.errors import Refusal, define
from protocol.events import CertificateIssued, NodeAccepted, NodeRevoked
from protocol.ids import is_id, to_stream
from protocol.node import signing
from protocol.node.certificates import Held
from protocol.node.sqljournal import Recorded, lock_head, upsert

TOKEN_MINUTES: Final = 30
FREE_TRIES: Final = 3
WAIT_S_MAX: Final = 900
ADDRESSES_MAX: Final = 1000
RENEW_AGAIN_MS: Final = 10 * 60_000
REASON_CHARS_MAX: Final = 200
REVOKED: Final = "revoked"
_KEY: Final = re.compile(r"[0-9a-f]{64}")

define(
    {
        "HTTPS_OFF": (
            "Machines cannot enrol by token while [https] port is 0 in head office's settings. Set "
            "it (8743 is usual) and start head office again.",
            "总部设置中 [https] port 为 0，设备无法用令牌注册。"
            "请设置端口（通常为 8743）并重启总部。",
        ),
        "SECOND_NEEDED": (
            "Revoking a shop's machine needs a second person: somebody else must confirm it. "
            "Nothing was changed.",
            "吊销门店设备需要第二人：必须由另一位人员确认。没有任何更改。",
        ),
        "NOTHING_TO_REVOKE": (
            "The shop {store} has neither a key nor a certificate that holds. Nothing was changed.",
            "门店 {store} 没有有效的密钥或证书。没有任何更改。",
        ),
    }
)


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """One that was issued. `revoked_ms` is 0 while it holds; instants in UTC ms."""

    serial: str
    node: str
    public_key: str
    from_ms: int
    until_ms: int
    revoked_ms: int = 0
    reason: str = ""


class Patience:
    """Wrong tries per address: free at first, then 1, 2, 4 ... seconds of waiting."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[int, int]] = OrderedDict()  # address: (count, until)

    def demand(self, address: str, now_ms: int) -> None:
        """TOKEN_WAIT while this address must wait."""
        _, until_ms = self._wrong.get(address, (0, 0))
        if now_ms < until_ms:
            raise Refusal("TOKEN_WAIT", seconds=-(-(until_ms - now_ms) // 1000))

    def wrong(self, address: str, now_ms: int) -> None:
        """Count a wrong try."""
        count = self._wrong.pop(address, (0, 0))[0] + 1
        wait_s = min(WAIT_S_MAX, 2 ** min(count - FREE_TRIES, 20)) if count >= FREE_TRIES else 0
        self._wrong[address] = (count, now_ms + int(wait_s * 1000))
        while len(self._wrong) > ADDRESSES_MAX:
            self._wrong.popitem(last=False)

    def right(self, address: str) -> None:
        """Forgive."""
        self._wrong.pop(address, None)


def _hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()


class Enrolment:
    """Verbs of machines. `authority` makes the chain's own authority at its first use."""

    def __init__(self, desk: Desk, stores: Stores, authority: Callable[[], Authority]) -> None:
        self._desk = desk
        self._stores = stores
        self._authority = authority
        self._patience = Patience()
        self._renewed: dict[str, tuple[str, str, int]] = {}  # store: request, answer, instant
        self._regained = False

    @property
    def authority(self) -> Authority:
        """The chain's own authority."""
        return self._authority()

    def _now_ms(self) -> int:
        return self._desk.clock.read().at_ms

    # -- tokens -------------------------------------------------------------------------------

    def invite(self, store: str, *, by: str) -> Invitation:
        """A fresh token for this shop, for 30 minutes and one machine; an older one is void.

        Refusal HQ_STORE_UNKNOWN, HTTPS_OFF.
        """
        url = self._desk.settings.https_url
        if not url:
            raise Refusal("HTTPS_OFF")
        self._stores.store(store)
        token = self._desk.random_bytes(TOKEN_BYTES).hex()
        row = {
            "store": store,
            "token_hash": _hash(token),
            "until_ms": self._now_ms() + TOKEN_MINUTES * 60_000,
            "person": by,
            "used_ms": 0,
            "used_for": "",
        }
        with self._desk.books.database.begin() as tx:
            self._one_at_a_time(tx, store)
            values = {name: value for name, value in row.items() if name != "store"}
            tx.execute(
                upsert(tx, enrolment_token).on_conflict_do_update(
                    index_elements=["store"], set_=values
                ),
                row,
            )
        return Invitation(url, store, token, self.authority.fingerprint)

    def enrol(self, request: EnrolRequest, *, address: str) -> EnrolAnswer:
        """A machine's certificate for its token, which is burnt by that.

        The same machine may ask again while its token is young (its answer was lost). Refusal
        TOKEN_WRONG, TOKEN_EXPIRED, TOKEN_USED, TOKEN_WAIT, CSR_WRONG, KEY_BARRED.
        """
        now = self._now_ms()
        self._patience.demand(address, now)
        try:
            answer = self._enrol(request, now)
        except Refusal:
            self._patience.wrong(address, now)
            raise
        self._patience.right(address)
        return answer

    def _enrol(self, request: EnrolRequest, now: int) -> EnrolAnswer:
        store = request.store
        check_length("store", store, 40)
        check_length("token", request.token, 200)
        check_length("csr", request.csr, CSR_CHARS_MAX)
        if not is_id(store):
            raise Refusal("TOKEN_WRONG", store=store)
        if not _KEY.fullmatch(request.public_key):  # else a barred key comes back in capitals
            raise Refusal("CSR_WRONG", detail="the journal key is not 64 lower-case hex digits")
        with self._desk.books.begin() as tx:
            self._one_at_a_time(tx, store)
            used_for = _hash(request.csr, request.public_key)
            self._check_token(tx, request, used_for, now)
            if not signing.check(request.public_key, request.signed_part(), request.sig):
                raise Refusal("CSR_WRONG", detail="the sender does not hold its journal key")
            signed = self.authority.sign_node(request.csr, node=store, now_ms=now)
            self._check_key(tx, request.public_key)
            before = self._stores.known_key(tx, store)
            said: list[Said] = []
            replaced: list[str] = []
            if before != request.public_key:
                said.append(self._say(NodeAccepted(node=store, public_key=request.public_key)))
                replaced = self._void(tx, store, now, reason="replaced")
            said.append(self._issued(tx, signed, request.public_key, renewal=False))
            record(self._desk, tx, {to_stream(store): said}, by=self._inviter(tx, store))
            tx.execute(
                update(enrolment_token)
                .where(enrolment_token.c.store == store)
                .values(used_ms=now, used_for=used_for)
            )
        if replaced:
            self.publish_revoked()
        joining = self._stores.joining(store)
        return EnrolAnswer(joining=joining, authority=self.authority.pem, certificate=signed)

    @staticmethod
    def _one_at_a_time(tx: Connection, store: str) -> None:
        """Invite, take in, renew, lock out: on PostgreSQL two of them would not see each other."""
        lock_head(tx, to_stream(store))

    def _say(self, body: NodeAccepted | CertificateIssued | NodeRevoked) -> Said:
        return self._desk.new_id(), body

    def _check_token(self, tx: Connection, request: EnrolRequest, used_for: str, now: int) -> None:
        row = tx.execute(
            select(enrolment_token).where(enrolment_token.c.store == request.store)
        ).first()
        wanted = row.token_hash if row else _hash("nobody has this token")
        if not compare_digest(wanted, _hash(request.token)) or row is None:
            raise Refusal("TOKEN_WRONG", store=request.store)
        if now >= row.until_ms:
            raise Refusal("TOKEN_EXPIRED", store=request.store, minutes=TOKEN_MINUTES)
        if row.used_ms and not compare_digest(row.used_for, used_for):
            raise Refusal("TOKEN_USED", store=request.store)

    @staticmethod
    def _inviter(tx: Connection, store: str) -> str:
        query = select(enrolment_token.c.person).where(enrolment_token.c.store == store)
        return str(tx.execute(query).scalar_one())

    # -- certificates -------------------------------------------------------------------------

    def _issued(self, tx: Connection, pem: str, public_key: str, *, renewal: bool) -> Said:
        held = Held(pem.encode())
        tx.execute(
            insert(certificate),
            {
                "serial": held.serial,
                "node": held.name,
                "public_key": public_key,
                "from_ms": held.from_ms,
                "until_ms": held.until_ms,
                "revoked_ms": 0,
                "reason": "",
            },
        )
        return self._say(
            CertificateIssued(
                node=held.name, serial=held.serial, until_ms=held.until_ms, renewal=renewal
            )
        )

    @staticmethod
    def _check_key(tx: Connection, public_key: str) -> None:
        c = certificate.c
        barred = select(c.serial).where(c.public_key == public_key, c.reason == REVOKED)
        if tx.execute(barred.limit(1)).first() is not None:
            raise Refusal("KEY_BARRED")

    @staticmethod
    def _void(tx: Connection, store: str, now: int, *, reason: str) -> list[str]:
        """No certificate of this shop counts any more; their serials."""
        c = certificate.c
        open_ = (c.node == store, c.revoked_ms == 0)
        serials = list(tx.execute(select(c.serial).where(*open_).order_by(c.from_ms)).scalars())
        tx.execute(update(certificate).where(*open_).values(revoked_ms=now, reason=reason))
        return serials

    def renew(self, store: str, csr: str) -> str:
        """A further certificate for a shop that asked over its own connection; the old one holds.

        Whoever calls has checked that the shop's journal key signed the request. The same request
        again (its answer was lost) gets the same answer. Refusal CSR_WRONG, also for another key
        within minutes; HQ_STORE_UNKNOWN.
        """
        check_length("csr", csr, CSR_CHARS_MAX)
        asked, answer, at_ms = self._renewed.get(store, ("", "", 0))
        now = self._now_ms()
        if asked == csr:
            return answer
        if answer and now - at_ms < RENEW_AGAIN_MS:
            raise Refusal("CSR_WRONG", detail="the last renewal was only minutes ago")
        with self._desk.books.begin() as tx:
            self._one_at_a_time(tx, store)
            public_key = self._stores.known_key(tx, store)
            self._check_key(tx, public_key)
            signed = self.authority.sign_node(csr, node=store, now_ms=now)
            said = [self._issued(tx, signed, public_key, renewal=True)]
            record(self._desk, tx, {to_stream(store): said}, by="")
        self._renewed[store] = (csr, signed, now)
        return signed

    def revoke(self, store: str, *, by: str, second: str, reason: str = "") -> list[str]:
        """Neither the shop's certificates nor its key count any more; the serials.

        The shop sells on and keeps its journal; a new token brings it back with new keys. Refusal
        SECOND_NEEDED (somebody else must confirm), NOTHING_TO_REVOKE, HQ_STORE_UNKNOWN.
        """
        with self._desk.books.begin() as tx:
            serials = self.lock_out(tx, store, by=by, second=second, reason=reason)
        self.publish_revoked()
        return serials

    def lock_out(
        self, tx: Connection, store: str, *, by: str, second: str, reason: str
    ) -> list[str]:
        """The same in the caller's transaction; `publish_revoked` is due after it."""
        if not second or second == by:
            raise Refusal("SECOND_NEEDED")
        now = self._now_ms()
        public_key = self._stores.known_key(tx, store)
        serials = self._void(tx, store, now, reason=REVOKED)
        if not public_key and not serials:
            raise Refusal("NOTHING_TO_REVOKE", store=store)
        if public_key:
            self._bar(tx, store, public_key, now)
        tx.execute(delete(enrolment_token).where(enrolment_token.c.store == store))
        body = NodeRevoked(
            node=store,
            public_key=public_key,
            serials=tuple(serials),
            reason=reason[:REASON_CHARS_MAX],
            second=second,
        )
        record(self._desk, tx, {to_stream(store): [self._say(body)]}, by=by)
        return serials

    @staticmethod
    def _bar(tx: Connection, store: str, public_key: str, now: int) -> None:
        """A key that never had a certificate must not get one after it was revoked either."""
        c = certificate.c
        tx.execute(
            update(certificate)
            .where(c.public_key == public_key, c.revoked_ms > 0)
            .values(reason=REVOKED)
        )
        query = select(c.serial).where(c.public_key == public_key).limit(1)
        if tx.execute(query).first() is None:
            row = {"serial": f"key-{public_key}", "node": store, "public_key": public_key}
            times = {"from_ms": now, "until_ms": now, "revoked_ms": now, "reason": REVOKED}
            tx.execute(insert(certificate), row | times)

    # -- after a restore of head office ---------------------------------------------------------

    def regain(self, tx: Connection, kept: Sequence[Recorded]) -> None:
        """Own words that came back from a shop: certificates count as was said then.

        Without it a machine that was replaced after the backup would be let in again.
        """
        for event in kept:
            body, at_ms = event.body, event.envelope.ts
            c = certificate.c
            if isinstance(body, NodeRevoked):
                void = update(certificate).where(c.serial.in_(body.serials), c.revoked_ms == 0)
                tx.execute(void.values(revoked_ms=at_ms, reason=REVOKED))
                self._bar(tx, body.node, body.public_key, at_ms)
                self._regained = True
            elif isinstance(body, CertificateIssued) and not self._has(tx, body.serial):
                if not body.renewal:
                    older = (c.node == body.node, c.revoked_ms == 0, c.until_ms < body.until_ms)
                    void = update(certificate).where(*older)
                    tx.execute(void.values(revoked_ms=at_ms, reason="replaced"))
                row = {"serial": body.serial, "node": body.node, "reason": "", "revoked_ms": 0}
                row |= {"public_key": self._stores.known_key(tx, body.node)}
                row |= {"from_ms": at_ms, "until_ms": body.until_ms}
                tx.execute(insert(certificate), row)
                self._regained = True

    @staticmethod
    def _has(tx: Connection, serial: str) -> bool:
        query = select(certificate.c.serial).where(certificate.c.serial == serial)
        return tx.execute(query).first() is not None

    def heard(self, _: Sequence[Recorded]) -> None:
        """After a commit: the broker's list follows what came back."""
        if self._regained:
            self._regained = False
            self.publish_revoked()

    def publish_revoked(self) -> None:
        """Write the list that the broker reads."""
        c, now = certificate.c, self._now_ms()
        query = select(c.serial, c.revoked_ms).where(c.revoked_ms > 0, c.until_ms > now)
        with self._desk.books.database.reading() as connection:
            rows = [(row.serial, row.revoked_ms) for row in connection.execute(query)]
        self.authority.write_crl(rows, now)

    def holds(self, pem: str, *, node: str) -> bool:
        """Is this one of this node's certificates, neither over nor revoked?"""
        try:
            held = Held(pem.encode())
        except ValueError:
            return False
        c = certificate.c
        query = select(c.until_ms).where(c.serial == held.serial, c.node == node, c.revoked_ms == 0)
        with self._desk.books.database.reading() as connection:
            until_ms = connection.execute(query).scalar()
        return until_ms is not None and self._now_ms() < until_ms

    def certificates(self, store: str = "") -> list[Certificate]:
        """All that were issued, to one shop or to all, the newest first."""
        query = select(certificate).order_by(certificate.c.from_ms.desc(), certificate.c.serial)
        if store:
            query = query.where(certificate.c.node == store)
        with self._desk.books.database.reading() as connection:
            return [Certificate(**row) for row in connection.execute(query).mappings()]
