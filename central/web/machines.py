"""What the shops' machines call over HTTPS: enrolment. People's pages are elsewhere.

The listener shows a certificate of the chain's own authority. A caller that shows one of his own
is known by `caller()`; its CN is the node id.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Final

import msgspec
import structlog
from cheroot.server import HTTPConnection
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server as Cheroot
from cheroot.wsgi import WSGIGateway_10
from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue
from flask.wrappers import Response
from werkzeug.exceptions import HTTPException

from central.compose import HeadOffice
from central.web import handing
from central.web.office import EXTENSION, office
from protocol.enrolment import REQUEST_BYTES_MAX, EnrolRefusal, EnrolRequest, params_of
from protocol.errors import Corrupt, Refusal, TillmeshError, Unavailable, define
from protocol.node.certificates import server_context

HANDSHAKE_S: Final = 3.0
HEARD_S: Final = 10.0  # a whole question, however slowly it drips
AT_ONCE: Final = 3  # connections of one address that are served at the same time
REQUEST_S: Final = 30
RENEW_LOOK_S: Final = 600.0
THREADS: Final = 8
STOP_S: Final = 3
HEARD: Final = "tillmesh.heard"
SERVER: Final = "https"  # the name of the listener's own key and certificate

log = structlog.get_logger("machines")
pages = Blueprint("machines", __name__)

define(
    {
        "CALLER_UNKNOWN": (
            "The caller showed no certificate that holds. Enrol the machine with a token of head "
            "office.",
            "调用方没有出示有效证书。请用总部的令牌注册该设备。",
        ),
    }
)


def caller() -> str:
    """The shop behind this request, by its certificate. Refusal CALLER_UNKNOWN."""
    pem = str(request.environ.get("SSL_CLIENT_CERT", ""))
    node = str(request.environ.get("SSL_CLIENT_S_DN_CN", ""))
    if not pem or not office().enrolment.holds(pem, node=node):
        raise Refusal("CALLER_UNKNOWN")
    return node


@pages.get("/authority.pem")
def authority() -> Response:
    """The chain's authority; whoever takes it compares its fingerprint first."""
    return Response(office().enrolment.authority.pem, mimetype="application/x-pem-file")


@pages.get("/whoami")
def whoami() -> Response:
    """The caller's own id, as his certificate says: does it still hold?"""
    return Response(caller(), mimetype="text/plain")


@pages.post("/enrol")
def enrol() -> ResponseReturnValue:
    """A token and a certificate request for a certificate."""
    try:
        asked = msgspec.json.decode(request.get_data(), type=EnrolRequest)
    except (ValueError, RecursionError):
        raise Refusal("CSR_WRONG", detail="it is not the JSON that a machine sends") from None
    answer = office().enrolment.enrol(asked, address=request.remote_addr or "")
    log.info("machine_enrolled", store=asked.store, address=request.remote_addr)
    return Response(msgspec.json.encode(answer), mimetype="application/json")


def _refused(fault: TillmeshError, status: int) -> Response:
    log.warning("machine_refused", code=fault.code, address=request.remote_addr, path=request.path)
    said = EnrolRefusal(
        code=fault.code,
        params=params_of(fault.params),
        en=fault.sentence("en"),
        zh=fault.sentence("zh"),
    )
    return Response(msgspec.json.encode(said), status, mimetype="application/json")


def _known(fault: TillmeshError) -> Response:
    if fault.code == "TOKEN_WAIT":
        return _refused(fault, 429)
    if fault.code == "CALLER_UNKNOWN":
        return _refused(fault, 403)
    return _refused(fault, 503 if isinstance(fault, Unavailable) else 422)


def _http(fault: HTTPException) -> Response:
    code = {404: "PAGE_UNKNOWN", 405: "METHOD_UNKNOWN", 413: "REQUEST_TOO_LARGE"}.get(
        fault.code or 500, "REQUEST_UNREADABLE"
    )
    return _refused(Refusal(code), fault.code or 500)


def _unforeseen(fault: Exception) -> Response:
    log.error("machine_request_failed", exc_info=fault)
    return _refused(Corrupt("INTERNAL", reference="-"), 500)


def create_machine_app(head_office: HeadOffice) -> Flask:
    """The application that the HTTPS listener serves."""
    app = Flask("central.web", static_folder=None)
    app.extensions[EXTENSION] = head_office
    app.config["MAX_CONTENT_LENGTH"] = REQUEST_BYTES_MAX
    app.before_request(_hear)
    app.register_blueprint(pages)
    app.register_blueprint(handing.pages)
    app.register_error_handler(TillmeshError, _known)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)
    return app


class _Adapter(BuiltinSSLAdapter):
    """TLS 1.2 at least; shakes hands within seconds; takes a renewed certificate by itself."""

    def __init__(self, head_office: HeadOffice) -> None:
        self._office = head_office
        self._looked_s = 0.0
        self._seen = b""
        path = head_office.own_pair(SERVER)
        super().__init__(str(path), str(path))
        self._refresh()

    def _refresh(self) -> None:
        self._looked_s = time.monotonic()
        path = self._office.own_pair(SERVER)
        digest = sha256(path.read_bytes()).digest()
        if digest != self._seen:
            self._seen = digest
            self.context = server_context(self._office.enrolment.authority.certificate_path, path)

    def wrap(self, sock: Any) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """Cheroot accepts in one thread: the handshake waits for the worker (`_Connection`)."""
        if time.monotonic() - self._looked_s > RENEW_LOOK_S:
            self._refresh()
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {}


class _Turns:
    """How many connections of each address are being served: nobody takes all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: Counter[str] = Counter()

    @contextmanager
    def taken(self, address: str) -> Iterator[bool]:
        """Whether this address may be served beside what it has under way."""
        with self._lock:
            free = self._served[address] < AT_ONCE
            self._served[address] += free
        try:
            yield free
        finally:
            with self._lock:
                self._served[address] -= free
                if not self._served[address]:
                    del self._served[address]


class _Connection(HTTPConnection):
    """Shakes hands when the caller has begun to speak, then knows who it is."""

    turns = _Turns()

    def communicate(self) -> bool:
        """One request, after the handshake; False ends the connection."""
        if not self.ssl_env and not self._shake_hands():
            return False
        with self.turns.taken(self.remote_addr) as free:
            if not free:
                self._not_heard("too many questions at once")
                return False
            slow = threading.Timer(HEARD_S, self._hang_up)
            slow.daemon = True
            slow.start()
            self.heard = slow.cancel
            try:
                return bool(super().communicate())  # type: ignore[no-untyped-call]
            finally:
                slow.cancel()

    def _shake_hands(self) -> bool:
        try:
            self.socket.settimeout(HANDSHAKE_S)
            self.socket.do_handshake()
            self.socket.settimeout(REQUEST_S)
        except OSError as fault:
            self._not_heard(str(fault)[:120])
            return False
        self.ssl_env = self.server.ssl_adapter.get_environ(self.socket)
        return True

    def _not_heard(self, reason: str) -> None:
        log.info("machine_not_heard", address=self.remote_addr, reason=reason)

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # the thread that reads finds the end
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class _Gateway(WSGIGateway_10):
    """Tells the application's end of the question to the connection."""

    def get_environ(self) -> Any:
        """As cheroot's."""
        environ = super().get_environ()  # type: ignore[no-untyped-call]
        environ[HEARD] = self.req.conn.heard
        return environ


def _hear() -> None:
    """The whole question is here; the answer may take as long as the line needs."""
    request.get_data()
    request.environ.get(HEARD, bool)()


class MachineServer:
    """The HTTPS listener: `start` takes the port (OSError), `stop` frees it."""

    def __init__(self, head_office: HeadOffice) -> None:
        https = head_office.settings.https
        self._cheroot: Any = Cheroot(
            (https.host, https.port),
            create_machine_app(head_office),
            numthreads=THREADS,
            shutdown_timeout=STOP_S,
            timeout=REQUEST_S,
        )
        self._cheroot.ConnectionClass = _Connection
        self._cheroot.gateway = _Gateway
        self._cheroot.ssl_adapter = _Adapter(head_office)
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._cheroot.bind_addr[1])

    def start(self) -> None:
        """Serve in a thread."""
        self._cheroot.prepare()
        self._thread = threading.Thread(target=self._cheroot.serve, name="machines", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, close the port."""
        self._cheroot.stop()
        if self._thread is not None:
            self._thread.join(STOP_S)
