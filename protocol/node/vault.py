"""Backups that only the holder of a key file can read, and that nobody can alter unseen.

A backup is one file: a line that says what it is, then a compressed tar in chunks of AES-256-GCM.
Each chunk is bound to the line, to its number and to being the last one or not, so a changed,
swapped, doubled or missing chunk is found. The file's key comes from the operator's key file and
a random salt (HKDF), so no nonce is ever used twice.
"""

import gzip
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import Corrupt, Refusal, Unavailable, define

MAGIC: Final = b"tillmesh-backup 1 "
CHUNK: Final = 1 << 20
TAG: Final = 16
LINE_MAX: Final = 4_096
KEY_BYTES: Final = 32
GZIP_LEVEL: Final = 3

define(
    {
        "BACKUP_KEY_MISSING": (
            "The backup key file {path} is missing or unreadable. Nothing was written or changed. "
            "Make one with `backup-key`, keep a copy away from this machine.",
            "备份密钥文件 {path} 缺失或无法读取，没有写入或更改任何内容。"
            "请用 `backup-key` 生成，并在别处保存一份副本。",
        ),
        "BACKUP_KEY_WRONG": (
            "{path} was made with another key file ({needs}, this one is {has}). Nothing was "
            "changed. Use the key file of that time.",
            "{path} 是用另一个密钥文件生成的（需要 {needs}，当前为 {has}）。没有任何更改。"
            "请使用当时的密钥文件。",
        ),
        "BACKUP_DAMAGED": (
            "The backup {path} is damaged or was altered ({detail}). Nothing was changed. Take an "
            "older one, or a copy from elsewhere.",
            "备份 {path} 已损坏或被篡改（{detail}）。没有任何更改。请使用更早的备份或其他副本。",
        ),
        "BACKUP_KEY_THERE": (
            "{path} exists already and was left alone: backups made with it need it.",
            "{path} 已存在，未作更改：用它生成的备份仍需要它。",
        ),
    }
)


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a backup: readable by anybody, altered by nobody."""

    node: str
    chain: str
    kind: str  # edge or central
    at_ms: int
    key: str  # fingerprint of the key file
    salt: str


class BackupKey:
    """The operator's key: 32 bytes in a file of 64 hex digits."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self.fingerprint = self._derive(b"tillmesh fingerprint", b"", 6).hex()

    def _derive(self, info: bytes, salt: bytes, length: int) -> bytes:
        return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(self._master)

    def cipher(self, salt: bytes) -> AESGCM:
        """The cipher of one file."""
        return AESGCM(self._derive(b"tillmesh backup", salt, KEY_BYTES))


def damaged(path: Path, detail: str) -> Corrupt:
    """The fault of a backup that is not what was written."""
    return Corrupt("BACKUP_DAMAGED", path=str(path), detail=detail)


def make_backup_key(path: Path) -> BackupKey:
    """Make a key file that only its owner reads; Refusal BACKUP_KEY_THERE when there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refusal("BACKUP_KEY_THERE", path=str(path)) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(os.urandom(KEY_BYTES).hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return load_backup_key(path)


def load_backup_key(path: Path | None) -> BackupKey:
    """Read it; Unavailable BACKUP_KEY_MISSING."""
    try:
        text = path.read_text(encoding="ascii").strip() if path else ""
    except (OSError, UnicodeDecodeError):
        text = ""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Unavailable("BACKUP_KEY_MISSING", path=str(path or "(backup_key)"))
    return BackupKey(bytes.fromhex(text))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Writer(io.RawIOBase):
    """What is written here lands encrypted in `target`; `finish` marks the end."""

    def __init__(self, target: IO[bytes], cipher: AESGCM, line: bytes) -> None:
        self._target, self._cipher, self._line = target, cipher, line
        self._buffer = bytearray()
        self._number = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._buffer += data
        while len(self._buffer) > CHUNK:  # never empty at the end: the last chunk is marked
            self._seal(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]
        return len(data)

    def _seal(self, data: bytes, *, last: bool) -> None:
        nonce = _nonce(self._number, last=last)
        self._target.write(self._cipher.encrypt(nonce, data, self._line))
        self._number += 1

    def finish(self) -> None:
        self._seal(bytes(self._buffer), last=True)
        self._buffer.clear()


class _Reader(io.RawIOBase):
    """Plain bytes of an encrypted file, one chunk in memory."""

    def __init__(self, source: IO[bytes], cipher: AESGCM, line: bytes, path: Path) -> None:
        self._source, self._cipher, self._line, self._path = source, cipher, line, path
        self._plain = memoryview(b"")
        self._ahead = source.read(CHUNK + TAG)
        self._number = 0

    def readable(self) -> bool:
        return True

    def _next(self) -> bool:
        if not self._ahead and self._number:
            return False
        data, self._ahead = self._ahead, self._source.read(CHUNK + TAG)
        try:
            nonce = _nonce(self._number, last=not self._ahead)
            self._plain = memoryview(self._cipher.decrypt(nonce, data, self._line))
        except (InvalidTag, ValueError):
            detail = f"chunk {self._number + 1} is not what was written"
            raise damaged(self._path, detail) from None
        self._number += 1
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._plain:
            if not self._next():
                return 0
        part = self._plain[: len(buffer)]
        buffer[: len(part)] = part
        self._plain = self._plain[len(part) :]
        return len(part)


def write_backup(
    target: Path, files: Mapping[str, Path], key: BackupKey, *, label: Mapping[str, Any]
) -> Label:
    """Write `files` (name inside -> file here) to `target`, whole or not at all."""
    salt = os.urandom(32)
    told = Label(**label, key=key.fingerprint, salt=salt.hex())
    line = MAGIC + msgspec.json.encode(told) + b"\n"
    part = target.with_name(f".{target.name}.part")
    try:
        with _private(part) as file:
            file.write(line)
            writer = _Writer(file, key.cipher(salt), line)
            with (
                gzip.GzipFile("", "wb", GZIP_LEVEL, writer, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
            ):
                for name in sorted(files):
                    tar.add(files[name], arcname=name, recursive=False)
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return told


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def sync_folder(folder: Path) -> None:
    """Names in a folder are on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_label(path: Path) -> Label:
    """What a backup says of itself; nothing is checked but its form."""
    with path.open("rb") as file:
        return _label(file, path)[0]


def _label(file: IO[bytes], path: Path) -> tuple[Label, bytes]:
    line = file.readline(LINE_MAX)
    if not line.startswith(MAGIC):
        raise damaged(path, "it is no backup of Tillmesh")
    try:
        return msgspec.json.decode(line[len(MAGIC) :], type=Label), line
    except ValueError as fault:  # DecodeError and ValidationError too
        detail = f"its first line: {fault}"[:100]
        raise damaged(path, detail) from None


@contextmanager
def _opened(path: Path, key: BackupKey) -> Iterator[tuple[Label, tarfile.TarFile, gzip.GzipFile]]:
    with path.open("rb") as file:
        label, line = _label(file, path)
        if label.key != key.fingerprint:
            raise Refusal(
                "BACKUP_KEY_WRONG", path=str(path), needs=label.key[:12], has=key.fingerprint
            )
        cipher = key.cipher(bytes.fromhex(label.salt))
        plain = io.BufferedReader(_Reader(file, cipher, line, path), CHUNK)
        with (
            gzip.GzipFile(fileobj=plain, mode="rb") as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
        ):
            yield label, tar, packed


def extract_backup(path: Path, key: BackupKey, folder: Path) -> Label:
    """Decrypt into `folder`, checking every byte; files are readable by their owner only.

    Raises Corrupt BACKUP_DAMAGED, Refusal BACKUP_KEY_WRONG. What was written before a fault stays
    in `folder`, which is the caller's to remove.
    """
    try:
        with _opened(path, key) as (label, tar, packed):
            for member in tar:
                _extract(tar, member, folder, path)
            while packed.read(CHUNK):  # to the very end: the last chunk is checked too
                pass
    except (OSError, EOFError, tarfile.TarError, ValueError) as fault:
        if isinstance(fault, OSError) and not isinstance(fault, gzip.BadGzipFile):
            raise Unavailable("BACKUP_FAILED", path=str(folder), detail=str(fault)[:200]) from fault
        raise damaged(path, str(fault)[:100]) from fault
    return label


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, path: Path) -> None:
    name = PurePosixPath(member.name)
    if not member.isfile() or name.is_absolute() or ".." in name.parts:
        raise damaged(path, f"an odd name {member.name[:60]!r}")
    source = tar.extractfile(member)
    if source is None:
        return
    target = folder / name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _private(target) as file:
        while data := source.read(CHUNK):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())


def backups_in(folder: Path, kind: str) -> list[tuple[Label, Path]]:
    """Every backup of this kind in a folder, the newest first; what is none is left out."""
    found = []
    for path in folder.glob("*.tmbk") if folder.is_dir() else ():
        try:
            label = read_label(path)
        except (OSError, Corrupt):
            continue
        if label.kind == kind:
            found.append((label, path))
    return sorted(found, key=lambda one: (-one[0].at_ms, one[1].name))


def retain(folder: Path, kind: str, *, node: str, copies: int) -> Iterable[Path]:
    """Remove the oldest backups of this node beyond `copies`; return what went."""
    of_node = [path for label, path in backups_in(folder, kind) if label.node == node]
    gone = of_node[copies:]
    for path in gone:
        path.unlink()
    return gone
