"""Backups: what was written comes back; any altered byte, cut or other key is refused in words."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Corrupt, Refusal, Unavailable
from protocol.node import vault

LABEL = {"node": "s1", "chain": "demo", "kind": "edge", "at_ms": 1_793_500_000_000}


@pytest.fixture
def key(tmp_path: Path) -> vault.BackupKey:
    return vault.make_backup_key(tmp_path / "backup.key")


@pytest.fixture
def written(tmp_path: Path, key: vault.BackupKey) -> Path:
    """A backup of three files, more than two chunks long."""
    files = {"a": b"x", "data/empty": b"", "data/big": bytes(range(256)) * 1024}
    with (tmp_path / "noise").open("wb") as noise:
        for n in range(80_000):
            noise.write(sha256(n.to_bytes(8, "big")).digest())  # nothing packs it
    paths = {"data/noise": tmp_path / "noise"}
    for name, content in files.items():
        paths[name] = tmp_path / name.replace("/", "-")
        paths[name].write_bytes(content)
    target = tmp_path / "one.tmbk"
    vault.write_backup(target, paths, key, label=LABEL)
    return target


def test_what_was_written_comes_back(tmp_path: Path, key: vault.BackupKey, written: Path) -> None:
    label = vault.extract_backup(written, key, tmp_path / "out")
    assert (label.node, label.kind, label.key) == ("s1", "edge", key.fingerprint)
    assert (tmp_path / "out" / "data" / "noise").read_bytes() == (tmp_path / "noise").read_bytes()
    assert (tmp_path / "out" / "data" / "empty").read_bytes() == b""
    assert oct((tmp_path / "out" / "a").stat().st_mode & 0o777) == "0o600"
    assert b"data/big" not in written.read_bytes()
    assert vault.backups_in(tmp_path, "edge") == [(label, written)]
    assert vault.backups_in(tmp_path, "central") == []


def test_another_key_is_named(tmp_path: Path, written: Path) -> None:
    other = vault.make_backup_key(tmp_path / "other.key")
    with pytest.raises(Refusal, match="BACKUP_KEY_WRONG") as refused:
        vault.extract_backup(written, other, tmp_path / "out")
    assert other.fingerprint in refused.value.sentence("en")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "\xff" * 64])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text, encoding="latin-1")
    with pytest.raises(Unavailable, match="BACKUP_KEY_MISSING"):
        vault.load_backup_key(tmp_path / "k")
    with pytest.raises(Refusal, match="BACKUP_KEY_THERE"):
        vault.make_backup_key(tmp_path / "k")


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _last_chunk_gone(data: bytes) -> bytes:
    head = data.index(b"\n") + 1
    return data[: head + vault.CHUNK + vault.TAG]


def _chunks_swapped(data: bytes) -> bytes:
    head, size = data.index(b"\n") + 1, vault.CHUNK + vault.TAG
    one, two, rest = (
        data[head : head + size],
        data[head + size : head + 2 * size],
        data[head + 2 * size :],
    )
    return data[:head] + two + one + rest


def _label_altered(data: bytes) -> bytes:
    return data.replace(b'"at_ms":1793500000000', b'"at_ms":1793500000001', 1)


def _something_added(data: bytes) -> bytes:
    return data + b"x"


@pytest.mark.parametrize(
    "alter", [_cut, _last_chunk_gone, _chunks_swapped, _label_altered, _something_added]
)
def test_what_was_altered_is_refused(
    tmp_path: Path, key: vault.BackupKey, written: Path, alter: Callable[[bytes], bytes]
) -> None:
    data = written.read_bytes()
    assert len(data) > 2 * (vault.CHUNK + vault.TAG)
    written.write_bytes(alter(data))
    with pytest.raises(Corrupt, match="BACKUP_DAMAGED"):
        vault.extract_backup(written, key, tmp_path / "out")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, vault.BackupKey, bytes]:
    folder = tmp_path_factory.mktemp("vault")
    key = vault.make_backup_key(folder / "key")
    (folder / "f").write_bytes(b"hello")
    target = folder / "small.tmbk"
    vault.write_backup(target, {"f": folder / "f"}, key, label=LABEL)
    return target, key, target.read_bytes()


@given(at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_any_byte_that_changes_is_found(
    small: tuple[Path, vault.BackupKey, bytes], at: int, flip: int
) -> None:
    target, key, data = small
    place = at % len(data)
    altered = bytearray(data)
    altered[place] ^= flip
    target.write_bytes(altered)
    with pytest.raises((Corrupt, Refusal), match="BACKUP_"):
        vault.extract_backup(target, key, target.parent / "out")


def test_the_oldest_go_and_others_stay(tmp_path: Path, key: vault.BackupKey) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for n in range(5):
        for node in ("s1", "s2"):
            label = {**LABEL, "node": node, "at_ms": n}
            vault.write_backup(
                tmp_path / f"{node}-{n}.tmbk", {"f": tmp_path / "f"}, key, label=label
            )
    (tmp_path / "stranger.tmbk").write_bytes(b"no backup")
    vault.retain(tmp_path, "edge", node="s1", copies=2)
    left = sorted(p.name for p in tmp_path.glob("*.tmbk"))
    assert left == ["s1-3.tmbk", "s1-4.tmbk", *(f"s2-{n}.tmbk" for n in range(5)), "stranger.tmbk"]
