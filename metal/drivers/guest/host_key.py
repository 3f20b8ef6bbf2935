"""The deployed system's SSH host key, made by the installer, so that the first login is to a known key."""

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from metal.drivers.guest.document import Document, GuestFile

KEY_PATH: Final = "/etc/ssh/ssh_host_ed25519_key"
OTHER_KEYS: Final = tuple(
    f"/etc/ssh/ssh_host_{kind}_key{half}" for kind in ("rsa", "ecdsa", "dsa") for half in ("", ".pub")
)
"""Keys that came with an image are everybody's; they go."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key pair; the private half goes into the machine and nowhere else."""

    private: str = field(repr=False)
    public: str


def make_host_key() -> HostKey:
    """Make an ed25519 pair in memory."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return HostKey(private, public)


def document(key: HostKey) -> Document:
    """Put the pair in, and the image's own keys out."""
    return Document(
        says="give the machine its SSH host key",
        files=(
            GuestFile(KEY_PATH, key.private.encode(), mode="0600"),
            GuestFile(f"{KEY_PATH}.pub", f"{key.public} rackflow\n".encode()),
        ),
        remove=OTHER_KEYS,
    )
