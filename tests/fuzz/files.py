"""Coverage-guided fuzzing of what people and machines hand in: `python -m tests.fuzz.files`.

Enrolment lines and requests, certificate requests, snapshot files, backup files, scanned codes.
Valid ones with a few bytes changed, and now and then any bytes at all. Only errors of the house may
come out. atheris comes with the extra `fuzz`.
"""

import gzip
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import atheris
import msgspec

with atheris.instrument_imports(include=["protocol", "central", "devices"]):
    from central.authority import Authority
    from devices.note import encode_note, receipt_code
    from devices.scan import GS, InStorePrefix, mask, parse_prefix, read
    from protocol.enrolment import EnrolRequest, Invitation, parse_invitation
    from protocol.errors import TillmeshError
    from protocol.node import snapshots, vault
    from protocol.node.certificates import make_csr
    from protocol.node.database import Database
    from protocol.node.tables import read as read_tables

from cryptography.hazmat.primitives.asymmetric import ec, rsa

TIMEOUT_S: Final = 20
NOW_MS: Final = 1_795_000_000_000
ROOT: Final = Path(tempfile.mkdtemp(prefix="tillmesh-fuzz-"))
AUTHORITY: Final = Authority(ROOT / "authority", "fuzz", NOW_MS)
CSRS: Final = [
    make_csr(ec.generate_private_key(ec.SECP256R1()), "S1").encode(),
    make_csr(ec.generate_private_key(ec.SECP384R1()), "S1").encode(),
    make_csr(rsa.generate_private_key(65537, 1024), "S1").encode(),  # type: ignore[arg-type]
]
REQUEST: Final = msgspec.json.encode(
    EnrolRequest(store="S1", token="0" * 32, csr=CSRS[0].decode(), public_key="0" * 64)
)
LINE: Final = Invitation("https://10.0.0.2:8743", "S1", "0" * 32, "f" * 64).line().encode()
CODES: Final = [
    *(
        b"6901028075831",
        b"2012345012341",
        b"2112345212349",
        b"]E06901028075831",
        b"134512345678901234",
        b"MBR1234",
    ),
    b"]C1010690102807583110ABC" + GS.encode() + b"17261231",
    b"(01)06901028075831(10)LOT(3103)001250",
    b"https://id.gs1.org/01/06901028075831/10/ABC?3103=001250",
    encode_note("t1", source="A", target="B", lines=[("bun", 10_000)]).encode(),
    receipt_code("1-3-000042").encode(),
    b"00106141412345678908",
]
PREFIXES: Final = [
    InStorePrefix(prefix="20", value="weight"),
    InStorePrefix(prefix="21", value="price", value_digits=4, inner_check=True),
]
KEY: Final = vault.make_backup_key(ROOT / "backup.key")
DATABASE: Final = Database(f"sqlite:///{ROOT}/tables.db")
read_tables.create_all(DATABASE.write)


def _snapshot() -> bytes:
    path = ROOT / "whole.snapshot"
    with DATABASE.begin() as tx:
        group = read_tables.tables["promo_group"]
        row = {"promo_group": "bread", "name_zh": "面包", "name_en": "Bread", "rank": 3}
        tx.execute(group.insert(), [row])
        snapshots.write_file(path, tx, [(1, "e" * 16, 0, "f" * 64, b"{}")])
        tx.execute(group.delete())
    return gzip.decompress(path.read_bytes())


def _backup() -> bytes:
    held = ROOT / "edge.db"
    held.write_bytes(b"SQLite format 3\0" * 200)
    path = ROOT / "whole.tmbk"
    label = {"kind": "edge", "node": "S1", "chain": "fuzz", "at_ms": NOW_MS}
    vault.write_backup(path, {"data/edge.db": held}, KEY, label=label)
    return path.read_bytes()


SNAPSHOT: Final = _snapshot()
BACKUP: Final = _backup()


def spoilt(data: "atheris.FuzzedDataProvider", whole: bytes) -> bytes:
    """The same with a few bytes changed, cut out or put in."""
    made = bytearray(whole)
    for _ in range(data.ConsumeIntInRange(0, 4)):
        at = data.ConsumeIntInRange(0, max(0, len(made) - 1))
        kind = data.ConsumeIntInRange(0, 3)
        if kind == 0 and made:
            made[at] = data.ConsumeIntInRange(0, 255)
        elif kind == 1:
            del made[at : at + data.ConsumeIntInRange(1, 40)]
        elif kind == 2:
            made[at:at] = data.ConsumeBytes(20)
        else:
            made[at : at + 8] = (b"null", b'"\\u0000"', b"1e999", b"[[[[", b"-1", b"9" * 30)[at % 6]
    return bytes(made)


def enrolling(data: "atheris.FuzzedDataProvider") -> None:
    """Lines, requests and certificate requests."""
    with suppress(TillmeshError, UnicodeDecodeError):
        parse_invitation(spoilt(data, LINE).decode())
    with suppress(ValueError, RecursionError):  # as `central.web.machines` takes them
        msgspec.json.decode(spoilt(data, REQUEST), type=EnrolRequest)
    csr = spoilt(data, CSRS[data.ConsumeIntInRange(0, len(CSRS) - 1)]).decode("utf-8", "replace")
    with suppress(TillmeshError):
        AUTHORITY.sign_node(csr, node="S1", now_ms=NOW_MS)


def snapshot(data: "atheris.FuzzedDataProvider") -> None:
    """What a shop starts from; also such that its packing is whole."""
    path, inside = ROOT / "one.snapshot", spoilt(data, SNAPSHOT)
    packed = gzip.compress(inside, 1)
    path.write_bytes(spoilt(data, packed) if data.ConsumeBool() else packed)
    with suppress(TillmeshError), DATABASE.write.connect() as tx:
        snapshots.load_tables(tx, path)
    with suppress(TillmeshError):
        list(snapshots.read_tail(path, "shop/S1"))


def backup(data: "atheris.FuzzedDataProvider") -> None:
    """Archives that were altered on their way."""
    path, target = ROOT / "one.tmbk", ROOT / "out"
    made = spoilt(data, BACKUP)
    path.write_bytes(made)
    try:
        vault.extract_backup(path, KEY, target)
    except TillmeshError:
        return
    assert made == BACKUP, "an altered backup was taken"


def codes(data: "atheris.FuzzedDataProvider") -> None:
    """Whatever a scanner or a finger gives; the reader never raises."""
    plain = data.ConsumeIntInRange(0, 7) == 0
    whole = CODES[data.ConsumeIntInRange(0, len(CODES) - 1)]
    text = (data.ConsumeBytes(300) if plain else spoilt(data, whole)).decode("utf-8", "replace")
    tender = data.ConsumeBool()
    found = read(text, prefixes=PREFIXES, tender=tender)
    msgspec.json.encode(found)
    mask(text)
    with suppress(TillmeshError):
        parse_prefix(text)


TARGETS: Final[tuple[Callable[["atheris.FuzzedDataProvider"], None], ...]] = (
    codes,
    enrolling,
    snapshot,
    backup,
)


def one_input(raw: bytes) -> None:
    """One thing of each kind in turn."""
    data = atheris.FuzzedDataProvider(raw)
    TARGETS[data.ConsumeIntInRange(0, len(TARGETS) - 1)](data)


if __name__ == "__main__":
    os.chdir(ROOT)
    options = [f"-timeout={TIMEOUT_S}", "-max_len=2048"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[1:]], one_input)
    atheris.Fuzz()
