"""A shop's machine enrols at a real head office over HTTPS, and at nobody else."""

import contextlib
import http.client
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from central.compose import HeadOffice
from central.compose import compose as compose_office
from central.settings import Https, Mqtt, Names, Public, sqlite_url
from central.settings import Settings as OfficeSettings
from central.stores import Store
from central.tables import enrolment_token
from central.web import machines
from central.web.machines import MachineServer
from edge.enrolling import ask, enrol, trusted_context
from edge.joining import join
from edge.settings import load
from protocol.clock import ClockState, Reading
from protocol.enrolment import Invitation, parse_invitation
from protocol.errors import Refusal, TillmeshError, Unavailable
from protocol.node import certificates
from protocol.node.signing import make_key
from tests.servers import free_port, wall_ms

DOCS = Path(__file__).parents[2] / "docs"
PROGRAM = str(Path(sys.executable).parent / "tillmesh-edge")


class WallClock:
    """TLS judges certificates by the machine's own time."""

    def read(self) -> Reading:
        return Reading(wall_ms(), 20, ClockState.TRUSTED)


class Place:
    """A head office with an HTTPS listener for machines."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        settings = OfficeSettings(
            chain="bakery",
            name=Names(zh="小麦", en="Wheat"),
            data_dir=folder,
            database_url=sqlite_url(folder),
            https=Https(host="127.0.0.1", port=free_port()),
            mqtt=Mqtt(tls=True),
            public=Public(broker_port=8883),
        )
        make_key(settings.key_path)
        self.office: HeadOffice = compose_office(settings, clock=WallClock())
        shop = Store(
            store="S1", name_zh="店", name_en="Shop", zone="east", group="g", tz="Asia/Shanghai"
        )
        self.office.stores.add_store(shop, by="ann")
        self.server = MachineServer(self.office)
        self.server.start()

    def invite(self) -> Invitation:
        return self.office.enrolment.invite("S1", by="ann")

    def stop(self) -> None:
        self.server.stop()
        self.office.books.database.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "hq")
    yield made
    made.stop()


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_the_command_joins_a_chain_by_its_line(place: Place, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    line = place.invite().line()
    done = subprocess.run(
        [PROGRAM, "init", "--token", line, "--dir", str(shop)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Enrolled as S1 of bakery" in done.stdout
    settings = load(shop / "edge.toml")
    assert (settings.mqtt.tls, settings.mqtt.port, settings.mqtt.username) == (True, 8883, "S1")
    assert settings.central_https == place.office.settings.https_url
    assert (shop / "pepper").read_text().strip() == place.office.stores.pepper("S1").hex()
    assert files(shop) == {
        "edge.toml",
        "pepper",
        "data/node.key",
        "data/tls/authority.pem",
        "data/tls/node.pem",
    }
    for name in files(shop):
        assert (shop / name).stat().st_mode & 0o077 == 0, name
    assert certificates.read_held(settings.pair_path).name == "S1"
    again = subprocess.run(
        [PROGRAM, "init", "--token", line, "--dir", str(shop)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (again.returncode, "JOINED_ALREADY" in again.stderr) == (1, True)


def test_whatever_is_wrong_with_a_line_is_said_and_the_guide_tells_what_to_do(
    place: Place, tmp_path: Path
) -> None:
    """Each with exit code 1: the machine has not joined; a line that was not used still holds."""

    def init(name: str, line: str) -> "subprocess.CompletedProcess[str]":
        words = [PROGRAM, "init", "--token", line, "--dir", str(tmp_path / name)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def refuses(code: str, line: str) -> None:
        done = init(code, line)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip().endswith(f"[{code}]")
        assert not files(tmp_path).intersection({f"{code}/edge.toml", f"{code}/data/tls/node.pem"})
        for page in ("operations.md", "operations.zh.md"):
            assert f"`{code}`" in (DOCS / page).read_text(encoding="utf-8")

    invitation = place.invite()
    replaced = msgspec.structs.replace
    refuses("FINGERPRINT_WRONG", replaced(invitation, fingerprint="0" * 64).line())
    away = replaced(invitation, url=f"https://127.0.0.1:{free_port()}")
    refuses("HEAD_OFFICE_UNREACHABLE", away.line())
    refuses("INVITATION_WRONG", invitation.line()[:-5])
    assert init("joined", invitation.line()).returncode == 0
    refuses("TOKEN_USED", invitation.line())
    refuses("TOKEN_WRONG", replaced(invitation, store="S2").line())
    late = place.invite()
    with place.office.books.database.begin() as tx:
        tx.execute(update(enrolment_token).values(until_ms=wall_ms() - 1))
    refuses("TOKEN_EXPIRED", late.line())
    for _ in range(12):  # whoever guesses on
        place.office.enrolment._patience.wrong("127.0.0.1", wall_ms())
    refuses("TOKEN_WAIT", place.invite().line())
    assert place.office.stores.node_key("S1") is not None


def test_an_enrolled_machine_is_known_by_its_certificate(place: Place, tmp_path: Path) -> None:
    invitation = place.invite()
    join(enrol(invitation, tmp_path / "s"), tmp_path / "s")
    settings = load(tmp_path / "s" / "edge.toml")
    known = trusted_context(settings)
    assert ask(settings.central_https, "/whoami", known) == b"S1"
    with pytest.raises(Refusal) as caught:
        ask(settings.central_https, "/whoami", certificates.client_context(settings.authority_path))
    assert caught.value.code == "CALLER_UNKNOWN"
    place.office.enrolment.revoke("S1", by="ann", second="ben")
    with pytest.raises(Refusal) as caught:
        ask(settings.central_https, "/whoami", known)
    assert caught.value.code == "CALLER_UNKNOWN"


def test_a_server_with_another_authority_gets_no_token(place: Place, tmp_path: Path) -> None:
    """Somebody in between answers in head office's place, with an authority of his own."""
    liar = Place(tmp_path / "liar")
    try:
        invitation = msgspec.structs.replace(place.invite(), url=liar.office.settings.https_url)
        with pytest.raises(Refusal) as caught:
            enrol(invitation, tmp_path / "s")
    finally:
        liar.stop()
    assert caught.value.code == "FINGERPRINT_WRONG"
    assert "data/tls/node.pem" not in files(tmp_path / "s")


def test_a_shops_own_certificate_cannot_play_head_office(place: Place, tmp_path: Path) -> None:
    """The right authority's public certificate, but a node's certificate on the listener."""
    enrol(place.invite(), tmp_path / "evil")
    tls = tmp_path / "evil" / "data" / "tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "node.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.settimeout(20)
        client = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys;from pathlib import Path;from edge.enrolling import ask;"
                "from protocol.node.certificates import client_context as c;"
                f"ask('https://127.0.0.1:{port}','/enrol',c(Path({str(tls / 'authority.pem')!r})),"
                "body=b'secret')",
            ],
            stderr=subprocess.PIPE,
        )
        accepted, _ = listener.accept()
        accepted.settimeout(20)
        with accepted, pytest.raises(OSError, match=r"(?i)certificate|alert|eof|reset"):
            context.wrap_socket(accepted, server_side=True).recv(100)
        _, told = client.communicate(timeout=60)
    assert b"HEAD_OFFICE_UNREACHABLE" in told
    assert client.returncode != 0


def test_nobody_answers(tmp_path: Path) -> None:
    invitation = Invitation(f"https://127.0.0.1:{free_port()}", "S1", "ab" * 16, "cd" * 32)
    with pytest.raises(Unavailable) as caught:
        enrol(invitation, tmp_path / "s")
    assert caught.value.code == "HEAD_OFFICE_UNREACHABLE"


def test_head_offices_own_reasons_reach_the_machine(place: Place, tmp_path: Path) -> None:
    invitation = place.invite()
    wrong = parse_invitation(invitation.line().replace(invitation.token, "0" * 32))
    with pytest.raises(Refusal) as caught:
        enrol(wrong, tmp_path / "s")
    assert caught.value.code == "TOKEN_WRONG"
    assert "S1" in caught.value.sentence("zh")
    enrol(invitation, tmp_path / "s")  # the same keys, the right token: nothing was in the way
    with pytest.raises(Refusal) as caught:
        enrol(invitation, tmp_path / "other")
    assert caught.value.code == "TOKEN_USED"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{}", 422),
        (b"[" * 9_000, 422),
        (b'{"store":1}', 422),
        (b"\xff\xfe", 422),
    ],
)
def test_odd_requests_are_refused_in_words(place: Place, body: bytes, status: int) -> None:
    for path, wanted in (("/enrol", status), ("/nothing", 404)):
        where = http.client.HTTPSConnection(
            "127.0.0.1", place.server.port, timeout=60, context=_blind()
        )
        where.request("POST", path, body)
        answer = where.getresponse()
        told = msgspec.json.decode(answer.read())
        where.close()
        assert (answer.status, bool(told["en"]), bool(told["zh"])) == (wanted, True, True), told


def test_a_request_that_is_too_large_is_refused_before_it_is_read(place: Place) -> None:
    where = http.client.HTTPSConnection(
        "127.0.0.1", place.server.port, timeout=60, context=_blind()
    )
    where.putrequest("POST", "/enrol")
    where.putheader("Content-Length", "20000000")
    where.endheaders()
    answer = where.getresponse()
    assert answer.status == 413
    assert msgspec.json.decode(answer.read())["code"] == "REQUEST_TOO_LARGE"
    where.close()


def _blind() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_whoever_opens_a_connection_and_stays_silent_keeps_nobody_from_enrolling(
    place: Place, tmp_path: Path
) -> None:
    silent = [socket.create_connection(("127.0.0.1", place.server.port)) for _ in range(40)]
    try:
        enrol(place.invite(), tmp_path / "s")  # within its own patience of 20 s
    finally:
        for one in silent:
            one.close()


def dripping(place: Place, address: str) -> ssl.SSLSocket:
    """Somebody who began a question and takes all the time in the world."""
    there = ("127.0.0.1", place.server.port)
    plain = socket.create_connection(there, timeout=30, source_address=(address, 0))
    speaking = _blind().wrap_socket(plain)
    speaking.sendall(b"POST /enrol HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n{")
    return speaking


def test_one_address_cannot_take_all_threads(place: Place, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(machines.AT_ONCE):
            stack.enter_context(dripping(place, "127.0.0.2"))
        for _ in range(3 * machines.THREADS):  # these are hung up on at once
            with contextlib.suppress(OSError):
                stack.enter_context(dripping(place, "127.0.0.2"))
        enrol(place.invite(), tmp_path / "s")


def test_a_question_that_never_ends_is_hung_up_on(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "HEARD_S", 4.0)
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(dripping(place, f"127.0.0.{2 + n}"))
            for n in range(machines.THREADS)
        ]
        enrol(place.invite(), tmp_path / "s")  # within its own patience of 20 s
        for one in slow:
            with contextlib.suppress(OSError):
                while one.recv(4096):
                    pass


def test_every_refusal_is_a_sentence_in_both_languages() -> None:
    for code in ("TOKEN_WRONG", "TOKEN_EXPIRED", "TOKEN_USED", "CSR_WRONG", "KEY_BARRED"):
        fault = TillmeshError(code, store="S1", minutes=30, detail="x")
        assert fault.sentence("en") != fault.sentence("zh")
