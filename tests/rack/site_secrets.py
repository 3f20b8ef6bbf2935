"""The secrets of a site, read as only the edge reads them, and how each may be written elsewhere."""

import base64
import json
import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pxe_edge.registry.sealing import Seal, Sealed

SHORTEST: Final = 6
"""Shorter values are found by chance in any megabyte; a site that has one is told so."""
STORES: Final = ("edge/tokens/*", "edge/site.key", "edge/tls/*.key", "prefect/auth")
"""Files that are where a secret lives: 0600, read at the moment of use."""


@dataclass(frozen=True)
class Secret:
    """One value that must be nowhere."""

    kind: str
    value: bytes = field(repr=False)

    def forms(self) -> dict[str, bytes]:
        """How it may be written; base64 at each of its three alignments, without the edges."""
        value = self.value
        found = {
            "raw": value,
            "hex": value.hex().encode(),
            "HEX": value.hex().upper().encode(),
            "hex words": " ".join(f"0x{byte:02x}" for byte in value).encode(),
            "hex with blanks": value.hex(" ").encode(),
            "url": urllib.parse.quote_from_bytes(value, safe="").encode(),
            "json": json.dumps(value.decode(errors="replace"))[1:-1].encode(),
        }
        for shift in range(3):
            padded = base64.b64encode(b"\0" * shift + value)
            start = (0, 2, 3)[shift]
            whole = (shift + len(value)) * 8 // 6
            found[f"base64+{shift}"] = padded[start:whole]
            found[f"base64url+{shift}"] = padded[start:whole].replace(b"+", b"-").replace(b"/", b"_")
        return found


class Secrets:
    """The secrets of a site, as they come and go during its life."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._found: dict[bytes, Secret] = {}

    def __iter__(self) -> Iterator[Secret]:
        return iter(tuple(self._found.values()))

    def add(self, kind: str, value: bytes) -> None:
        """Remember one; what is too short to be searched for is an error of the test's site."""
        value = value.strip()
        if 0 < len(value) < SHORTEST:
            raise ValueError(f"{kind}: {len(value)} bytes are too few to be searched for")
        if value:
            self._found.setdefault(value, Secret(kind, value))

    def collect(self) -> None:
        """Read the files that hold secrets, and the registry's sealed rows of now."""
        for pattern in STORES:
            for path in sorted(self._data.glob(pattern)):
                self._file(path)
        key, database = self._data / "edge" / "site.key", self._data / "edge" / "registry.sqlite"
        if key.exists() and database.exists():
            self._rows(Seal(key.read_bytes()), database)

    def _file(self, path: Path) -> None:
        content = path.read_bytes()
        kind = f"{path.parent.name}/{path.name}"
        if b"PRIVATE KEY" in content:
            self._key(kind, content)
            return
        self.add(kind, content)
        if path.name == "auth":
            self.add(f"{kind} (password)", content.partition(b":")[2])

    def _key(self, kind: str, pem: bytes) -> None:
        """The lines of a key's body; the first of OpenSSH's format is the same in every key."""
        body = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
        skipped = 2 if b"OPENSSH" in pem else 0
        for line in body[skipped:]:
            if len(line) > 20:
                self.add(f"{kind} (body)", line)

    def _rows(self, seal: Seal, database: Path) -> None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as db:
            for host, user, state, key_id, blob in db.execute(
                "SELECT host_id, user, state, key_id, sealed FROM credentials"
            ):
                value = seal.open(Sealed(key_id, blob), f"bmc:{host}:{user}")
                self.add(f"BMC password ({state})", value.encode())
            for name, version, key_id, blob in db.execute(
                "SELECT name, version, key_id, sealed FROM secrets"
            ):
                value = seal.open(Sealed(key_id, blob), f"secret:{name}@{version}")
                self.add(f"secret {name}@{version}", value.encode())
            for purpose, key_id, blob in db.execute("SELECT purpose, key_id, sealed FROM site_keys"):
                value = seal.open(Sealed(key_id, blob), f"site-key:{purpose}")
                self._key(f"{purpose} key", value.encode())
