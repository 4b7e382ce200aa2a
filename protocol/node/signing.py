"""The node's Ed25519 key: made once, kept in a file that only its owner reads, signs batches."""

import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from protocol.errors import Unavailable, define

define(
    {
        "SECRET_MISSING": (
            "The file {path} with the broker's password is missing or unreadable. Nothing was "
            "started. Put it back, or take it out of the settings.",
            "消息服务器密码文件 {path} 缺失或无法读取，程序未启动。请放回该文件，或从设置中去掉。",
        ),
        "KEY_MISSING": (
            "The node's key file {path} is missing or unreadable. Restore it from your backup, or "
            "join this shop anew.",
            "节点密钥文件 {path} 缺失或无法读取。请从备份恢复，或重新加入该门店。",
        ),
    }
)


def read_secret(path: Path) -> str:
    """A secret kept in a file of its own, such as the broker's password; SECRET_MISSING."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise Unavailable("SECRET_MISSING", path=str(path)) from None


class NodeKey:
    """Signs for this node."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public_hex = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def sign(self, data: bytes) -> str:
        """The signature, 128 hex digits."""
        return self._private.sign(data).hex()


def make_key(path: Path) -> NodeKey:
    """Make a key and keep it at `path`, readable by its owner only; an existing key stays."""
    if path.exists():
        return load_key(path)
    private = Ed25519PrivateKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())  # head office may know it a moment later: it must not be lost
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return NodeKey(private)


def load_key(path: Path) -> NodeKey:
    """Read the key; KEY_MISSING when there is none."""
    try:
        return NodeKey(Ed25519PrivateKey.from_private_bytes(path.read_bytes()))
    except (OSError, ValueError):
        raise Unavailable("KEY_MISSING", path=str(path)) from None


def check(public_hex: str, data: bytes, signature: str) -> bool:
    """Was `data` signed with the key behind `public_hex`? False for anything malformed."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_hex))
        key.verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True
