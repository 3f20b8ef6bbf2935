"""Secrets at rest: AES-GCM under the site's key, which lies in a file beside the database, not in it."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed secret and the id of the key that opens it."""

    key_id: str
    blob: bytes


class Seal:
    """Seals and opens; `context` binds a secret to its row, so that rows cannot be swapped."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a site key has {KEY_BYTES} bytes, this one {len(key)}")
        self._cipher = AESGCM(key)
        self.key_id = hashlib.sha256(b"rackflow key id" + key).hexdigest()[:16]

    def seal(self, secret: str, context: str) -> Sealed:
        """Encrypt a secret under a fresh nonce."""
        nonce = os.urandom(_NONCE_BYTES)
        return Sealed(self.key_id, nonce + self._cipher.encrypt(nonce, secret.encode(), context.encode()))

    def open(self, sealed: Sealed, context: str) -> str:
        """Decrypt; a ValueError says that it was sealed with another key or for another row."""
        if sealed.key_id != self.key_id:
            raise ValueError(
                f"{context} was sealed with key {sealed.key_id}, the site's key is {self.key_id}"
            )
        nonce, text = sealed.blob[:_NONCE_BYTES], sealed.blob[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, text, context.encode()).decode()
        except InvalidTag:
            raise ValueError(f"{context} does not open: its row was changed") from None


def site_seal(path: Path) -> Seal:
    """The seal of the site's key file, which is made (0600) when it is not there."""
    if not path.exists():
        write_private(path, secrets.token_bytes(KEY_BYTES))
    return Seal(path.read_bytes())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    write_whole(path, content, 0o600)


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file whole or not at all: who reads it meanwhile, or after a kill, has the old one or none."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def digest(token: str) -> str:
    """How tokens are kept: they have 128 bits or more of chance, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
